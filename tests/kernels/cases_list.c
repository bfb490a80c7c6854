/* Lists of many ops over few matrices: what must wait for what. Each program is random, reads and
 * writes overlapping columns and rows of the same matrices, and has the same bits on any number of
 * threads. */
#include "tests/kernels/cases.h"

#include "tests/testing.h"

enum { N_MAT = 5, N_STEP = 48, N_COLS = 64 };

struct params {
    uint64_t seed;
    uint32_t rows;
    int mats[N_MAT], ids, norm_w;
};

/* One step: what it reads and writes is drawn here, the same on every device. */
static void record_step(const struct run *run, struct oll_cmd *cmd, const struct params *p,
                        uint64_t *rng)
{
    uint32_t iy = fill_below(rng, N_MAT), ix = (iy + 1 + fill_below(rng, N_MAT - 1)) % N_MAT;
    struct oll_mat y = run_mat(run, p->mats[iy]), x = run_mat(run, p->mats[ix]);
    /* Often half of the columns only. */
    if (fill_below(rng, 2)) {
        uint32_t half = fill_below(rng, 2) * (N_COLS / 2);
        y.off += half;
        x.off += fill_below(rng, 2) ? half : 0;
        x.cols = y.cols = N_COLS / 2;
    }
    bool is_whole = y.cols == N_COLS;
    switch (fill_below(rng, 7)) {
    case 0: op_add(cmd, &(struct op_add){.y = y, .a = y, .b = x, .scale = 0.5f}); break;
    case 1: op_unary(cmd, &(struct op_unary){.act = OLL_ACT_TANH, .y = y, .x = y}); break;
    case 2:
        op_norm(cmd,
                &(struct op_norm){.kind = OLL_NORM_RMS,
                                  .y = y,
                                  .x = x,
                                  .eps = 1,
                                  .w = is_whole ? run_vec(run, p->norm_w) : (struct oll_vec){0}});
        break;
    case 3:
        op_gather(cmd, &(struct op_gather){.y = y, .x = x, .rows = run_ints(run, p->ids)});
        break;
    case 4:
        op_glu(cmd, &(struct op_glu){.act = OLL_ACT_SIGMOID, .y = y, .gate = x, .up = y});
        break;
    case 5:
        if (is_whole)
            op_matmul(cmd,
                      &(struct op_matmul){.y = y, .x = x, .w = run->weights[0], .scale = 0.1f});
        break;
    default: op_scale(cmd, &(struct op_scale){.y = y, .x = y, .scale = 0.9f, .limit = 2}); break;
    }
}

static void record_program(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    uint64_t rng = p->seed;
    for (int i = 0; i < N_STEP; i++)
        record_step(run, cmd, p, &rng);
}

static void program_trial(struct session *s, int number, uint32_t rows)
{
    struct trial t;
    struct params p = {.rows = rows};
    if (!trial_open(&t, s, "list/%d/r%u", number, rows))
        return;
    trial_needs(&t, OLL_OP_MATMUL, OLL_F32);
    trial_needs(&t, OLL_OP_NORM, OLL_F32);
    int32_t ids[64];
    for (uint32_t r = 0; r < rows; r++)
        ids[r] = (int32_t)fill_below(&t.rng, rows);
    p.ids = trial_ints(&t, "rows", rows, ids);
    p.norm_w = trial_vec(&t, "w", N_COLS, FILL_NORMAL);
    trial_weight(&t, OLL_F32, N_COLS, N_COLS, 1, FILL_NORMAL);
    for (int i = 0; i < N_MAT; i++) {
        p.mats[i] = trial_mat(&t, "m", rows, N_COLS, ROLE_INOUT, FILL_NORMAL);
        /* Every step contracts; two differing orders would differ by much more. */
        trial_bound(&t, p.mats[i], 1e-3, 0, 1e-8);
    }
    p.seed = testing_random(&t.rng);
    t.has_threads = true;
    trial_run(&t, record_program, &p);
}

void cases_list(struct session *s)
{
    for (int i = 0; i < (s->is_full ? 400 : 40) && !s->is_bench; i++)
        program_trial(s, i, i % 4 == 0 ? 1 : 1 + (uint32_t)i % 4 * 7);
}
