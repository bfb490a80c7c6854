/* Quantisers of the K-quants: each sub-block looks for the scale (and minimum) with the least
 * weighted squared error, then all sub-blocks of a super-block share the unit in which their scales
 * are rounded, and the quants are rounded once more with the scales that were stored.
 *
 * Work is done on y = x / max|x| of the super-block, so that no product of weights and values can
 * overflow or vanish. Large values weigh more, because they meet large activations more often.
 * Formulas: gguf-and-models 2.9. */
#include "kernels/quant_encode_k.h"

#include "kernels/half.h"
#include "kernels/quant.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Sums are kept in lanes, which the compiler turns into vectors. */
enum { LANES = 8, SUB_MAX = 32 };

/* Below this a super-block counts as zero: no f16 could hold its scale. */
static const float SMALLEST = 1e-30f;

/* To the nearest level of [min, max]; halves to even, since the addition pushes the fraction out of
 * the mantissa. NaN becomes min. */
static inline float level(float v, float min, float max)
{
    v = v > min ? v : min;
    v = v < max ? v : max;
    return (v + 12582912.0f) - 12582912.0f;
}

static double lane_sum(const float lanes[LANES])
{
    double sum = 0.0;
    for (int i = 0; i < LANES; i++)
        sum += (double)lanes[i];
    return sum;
}

/* y = x / max|x|. False when there is nothing to scale: *unit is 0, or not finite. */
static bool normalize(const float *x, float y[QUANT_K], float *unit)
{
    float top = 0.0f, spoiled = 0.0f;
    for (int i = 0; i < QUANT_K; i++) {
        top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
        spoiled += x[i] * 0.0f; /* NaN when x is no finite number */
    }
    *unit = spoiled != 0.0f || spoiled != spoiled ? NAN : top < SMALLEST ? 0.0f : top;
    if (!(*unit > 0.0f))
        return false;
    for (int i = 0; i < QUANT_K; i++)
        y[i] = x[i] / top;
    return true;
}

/* ---- x = scale * q + min, q in 0..n_max, min <= 0 ---- */

struct affine {
    float scale, min;
};

struct affine_search {
    int n;             /* elements of a sub-block */
    float n_max;       /* highest quant */
    float first;       /* inverse scales tried: (n_max + first + 0.1 k) / range, */
    int n_steps;       /* k = 0..n_steps - 1 */
    bool even_weights; /* weights |x| + root mean square, else |x| */
};

/* Least squares of u = scale * q + off for given quants, in closed form.  uu .. w: sums of weighted
 * products. */
struct sums {
    double uu, u, w; /* the same for all candidates */
    double qq, q, uq;
};

/* Error of the best line, whose offset is at most off_max; 0 quants everywhere have no line. */
static double fit_line(const struct sums *s, double off_max, double *scale, double *off)
{
    double det = s->w * s->qq - s->q * s->q;
    if (!(det > 0.0))
        return INFINITY;
    *off = (s->qq * s->u - s->q * s->uq) / det;
    *off = *off < off_max ? *off : off_max;
    *scale = (s->uq - *off * s->q) / s->qq;
    return s->uu - 2.0 * *scale * s->uq - 2.0 * *off * s->u + *scale * *scale * s->qq +
           2.0 * *scale * *off * s->q + *off * *off * s->w;
}

/* Sums for the quants that (u - shift) * inverse rounds to. */
static void sum_quants(const float *u, const float *w, const struct affine_search *a, float shift,
                       float inverse, struct sums *s)
{
    float qq[LANES] = {0}, q[LANES] = {0}, uq[LANES] = {0};
    for (int i = 0; i < a->n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            const float l = level((u[i + j] - shift) * inverse, 0.0f, a->n_max);
            const float wl = w[i + j] * l;
            q[j] += wl;
            qq[j] += wl * l;
            uq[j] += wl * u[i + j];
        }
    s->qq = lane_sum(qq);
    s->q = lane_sum(q);
    s->uq = lane_sum(uq);
}

static void weigh(const float *y, const struct affine_search *a, float *w)
{
    float squares[LANES] = {0};
    for (int i = 0; i < a->n; i++)
        squares[i % LANES] += y[i] * y[i];
    const float mean = a->even_weights ? (float)sqrt(lane_sum(squares) / a->n) : 0.0f;
    for (int i = 0; i < a->n; i++)
        w[i] = mean + fabsf(y[i]);
}

/* Each try shifts by the best minimum so far: a block of small values with one large one is only
 * fitted well when its minimum may leave the smallest value. */
static struct affine fit_affine(const float *y, const struct affine_search *a)
{
    float u[SUB_MAX], w[SUB_MAX], min = 0.0f, max = y[0];
    struct sums s = {0};
    for (int i = 0; i < a->n; i++) {
        min = y[i] < min ? y[i] : min;
        max = y[i] > max ? y[i] : max;
    }
    const float range = max - min;
    if (!(range > SMALLEST))
        return (struct affine){0.0f, min};
    weigh(y, a, w);
    for (int i = 0; i < a->n; i++) {
        u[i] = y[i] - min;
        s.w += (double)w[i];
        s.u += (double)(w[i] * u[i]);
        s.uu += (double)w[i] * u[i] * u[i];
    }
    struct affine best = {range / a->n_max, 0.0f};
    double least = INFINITY;
    for (int k = -1; k <= a->n_steps; k++) {
        double scale = 0.0, off = 0.0;
        const float extra = k < 0 ? 0.0f : a->first + 0.1f * (float)k;
        /* The last try rounds with the best line itself. */
        const float inverse = k < a->n_steps ? (a->n_max + extra) / range : 1.0f / best.scale;
        sum_quants(u, w, a, best.min, inverse, &s);
        const double error = fit_line(&s, -(double)min, &scale, &off);
        if (error < least && scale > (double)SMALLEST) {
            least = error;
            best = (struct affine){(float)scale, (float)off};
        }
    }
    best.min += min;
    return best;
}

/* ---- x = scale * q, q in -n_max..n_max - 1 ---- */

static float fit_symmetric(const float *y, int n, float n_max)
{
    float m = 0.0f, best_scale = 0.0f;
    double best = 0.0;
    for (int i = 0; i < n; i++)
        m = fabsf(y[i]) > fabsf(m) ? y[i] : m;
    if (!(fabsf(m) > SMALLEST))
        return 0.0f;
    for (int i_try = 0; i_try < 19; i_try++) {
        /* The largest value takes the longer, negative side. The plain scale comes first and wins
         * over equals, for it alone gives constants back exactly. */
        const float extra = 0.1f * (float)((i_try + 1) / 2),
                    inverse = -(n_max + (i_try % 2 ? extra : -extra));
        float xq[LANES] = {0}, qq[LANES] = {0};
        for (int i = 0; i < n; i += LANES)
            for (int j = 0; j < LANES; j++) {
                const float u = y[i + j] / m, w = u * u;
                const float l = level(u * inverse, -n_max, n_max - 1.0f);
                xq[j] += w * u * l;
                qq[j] += w * l * l;
            }
        const double sum_xq = lane_sum(xq), sum_qq = lane_sum(qq);
        if (sum_qq > 0.0 && sum_xq * sum_xq > best * sum_qq) {
            best = sum_xq * sum_xq / sum_qq;
            best_scale = (float)(m * sum_xq / sum_qq);
        }
    }
    return best_scale;
}

/* ---- super-blocks ---- */

/* Quants of one sub-block for x = scale * q + min; any will do where the scale is 0. */
static void requantize(const float *x, int n, struct affine f, float low, float high, int8_t *q)
{
    const float inverse = f.scale != 0.0f ? 1.0f / f.scale : 0.0f;
    for (int i = 0; i < n; i++)
        q[i] = (int8_t)level((x[i] - f.min) * inverse, low, high);
}

/* Sub-blocks with unsigned scales and minima of `levels` steps, in units that are stored as f16. */
struct affine_super {
    uint16_t d, dmin;
    uint8_t scales[16], mins[16];
    int8_t q[QUANT_K];
};

/* The unit of values up to `top` in `levels` steps, as f16 stores it. */
static float store_unit(float top, float levels, uint16_t *half)
{
    *half = oll_f32_to_f16(top / levels);
    return oll_f16_to_f32(*half);
}

static float in_units(float v, float unit, float min, float max)
{
    return unit != 0.0f ? level(v / unit, min, max) : 0.0f;
}

/* Weighted squared error of a sub-block when it is rounded with these values. */
static float rounding_error(const float *y, const float *w, int n, struct affine f, float low,
                            float high)
{
    const float inverse = f.scale != 0.0f ? 1.0f / f.scale : 0.0f;
    float sums[LANES] = {0};
    for (int i = 0; i < n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            const float q = level((y[i + j] - f.min) * inverse, low, high);
            const float e = y[i + j] - f.min - f.scale * q;
            sums[j] += w[i + j] * e * e;
        }
    return (float)lane_sum(sums);
}

struct affine_units {
    float scale, min, levels;
};

/* Rounds scale and minimum to their units. The nearest steps of each alone are not the best pair,
 * so their neighbours are tried, too. */
static void round_units(const float *y, const struct affine_search *a, struct affine fit,
                        struct affine_units unit, uint8_t *scale, uint8_t *min)
{
    float w[SUB_MAX], least = INFINITY;
    const float near_scale = in_units(fit.scale, unit.scale, 0.0f, unit.levels);
    const float near_min = in_units(-fit.min, unit.min, 0.0f, unit.levels);
    weigh(y, a, w);
    for (int i = 0; i < 9; i++) {
        const float s = near_scale + (float)(i / 3 - 1), m = near_min + (float)(i % 3 - 1);
        if (s < 0.0f || m < 0.0f || s > unit.levels || m > unit.levels)
            continue;
        const float error = rounding_error(
            y, w, a->n, (struct affine){s * unit.scale, -m * unit.min}, 0.0f, a->n_max);
        if (error < least) {
            least = error;
            *scale = (uint8_t)s;
            *min = (uint8_t)m;
        }
    }
}

static void encode_affine(const float *x, const struct affine_search *a, float levels,
                          struct affine_super *out)
{
    float y[QUANT_K], unit, top_scale = 0.0f, top_min = 0.0f;
    struct affine fits[16];
    memset(out, 0, sizeof *out);
    if (!normalize(x, y, &unit)) {
        out->d = oll_f32_to_f16(unit);
        return;
    }
    for (int j = 0; j < QUANT_K / a->n; j++) {
        fits[j] = fit_affine(y + j * a->n, a);
        top_scale = fits[j].scale > top_scale ? fits[j].scale : top_scale;
        top_min = -fits[j].min > top_min ? -fits[j].min : top_min;
    }
    const float d = store_unit(top_scale * unit, levels, &out->d);
    const float dmin = store_unit(top_min * unit, levels, &out->dmin);
    for (int j = 0; j < QUANT_K / a->n; j++) {
        const struct affine_units at = {d / unit, dmin / unit, levels};
        round_units(y + j * a->n, a, fits[j], at, &out->scales[j], &out->mins[j]);
        const struct affine stored = {d * (float)out->scales[j], -dmin * (float)out->mins[j]};
        requantize(x + j * a->n, a->n, stored, 0.0f, a->n_max, out->q + j * a->n);
    }
}

/* Sub-blocks of 16 with signed scales of -levels..levels - 1 steps. */
struct symmetric_super {
    uint16_t d;
    int8_t scales[16];
    int8_t q[QUANT_K];
};

static void encode_symmetric(const float *x, float n_max, float levels, struct symmetric_super *out)
{
    float y[QUANT_K], scales[16], unit, top = 0.0f;
    memset(out, 0, sizeof *out);
    if (!normalize(x, y, &unit)) {
        out->d = oll_f32_to_f16(unit);
        return;
    }
    for (int j = 0; j < 16; j++) {
        scales[j] = fit_symmetric(y + 16 * j, 16, n_max);
        top = fabsf(scales[j]) > fabsf(top) ? scales[j] : top;
    }
    const float d = store_unit(top * unit, -levels, &out->d);
    for (int j = 0; j < 16; j++) {
        const float steps = in_units(scales[j] * unit, d, -levels, levels - 1.0f);
        out->scales[j] = (int8_t)steps;
        requantize(x + 16 * j, 16, (struct affine){d * steps, 0.0f}, -n_max, n_max - 1.0f,
                   out->q + 16 * j);
    }
}

/* ---- packing, the inverse of quant_k.c ---- */

/* The 2-bit planes of Q2_K and Q3_K. */
static void pack_planes(const int8_t q[QUANT_K], uint8_t qs[64])
{
    memset(qs, 0, 64);
    for (int i = 0; i < QUANT_K; i++)
        qs[i / 128 * 32 + i % 32] |= (uint8_t)((q[i] & 3) << i % 128 / 32 * 2);
}

void quant_encode_q2_k(const float *src, void *dst, size_t n)
{
    static const struct affine_search search = {16, 3.0f, -0.5f, 16, false};
    struct block_q2_k *b = dst;
    struct affine_super s;
    for (; n > 0; n -= QUANT_K, b++, src += QUANT_K) {
        encode_affine(src, &search, 15.0f, &s);
        b->d = s.d;
        b->dmin = s.dmin;
        for (int j = 0; j < 16; j++)
            b->scales[j] = (uint8_t)(s.scales[j] | s.mins[j] << 4);
        pack_planes(s.q, b->qs);
    }
}

void quant_encode_q3_k(const float *src, void *dst, size_t n)
{
    struct block_q3_k *b = dst;
    struct symmetric_super s;
    for (; n > 0; n -= QUANT_K, b++, src += QUANT_K) {
        encode_symmetric(src, 4.0f, 32.0f, &s);
        b->d = s.d;
        memset(b->scales, 0, sizeof b->scales);
        for (int k = 0; k < 16; k++) {
            const int v = s.scales[k] + 32;
            b->scales[k % 8] |= (uint8_t)((v & 15) << k / 8 * 4);
            b->scales[8 + k % 4] |= (uint8_t)(v >> 4 << 2 * (k / 4));
        }
        memset(b->hmask, 0, sizeof b->hmask);
        for (int i = 0; i < QUANT_K; i++) {
            s.q[i] = (int8_t)(s.q[i] + 4);
            b->hmask[i % 32] |= (uint8_t)(s.q[i] >> 2 << i / 32);
        }
        pack_planes(s.q, b->qs);
    }
}

/* The 6-bit packing that quant_scale_min_k4 reads. */
static void pack_scales_k4(const struct affine_super *s, uint8_t out[12])
{
    for (int j = 0; j < 4; j++) {
        const uint8_t scale = s->scales[j + 4], min = s->mins[j + 4];
        out[j] = (uint8_t)(s->scales[j] | scale >> 4 << 6);
        out[j + 4] = (uint8_t)(s->mins[j] | min >> 4 << 6);
        out[j + 8] = (uint8_t)((scale & 15) | (min & 15) << 4);
    }
}

static void pack_nibbles(const int8_t q[QUANT_K], uint8_t qs[128])
{
    for (int i = 0; i < 128; i++) {
        const int8_t *pair = q + i / 32 * 64 + i % 32;
        qs[i] = (uint8_t)((pair[0] & 15) | (pair[32] & 15) << 4);
    }
}

void quant_encode_q4_k(const float *src, void *dst, size_t n)
{
    static const struct affine_search search = {32, 15.0f, -1.0f, 21, true};
    struct block_q4_k *b = dst;
    struct affine_super s;
    for (; n > 0; n -= QUANT_K, b++, src += QUANT_K) {
        encode_affine(src, &search, 63.0f, &s);
        b->d = s.d;
        b->dmin = s.dmin;
        pack_scales_k4(&s, b->scales);
        pack_nibbles(s.q, b->qs);
    }
}

void quant_encode_q5_k(const float *src, void *dst, size_t n)
{
    static const struct affine_search search = {32, 31.0f, -0.5f, 16, true};
    struct block_q5_k *b = dst;
    struct affine_super s;
    for (; n > 0; n -= QUANT_K, b++, src += QUANT_K) {
        encode_affine(src, &search, 63.0f, &s);
        b->d = s.d;
        b->dmin = s.dmin;
        pack_scales_k4(&s, b->scales);
        pack_nibbles(s.q, b->qs);
        memset(b->qh, 0, sizeof b->qh);
        for (int i = 0; i < QUANT_K; i++)
            b->qh[i % 32] |= (uint8_t)(s.q[i] >> 4 << i / 32);
    }
}

void quant_encode_q6_k(const float *src, void *dst, size_t n)
{
    struct block_q6_k *b = dst;
    struct symmetric_super s;
    for (; n > 0; n -= QUANT_K, b++, src += QUANT_K) {
        encode_symmetric(src, 32.0f, 128.0f, &s);
        b->d = s.d;
        memcpy(b->scales, s.scales, sizeof b->scales);
        memset(b->ql, 0, sizeof b->ql);
        memset(b->qh, 0, sizeof b->qh);
        for (int i = 0; i < QUANT_K; i++) {
            /* Plane p of 32 elements in half h: see quant_decode_q6_k. */
            const int h = i / 128, p = i % 128 / 32, l = i % 32, q = s.q[i] + 32;
            b->ql[64 * h + 32 * (p % 2) + l] |= (uint8_t)((q & 15) << p / 2 * 4);
            b->qh[32 * h + l] |= (uint8_t)(q >> 4 << 2 * p);
        }
    }
}
