/* Element-wise rows and norms on the vectors of cpu_vec.h. Included once by each file that
 * instantiates a level. What limits them is memory, or for the activations the eleven operations of
 * the exponential; several accumulators hide the latency of the reductions. */
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/cpu_vec.h"
#include "kernels/half.h"

#include <math.h>

/* for (i, n): whole vectors, then the tail. BODY sees `at` and uses ld(p) and st(p, v). */
#define ROW_LOOP(n, BODY)                                                                          \
    do {                                                                                           \
        uint32_t at = 0;                                                                           \
        for (; at + VW <= (n); at += VW) {                                                         \
            BODY(vf_load, vf_store)                                                                \
        }                                                                                          \
        const uint32_t n_tail = (n) - at;                                                          \
        if (VW > 1 && n_tail > 0) {                                                                \
            BODY(LOAD_TAIL, STORE_TAIL)                                                            \
        }                                                                                          \
    } while (0)
#define LOAD_TAIL(p)     vf_load_partial(p, n_tail)
#define STORE_TAIL(p, v) vf_store_partial(p, v, n_tail)

/* ---- norms ---- */

/* Partial sums of a reduction, whatever the level: element i goes into sum i % SUM_LANES. */
enum { SUM_LANES = 64, N_SUM = SUM_LANES / VW };

/* Sum over i of (x[i] - mean)^2. */
static float sum_sq(const float *x, uint32_t n, float mean)
{
    vf acc[N_SUM], m = vf_set1(mean);
    uint32_t i = 0;
    for (int j = 0; j < N_SUM; j++)
        acc[j] = vf_set1(0);
    for (; i + SUM_LANES <= n; i += SUM_LANES) {
        for (int j = 0; j < N_SUM; j++) {
            vf v = vf_sub(vf_load(x + i + j * VW), m);
            acc[j] = vf_fma(v, v, acc[j]);
        }
    }
    float sum = vf_sum_all(acc, N_SUM);
    for (; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

static float sum_of(const float *x, uint32_t n)
{
    vf acc[N_SUM];
    uint32_t i = 0;
    for (int j = 0; j < N_SUM; j++)
        acc[j] = vf_set1(0);
    for (; i + SUM_LANES <= n; i += SUM_LANES)
        for (int j = 0; j < N_SUM; j++)
            acc[j] = vf_add(acc[j], vf_load(x + i + j * VW));
    float sum = vf_sum_all(acc, N_SUM);
    for (; i < n; i++)
        sum += x[i];
    return sum;
}

/* y = (x - mean) * factor * w + b */
static void norm_apply(const float *x, const float *w, const float *b, float *y, uint32_t n,
                       float mean, float factor)
{
    const vf m = vf_set1(mean), f = vf_set1(factor);
#define CENTRED(ld)      vf_mul(vf_sub(ld(x + at), m), f)
#define WITH_W_B(ld, st) st(y + at, vf_fma(CENTRED(ld), ld(w + at), ld(b + at)));
#define WITH_W(ld, st)   st(y + at, vf_mul(CENTRED(ld), ld(w + at)));
#define WITH_B(ld, st)   st(y + at, vf_add(CENTRED(ld), ld(b + at)));
#define BARE(ld, st)     st(y + at, CENTRED(ld));
    if (w && b)
        ROW_LOOP(n, WITH_W_B);
    else if (w)
        ROW_LOOP(n, WITH_W);
    else if (b)
        ROW_LOOP(n, WITH_B);
    else
        ROW_LOOP(n, BARE);
#undef CENTRED
#undef WITH_W_B
#undef WITH_W
#undef WITH_B
#undef BARE
}

static void norm_rms(const float *x, const float *w, const float *b, float *y, uint32_t n,
                     float eps)
{
    norm_apply(x, w, b, y, n, 0, 1.0f / sqrtf(sum_sq(x, n, 0) / (float)n + eps));
}

static void norm_layer(const float *x, const float *w, const float *b, float *y, uint32_t n,
                       float eps)
{
    float mean = sum_of(x, n) / (float)n;
    norm_apply(x, w, b, y, n, mean, 1.0f / sqrtf(sum_sq(x, n, mean) / (float)n + eps));
}

static void norm_l2(const float *x, const float *w, const float *b, float *y, uint32_t n, float eps)
{
    float length = sqrtf(sum_sq(x, n, 0));
    norm_apply(x, w, b, y, n, 0, 1.0f / (length < eps ? eps : length));
}

/* ---- activations ---- */

/* GELU in its tanh form equals x times the sigmoid of twice the argument of tanh, without the
 * cancellation of 1 + tanh for negative x. */
CPU_INLINE vf gelu(vf x)
{
    const vf a = vf_set1(1.5957691216057308f), b = vf_set1(0.07135481282766534f);
    return vf_mul(x, vf_sigmoid(vf_mul(x, vf_fma(b, vf_mul(x, x), a))));
}

/* `act` is a constant where this is inlined. */
CPU_INLINE vf act_of(enum oll_act act, vf x)
{
    switch (act) {
    case OLL_ACT_SILU: return vf_mul(x, vf_sigmoid(x));
    case OLL_ACT_GELU: return gelu(x);
    case OLL_ACT_GELU_QUICK: return vf_mul(x, vf_sigmoid(vf_mul(vf_set1(1.702f), x)));
    case OLL_ACT_RELU: return vf_max(vf_set1(0), x);
    case OLL_ACT_RELU_SQR: {
        vf r = vf_max(vf_set1(0), x);
        return vf_mul(r, r);
    }
    case OLL_ACT_SIGMOID: return vf_sigmoid(x);
    case OLL_ACT_TANH: return vf_tanh(x);
    case OLL_ACT_NONE:
    case OLL_ACT_SWIGLU_OAI: break;
    }
    return x;
}

CPU_INLINE vf glu_of(enum oll_act act, vf gate, vf up)
{
    if (act != OLL_ACT_SWIGLU_OAI)
        return vf_mul(act_of(act, gate), up);
    const vf limit = vf_set1(7.0f);
    vf g = vf_min(limit, gate), u = vf_max(vf_neg(limit), vf_min(limit, up));
    return vf_mul(vf_mul(g, vf_sigmoid(vf_mul(vf_set1(1.702f), g))), vf_add(u, vf_set1(1.0f)));
}

#define ACT_LIST(X)                                                                                \
    X(OLL_ACT_NONE)                                                                                \
    X(OLL_ACT_SILU)                                                                                \
    X(OLL_ACT_GELU)                                                                                \
    X(OLL_ACT_GELU_QUICK)                                                                          \
    X(OLL_ACT_RELU)                                                                                \
    X(OLL_ACT_RELU_SQR)                                                                            \
    X(OLL_ACT_SIGMOID)                                                                             \
    X(OLL_ACT_TANH)                                                                                \
    X(OLL_ACT_SWIGLU_OAI)

static void row_unary(enum oll_act act, const float *x, float *y, uint32_t n)
{
    switch (act) {
#define X(name)                                                                                    \
    case name: ROW_LOOP(n, BODY_##name); break;
#define BODY(name, ld, st)              st(y + at, act_of(name, ld(x + at)));
#define BODY_OLL_ACT_NONE(ld, st)       BODY(OLL_ACT_NONE, ld, st)
#define BODY_OLL_ACT_SILU(ld, st)       BODY(OLL_ACT_SILU, ld, st)
#define BODY_OLL_ACT_GELU(ld, st)       BODY(OLL_ACT_GELU, ld, st)
#define BODY_OLL_ACT_GELU_QUICK(ld, st) BODY(OLL_ACT_GELU_QUICK, ld, st)
#define BODY_OLL_ACT_RELU(ld, st)       BODY(OLL_ACT_RELU, ld, st)
#define BODY_OLL_ACT_RELU_SQR(ld, st)   BODY(OLL_ACT_RELU_SQR, ld, st)
#define BODY_OLL_ACT_SIGMOID(ld, st)    BODY(OLL_ACT_SIGMOID, ld, st)
#define BODY_OLL_ACT_TANH(ld, st)       BODY(OLL_ACT_TANH, ld, st)
#define BODY_OLL_ACT_SWIGLU_OAI(ld, st) BODY(OLL_ACT_SWIGLU_OAI, ld, st)
        ACT_LIST(X)
#undef BODY
    }
}

static void row_glu(enum oll_act act, const float *gate, const float *up, float *y, uint32_t n)
{
    switch (act) {
#define BODY(name, ld, st) st(y + at, glu_of(name, ld(gate + at), ld(up + at)));
        ACT_LIST(X)
#undef BODY
#undef X
    }
}

/* ---- sums and scales ---- */

static void row_add(const float *a, const float *b, float scale, float *y, uint32_t n)
{
    const vf s = vf_set1(scale);
#define SUM(ld, st) st(y + at, vf_fma(s, ld(b + at), ld(a + at)));
    ROW_LOOP(n, SUM);
#undef SUM
}

static void row_gate(const float *x, const float *g, bool g_is_one, float *y, uint32_t n)
{
#define BY_ONE(ld, st) st(y + at, vf_mul(ld(x + at), one));
#define BY_ROW(ld, st) st(y + at, vf_mul(ld(x + at), vf_sigmoid(ld(g + at))));
    if (g_is_one) {
        const vf one = vf_sigmoid(vf_set1(*g));
        ROW_LOOP(n, BY_ONE);
    } else {
        ROW_LOOP(n, BY_ROW);
    }
#undef BY_ONE
#undef BY_ROW
}

static void row_scale(const struct op_scale *op, const float *x, float *y, uint32_t n)
{
    const vf scale = vf_set1(op->scale), cap = vf_set1(op->softcap);
    const vf inverse = vf_set1(1.0f / op->softcap);
    const vf high = vf_set1(op->limit != 0 ? op->limit : INFINITY), low = vf_neg(high);
#define CLAMPED(v)    vf_max(low, vf_min(high, v))
#define PLAIN(ld, st) st(y + at, CLAMPED(vf_mul(scale, ld(x + at))));
#define CAPPED(ld, st)                                                                             \
    st(y + at, CLAMPED(vf_mul(cap, vf_tanh(vf_mul(vf_mul(scale, ld(x + at)), inverse)))));
    if (op->softcap != 0)
        ROW_LOOP(n, CAPPED);
    else
        ROW_LOOP(n, PLAIN);
#undef CLAMPED
#undef PLAIN
#undef CAPPED
}

static void row_weighted_sum(const struct cpu_weighted_sum *a)
{
    const vf scale = vf_set1(a->scale);
#define MIX(ld, st)                                                                                \
    vf sum = vf_set1(0);                                                                           \
    for (uint32_t s = 0; s < a->n_used; s++)                                                       \
        sum = vf_fma(vf_set1(a->weights[s]), ld(a->x + s * a->x_stride + at), sum);                \
    sum = a->residual ? vf_fma(scale, sum, ld(a->residual + at)) : vf_mul(scale, sum);             \
    st(a->y + at, sum);
    ROW_LOOP(a->n, MIX);
#undef MIX
}

/* ---- rotary position ---- */

/* The compiler turns both loops into shuffles: table holds pairs (cos, sin). */
static void row_rope_norm(float *restrict x, const float *restrict table, uint32_t n_rot)
{
    for (uint32_t i = 0; i < n_rot; i += 2) {
        float a = x[i], b = x[i + 1], c = table[i], s = table[i + 1];
        x[i] = a * c - b * s;
        x[i + 1] = a * s + b * c;
    }
}

static void row_rope_neox(float *restrict x, const float *restrict table, uint32_t n_rot)
{
    uint32_t half = n_rot / 2;
    float *restrict high = x + half;
    for (uint32_t i = 0; i < half; i++) {
        float a = x[i], b = high[i], c = table[2 * i], s = table[2 * i + 1];
        x[i] = a * c - b * s;
        high[i] = a * s + b * c;
    }
}

static void row_to_f16(const float *x, uint16_t *y, uint32_t n)
{
    uint32_t i = 0;
    for (; i + VW <= n; i += VW)
        vf_store_f16(y + i, vf_load(x + i));
    for (; i < n; i++)
        y[i] = oll_f32_to_f16(x[i]);
}

static void row_rest(const float *x, float *y, uint32_t n, uint32_t block)
{
    for (uint32_t at = 0; at < n; at += block) {
        vf m = vf_set1(0);
        for (uint32_t i = at; i < at + block; i += VW)
            m = vf_max(m, vf_abs(vf_load(x + i)));
        const float max = vf_max_of(m);
        const vf inverse = vf_set1(max >= 0x1p-120f && max < INFINITY ? 127.0f / max : 0);
        const vf scale = vf_set1(-max * (1.0f / 127.0f));
        for (uint32_t i = at; i < at + block; i += VW) {
            const vf v = vf_load(x + i);
            vf_store(y + i, vf_fma(vf_round(vf_mul(v, inverse)), scale, v));
        }
    }
}

static void rows_init(struct cpu_kernels *k)
{
    k->norm[OLL_NORM_RMS] = norm_rms;
    k->norm[OLL_NORM_LAYER] = norm_layer;
    k->norm[OLL_NORM_L2] = norm_l2;
    k->unary = row_unary;
    k->glu = row_glu;
    k->add = row_add;
    k->gate = row_gate;
    k->scale = row_scale;
    k->weighted_sum = row_weighted_sum;
    k->rope_norm = row_rope_norm;
    k->rope_neox = row_rope_neox;
    k->to_f16 = row_to_f16;
    k->rest = row_rest;
}
