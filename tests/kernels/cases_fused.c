/* Fused ops: a norm with the products behind it. A device may round the normalised row in its last
 * bits before it quantises it, so bounds are those of any activation format. */
#include "tests/kernels/cases.h"

#include "kernels/quant.h"
#include "kernels/ref/ref.h"

#include <math.h>
#include <stdlib.h>

struct params {
    struct op_norm norm; /* kind, group, eps */
    enum oll_act act;
    uint32_t n; /* products */
    int x, w, y[OLL_FUSED_MAX], b[OLL_FUSED_MAX];
};

struct fused_case {
    enum oll_norm_kind kind;
    enum oll_dtype dtype, last_dtype; /* of the last product: models mix types in a group */
    uint32_t n_token, n_in, n_out[OLL_FUSED_MAX];
    uint32_t n;
    bool has_bias;
    enum fill fill;
};

/* The normalised input in double. */
static void norm_row(const struct trial *t, const struct params *p, uint32_t r, double *h)
{
    const float *x = trial_row(t, t->image, p->x, r), *w = trial_row(t, t->image, p->w, 0);
    uint32_t n = t->operands[p->x].cols;
    double sum = 0, mean = 0, var = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)x[i];
    mean = p->norm.kind == OLL_NORM_LAYER ? sum / n : 0;
    for (uint32_t i = 0; i < n; i++)
        var += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
    for (uint32_t i = 0; i < n; i++)
        h[i] = ((double)x[i] - mean) / sqrt(var + (double)p->norm.eps) * (double)w[i];
}

/* Half a step of the coarsest format that fits the row length. */
static void half_steps(const double *h, uint32_t n, enum oll_dtype dtype, double *step)
{
    uint32_t n_block = n % 256 == 0 ? 256 : 32;
    bool is_quantised = oll_dtype_info((uint32_t)dtype)->block_elements > 1;
    for (uint32_t begin = 0; begin < n; begin += n_block) {
        double max = 0;
        uint32_t end = begin + n_block < n ? begin + n_block : n;
        for (uint32_t i = begin; i < end; i++)
            max = fabs(h[i]) > max ? fabs(h[i]) : max;
        for (uint32_t i = begin; i < end; i++) {
            step[i] = is_quantised ? max / 254 * (1 + 1e-4) : 0;
            if (dtype == OLL_BF16) /* activations may be rounded to it, small ones to 0 */
                step[i] = fabs(h[i]) * 0x1p-8 + 0x1p-126;
        }
    }
}

struct product {
    double value, bound;
};

/* One output of weight matrix k and its bound. */
static struct product product_of(const struct trial *t, const struct params *p, uint32_t k,
                                 uint32_t o, const double *h, const double *step)
{
    const struct oll_weight_source *src = &t->weights[k].src;
    uint32_t n = src->n_in;
    const uint8_t *row = (const uint8_t *)src->data + o * oll_dtype_row_bytes(src->dtype, n);
    float *w = malloc(2 * n * sizeof *w);
    double dot = p->b[k] < 0 ? 0 : (double)trial_row(t, t->image, p->b[k], 0)[o], bound = 0,
           sum = 0;
    oll_dequantize_row(src->dtype, row, w, n);
    fill_magnitudes(src->dtype, row, n, w + n);
    for (uint32_t i = 0; i < n; i++) {
        dot += (double)w[i] * h[i];
        sum += (double)w[n + i] * fabs(h[i]);
        bound += fabs((double)w[i]) * step[i];
    }
    free(w);
    /* Twice: the sum of the product, and that of the norm which scales all of it. */
    return (struct product){dot, bound + 2 * sum_error(n, false) * (sum + fabs(dot)) + 1e-37};
}

/* h and half a step of row r: two arrays of n_in in one block, freed by the caller. */
static double *input_row(const struct trial *t, const struct params *p, uint32_t r,
                         enum oll_dtype dtype)
{
    uint32_t n = t->operands[p->x].cols;
    double *h = malloc(2 * n * sizeof *h);
    norm_row(t, p, r, h);
    half_steps(h, n, dtype, h + n);
    return h;
}

static void declare_inputs(struct trial *t, struct params *p, const struct fused_case *c)
{
    for (uint32_t k = 0; k < c->n; k++)
        trial_weight(t, k + 1 == c->n ? c->last_dtype : c->dtype, c->n_in, c->n_out[k], 1, c->fill);
    t->is_group = true;
    p->norm.kind = c->kind;
    p->norm.eps = 1e-5f;
    p->x = trial_mat(t, "x", c->n_token, c->n_in, ROLE_IN, FILL_NORMAL);
    p->w = trial_vec(t, "norm_w", c->n_in, FILL_NORMAL);
    p->n = c->n;
    t->has_threads = c->n_token > 1;
}

static struct op_norm norm_op(const struct run *run, const struct params *p)
{
    struct op_norm norm = p->norm;
    norm.x = run_mat(run, p->x);
    norm.w = run_vec(run, p->w);
    return norm;
}

/* ---- norm_matmul ---- */

static void record_norm_matmul(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    struct op_norm_matmul op = {.norm = norm_op(run, p), .n = p->n};
    for (uint32_t k = 0; k < p->n; k++) {
        op.y[k] = run_mat(run, p->y[k]);
        op.w[k] = run->weights[k];
        op.b[k] = run_vec(run, p->b[k]);
    }
    op_norm_matmul(cmd, &op);
}

static void norm_matmul_trial(struct session *s, struct fused_case c)
{
    struct trial t;
    struct params p = {.b = {-1, -1, -1}};
    if (!trial_open(&t, s, "norm_matmul/%s+%s/%s/n%um%u,%u,%uk%ut%u%s/%s",
                    oll_dtype_name((uint32_t)c.dtype), oll_dtype_name((uint32_t)c.last_dtype),
                    c.kind == OLL_NORM_RMS ? "rms" : "layer", c.n, c.n_out[0], c.n_out[1],
                    c.n_out[2], c.n_in, c.n_token, c.has_bias ? "/bias" : "", fill_name(c.fill)))
        return;
    trial_needs(&t, OLL_OP_NORM_MATMUL, c.dtype);
    trial_needs(&t, OLL_OP_NORM_MATMUL, c.last_dtype);
    declare_inputs(&t, &p, &c);
    for (uint32_t k = 0; k < c.n; k++) {
        p.y[k] = trial_mat(&t, "y", c.n_token, c.n_out[k], ROLE_OUT, FILL_ZERO);
        if (c.has_bias)
            p.b[k] = trial_vec(&t, "b", c.n_out[k], FILL_NORMAL);
    }
    for (uint32_t k = 0; k < c.n; k++) {
        double *each = trial_bound_each(&t, p.y[k]);
        for (uint32_t r = 0; r < c.n_token; r++) {
            double *h = input_row(&t, &p, r, t.weights[k].src.dtype);
            for (uint32_t o = 0; o < c.n_out[k]; o++)
                each[(size_t)r * c.n_out[k] + o] = product_of(&t, &p, k, o, h, h + c.n_in).bound;
            free(h);
        }
        if (c.fill == FILL_NORMAL)
            trial_bound(&t, p.y[k], 0, 0, 5e-4);
    }
    trial_run(&t, record_norm_matmul, &p);
}

/* ---- norm_glu ---- */

static void record_norm_glu(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    op_norm_glu(cmd, &(struct op_norm_glu){.norm = norm_op(run, p),
                                           .act = p->act,
                                           .y = run_mat(run, p->y[0]),
                                           .gate = run->weights[0],
                                           .up = run->weights[1]});
}

/* Bound of act(gate) * up: the activations in use are steeper than 1 by little. */
static double glu_bound(enum oll_act act, struct product gate, struct product up)
{
    const double slope = 1.2;
    bool is_oai = act == OLL_ACT_SWIGLU_OAI;
    double g = is_oai ? fmin(gate.value, 7) : gate.value;
    double u = is_oai ? fabs(fmin(fmax(up.value, -7), 7) + 1) : fabs(up.value);
    double a = fabs(is_oai ? g * ref_act(OLL_ACT_SIGMOID, 1.702 * g) : ref_act(act, g));
    double exp_error = (16 + 10 * fabs(g)) * EPS;
    return slope * gate.bound * (u + up.bound) + a * (up.bound + u * exp_error) + 1e-33;
}

static void norm_glu_trial(struct session *s, struct fused_case c, enum oll_act act)
{
    struct trial t;
    struct params p = {.act = act, .b = {-1, -1, -1}};
    if (!trial_open(&t, s, "norm_glu/%s+%s/%s/act%d/m%uk%ut%u/%s",
                    oll_dtype_name((uint32_t)c.dtype), oll_dtype_name((uint32_t)c.last_dtype),
                    c.kind == OLL_NORM_RMS ? "rms" : "layer", (int)act, c.n_out[0], c.n_in,
                    c.n_token, fill_name(c.fill)))
        return;
    trial_needs(&t, OLL_OP_NORM_GLU, c.dtype);
    trial_needs(&t, OLL_OP_NORM_GLU, c.last_dtype);
    declare_inputs(&t, &p, &c);
    p.y[0] = trial_mat(&t, "y", c.n_token, c.n_out[0], ROLE_OUT, FILL_ZERO);
    double *each = trial_bound_each(&t, p.y[0]);
    for (uint32_t r = 0; r < c.n_token; r++) {
        double *h_gate = input_row(&t, &p, r, c.dtype), *h_up = input_row(&t, &p, r, c.last_dtype);
        for (uint32_t o = 0; o < c.n_out[0]; o++)
            each[(size_t)r * c.n_out[0] + o] =
                glu_bound(act, product_of(&t, &p, 0, o, h_gate, h_gate + c.n_in),
                          product_of(&t, &p, 1, o, h_up, h_up + c.n_in));
        free(h_gate);
        free(h_up);
    }
    if (c.fill == FILL_NORMAL)
        trial_bound(&t, p.y[0], 0, 0, 5e-3);
    trial_run(&t, record_norm_glu, &p);
}

static void fused_family(struct session *s, enum oll_dtype dtype)
{
    static const uint32_t tokens[] = {1, 2, 3, 5, 8, 9, 17};
    static const enum oll_act acts[] = {OLL_ACT_SILU, OLL_ACT_GELU, OLL_ACT_SWIGLU_OAI,
                                        OLL_ACT_RELU};
    uint32_t n_block = oll_dtype_info((uint32_t)dtype)->block_elements;
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        uint32_t n_in = n_block == 1 ? 67 + (uint32_t)i : n_block == 256 ? 512 : 3 * n_block;
        struct fused_case c = {.kind = i % 3 == 2 ? OLL_NORM_LAYER : OLL_NORM_RMS,
                               .dtype = dtype,
                               .last_dtype = i % 2 && n_in % 256 == 0 ? OLL_Q6_K : dtype,
                               .n_token = tokens[i],
                               .n_in = n_in,
                               .n_out = {48, 16, 17},
                               .n = 1 + (uint32_t)i % 3,
                               .has_bias = i % 2};
        norm_matmul_trial(s, c);
        c.n = 3;
        c.n_out[0] = 33;
        norm_matmul_trial(s, c);
        c.n = 2;
        c.n_out[0] = c.n_out[1] = 16 + (uint32_t)i * 5;
        norm_glu_trial(s, c, acts[i % 4]);
    }
}

void cases_fused(struct session *s)
{
    for (int i = 0; i < n_weight_types && !s->is_bench; i++)
        fused_family(s, weight_types[i]);
}
