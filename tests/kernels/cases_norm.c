#include "tests/kernels/cases.h"

#include <math.h>

struct params {
    struct op_norm op; /* kind, group, eps */
    int y, x, w, b;
};

static void record_norm(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    struct op_norm op = p->op;
    op.y = run_mat(run, p->y);
    op.x = run_mat(run, p->x);
    op.w = run_vec(run, p->w);
    op.b = run_vec(run, p->b);
    op_norm(cmd, &op);
}

/* Bounds of one group: the divisor has the error of a sum of n squares, and a layer norm's mean
 * that of a sum of n values, which the division by a small deviation magnifies. */
static void bound_group(const struct trial *t, const struct params *p, bool is_hostile, uint32_t r,
                        uint32_t begin, uint32_t n, double *each)
{
    const float *x = trial_row(t, t->image, p->x, r) + begin;
    double sum = 0, sum_sq = 0, max = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += (double)x[i];
        sum_sq += (double)x[i] * (double)x[i];
        max = fabs((double)x[i]) > max ? fabs((double)x[i]) : max;
    }
    double mean = p->op.kind == OLL_NORM_LAYER ? sum / n : 0;
    double var = 0;
    for (uint32_t i = 0; i < n; i++)
        var += ((double)x[i] - mean) * ((double)x[i] - mean);
    double divisor = p->op.kind == OLL_NORM_L2 ? fmax(sqrt(sum_sq), (double)p->op.eps)
                                               : sqrt(var / n + (double)p->op.eps);
    double error = sum_error(n, is_hostile);
    double shift = p->op.kind == OLL_NORM_LAYER ? max * error : 0;
    uint32_t n_w = p->w >= 0 ? t->operands[p->w].cols : 0,
             n_b = p->b >= 0 ? t->operands[p->b].cols : 0;
    for (uint32_t i = 0; i < n; i++) {
        double w = n_w ? (double)trial_row(t, t->image, p->w, 0)[n_w == n ? i : begin + i] : 1;
        double b = n_b ? (double)trial_row(t, t->image, p->b, 0)[n_b == n ? i : begin + i] : 0;
        double value = fabs((double)x[i] - mean) / divisor;
        /* A wrong mean also bends the variance. */
        double bend = divisor > 0 ? shift / divisor : 0;
        each[begin + i] =
            fabs(w) * (value * (error + bend * bend) + bend) + 4 * EPS * fabs(b) + 1e-44;
    }
}

static void bound_norm(struct trial *t, const struct params *p, bool is_hostile)
{
    const struct operand *o = &t->operands[p->x];
    double *each = trial_bound_each(t, p->y);
    uint32_t n = p->op.group ? p->op.group : o->cols;
    for (uint32_t r = 0; r < o->rows; r++) {
        for (uint32_t c = 0; c < o->cols; c += n)
            bound_group(t, p, is_hostile, r, c, n, each + (size_t)r * o->cols);
    }
    if (!is_hostile)
        trial_bound(t, p->y, 0, 0, 1e-7);
}

struct norm_case {
    enum oll_norm_kind kind;
    uint32_t rows, cols, group;
    int affine; /* 0 no weight, 1 weight per column of the group, 2 per column of the row; LAYER
                   gets biases likewise */
    enum fill fill;
    bool has_nan; /* in the middle row */
};

static void norm_trial(struct session *s, struct norm_case c)
{
    static const char *const kinds[] = {"rms", "layer", "l2"};
    struct trial t;
    struct params p = {.op = {.kind = c.kind, .group = c.group, .eps = c.cols % 2 ? 1e-5f : 1e-6f},
                       .w = -1,
                       .b = -1};
    if (!trial_open(&t, s, "norm/%s/r%uc%u/group%u/affine%d/%s%s", kinds[c.kind], c.rows, c.cols,
                    c.group, c.affine, fill_name(c.fill), c.has_nan ? "/nan" : ""))
        return;
    trial_needs(&t, OLL_OP_NORM, OLL_F32);
    uint32_t n_affine = c.affine == 1 && c.group ? c.group : c.cols;
    if (c.affine && c.kind != OLL_NORM_L2)
        p.w = trial_vec(&t, "w", n_affine, FILL_NORMAL);
    if (c.affine && c.kind == OLL_NORM_LAYER && c.cols % 3 != 0)
        p.b = trial_vec(&t, "b", n_affine, FILL_NORMAL);
    bool in_place = (c.rows + c.cols) % 2;
    p.x = trial_mat(&t, "x", c.rows, c.cols, in_place ? ROLE_INOUT : ROLE_IN, c.fill);
    if (c.has_nan)
        trial_row(&t, t.image, p.x, c.rows / 2)[c.cols / 2] = NAN;
    p.y = in_place ? p.x : trial_mat(&t, "y", c.rows, c.cols, ROLE_OUT, FILL_ZERO);
    bound_norm(&t, &p, fill_is_hostile(c.fill) || c.fill == FILL_HEAVY);
    t.has_threads = c.rows >= 8;
    t.is_bench = s->is_bench;
    t.n_byte = 0;
    trial_run(&t, record_norm, &p);
}

/* Shapes one dimension at a time, groups, fills. */
static void norm_family(struct session *s, enum oll_norm_kind kind)
{
    static const uint32_t cols[] = {1,  2,  3,  5,  7,  8,   9,   15,  16,   17,  31,
                                    32, 33, 63, 64, 65, 100, 128, 576, 1536, 2048};
    static const uint32_t rows[] = {1, 2, 3, 4, 5, 8, 9, 17, 33, 65};
    static const struct {
        uint32_t cols, group;
    } groups[] = {{64, 64}, {128, 64}, {192, 64}, {640, 128}, {33, 11}, {20, 1}, {72, 24}};
    for (size_t i = 0; i < sizeof cols / sizeof cols[0]; i++)
        norm_trial(s, (struct norm_case){kind, 3, cols[i], 0, (int)(i % 2), FILL_NORMAL, false});
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        norm_trial(s, (struct norm_case){kind, rows[i], 96, 0, 1, FILL_NORMAL, false});
        norm_trial(s, (struct norm_case){kind, rows[i], 70, 0, 1, FILL_NORMAL, true});
    }
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        for (int affine = 0; affine < 3; affine++)
            norm_trial(s, (struct norm_case){kind, 5, groups[i].cols, groups[i].group, affine,
                                             FILL_NORMAL, affine == 2});
    }
    for (int fill = 0; fill < FILL_COUNT; fill++) {
        norm_trial(s, (struct norm_case){kind, 3, 69, 0, 1, (enum fill)fill, false});
        norm_trial(s, (struct norm_case){kind, 2, 256, 64, 2, (enum fill)fill, false});
    }
    if (s->is_full)
        norm_trial(s, (struct norm_case){kind, 512, 8192, 0, 1, FILL_NORMAL, false});
}

void cases_norm(struct session *s)
{
    for (int kind = OLL_NORM_RMS; kind <= OLL_NORM_L2; kind++) {
        if (!s->is_bench) {
            norm_family(s, (enum oll_norm_kind)kind);
            continue;
        }
        norm_trial(s,
                   (struct norm_case){(enum oll_norm_kind)kind, 1, 2048, 0, 1, FILL_NORMAL, false});
        norm_trial(
            s, (struct norm_case){(enum oll_norm_kind)kind, 512, 2048, 0, 1, FILL_NORMAL, false});
    }
}
