/* Products with weights of every type.
 *
 * Three questions per output. First, is it within what the op allows of the exact product: a few
 * roundings of the sum of magnitudes and, for quantised weights, half an activation step per
 * element (spec 5.1's oracle). Second, is it the exact product of *some* activation format, i.e. of
 * the f32 values or of their 8-bit rounding per 32 or per 256 (bf16 weights: or of their bf16
 * rounding), to a few roundings: that finds a wrong tail or a lost term far below the first bound.
 * Third, are the bits of a token the same in any batch. */
#include "tests/kernels/cases.h"

#include "kernels/half.h"
#include "kernels/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const enum oll_dtype weight_types[] = {
    OLL_F32,    OLL_F16,   OLL_BF16,    OLL_Q4_0,  OLL_Q4_1,  OLL_Q5_0,  OLL_Q5_1,
    OLL_Q8_0,   OLL_Q2_K,  OLL_Q3_K,    OLL_Q4_K,  OLL_Q5_K,  OLL_Q6_K,  OLL_IQ2_XXS,
    OLL_IQ2_XS, OLL_IQ2_S, OLL_IQ3_XXS, OLL_IQ3_S, OLL_IQ1_S, OLL_IQ1_M, OLL_IQ4_NL,
    OLL_IQ4_XS, OLL_TQ1_0, OLL_TQ2_0,   OLL_MXFP4, OLL_NVFP4, OLL_Q1_0,  OLL_Q2_0};
const int n_weight_types = sizeof weight_types / sizeof weight_types[0];

struct oracle;

struct params {
    uint32_t n_used, n_token, n_in, n_out, n_expert;
    int y, y_split, x, b, ids, expert_scale, residual;
    float scale;
    bool is_hostile, is_bf16;
    struct oracle *oracle;
};

/* ---- activation formats ---- */

enum { FORMAT_EXACT, FORMAT_A32, FORMAT_A256, FORMAT_B16, FORMAT_COUNT };
static const uint32_t format_blocks[FORMAT_COUNT] = {1, 32, 256, 1};
static const char *const format_names[FORMAT_COUNT] = {"f32", "8 bits per 32", "8 bits per 256",
                                                       "bf16"};

/* One row of activations as a format holds it. `slack` is what a value may differ by when it lies
 * on the edge between two steps, or in a block too small to be told from zero. */
struct format_row {
    double *value, *slack, *step; /* [n_in]; step: a whole quantisation step */
};

static void round_block(const float *x, uint32_t n, double *value, double *slack, double *step)
{
    float max = 0;
    for (uint32_t i = 0; i < n; i++)
        max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    float inverse = max > 0x1p-126f ? 127.0f / max : 0;
    for (uint32_t i = 0; i < n; i++) {
        float scaled = isfinite(inverse) ? x[i] * inverse : 0;
        float nearest = rintf(scaled);
        bool is_edge = fabsf(fabsf(scaled - nearest) - 0.5f) < 1e-4f;
        value[i] = (double)nearest * (double)max / 127.0;
        step[i] = (double)max / 127.0;
        slack[i] = max < 0x1p-119f ? 2 * (double)max : is_edge ? step[i] : 0;
    }
}

/* Only weights that are bf16 themselves meet activations rounded so. */
static bool format_applies(int format, const struct params *p)
{
    return p->n_in % format_blocks[format] == 0 && (format != FORMAT_B16 || p->is_bf16);
}

static void format_row(int format, const float *x, uint32_t n_in, struct format_row row)
{
    for (uint32_t i = 0; i < n_in; i += format_blocks[format]) {
        if (format == FORMAT_EXACT) {
            row.value[i] = (double)x[i];
            row.slack[i] = row.step[i] = 0;
        } else if (format == FORMAT_B16) { /* values too small for a normal number may be 0 */
            row.value[i] = (double)oll_bf16_to_f32(oll_f32_to_bf16(x[i]));
            row.slack[i] = fabsf(x[i]) < 0x1p-126f ? 0x1p-126 : 0;
            row.step[i] = fabs((double)x[i]) * 0x1p-7;
        } else {
            round_block(x + i, format_blocks[format], row.value + i, row.slack + i, row.step + i);
        }
    }
}

/* ---- the oracle ---- */

/* Expected output and its bound for each format: arrays [FORMAT_COUNT][n_rows * n_out]. */
struct oracle {
    size_t n;
    double *value[FORMAT_COUNT], *bound[FORMAT_COUNT];
    double *wide; /* half a step per element and a few roundings, around the exact value */
    bool has[FORMAT_COUNT];
};

static void oracle_new(struct oracle *o, size_t n)
{
    memset(o, 0, sizeof *o);
    o->n = n;
    for (int f = 0; f < FORMAT_COUNT; f++) {
        o->value[f] = calloc(n, sizeof(double));
        o->bound[f] = calloc(n, sizeof(double));
    }
    o->wide = calloc(n, sizeof(double));
}

static void oracle_free(struct oracle *o)
{
    for (int f = 0; f < FORMAT_COUNT; f++) {
        free(o->value[f]);
        free(o->bound[f]);
    }
    free(o->wide);
}

/* One output of one format: dot product, and the sums that bound it. */
struct sums {
    double dot, magnitude, slack, step;
};

static struct sums sum_row(const float *w, const float *mag, struct format_row x, uint32_t n_in)
{
    struct sums s = {0, 0, 0, 0};
    for (uint32_t i = 0; i < n_in; i++) {
        double m = (double)mag[i];
        s.dot += (double)w[i] * x.value[i];
        s.magnitude += m * fabs(x.value[i]);
        s.slack += m * x.slack[i];
        s.step += fabs((double)w[i]) * x.step[i];
    }
    return s;
}

/* What surrounds the product: y = factor * (dot + bias) + residual. */
struct around {
    double factor, bias, residual;
};

static void oracle_put(struct oracle *o, int format, size_t at, struct sums s, struct around a,
                       const struct params *p)
{
    double f = fabs(a.factor), parts = s.magnitude + fabs(a.bias);
    double roundings = sum_error(p->n_in, p->is_hostile);
    double floor_abs = 1e-37 * (1 + s.magnitude); /* blocks that count as zero, flushed results */
    double bound = f * (parts * roundings + s.slack + floor_abs) + 4 * EPS * fabs(a.residual);
    o->value[format][at] = a.factor * (s.dot + a.bias) + a.residual;
    o->bound[format][at] = bound;
    o->has[format] = true;
    if (format != FORMAT_EXACT && f * (s.step * 0.5 + s.slack) + bound > o->wide[at])
        o->wide[at] = f * (s.step * 0.5 * (1 + 1e-5) + s.slack) + bound;
    else if (format == FORMAT_EXACT)
        o->wide[at] = bound;
}

static struct around around_of(const struct trial *t, const struct params *p, size_t e, uint32_t r,
                               uint32_t o)
{
    double scale = p->scale == 0 ? 1 : (double)p->scale;
    if (p->expert_scale >= 0)
        scale = (double)trial_row(t, t->image, p->expert_scale, 0)[e];
    return (struct around){
        .factor = scale,
        .bias = p->b < 0 ? 0 : (double)trial_row(t, t->image, p->b, 0)[e * p->n_out + o],
        .residual = p->residual < 0 ? 0 : (double)trial_row(t, t->image, p->residual, r)[o]};
}

/* Everything the outputs are computed from, prepared once per trial. */
struct inputs {
    const struct trial *t;
    const struct params *p;
    uint32_t n_x;            /* rows of x */
    struct format_row *rows; /* [FORMAT_COUNT][n_x] */
    double *values;          /* what they point to */
    float *w, *mag;          /* [n_in] the weight row in work, its magnitudes */
};

/* All outputs that output `o` of expert `e` contributes to. */
static void oracle_outputs(const struct inputs *in, struct oracle *oracle, size_t e, uint32_t o)
{
    const struct params *p = in->p;
    uint32_t n_y = p->n_token * p->n_used;
    for (uint32_t r = 0; r < n_y; r++) {
        int32_t id = 0;
        if (p->ids >= 0)
            memcpy(&id, trial_row(in->t, in->t->image, p->ids, 0) + r, sizeof id);
        if ((size_t)id != e)
            continue;
        struct around around = around_of(in->t, p, e, r, o);
        for (int f = 0; f < FORMAT_COUNT; f++) {
            if (!format_applies(f, p))
                continue;
            struct format_row x = in->rows[(size_t)f * in->n_x + r / (n_y / in->n_x)];
            struct sums s = sum_row(in->w, in->mag, x, p->n_in);
            oracle_put(oracle, f, (size_t)r * p->n_out + o, s, around, p);
        }
    }
}

static void inputs_open(struct inputs *in, const struct trial *t, const struct params *p)
{
    size_t n_in = p->n_in, n_x = t->operands[p->x].rows;
    *in = (struct inputs){.t = t,
                          .p = p,
                          .n_x = (uint32_t)n_x,
                          .rows = malloc(FORMAT_COUNT * n_x * sizeof *in->rows),
                          .values = malloc(FORMAT_COUNT * n_x * n_in * 3 * sizeof *in->values),
                          .w = malloc(n_in * sizeof *in->w),
                          .mag = malloc(n_in * sizeof *in->mag)};
    for (int f = 0; f < FORMAT_COUNT; f++) {
        for (size_t r = 0; r < n_x; r++) {
            double *at = in->values + ((size_t)f * n_x + r) * n_in * 3;
            struct format_row row = {at, at + n_in, at + 2 * n_in};
            in->rows[(size_t)f * n_x + r] = row;
            if (format_applies(f, p))
                format_row(f, trial_row(t, t->image, p->x, (uint32_t)r), p->n_in, row);
        }
    }
}

static void inputs_close(struct inputs *in)
{
    free(in->rows);
    free(in->values);
    free(in->w);
    free(in->mag);
}

static void oracle_fill(const struct trial *t, const struct params *p, struct oracle *oracle)
{
    const struct oll_weight_source *src = &t->weights[0].src;
    size_t n_row_bytes = oll_dtype_row_bytes(src->dtype, p->n_in);
    struct inputs in;
    inputs_open(&in, t, p);
    for (size_t e = 0; e < p->n_expert; e++) {
        for (uint32_t o = 0; o < p->n_out; o++) {
            const uint8_t *row = (const uint8_t *)src->data + (e * p->n_out + o) * n_row_bytes;
            oll_dequantize_row(src->dtype, row, in.w, p->n_in);
            fill_magnitudes(src->dtype, row, p->n_in, in.mag);
            oracle_outputs(&in, oracle, e, o);
        }
    }
    inputs_close(&in);
}

/* The second question: one format must explain every output. */
static bool inspect_format(const struct trial *t, const float *image, const void *params, char *why,
                           size_t n_why)
{
    const struct params *p = params;
    const struct oracle *o = p->oracle;
    size_t n_best = 0;
    for (int f = 0; f < FORMAT_COUNT; f++) {
        size_t i = 0;
        for (; o->has[f] && i < o->n; i++) {
            uint32_t r = (uint32_t)(i / p->n_out), c = (uint32_t)(i % p->n_out);
            double got = (double)trial_row(t, image, p->y, r)[c];
            if (isnan(o->value[f][i]) ? !isnan(got)
                                      : !(fabs(got - o->value[f][i]) <= o->bound[f][i]))
                break;
        }
        if (i == o->n)
            return true;
        if (o->has[f] && i >= n_best) {
            uint32_t r = (uint32_t)(i / p->n_out), c = (uint32_t)(i % p->n_out);
            double got = (double)trial_row(t, image, p->y, r)[c];
            n_best = i;
            snprintf(why, n_why,
                     "y[%u][%u] = %.9g fits no activation format; with %s it is %.9g, off by %.3g, "
                     "allowed %.3g",
                     r, c, got, format_names[f], o->value[f][i], fabs(got - o->value[f][i]),
                     o->bound[f][i]);
        }
    }
    return false;
}

/* Bounds, second question and rates of a declared product. */
static void judge(struct trial *t, struct params *p, struct oracle *oracle, enum oll_dtype dtype,
                  bool is_hostile)
{
    if (t->is_unchecked)
        return;
    p->is_bf16 = dtype == OLL_BF16;
    oracle_new(oracle, (size_t)p->n_token * p->n_used * p->n_out);
    oracle_fill(t, p, oracle);
    p->oracle = oracle;
    t->inspect = inspect_format;
    /* bf16 weights may meet activations rounded to bf16. */
    bool is_quantised = oll_dtype_info((uint32_t)dtype)->block_elements > 1 || p->is_bf16;
    const double *bound = is_quantised ? oracle->wide : oracle->bound[FORMAT_EXACT];
    memcpy(trial_bound_each(t, p->y), bound, oracle->n * sizeof *bound);
    if (!is_hostile) {
        trial_bound(t, p->y, 0, 0, is_quantised ? 5e-4 : 1e-10);
        trial_total(t, p->y, dtype);
    }
    if (p->y_split >= 0) {
        memcpy(trial_bound_each(t, p->y_split), bound, oracle->n * sizeof *bound);
        trial_equal(t, p->y, p->y_split);
    }
}

/* ---- matmul ---- */

struct matmul_case {
    enum oll_dtype dtype;
    uint32_t n_token, n_in, n_out;
    enum fill w_fill, x_fill;
    float scale;
    bool has_bias, is_split, has_nan; /* a NaN in the middle token */
    int residual;                     /* 0 none, 1 in place, 2 other */
};

static void record_matmul(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    struct op_matmul op = {.y = run_mat(run, p->y),
                           .x = run_mat(run, p->x),
                           .w = run->weights[0],
                           .b = run_vec(run, p->b),
                           .residual = run_mat(run, p->residual),
                           .scale = p->scale};
    /* The pieces first: with a residual in place the whole would change it. */
    for (uint32_t t = 0, n = 1; p->y_split >= 0 && t < p->n_token; t += n, n = n % 7 + 1) {
        struct op_matmul piece = op;
        n = n > p->n_token - t ? p->n_token - t : n;
        piece.y = run_rows(run, p->y_split, t, n);
        piece.x = run_rows(run, p->x, t, n);
        if (p->residual >= 0)
            piece.residual = run_rows(run, p->residual, t, n);
        op_matmul(cmd, &piece);
    }
    op_matmul(cmd, &op);
}

static void matmul_trial(struct session *s, struct matmul_case c)
{
    static const char *const residuals[] = {"", "/in_place", "/residual"};
    struct trial t;
    struct oracle oracle = {0};
    struct params p = {.n_used = 1,
                       .n_token = c.n_token,
                       .n_in = c.n_in,
                       .n_out = c.n_out,
                       .n_expert = 1,
                       .b = -1,
                       .ids = -1,
                       .expert_scale = -1,
                       .residual = -1,
                       .y_split = -1,
                       .scale = c.scale};
    if (!trial_open(&t, s, "matmul/%s/m%uk%ut%u/%s_x_%s%s%s%s%s%s",
                    oll_dtype_name((uint32_t)c.dtype), c.n_out, c.n_in, c.n_token,
                    fill_name(c.w_fill), fill_name(c.x_fill), c.has_bias ? "/bias" : "",
                    residuals[c.residual], c.scale != 0 ? "/scale" : "", c.is_split ? "/split" : "",
                    c.has_nan ? "/nan" : ""))
        return;
    trial_needs(&t, OLL_OP_MATMUL, c.dtype);
    trial_weight(&t, c.dtype, c.n_in, c.n_out, 1, c.w_fill);
    p.x = trial_mat(&t, "x", c.n_token, c.n_in, ROLE_IN, c.x_fill);
    if (c.has_nan)
        trial_row(&t, t.image, p.x, c.n_token / 2)[c.n_in - 1] = NAN;
    p.y = trial_mat(&t, "y", c.n_token, c.n_out, c.residual == 1 ? ROLE_INOUT : ROLE_OUT,
                    FILL_NORMAL);
    if (c.has_bias)
        p.b = trial_vec(&t, "b", c.n_out, FILL_NORMAL);
    p.residual = c.residual == 1 ? p.y
                 : c.residual == 2
                     ? trial_mat(&t, "residual", c.n_token, c.n_out, ROLE_IN, FILL_NORMAL)
                     : -1;
    if (c.is_split)
        p.y_split = trial_mat(&t, "y_split", c.n_token, c.n_out, ROLE_OUT, FILL_ZERO);
    p.is_hostile = fill_is_hostile(c.w_fill) || fill_is_hostile(c.x_fill);
    t.has_threads = c.is_split;
    t.is_bench = s->is_bench;
    t.n_mac = (double)c.n_token * c.n_in * c.n_out;
    t.n_byte = (double)oll_dtype_row_bytes(c.dtype, c.n_in) * c.n_out;
    t.is_unchecked = s->is_bench && t.n_mac > 6e7;
    judge(&t, &p, &oracle, c.dtype, c.w_fill != FILL_NORMAL || c.x_fill != FILL_NORMAL);
    trial_run(&t, record_matmul, &p);
    oracle_free(&oracle);
}

/* ---- matmul_expert ---- */

struct expert_case {
    enum oll_dtype dtype;
    uint32_t n_token, n_used, n_expert, n_in, n_out;
    bool is_shared_x, has_bias, has_scale, is_one_expert;
};

static void record_expert(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    op_matmul_expert(cmd, &(struct op_matmul_expert){.y = run_mat(run, p->y),
                                                     .x = run_mat(run, p->x),
                                                     .w = run->weights[0],
                                                     .ids = run_ints(run, p->ids),
                                                     .b = run_vec(run, p->b),
                                                     .expert_scale = run_vec(run, p->expert_scale),
                                                     .n_used = p->n_used});
}

/* Distinct experts per token, as a router gives them; or the same one for all. */
static void draw_experts(struct trial *t, const struct expert_case *c, int32_t *ids)
{
    for (uint32_t i = 0; i < c->n_token; i++) {
        uint32_t first = c->is_one_expert ? c->n_expert - 1 : fill_below(&t->rng, c->n_expert);
        for (uint32_t k = 0; k < c->n_used; k++)
            ids[i * c->n_used + k] = (int32_t)((first + k) % c->n_expert);
    }
}

static void expert_trial(struct session *s, struct expert_case c)
{
    struct trial t;
    struct oracle oracle = {0};
    struct params p = {.n_used = c.n_used,
                       .n_token = c.n_token,
                       .n_in = c.n_in,
                       .n_out = c.n_out,
                       .n_expert = c.n_expert,
                       .b = -1,
                       .expert_scale = -1,
                       .residual = -1,
                       .y_split = -1};
    if (!trial_open(&t, s, "matmul_expert/%s/e%u_of_%um%uk%ut%u/%s%s%s%s",
                    oll_dtype_name((uint32_t)c.dtype), c.n_used, c.n_expert, c.n_out, c.n_in,
                    c.n_token, c.is_shared_x ? "shared_x" : "own_x", c.has_bias ? "/bias" : "",
                    c.has_scale ? "/scale" : "", c.is_one_expert ? "/one" : ""))
        return;
    trial_needs(&t, OLL_OP_MATMUL_EXPERT, c.dtype);
    uint32_t n = c.n_token * c.n_used;
    int32_t *ids = malloc(n * sizeof *ids);
    draw_experts(&t, &c, ids);
    trial_weight(&t, c.dtype, c.n_in, c.n_out, c.n_expert, FILL_NORMAL);
    p.ids = trial_ints(&t, "ids", n, ids);
    p.x = trial_mat(&t, "x", c.is_shared_x ? c.n_token : n, c.n_in, ROLE_IN, FILL_NORMAL);
    p.y = trial_mat(&t, "y", n, c.n_out, ROLE_OUT, FILL_ZERO);
    if (c.has_bias)
        p.b = trial_vec(&t, "b", c.n_expert * c.n_out, FILL_NORMAL);
    if (c.has_scale)
        p.expert_scale = trial_vec(&t, "expert_scale", c.n_expert, FILL_NORMAL);
    t.has_threads = c.n_token > 4;
    judge(&t, &p, &oracle, c.dtype, false);
    trial_run(&t, record_expert, &p);
    oracle_free(&oracle);
    free(ids);
}

/* ---- shapes ---- */

static const uint32_t tokens[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  12,
                                  15, 16, 17, 31, 32, 33, 64, 65, 100};
static const uint32_t outputs[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                   13, 14, 15, 16, 17, 31, 32, 33, 63, 64, 65};
enum { N_TOKEN = sizeof tokens / sizeof tokens[0], N_OUTPUT = sizeof outputs / sizeof outputs[0] };

/* The row length of most trials: a few blocks, and no round number of them. */
static uint32_t base_n_in(enum oll_dtype dtype)
{
    uint32_t n_block = oll_dtype_info((uint32_t)dtype)->block_elements;
    return n_block == 1 ? 70 : n_block == 256 ? 768 : 5 * n_block;
}

static void lengths(struct session *s, struct matmul_case base)
{
    uint32_t n_block = oll_dtype_info((uint32_t)base.dtype)->block_elements;
    static const uint32_t real[] = {576, 1536, 2048, 8192};
    for (uint32_t n = 1; n <= (n_block == 1 ? 40u : 9u); n++) {
        base.n_in = n * n_block;
        base.n_out = 18;
        base.n_token = 1 + n % 2 * 4;
        matmul_trial(s, base);
    }
    for (size_t i = 0; i < sizeof real / sizeof real[0]; i++) {
        base.n_in = real[i];
        base.n_token = 1 + (uint32_t)i % 2;
        if (real[i] % n_block == 0 && real[i] > 9 * n_block)
            matmul_trial(s, base);
    }
}

static void matmul_family(struct session *s, enum oll_dtype dtype)
{
    static const enum fill pairs[][2] = {
        {FILL_MAX, FILL_MAX},         {FILL_MIN, FILL_MAX},
        {FILL_MAX, FILL_MIN},         {FILL_MIN, FILL_MIN},
        {FILL_MAX, FILL_ALTERNATE},   {FILL_ALTERNATE, FILL_ALTERNATE},
        {FILL_DENORMAL, FILL_NORMAL}, {FILL_NORMAL, FILL_DENORMAL},
        {FILL_ZERO, FILL_NORMAL},     {FILL_NORMAL, FILL_ZERO},
        {FILL_HEAVY, FILL_HEAVY},     {FILL_NORMAL, FILL_HEAVY},
        {FILL_HEAVY, FILL_NORMAL},    {FILL_NORMAL, FILL_WIDE}};
    struct matmul_case base = {.dtype = dtype, .n_in = base_n_in(dtype), .n_out = 35};
    for (int i = 0; i < N_TOKEN; i++) {
        struct matmul_case c = base;
        c.n_token = tokens[i];
        c.is_split = tokens[i] > 1;
        c.has_bias = i % 2;
        c.residual = i % 3;
        c.scale = i % 4 == 3 ? 0.25f : 0;
        matmul_trial(s, c);
    }
    for (int i = 0; i < N_OUTPUT; i++) {
        struct matmul_case c = base;
        c.n_out = outputs[i];
        c.n_token = 1 + (uint32_t)i % 3 * 2;
        matmul_trial(s, c);
    }
    lengths(s, base);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct matmul_case c = base;
        c.w_fill = pairs[i][0];
        c.x_fill = pairs[i][1];
        c.n_token = 1;
        matmul_trial(s, c);
        c.n_token = 9;
        c.is_split = true;
        matmul_trial(s, c);
    }
    /* A spoilt token shows, and does not spoil its neighbours. */
    for (uint32_t n = 1; n <= 9; n += 4) {
        struct matmul_case c = base;
        c.n_token = n;
        c.has_nan = true;
        matmul_trial(s, c);
    }
    for (int i = 0; s->is_full && i < N_OUTPUT; i++) {
        for (int j = 0; j < N_TOKEN; j++) {
            struct matmul_case c = base;
            c.n_in *= 2;
            c.n_out = outputs[i];
            c.n_token = tokens[j];
            matmul_trial(s, c);
        }
    }
}

static void expert_family(struct session *s, enum oll_dtype dtype)
{
    uint32_t n_in = base_n_in(dtype);
    expert_trial(s, (struct expert_case){dtype, 1, 2, 4, n_in, 33, true, false, false, false});
    expert_trial(s, (struct expert_case){dtype, 1, 4, 8, n_in, 16, false, true, true, false});
    expert_trial(s, (struct expert_case){dtype, 2, 1, 3, n_in, 17, true, true, false, false});
    expert_trial(s, (struct expert_case){dtype, 5, 2, 8, n_in, 18, true, false, true, false});
    expert_trial(s, (struct expert_case){dtype, 9, 3, 4, n_in, 20, false, true, false, false});
    expert_trial(s, (struct expert_case){dtype, 17, 2, 5, n_in, 35, true, true, true, false});
    expert_trial(s, (struct expert_case){dtype, 33, 1, 6, n_in, 32, false, false, false, true});
}

/* Products as models have them, for --bench. */
static void bench_family(struct session *s, enum oll_dtype dtype)
{
    static const uint32_t shapes[][2] = {
        {576, 576}, {1536, 576}, {576, 1536}, {2048, 2048}, {8192, 2048}};
    static const uint32_t batch[] = {1, 4, 8, 64, 512};
    uint32_t n_block = oll_dtype_info((uint32_t)dtype)->block_elements;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (size_t j = 0; j < sizeof batch / sizeof batch[0]; j++) {
            struct matmul_case c = {
                .dtype = dtype, .n_out = shapes[i][0], .n_in = shapes[i][1], .n_token = batch[j]};
            if (c.n_in % n_block == 0)
                matmul_trial(s, c);
        }
    }
}

void cases_matmul(struct session *s)
{
    for (int i = 0; i < n_weight_types; i++) {
        if (s->is_bench) {
            bench_family(s, weight_types[i]);
        } else {
            matmul_family(s, weight_types[i]);
            expert_family(s, weight_types[i]);
        }
    }
}
