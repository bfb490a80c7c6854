#include "tests/kernels/cases.h"

#include <math.h>

struct params {
    int y, x, ids, weights, residual;
    enum oll_pooling pooling;
    float scale;
    uint32_t row;
    bool is_add;
};

static const uint32_t counts[] = {1, 2, 3, 4, 5, 8, 9, 17, 33, 65};
static const uint32_t widths[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 576};
enum { N_COUNT = sizeof counts / sizeof counts[0], N_WIDTH = sizeof widths / sizeof widths[0] };

/* ---- gather, pool ---- */

static void record_gather(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    op_gather(cmd, &(struct op_gather){.y = run_mat(run, p->y),
                                       .x = run_mat(run, p->x),
                                       .rows = run_ints(run, p->ids)});
}

static void gather_trial(struct session *s, uint32_t n, uint32_t rows, uint32_t cols)
{
    struct trial t;
    struct params p = {0};
    if (!trial_open(&t, s, "gather/%u_of_%u/c%u", n, rows, cols))
        return;
    trial_needs(&t, OLL_OP_GATHER, OLL_F32);
    int32_t ids[128];
    for (uint32_t i = 0; i < n; i++)
        ids[i] = (int32_t)(i == 0 ? rows - 1 : fill_below(&t.rng, rows));
    p.ids = trial_ints(&t, "rows", n, ids);
    p.x = trial_mat(&t, "x", rows, cols, ROLE_IN, FILL_NORMAL);
    p.y = trial_mat(&t, "y", n, cols, ROLE_OUT, FILL_ZERO);
    trial_run(&t, record_gather, &p);
}

static void record_pool(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    op_pool(cmd, &(struct op_pool){.kind = p->pooling,
                                   .y = run_mat(run, p->y),
                                   .x = run_mat(run, p->x),
                                   .begin = run_ints(run, p->ids)});
}

static void pool_trial(struct session *s, enum oll_pooling kind, uint32_t n_seq, uint32_t cols,
                       enum fill fill)
{
    static const char *const kinds[] = {"none", "mean", "first", "last"};
    struct trial t;
    struct params p = {.pooling = kind};
    if (!trial_open(&t, s, "pool/%s/s%uc%u/%s", kinds[kind], n_seq, cols, fill_name(fill)))
        return;
    trial_needs(&t, OLL_OP_POOL, OLL_F32);
    int32_t begin[128] = {3}; /* rows before the first sequence belong to nobody */
    for (uint32_t i = 0; i < n_seq; i++)
        begin[i + 1] = begin[i] + 1 + (int32_t)fill_below(&t.rng, 40);
    p.ids = trial_ints(&t, "begin", n_seq + 1, begin);
    p.x = trial_mat(&t, "x", (uint32_t)begin[n_seq] + 2, cols, ROLE_IN, fill);
    p.y = trial_mat(&t, "y", n_seq, cols, ROLE_OUT, FILL_ZERO);
    if (kind == OLL_POOLING_MEAN) {
        double largest = fill == FILL_DENORMAL ? 1e-38 : fill == FILL_WIDE ? 120 : 100;
        trial_bound(&t, p.y, largest * 8 * EPS, 0, fill == FILL_NORMAL ? 1e-10 : 0);
    }
    t.has_threads = n_seq >= 8;
    trial_run(&t, record_pool, &p);
}

/* ---- expert_sum ---- */

static void record_expert_sum(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    op_expert_sum(cmd, &(struct op_expert_sum){.y = run_mat(run, p->y),
                                               .x = run_mat(run, p->x),
                                               .weights = run_mat(run, p->weights),
                                               .residual = run_mat(run, p->residual),
                                               .scale = p->scale});
}

static void expert_sum_trial(struct session *s, uint32_t rows, uint32_t n_used, uint32_t cols,
                             int residual, enum fill fill)
{
    static const char *const kinds[] = {"none", "in_place", "other"};
    struct trial t;
    struct params p = {.scale = n_used % 2 ? 0 : 2.5f, .residual = -1};
    if (!trial_open(&t, s, "expert_sum/r%ue%uc%u/residual_%s/%s", rows, n_used, cols,
                    kinds[residual], fill_name(fill)))
        return;
    trial_needs(&t, OLL_OP_EXPERT_SUM, OLL_F32);
    p.x = trial_mat(&t, "x", rows * n_used, cols, ROLE_IN, fill);
    p.weights = trial_mat(&t, "weights", rows, n_used, ROLE_IN, FILL_NORMAL);
    p.y = trial_mat(&t, "y", rows, cols, residual == 1 ? ROLE_INOUT : ROLE_OUT, FILL_NORMAL);
    p.residual = residual == 1   ? p.y
                 : residual == 2 ? trial_mat(&t, "residual", rows, cols, ROLE_IN, FILL_NORMAL)
                                 : -1;
    double *each = trial_bound_each(&t, p.y);
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t c = 0; c < cols; c++) {
            double sum =
                p.residual < 0 ? 0 : fabs((double)trial_row(&t, t.image, p.residual, r)[c]);
            for (uint32_t k = 0; k < n_used; k++)
                sum += fabs((double)trial_row(&t, t.image, p.weights, r)[k] *
                            (double)trial_row(&t, t.image, p.x, r * n_used + k)[c]) *
                       (p.scale == 0 ? 1 : (double)p.scale);
            each[(size_t)r * cols + c] = sum * EPS * (n_used + 3) + 1e-44;
        }
    }
    t.has_threads = rows >= 8;
    trial_run(&t, record_expert_sum, &p);
}

/* ---- embed ---- */

static void record_embed(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    op_embed(cmd, &(struct op_embed){.y = run_mat(run, p->y),
                                     .w = run->weights[0],
                                     .ids = run_ints(run, p->ids),
                                     .row = p->row,
                                     .scale = p->scale,
                                     .add = p->is_add});
}

static void embed_trial(struct session *s, enum oll_dtype dtype, uint32_t n, uint32_t n_rows,
                        uint32_t n_block, float scale, bool is_add, enum fill fill)
{
    struct trial t;
    uint32_t n_in = n_block * oll_dtype_info((uint32_t)dtype)->block_elements;
    struct params p = {.scale = scale, .is_add = is_add, .ids = -1, .row = n_rows - 1};
    if (!trial_open(&t, s, "embed/%s/%u_of_%u/k%u/scale%g%s/%s", oll_dtype_name((uint32_t)dtype), n,
                    n_rows, n_in, (double)scale, is_add ? "/add" : "", fill_name(fill)))
        return;
    trial_needs(&t, OLL_OP_EMBED, dtype);
    int32_t ids[128];
    for (uint32_t i = 0; i < n; i++)
        ids[i] = (int32_t)(i == 0 ? n_rows - 1 : fill_below(&t.rng, n_rows));
    if (n_block % 5 != 0)
        p.ids = trial_ints(&t, "ids", n, ids);
    trial_weight(&t, dtype, n_in, n_rows, 1, fill);
    p.y = trial_mat(&t, "y", n, n_in, is_add ? ROLE_INOUT : ROLE_OUT, FILL_NORMAL);
    /* Rows come out to the bit; a product and a sum may be fused or not. */
    if (is_add)
        trial_bound(&t, p.y, 16 * EPS * (1 + fabs((double)scale)), 0, 0);
    t.has_threads = n > 3;
    trial_run(&t, record_embed, &p);
}

static void embed_family(struct session *s, enum oll_dtype dtype)
{
    embed_trial(s, dtype, 1, 1, 1, 1, false, FILL_NORMAL);
    embed_trial(s, dtype, 4, 7, 2, 1, false, FILL_NORMAL);
    embed_trial(s, dtype, 9, 33, 3, 1, false, FILL_NORMAL);
    embed_trial(s, dtype, 3, 16, 4, 1, false, FILL_NORMAL);
    embed_trial(s, dtype, 3, 17, 5, 1, false, FILL_NORMAL);
    embed_trial(s, dtype, 3, 20, 7, 24, false, FILL_NORMAL);
    embed_trial(s, dtype, 3, 20, 2, 0.5f, true, FILL_NORMAL);
    for (int fill = FILL_MIN; fill <= FILL_HEAVY; fill++)
        embed_trial(s, dtype, 3, 18, 3, 1, false, (enum fill)fill);
}

void cases_rows(struct session *s)
{
    for (int i = 0; i < N_COUNT; i++)
        gather_trial(s, counts[i], 1 + counts[N_COUNT - 1 - i], 37);
    for (int i = 0; i < N_WIDTH; i++)
        gather_trial(s, 3, 9, widths[i]);
    for (int kind = OLL_POOLING_MEAN; kind <= OLL_POOLING_LAST; kind++) {
        for (int i = 0; i < N_COUNT; i++)
            pool_trial(s, (enum oll_pooling)kind, counts[i], 37, FILL_NORMAL);
        for (int i = 0; i < N_WIDTH; i++)
            pool_trial(s, (enum oll_pooling)kind, 2, widths[i], FILL_NORMAL);
        for (int fill = 0; fill < FILL_COUNT; fill++)
            pool_trial(s, (enum oll_pooling)kind, 3, 41, (enum fill)fill);
    }
    for (int residual = 0; residual < 3; residual++) {
        for (int i = 0; i < N_COUNT; i++)
            expert_sum_trial(s, counts[i], 2, 37, residual, FILL_NORMAL);
        for (int i = 0; i < N_WIDTH; i++)
            expert_sum_trial(s, 3, 4, widths[i], residual, FILL_NORMAL);
        for (uint32_t n_used = 1; n_used <= 9; n_used++)
            expert_sum_trial(s, 2, n_used, 40, residual, FILL_NORMAL);
        for (int fill = 0; fill < FILL_COUNT; fill++)
            expert_sum_trial(s, 2, 3, 41, residual, (enum fill)fill);
    }
    for (int i = 0; i < n_weight_types; i++)
        embed_family(s, weight_types[i]);
}
