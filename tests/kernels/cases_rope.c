#include "tests/kernels/cases.h"

#include <math.h>

/* ---- the table ---- */

struct table_params {
    int table, pos, freq;
    float magnitude;
};

static void record_table(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct table_params *p = params;
    op_rope_table(cmd, &(struct op_rope_table){.table = run_mat(run, p->table),
                                               .pos = run_ints(run, p->pos),
                                               .freq = run_vec(run, p->freq),
                                               .magnitude = p->magnitude});
}

static void table_trial(struct session *s, uint32_t rows, uint32_t n, uint32_t pos_begin,
                        uint32_t pos_step)
{
    struct trial t;
    struct table_params p = {.magnitude = n % 2 ? 1.0f : 1.1902f};
    if (!trial_open(&t, s, "rope_table/r%un%u/pos%u+%u", rows, n, pos_begin, pos_step))
        return;
    trial_needs(&t, OLL_OP_ROPE_TABLE, OLL_F32);
    int32_t pos[128];
    for (uint32_t r = 0; r < rows; r++)
        pos[r] = (int32_t)(pos_begin + r * pos_step);
    p.pos = trial_ints(&t, "pos", rows, pos);
    p.freq = trial_vec(&t, "freq", n, FILL_ZERO);
    for (uint32_t i = 0; i < n; i++)
        trial_row(&t, t.image, p.freq, 0)[i] = (float)pow(10000.0, -(double)i / n);
    p.table = trial_mat(&t, "table", rows, 2 * n, ROLE_OUT, FILL_ZERO);
    /* A few roundings, however far the position. */
    trial_bound(&t, p.table, 8 * EPS, 0, 1e-12);
    t.has_threads = rows > 8;
    trial_run(&t, record_table, &p);
}

/* ---- the rotation ---- */

struct rope_params {
    struct op_rope op;
    int x, table;
};

static void record_rope(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct rope_params *p = params;
    struct op_rope op = p->op;
    op.x = run_mat(run, p->x);
    op.table = run_mat(run, p->table);
    op_rope(cmd, &op);
}

static void rope_trial(struct session *s, enum oll_rope_kind kind, uint32_t rows, uint32_t n_head,
                       uint32_t head_dim, uint32_t n_rot, enum fill fill)
{
    struct trial t;
    struct rope_params p = {
        .op = {.kind = kind, .n_head = n_head, .head_dim = head_dim, .n_rot = n_rot}};
    if (!trial_open(&t, s, "rope/%s/r%u/h%ud%u/rot%u/%s", kind == OLL_ROPE_NORM ? "norm" : "neox",
                    rows, n_head, head_dim, n_rot, fill_name(fill)))
        return;
    trial_needs(&t, OLL_OP_ROPE, OLL_F32);
    p.table = trial_mat(&t, "table", rows, n_rot, ROLE_IN, FILL_NORMAL);
    p.x = trial_mat(&t, "x", rows, n_head * head_dim, ROLE_INOUT, fill);
    double *each = trial_bound_each(&t, p.x);
    for (uint32_t r = 0; r < rows; r++) {
        const float *table = trial_row(&t, t.image, p.table, r);
        const float *x = trial_row(&t, t.image, p.x, r);
        for (uint32_t c = 0; c < n_head * head_dim; c++) {
            uint32_t d = c % head_dim, half = n_rot / 2;
            if (d >= n_rot)
                continue; /* passes through: exact */
            uint32_t pair = kind == OLL_ROPE_NORM ? d / 2 : d % half;
            uint32_t other = kind == OLL_ROPE_NORM ? c - d + (d ^ 1u)
                             : d < half            ? c + half
                                                   : c - half;
            double scale = fabs((double)table[2 * pair]) + fabs((double)table[2 * pair + 1]);
            each[(size_t)r * n_head * head_dim + c] =
                3 * EPS * scale * (fabs((double)x[c]) + fabs((double)x[other])) + 1e-44;
        }
    }
    t.has_threads = rows > 8;
    trial_run(&t, record_rope, &p);
}

void cases_rope(struct session *s)
{
    static const uint32_t sizes[] = {1, 2, 3, 4, 7, 8, 9, 16, 17, 32, 48, 64, 128};
    static const uint32_t rows[] = {1, 2, 3, 4, 5, 9, 16, 33};
    static const struct {
        uint32_t head_dim, n_rot;
    } dims[] = {{64, 64}, {128, 128}, {96, 96}, {80, 32}, {256, 64}, {2, 2},
                {6, 6},   {10, 6},    {18, 18}, {34, 34}, {66, 34},  {576, 64}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        table_trial(s, 3, sizes[i], 0, 1);
        table_trial(s, 2, sizes[i], 131071, 1);
        table_trial(s, 3, sizes[i], 2000003, 999983);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        table_trial(s, rows[i], 32, 5, 77);
    for (int kind = OLL_ROPE_NORM; kind <= OLL_ROPE_NEOX; kind++) {
        enum oll_rope_kind k = (enum oll_rope_kind)kind;
        for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++) {
            rope_trial(s, k, 3, 1, dims[i].head_dim, dims[i].n_rot, FILL_NORMAL);
            rope_trial(s, k, 2, 5, dims[i].head_dim, dims[i].n_rot, FILL_NORMAL);
        }
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            rope_trial(s, k, rows[i], 9, 64, 64, FILL_NORMAL);
        for (int fill = 0; fill < FILL_COUNT; fill++)
            rope_trial(s, k, 2, 3, 40, 24, (enum fill)fill);
    }
}
