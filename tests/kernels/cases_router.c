/* Routers. Which experts win must come out exactly, so logits are drawn again until no two scores
 * that matter are closer than rounding; ties on purpose have trials of their own. */
#include "tests/kernels/cases.h"

#include <math.h>
#include <stdlib.h>

struct params {
    struct op_router op; /* gating, n_used, n_group, n_group_used, scale, normalise */
    int ids, weights, logits, bias;
};

static void record_router(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    struct op_router op = p->op;
    op.ids = run_ints(run, p->ids);
    op.weights = run_mat(run, p->weights);
    op.logits = run_mat(run, p->logits);
    op.selection_bias = run_vec(run, p->bias);
    op_router(cmd, &op);
}

static int compare_down(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* The selection scores, by the words of the contract. */
static void scores_of(const struct params *p, const float *logits, const float *bias, uint32_t n,
                      double *score)
{
    double sum = 0;
    for (uint32_t e = 0; e < n; e++)
        sum += exp((double)logits[e]);
    for (uint32_t e = 0; e < n; e++) {
        double x = (double)logits[e];
        score[e] = p->op.gating == OLL_GATING_SOFTMAX         ? exp(x) / sum
                   : p->op.gating == OLL_GATING_SIGMOID       ? 1 / (1 + exp(-x))
                   : p->op.gating == OLL_GATING_SQRT_SOFTPLUS ? sqrt(log(1 + exp(x)))
                                                              : x;
        score[e] += bias ? (double)bias[e] : 0;
    }
}

/* Whether sorted scores (and sums of the two best of groups) keep a relative distance that f32
 * resolves. */
static bool are_apart(double *score, uint32_t n)
{
    qsort(score, n, sizeof *score, compare_down);
    for (uint32_t i = 0; i + 1 < n; i++) {
        if (score[i] - score[i + 1] < 3e-6 * fabs(score[i]))
            return false;
    }
    return true;
}

static bool is_decided(const struct params *p, const float *logits, const float *bias, uint32_t n)
{
    double score[256], group[256];
    uint32_t n_member = p->op.n_group > 1 ? n / p->op.n_group : n;
    scores_of(p, logits, bias, n, score);
    for (uint32_t g = 0; g < n / n_member; g++) {
        double member[256];
        for (uint32_t e = 0; e < n_member; e++)
            member[e] = score[g * n_member + e];
        qsort(member, n_member, sizeof *member, compare_down);
        group[g] = member[0] + (n_member > 1 ? member[1] : 0);
    }
    return are_apart(group, n / n_member) && are_apart(score, n);
}

static void draw_logits(struct trial *t, const struct params *p, uint32_t rows, uint32_t n)
{
    const float *bias = p->bias < 0 ? NULL : trial_row(t, t->image, p->bias, 0);
    for (uint32_t r = 0; r < rows; r++) {
        float *logits = trial_row(t, t->image, p->logits, r);
        do {
            for (uint32_t e = 0; e < n; e++)
                logits[e] = 2 * fill_normal_value(&t->rng);
        } while (!is_decided(p, logits, bias, n));
    }
}

static void router_trial(struct session *s, struct op_router op, uint32_t rows, uint32_t n_expert,
                         bool has_bias, enum fill fill)
{
    static const char *const gatings[] = {"softmax", "sigmoid", "softmax_selected",
                                          "sqrt_softplus"};
    struct trial t;
    struct params p = {.op = op, .bias = -1};
    if (!trial_open(&t, s, "router/%s/r%u/%u_of_%u/groups%u_of_%u%s%s/scale%g/%s",
                    gatings[op.gating], rows, op.n_used, n_expert, op.n_group_used, op.n_group,
                    has_bias ? "/bias" : "", op.normalise ? "/normalise" : "", (double)op.scale,
                    fill_name(fill)))
        return;
    trial_needs(&t, OLL_OP_ROUTER, OLL_F32);
    if (has_bias)
        p.bias = trial_vec(&t, "selection_bias", n_expert, FILL_NORMAL);
    p.logits = trial_mat(&t, "logits", rows, n_expert, ROLE_IN, fill);
    if (fill == FILL_NORMAL)
        draw_logits(&t, &p, rows, n_expert);
    p.ids = trial_ints(&t, "ids", rows * op.n_used, NULL);
    p.weights = trial_mat(&t, "weights", rows, op.n_used, ROLE_OUT, FILL_ZERO);
    /* Weights of experts that lost by far may be flushed to zero. */
    trial_bound(&t, p.weights, 1e-33, fill == FILL_WIDE || fill == FILL_HEAVY ? 1e-4 : 1e-5, 1e-7);
    t.has_threads = rows >= 8;
    trial_run(&t, record_router, &p);
}

void cases_router(struct session *s)
{
    static const struct {
        uint32_t n_used, n_expert, n_group_used, n_group;
    } shapes[] = {{1, 1, 0, 0},  {1, 2, 0, 0},  {2, 8, 0, 0},   {4, 32, 0, 0},  {8, 8, 0, 1},
                  {8, 60, 0, 0}, {8, 64, 0, 0}, {8, 128, 0, 0}, {6, 160, 3, 8}, {4, 16, 2, 4},
                  {3, 12, 2, 3}, {2, 6, 1, 3},  {2, 4, 2, 4},   {8, 256, 4, 8}, {5, 33, 0, 0}};
    static const uint32_t rows[] = {1, 2, 5, 17};
    static const enum fill hostile[] = {FILL_ZERO, FILL_MAX, FILL_ALTERNATE, FILL_DENORMAL};
    for (int g = OLL_GATING_SOFTMAX; g <= OLL_GATING_SQRT_SOFTPLUS; g++) {
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
            struct op_router op = {.gating = (enum oll_gating)g,
                                   .n_used = shapes[i].n_used,
                                   .n_group = shapes[i].n_group,
                                   .n_group_used = shapes[i].n_group_used,
                                   .scale = i % 3 == 0 ? 0 : 2.5f,
                                   .normalise = i % 2};
            for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
                router_trial(s, op, rows[r], shapes[i].n_expert, r % 2, FILL_NORMAL);
            op.normalise = !op.normalise;
            router_trial(s, op, 3, shapes[i].n_expert, true, FILL_NORMAL);
            /* Equal scores: the lower index wins. */
            for (size_t f = 0; f < sizeof hostile / sizeof hostile[0]; f++)
                router_trial(s, op, 2, shapes[i].n_expert, false, hostile[f]);
        }
    }
}
