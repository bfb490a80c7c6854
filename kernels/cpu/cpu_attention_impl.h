/* Tiles of attention on the vectors of cpu_vec.h. Included once by each file that instantiates a
 * level, after CPU_ATT_R (rows of a register tile) is defined.
 *
 * Scores: 16 keys lie side by side (cpu_kv.h), so the tile R rows x ATT_NV vectors of keys is a run
 * of broadcasts and multiply-adds down head_dim; each K vector is loaded (and widened from f16)
 * once for R rows. Values: R rows x ATT_NV vectors of a V row, a run down the positions. Both are
 * bound by the multiply-add units; R x ATT_NV accumulators hide their latency. Softmax between
 * them costs fourteen operations per score, against head_dim multiply-adds. The R rows go through
 * all three before the next R, so that their scores stay in the first cache. */
#include "kernels/cpu/cpu_attention.h"
#include "kernels/cpu/cpu_attention_page.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/cpu_vec.h"

#include <math.h>
#include <string.h>

/* Vectors side by side: 32 keys with vectors of 16, else 16 keys, or 4 in plain C. Few rows take
 * more of them, so that as many accumulators are at work: keys of up to four pages. */
enum {
    ATT_NV = VW == 1   ? 4
             : VW == 4 ? 4
                       : 2,
    ATT_NV_MAX = VW < 8 ? ATT_NV : 8,
    ATT_LINE = 64, /* bytes of a cache line */
    ATT_AHEAD = 16 /* rows of V from asking to using */
};

CPU_INLINE uint32_t att_wide(uint32_t r)
{
    uint32_t nv = ATT_NV;
    while (nv < ATT_NV_MAX && 2 * nv * r <= ATT_NV * CPU_ATT_R)
        nv *= 2;
    return nv;
}

/* R rows of a tile and the positions of the chunk that some of them see: scores from `first` to
 * `last`, whole pages, values from `begin` to `end`. */
struct att_rows {
    const struct cpu_attention_tile *t;
    uint32_t row, begin, end, first, last;
};

/* `r`, `nv` and `type` are constants where the following are inlined.
 *
 * Few rows read the cache once at the speed of memory; many find it in the second cache. */
CPU_INLINE bool att_is_streaming(const struct cpu_attention_tile *t)
{
    return t->n_rows <= CPU_ATT_R;
}

/* Where the keys from position j on lie; past the last ones, values as many positions after the
 * first. */
CPU_INLINE const unsigned char *att_after(const struct att_rows *b, uint32_t j, enum att_type type)
{
    const struct cpu_attention_tile *t = b->t;
    if (j < b->last)
        return att_key_at(type, t->k[j / OLL_KV_PAGE], t->head_dim_k, j % OLL_KV_PAGE).p;
    j = j - b->last + b->first;
    j = j < b->last ? j : b->first;
    return att_key_at(type, t->v[j / OLL_KV_PAGE], t->head_dim_v, j % OLL_KV_PAGE).p;
}

/* Scores of r queries with the keys of nv vectors from position j on. Pages lie apart, so hardware
 * prefetchers lose their way at the end of each: the keys after these (after the last keys, the
 * first values) are asked for meanwhile. */
CPU_INLINE void att_dot(const struct att_rows *b, uint32_t j, uint32_t r, uint32_t nv,
                        enum att_type type)
{
    const struct cpu_attention_tile *t = b->t;
    const uint32_t n = t->head_dim_k, n_ahead = nv * VW / CPU_KV_HALF;
    const bool asks = att_is_streaming(t);
    const float *q = t->q + (size_t)b->row * n;
    const unsigned char *ahead[ATT_NV_MAX] = {0};
    struct att_key key[ATT_NV_MAX];
    vf acc[CPU_ATT_R][ATT_NV_MAX];
    for (uint32_t v = 0; v < nv; v++)
        key[v] = att_key_at(type, t->k[(j + v * VW) / OLL_KV_PAGE], n, (j + v * VW) % OLL_KV_PAGE);
    for (uint32_t h = 0; asks && h < n_ahead; h++)
        ahead[h] = att_after(b, j + nv * VW + h * CPU_KV_HALF, type);
    for (uint32_t i = 0; i < r; i++)
        for (uint32_t v = 0; v < nv; v++)
            acc[i][v] = vf_set1(0);
    for (uint32_t d = 0; d < n; d++) {
        const size_t at = (size_t)d * att_bytes(type);
        vf k[ATT_NV_MAX];
        for (uint32_t h = 0; asks && h < n_ahead && at % ATT_LINE == 0; h++)
            __builtin_prefetch(ahead[h] + at);
        for (uint32_t v = 0; v < nv; v++)
            k[v] = att_key_load(type, &key[v], d);
        for (uint32_t i = 0; i < r; i++) {
            vf x = vf_set1(q[(size_t)i * n + d]);
            for (uint32_t v = 0; v < nv; v++)
                acc[i][v] = vf_fma(x, k[v], acc[i][v]);
        }
    }
    for (uint32_t i = 0; i < r; i++)
        for (uint32_t v = 0; v < nv; v++)
            vf_store(t->s + (size_t)i * CPU_ATT_CHUNK + j + v * VW, acc[i][v]);
}

CPU_INLINE void att_scores(const struct att_rows *b, uint32_t r, enum att_type type)
{
    const uint32_t wide = att_wide(r);
    uint32_t j = b->first;
    for (; j + wide * VW <= b->last; j += wide * VW)
        att_dot(b, j, r, wide, type);
    for (; j < b->last; j += ATT_NV * VW)
        att_dot(b, j, r, ATT_NV, type);
}

/* Values d .. d + nv * VW of r rows: sum over positions of p v. Positions that no row sees may hold
 * anything: they are left out, not multiplied by 0. */
CPU_INLINE void att_values_at(const struct att_rows *b, uint32_t d, uint32_t r, uint32_t nv,
                              enum att_type type)
{
    const struct cpu_attention_tile *t = b->t;
    const uint32_t n = t->head_dim_v;
    const size_t value_bytes = att_bytes(type) * nv * VW / CPU_KV_HALF;
    const bool asks = att_is_streaming(t);
    vf acc[CPU_ATT_R][ATT_NV_MAX];
    for (uint32_t i = 0; i < r; i++)
        for (uint32_t v = 0; v < nv; v++)
            acc[i][v] = vf_set1(0);
    for (uint32_t j = b->begin; j < b->end; j++) {
        const void *page = t->v[j / OLL_KV_PAGE];
        vf value[ATT_NV_MAX];
        if (asks && j + ATT_AHEAD < b->end) {
            const uint32_t next = j + ATT_AHEAD;
            const size_t at = (size_t)(next % OLL_KV_PAGE) * n + d;
            const char *p = t->v[next / OLL_KV_PAGE];
            for (size_t line = 0; line < value_bytes; line += ATT_LINE)
                __builtin_prefetch(p + at * att_bytes(type) / CPU_KV_HALF + line);
        }
        for (uint32_t v = 0; v < nv; v++)
            value[v] = att_value_load(type, page, n, j % OLL_KV_PAGE, d + v * VW);
        for (uint32_t i = 0; i < r; i++) {
            vf p = vf_set1(t->s[(size_t)i * CPU_ATT_CHUNK + j]);
            for (uint32_t v = 0; v < nv; v++)
                acc[i][v] = vf_fma(p, value[v], acc[i][v]);
        }
    }
    for (uint32_t i = 0; i < r; i++)
        for (uint32_t v = 0; v < nv; v++)
            vf_store(t->parts[b->row + i].o + d + v * VW, acc[i][v]);
}

CPU_INLINE void att_values(const struct att_rows *b, uint32_t r, enum att_type type)
{
    const uint32_t n = b->t->head_dim_v, wide = att_wide(r);
    uint32_t d = 0;
    for (; d + wide * VW <= n; d += wide * VW)
        att_values_at(b, d, r, wide, type);
    for (; d + ATT_NV * VW <= n; d += ATT_NV * VW)
        att_values_at(b, d, r, ATT_NV, type);
    for (; d < n; d += VW)
        att_values_at(b, d, r, 1, type);
}

/* What the model wants of a score besides the product, and -INFINITY where the row does not look.
 */
static void att_mask(const struct att_rows *b, const struct cpu_attention_row *view, float *s)
{
    const int32_t first = (int32_t)b->first, last = (int32_t)b->last;
    if (b->t->softcap != 0) {
        const vf cap = vf_set1(b->t->softcap), inverse = vf_set1(1.0f / b->t->softcap);
        for (int32_t j = first; j < last; j += VW)
            vf_store(s + j, vf_mul(cap, vf_tanh(vf_mul(vf_load(s + j), inverse))));
    }
    if (view->slope != 0)
        for (int32_t j = first; j < last; j++)
            s[j] -= view->slope * (float)(view->pos > j ? view->pos - j : j - view->pos);
    for (int32_t j = first; j < last && j < view->begin; j++)
        s[j] = -INFINITY;
    for (int32_t j = view->end > first ? view->end : first; j < last; j++)
        s[j] = -INFINITY;
}

/* Scores of one row become exp(score - max), 0 where they are -INFINITY. Partial sum j % 32 takes
 * position j, whatever the range and the level. */
static void att_softmax(const struct att_rows *b, float *s, struct cpu_attention_part *part)
{
    enum { LANES = 32, N = LANES / VW };
    vf max[N], sum[N];
    for (int i = 0; i < N; i++) {
        max[i] = vf_set1(-INFINITY);
        sum[i] = vf_set1(0);
    }
    for (uint32_t j = b->first; j < b->last; j += LANES)
        for (int i = 0; i < N; i++)
            max[i] = vf_max(vf_load(s + j + i * VW), max[i]);
    for (int i = 1; i < N; i++)
        max[0] = vf_max(max[0], max[i]);
    part->max = vf_max_of(max[0]);
    /* A row that sees nothing here: its weights are 0 whatever is subtracted. */
    const vf shift = vf_set1(part->max > -INFINITY ? part->max : 0);
    for (uint32_t j = b->first; j < b->last; j += LANES) {
        for (int i = 0; i < N; i++) {
            vf p = vf_exp_nonpositive(vf_sub(vf_load(s + j + i * VW), shift));
            sum[i] = vf_add(sum[i], p);
            vf_store(s + j + i * VW, p);
        }
    }
    part->sum = vf_sum_all(sum, N);
}

static void att_nothing(const struct cpu_attention_tile *t, uint32_t row, uint32_t r)
{
    for (uint32_t i = row; i < row + r; i++) {
        t->parts[i].max = -INFINITY;
        t->parts[i].sum = 0;
        memset(t->parts[i].o, 0, t->head_dim_v * sizeof *t->parts[i].o);
    }
}

/* What some of the rows see; false when that is nothing. */
static bool att_rows_of(const struct cpu_attention_tile *t, uint32_t row, uint32_t r,
                        struct att_rows *b)
{
    *b = (struct att_rows){.t = t, .row = row, .begin = CPU_ATT_CHUNK};
    for (uint32_t i = row; i < row + r; i++) {
        if (t->rows[i].begin >= t->rows[i].end)
            continue;
        b->begin = (uint32_t)t->rows[i].begin < b->begin ? (uint32_t)t->rows[i].begin : b->begin;
        b->end = (uint32_t)t->rows[i].end > b->end ? (uint32_t)t->rows[i].end : b->end;
    }
    b->first = b->begin / OLL_KV_PAGE * OLL_KV_PAGE;
    b->last = (uint32_t)oll_align_up(b->end, OLL_KV_PAGE);
    return b->begin < b->end;
}

CPU_INLINE void att_run_rows(const struct cpu_attention_tile *t, uint32_t row, uint32_t r,
                             enum att_type type)
{
    struct att_rows b;
    if (!att_rows_of(t, row, r, &b)) {
        att_nothing(t, row, r);
        return;
    }
    att_scores(&b, r, type);
    for (uint32_t i = 0; i < r; i++) {
        float *s = t->s + (size_t)i * CPU_ATT_CHUNK;
        att_mask(&b, &t->rows[row + i], s);
        att_softmax(&b, s, &t->parts[row + i]);
    }
    att_values(&b, r, type);
}

/* Rows are dealt out evenly: 14 as 7 and 7, since a small rest would leave multiply-adds waiting
 * for each other. Each case is a kernel with loops of constant length. */
CPU_INLINE void att_tile(const struct cpu_attention_tile *t, enum att_type type)
{
    uint32_t n_left = (t->n_rows + CPU_ATT_R - 1) / CPU_ATT_R;
    for (uint32_t row = 0, r; row < t->n_rows; row += r, n_left--) {
        r = (t->n_rows - row + n_left - 1) / n_left;
#define CASE(n)                                                                                    \
    case n: att_run_rows(t, row, n < CPU_ATT_R ? n : CPU_ATT_R, type); break;
        switch (r) {
            CASE(1)
            CASE(2)
            CASE(3)
            CASE(4)
            CASE(5)
            CASE(6)
#if CPU_ATT_R > 6
            CASE(7)
            CASE(8)
#endif
#if CPU_ATT_R > 8
            CASE(9)
            CASE(10)
            CASE(11)
            CASE(12)
#endif
        default: break;
        }
#undef CASE
    }
}

/* Few rows read quantised pages as they are; for many, pages are expanded once. */
CPU_INLINE void att_quantised(const struct cpu_attention_tile *t, enum att_type type)
{
    struct cpu_attention_tile f32 = *t;
    if (t->n_rows <= CPU_ATT_R) {
        att_tile(t, type);
        return;
    }
    for (uint32_t p = 0; p < CPU_ATT_PAGES; p++) {
        float *k = t->expanded_k + (size_t)p * OLL_KV_PAGE * t->head_dim_k;
        float *v = t->expanded_v + (size_t)p * OLL_KV_PAGE * t->head_dim_v;
        if (!t->k[p])
            continue;
        att_expand(type, t->k[p], t->head_dim_k, k, t->v[p], t->head_dim_v, v);
        f32.k[p] = k;
        f32.v[p] = v;
    }
    att_tile(&f32, ATT_F32);
}

static void attention_f32(const struct cpu_attention_tile *t) { att_tile(t, ATT_F32); }
static void attention_f16(const struct cpu_attention_tile *t) { att_tile(t, ATT_F16); }
static void attention_q8_0(const struct cpu_attention_tile *t) { att_quantised(t, ATT_Q8_0); }
static void attention_q4_0(const struct cpu_attention_tile *t) { att_quantised(t, ATT_Q4_0); }

/* Online softmax: both sides are brought to the greater maximum. */
static void attention_merge(struct cpu_attention_part *run, const struct cpu_attention_part *part,
                            uint32_t n)
{
    if (!(part->max > -INFINITY) && part->sum == 0)
        return;
    if (!(run->max > -INFINITY) && run->sum == 0) {
        run->max = part->max;
        run->sum = part->sum;
        memcpy(run->o, part->o, n * sizeof *run->o);
        return;
    }
    const float top = part->max > run->max ? part->max : run->max;
    const vf a = vf_exp_nonpositive(vf_set1(run->max - top));
    const vf b = vf_exp_nonpositive(vf_set1(part->max - top));
    float sums[VW];
    vf_store(sums, vf_fma(a, vf_set1(run->sum), vf_mul(b, vf_set1(part->sum))));
    run->max = top;
    run->sum = sums[0];
    for (uint32_t d = 0; d < n; d += VW)
        vf_store(run->o + d, vf_fma(a, vf_load(run->o + d), vf_mul(b, vf_load(part->o + d))));
}

static void attention_init(struct cpu_kernels *k)
{
    k->attention_f16 = attention_f16;
    k->attention_f32 = attention_f32;
    k->attention_q8_0 = attention_q8_0;
    k->attention_q4_0 = attention_q4_0;
    k->attention_merge = attention_merge;
}
