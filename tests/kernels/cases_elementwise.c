#include "kernels/ref/ref.h"
#include "tests/kernels/cases.h"

#include <math.h>

double sum_error(uint32_t n, bool is_hostile)
{
    return EPS * (8 + (is_hostile ? (double)n : 8 * sqrt((double)n)));
}

static const uint32_t row_counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 17, 33};
static const uint32_t col_counts[] = {1,  2,  3,  4,  5,  7,  8,  9,   15,  16,  17,
                                      31, 32, 33, 63, 64, 65, 96, 100, 127, 576, 1536};
enum {
    N_ROW = sizeof row_counts / sizeof row_counts[0],
    N_COL = sizeof col_counts / sizeof col_counts[0],
    N_SHAPE = N_ROW + N_COL + FILL_COUNT
};

/* Shapes one dimension at a time, then fills at one shape. */
struct shape {
    uint32_t rows, cols;
    enum fill fill;
};

static struct shape shape_of(int i)
{
    if (i < N_ROW)
        return (struct shape){row_counts[i], 37, FILL_NORMAL};
    if (i < N_ROW + N_COL)
        return (struct shape){3, col_counts[i - N_ROW], FILL_NORMAL};
    return (struct shape){3, 69, (enum fill)(i - N_ROW - N_COL)};
}

static const char *const act_names[] = {"none",     "silu",    "gelu", "gelu_quick", "relu",
                                        "relu_sqr", "sigmoid", "tanh", "swiglu_oai"};

struct params {
    enum oll_act act;
    int y, x, b, pos;
    bool is_column; /* gate: one value per row */
    float scale, softcap, limit, length, offset;
};

/* The argument of the exponential inside. */
static double exp_argument(enum oll_act act, double x)
{
    switch (act) {
    case OLL_ACT_GELU: return 1.6 * x + 0.072 * x * x * x;
    case OLL_ACT_GELU_QUICK:
    case OLL_ACT_SWIGLU_OAI: return 1.702 * x;
    case OLL_ACT_TANH: return 2 * x;
    case OLL_ACT_SILU:
    case OLL_ACT_SIGMOID: return x;
    default: return 0;
    }
}

/* Bounds of y = act(x) * factor (-1: none). An error of the exponential's argument becomes a
 * relative error of the result; results far below may be flushed to zero, and tanh may cancel near
 * zero. */
static void bound_act(struct trial *t, const struct params *p, int factor)
{
    const double floor_abs = 1e-33;
    double *each = trial_bound_each(t, p->y);
    bool is_oai = p->act == OLL_ACT_SWIGLU_OAI;
    uint32_t rows = t->operands[p->y].rows, cols = t->operands[p->y].cols;
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t c = 0; c < cols; c++) {
            double x = (double)trial_row(t, t->image, p->x, r)[c];
            double f = factor >= 0 ? fabs((double)trial_row(t, t->image, factor, r)[c]) : 1;
            if (is_oai) {
                x = x > 7 ? 7 : x;
                f = (f > 7 ? 7 : f) + 1;
            }
            double y = is_oai ? x * ref_act(OLL_ACT_SIGMOID, 1.702 * x) : ref_act(p->act, x);
            double roundings = 16 + 6 * fabs(exp_argument(p->act, x));
            double near_zero = p->act == OLL_ACT_TANH ? 8 * EPS : 0;
            each[(size_t)r * cols + c] = f * (fabs(y) * roundings * EPS + near_zero + floor_abs);
        }
    }
    trial_bound(t, p->y, 0, 0, 1e-7);
}

/* ---- unary, glu ---- */

static void record_unary(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    op_unary(cmd,
             &(struct op_unary){.act = p->act, .y = run_mat(run, p->y), .x = run_mat(run, p->x)});
}

static void record_glu(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    op_glu(cmd, &(struct op_glu){.act = p->act,
                                 .y = run_mat(run, p->y),
                                 .gate = run_mat(run, p->x),
                                 .up = run_mat(run, p->b)});
}

static void unary_and_glu(struct session *s, enum oll_act act, struct shape shape, int i)
{
    struct trial t;
    struct params p = {.act = act};
    /* Every third trial works in place, for glu on either operand. */
    if (act != OLL_ACT_SWIGLU_OAI && trial_open(&t, s, "unary/%s/r%uc%u/%s", act_names[act],
                                                shape.rows, shape.cols, fill_name(shape.fill))) {
        trial_needs(&t, OLL_OP_UNARY, OLL_F32);
        p.x = trial_mat(&t, "x", shape.rows, shape.cols, i % 3 == 0 ? ROLE_INOUT : ROLE_IN,
                        shape.fill);
        p.y = i % 3 == 0 ? p.x : trial_mat(&t, "y", shape.rows, shape.cols, ROLE_OUT, FILL_ZERO);
        bound_act(&t, &p, -1);
        trial_run(&t, record_unary, &p);
    }
    if (trial_open(&t, s, "glu/%s/r%uc%u/%s", act_names[act], shape.rows, shape.cols,
                   fill_name(shape.fill))) {
        trial_needs(&t, OLL_OP_GLU, OLL_F32);
        p.x = trial_mat(&t, "gate", shape.rows, shape.cols, i % 3 == 1 ? ROLE_INOUT : ROLE_IN,
                        shape.fill);
        p.b = trial_mat(&t, "up", shape.rows, shape.cols, i % 3 == 2 ? ROLE_INOUT : ROLE_IN,
                        shape.fill);
        p.y = i % 3 == 1   ? p.x
              : i % 3 == 2 ? p.b
                           : trial_mat(&t, "y", shape.rows, shape.cols, ROLE_OUT, FILL_ZERO);
        bound_act(&t, &p, p.b);
        trial_run(&t, record_glu, &p);
    }
}

/* ---- add, gate, scale, query_scale ---- */

static void record_add(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    op_add(cmd, &(struct op_add){.y = run_mat(run, p->y),
                                 .a = run_mat(run, p->x),
                                 .b = run_mat(run, p->b),
                                 .scale = p->scale});
}

static void add_trial(struct session *s, struct shape shape, float scale, int i)
{
    struct trial t;
    struct params p = {.scale = scale};
    if (!trial_open(&t, s, "add/r%uc%u/scale%g/%s", shape.rows, shape.cols, (double)scale,
                    fill_name(shape.fill)))
        return;
    trial_needs(&t, OLL_OP_ADD, OLL_F32);
    p.x = trial_mat(&t, "a", shape.rows, shape.cols, i % 3 == 1 ? ROLE_INOUT : ROLE_IN, shape.fill);
    p.b = trial_mat(&t, "b", shape.rows, shape.cols, i % 3 == 2 ? ROLE_INOUT : ROLE_IN, shape.fill);
    p.y = i % 3 == 1   ? p.x
          : i % 3 == 2 ? p.b
                       : trial_mat(&t, "y", shape.rows, shape.cols, ROLE_OUT, FILL_ZERO);
    double *each = trial_bound_each(&t, p.y);
    for (uint32_t r = 0; r < shape.rows; r++) {
        for (uint32_t c = 0; c < shape.cols; c++) {
            double a = (double)trial_row(&t, t.image, p.x, r)[c];
            double b = (double)trial_row(&t, t.image, p.b, r)[c] * (scale == 0 ? 1 : (double)scale);
            each[(size_t)r * shape.cols + c] = 2 * EPS * (fabs(a) + fabs(b)) + 1e-44;
        }
    }
    trial_run(&t, record_add, &p);
}

static void record_gate(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    op_gate(cmd, &(struct op_gate){
                     .y = run_mat(run, p->y), .x = run_mat(run, p->x), .g = run_mat(run, p->b)});
}

static void gate_trial(struct session *s, struct shape shape, bool is_column, int i)
{
    struct trial t;
    struct params p = {.is_column = is_column};
    if (!trial_open(&t, s, "gate/r%uc%u/%s/%s", shape.rows, shape.cols,
                    is_column ? "per_row" : "per_value", fill_name(shape.fill)))
        return;
    trial_needs(&t, OLL_OP_GATE, OLL_F32);
    p.b = trial_mat(&t, "g", shape.rows, is_column ? 1 : shape.cols, ROLE_IN, shape.fill);
    p.x = trial_mat(&t, "x", shape.rows, shape.cols, i % 2 ? ROLE_INOUT : ROLE_IN, FILL_NORMAL);
    p.y = i % 2 ? p.x : trial_mat(&t, "y", shape.rows, shape.cols, ROLE_OUT, FILL_ZERO);
    trial_bound(&t, p.y, 1e-33, shape.fill == FILL_WIDE || shape.fill == FILL_HEAVY ? 1e-4 : 2e-6,
                1e-7);
    trial_run(&t, record_gate, &p);
}

static void record_scale(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    op_scale(cmd, &(struct op_scale){.y = run_mat(run, p->y),
                                     .x = run_mat(run, p->x),
                                     .scale = p->scale,
                                     .softcap = p->softcap,
                                     .limit = p->limit});
}

static void scale_trial(struct session *s, struct shape shape, struct params p, int i)
{
    struct trial t;
    if (!trial_open(&t, s, "scale/r%uc%u/scale%g/softcap%g/limit%g/%s", shape.rows, shape.cols,
                    (double)p.scale, (double)p.softcap, (double)p.limit, fill_name(shape.fill)))
        return;
    trial_needs(&t, OLL_OP_SCALE, OLL_F32);
    p.x = trial_mat(&t, "x", shape.rows, shape.cols, i % 2 ? ROLE_INOUT : ROLE_IN, shape.fill);
    p.y = i % 2 ? p.x : trial_mat(&t, "y", shape.rows, shape.cols, ROLE_OUT, FILL_ZERO);
    double cancelled = 8 * EPS * (double)p.softcap;
    trial_bound(&t, p.y, 1e-44 + cancelled, p.softcap != 0 ? 1e-6 : 2 * EPS, 1e-7);
    trial_run(&t, record_scale, &p);
}

static void record_query_scale(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    op_query_scale(cmd, &(struct op_query_scale){.x = run_mat(run, p->x),
                                                 .pos = run_ints(run, p->pos),
                                                 .beta = p->scale,
                                                 .length = p->length,
                                                 .offset = p->offset});
}

static void query_scale_trial(struct session *s, struct shape shape, float length, float offset)
{
    struct trial t;
    struct params p = {.scale = 0.1f, .length = length, .offset = offset};
    if (!trial_open(&t, s, "query_scale/r%uc%u/length%g/offset%g", shape.rows, shape.cols,
                    (double)length, (double)offset))
        return;
    trial_needs(&t, OLL_OP_QUERY_SCALE, OLL_F32);
    /* Both sides of the first steps, then far away. */
    const int32_t length_i = (int32_t)length;
    int32_t pos[64];
    for (uint32_t r = 0; r < shape.rows; r++)
        pos[r] = r < 8 ? (int32_t)(r / 2) * length_i - (int32_t)offset + (int32_t)(r % 2) - 1
                       : (int32_t)fill_below(&t.rng, 1u << 21);
    for (uint32_t r = 0; r < shape.rows; r++)
        pos[r] = pos[r] < 0 ? 0 : pos[r];
    p.pos = trial_ints(&t, "pos", shape.rows, pos);
    p.x = trial_mat(&t, "x", shape.rows, shape.cols, ROLE_INOUT, FILL_NORMAL);
    trial_bound(&t, p.x, 0, 1e-6, 1e-7);
    trial_run(&t, record_query_scale, &p);
}

void cases_elementwise(struct session *s)
{
    static const struct params scales[] = {{.scale = 0.125f},
                                           {.scale = -3, .softcap = 30},
                                           {.scale = 1, .softcap = 50, .limit = 2},
                                           {.scale = 0.5f, .limit = 1},
                                           {.scale = 12.0f}};
    for (int i = 0; i < N_SHAPE; i++) {
        struct shape shape = shape_of(i);
        for (int act = OLL_ACT_NONE; act <= OLL_ACT_SWIGLU_OAI; act++)
            unary_and_glu(s, (enum oll_act)act, shape, i);
        add_trial(s, shape, 0, i);
        add_trial(s, shape, -0.25f, i + 1);
        gate_trial(s, shape, false, i);
        gate_trial(s, shape, true, i + 1);
        for (int k = 0; k < (int)(sizeof scales / sizeof scales[0]); k++)
            scale_trial(s, shape, scales[k], i + k);
        if (shape.fill == FILL_NORMAL) {
            query_scale_trial(s, shape, 8192, 0);
            query_scale_trial(s, shape, 100, 1);
        }
    }
}
