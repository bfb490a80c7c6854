/* The ops matmul, norm_matmul and norm_glu: activations are laid out once, by all workers or, where
 * that is cheaper than meeting, by each for itself; then every worker takes its panels. */
#include "kernels/cpu/cpu_matmul.h"
#include "kernels/cpu/cpu_gemm.h"

#include <string.h>

/* Up to this many activations each worker lays them out on its own: a few microseconds, about what
 * a barrier costs. */
enum { OWN_COPY_MAX = 16384 };
/* Below this many multiplications waking others costs more than it gains. */
#define SERIAL_MACS 30000u

static bool own_copy(uint32_t n_tokens, uint32_t n_in)
{
    return n_tokens == 1 && n_in <= OWN_COPY_MAX;
}

enum { N_BATCH = 2 * CPU_ACT_COUNT };

/* One input with the weights that read it. */
struct job {
    const struct op_norm *norm; /* NULL: x as it is */
    const struct oll_mat *x;
    struct cpu_gemm gemm[OLL_FUSED_MAX];
    uint32_t n;
    /* By kind of activations, then the fine ones; n_tokens 0 where no weight wants the kind. */
    struct cpu_batch batch[N_BATCH];
};

static const struct cpu_batch *batch_of(struct job *job, const struct cpu_kernels *k,
                                        const struct cpu_weight *w)
{
    const enum cpu_act kind = cpu_act_of(k->matmul, w->base.dtype);
    const bool is_fine =
        w->base.precise && (kind == CPU_ACT_A32 || kind == CPU_ACT_A256) && !job->gemm[0].up;
    struct cpu_batch *batch = &job->batch[is_fine ? kind + CPU_ACT_COUNT : kind];
    if (batch->n_tokens == 0)
        cpu_batch_init(batch, k->matmul, kind, job->x->cols, job->x->rows, is_fine);
    return batch;
}

static void job_batches(struct job *job, const struct cpu_kernels *k)
{
    for (uint32_t i = 0; i < job->n; i++) {
        struct cpu_gemm *g = &job->gemm[i];
        g->batch = batch_of(job, k, g->w);
        g->up_batch = g->up ? batch_of(job, k, g->up) : g->batch;
    }
    /* A pair walks through the tiles of both its batches at once. */
    uint32_t n_tiles = 1;
    for (int i = 0; i < N_BATCH; i++)
        n_tiles = job->batch[i].n_tiles > n_tiles ? job->batch[i].n_tiles : n_tiles;
    for (int i = 0; i < N_BATCH && job->gemm[0].up; i++)
        job->batch[i].n_tiles = n_tiles;
}

static size_t job_act_bytes(const struct job *job)
{
    size_t bytes = 0;
    for (int i = 0; i < N_BATCH; i++)
        bytes += cpu_batch_bytes(&job->batch[i]);
    return bytes;
}

/* Floats of the normed rows of one tile, or of what rounding leaves of them. */
static size_t job_row_bytes(const struct job *job)
{
    bool needs_rows = job->norm != NULL;
    for (int i = CPU_ACT_COUNT; i < N_BATCH; i++)
        needs_rows |= job->batch[i].n_tokens > 0;
    return needs_rows ? (size_t)CPU_TILE_TOKENS * ((job->x->cols + 15u) / 16 * 64) : 0;
}

/* Room to expand a panel, of the weight that needs most. */
static size_t job_expand_bytes(const struct job *job, const struct cpu_kernels *k)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < job->n; i++) {
        const size_t n = cpu_gemm_scratch(k, job->gemm[i].w, job->gemm[i].up);
        bytes = n > bytes ? n : bytes;
    }
    return (bytes + 63) / 64 * 64;
}

static void job_plan(struct job *job, const struct cpu_device *dev, struct cpu_plan *plan)
{
    job_batches(job, &dev->k);
    uint64_t n_out = 0;
    for (uint32_t i = 0; i < job->n; i++)
        n_out += (uint64_t)job->gemm[i].w->base.n_out * (job->gemm[i].up ? 2 : 1);
    plan->serial = n_out * job->x->rows * job->x->cols < SERIAL_MACS;
    plan->thread_bytes = job_row_bytes(job) + job_expand_bytes(job, &dev->k);
    if (own_copy(job->x->rows, job->x->cols))
        plan->thread_bytes += job_act_bytes(job);
    else
        plan->shared_bytes = job_act_bytes(job);
}

/* Row of a token for the quantiser, in `room` where it is not one of x. */
static const float *token_row(struct cpu_worker *w, const struct job *job,
                              const struct cpu_batch *batch, uint32_t t, float *room)
{
    const bool is_rest = t >= batch->n_rows;
    const uint32_t i = is_rest ? t - batch->n_rows : t;
    const float *row = cpu_mat_row(job->x, i);
    if (job->norm) {
        cpu_norm_rows(w, job->norm, i, i + 1, room, batch->n_in);
        row = room;
    }
    if (is_rest)
        w->k->rest(row, room, batch->n_in, batch->kind == CPU_ACT_A32 ? 32 : 256);
    return is_rest ? room : row;
}

/* Lays out tile i of a batch. */
static void fill_tile(struct cpu_worker *w, const struct job *job, const struct cpu_batch *batch,
                      uint32_t i)
{
    const struct cpu_range tokens = cpu_batch_tile(batch, i);
    const float *rows[CPU_TILE_TOKENS];
    float *room = w->thread_scratch;
    for (uint32_t t = tokens.begin; t < tokens.end; t++) {
        const size_t at = (size_t)(t - tokens.begin) * batch->n_in;
        rows[t - tokens.begin] = token_row(w, job, batch, t, room ? room + at : NULL);
    }
    cpu_batch_fill(batch, w->k->matmul, i, rows);
}

/* `n` bytes on; a list that needs no scratch at all has none to step through. */
static uint8_t *past(void *p, size_t n) { return n ? (uint8_t *)p + n : p; }

/* The scratch of a worker: normed rows of a tile, an expanded panel, and its own copy of the
 * activations where it makes one. */
static void job_fill(struct cpu_worker *w, struct job *job)
{
    const bool own = own_copy(job->x->rows, job->x->cols);
    uint8_t *mine_alone = past(w->thread_scratch, job_row_bytes(job));
    for (uint32_t i = 0; i < job->n; i++)
        job->gemm[i].expanded = mine_alone;
    mine_alone = past(mine_alone, job_expand_bytes(job, w->k));
    uint8_t *act = own ? mine_alone : w->shared_scratch;
    for (int b = 0; b < N_BATCH; b++) {
        struct cpu_batch *batch = &job->batch[b];
        if (batch->n_tokens == 0)
            continue;
        batch->act = act;
        act += cpu_batch_bytes(batch);
        const struct cpu_range mine =
            own ? (struct cpu_range){0, batch->n_tiles} : cpu_worker_range(w, batch->n_tiles, 1);
        for (uint32_t i = mine.begin; i < mine.end && !cpu_worker_stopped(w); i++)
            fill_tile(w, job, batch, i);
    }
    if (!own)
        cpu_worker_barrier(w);
}

/* Fixed ranges: the panels of all weights in a row, cut evenly. */
static void run_streams(struct cpu_worker *w, const struct job *job)
{
    uint32_t total = 0, first = 0;
    for (uint32_t i = 0; i < job->n; i++)
        total += cpu_weight_panels(job->gemm[i].w);
    const struct cpu_range mine = cpu_worker_range(w, total, 1);
    for (uint32_t i = 0; i < job->n && !cpu_worker_stopped(w); i++) {
        const uint32_t n = cpu_weight_panels(job->gemm[i].w);
        const uint32_t begin = mine.begin > first ? mine.begin - first : 0;
        const uint32_t end = mine.end > first ? mine.end - first : 0;
        if (begin < n && begin < end)
            cpu_gemm_panels(&job->gemm[i], begin, end < n ? end : n);
        first += n;
    }
}

/* Chunks from one counter, through all weights. */
static void run_chunks(struct cpu_worker *w, const struct job *job)
{
    uint32_t size[OLL_FUSED_MAX], count[OLL_FUSED_MAX], total = 0;
    for (uint32_t i = 0; i < job->n; i++) {
        size[i] = cpu_gemm_chunk(&job->gemm[i], w->nth);
        count[i] = (cpu_weight_panels(job->gemm[i].w) + size[i] - 1) / size[i];
        total += count[i];
    }
    for (;;) {
        uint32_t chunk = cpu_worker_take(w, 0), i = 0;
        if (chunk >= total || cpu_worker_stopped(w))
            return;
        while (chunk >= count[i])
            chunk -= count[i++];
        const uint32_t n = cpu_weight_panels(job->gemm[i].w), begin = chunk * size[i];
        cpu_gemm_panels(&job->gemm[i], begin, begin + size[i] < n ? begin + size[i] : n);
    }
}

static void job_run(struct cpu_worker *w, struct job *job)
{
    if (job->x->rows == 0)
        return;
    job_batches(job, w->k);
    job_fill(w, job);
    if (job->x->rows <= CPU_STREAM_TOKENS)
        run_streams(w, job);
    else
        run_chunks(w, job);
}

/* ---- ops ---- */

static struct job job_of_matmul(const struct cpu_kernels *k, const struct op_matmul *op)
{
    struct job job = {.x = &op->x, .n = 1};
    job.gemm[0] = (struct cpu_gemm){
        .k = k,
        .w = cpu_weight_of(op->w),
        .store = {.y = &op->y,
                  .residual = op->residual.buf ? &op->residual : NULL,
                  .bias = cpu_vec(&op->b),
                  .scale = op->scale == 0 ? 1 : op->scale},
    };
    return job;
}

void cpu_plan_matmul(const struct cpu_device *dev, const struct op_matmul *op,
                     struct cpu_plan *plan)
{
    struct job job = job_of_matmul(&dev->k, op);
    job_plan(&job, dev, plan);
}

void cpu_run_matmul(struct cpu_worker *w, const struct op_matmul *op)
{
    struct job job = job_of_matmul(w->k, op);
    job_run(w, &job);
}

static struct job job_of_norm_matmul(const struct cpu_kernels *k, const struct op_norm_matmul *op)
{
    struct job job = {.norm = &op->norm, .x = &op->norm.x, .n = op->n};
    for (uint32_t i = 0; i < op->n; i++)
        job.gemm[i] = (struct cpu_gemm){
            .k = k,
            .w = cpu_weight_of(op->w[i]),
            .store = {.y = &op->y[i], .bias = cpu_vec(&op->b[i]), .scale = 1},
        };
    return job;
}

void cpu_plan_norm_matmul(const struct cpu_device *dev, const struct op_norm_matmul *op,
                          struct cpu_plan *plan)
{
    struct job job = job_of_norm_matmul(&dev->k, op);
    job_plan(&job, dev, plan);
}

void cpu_run_norm_matmul(struct cpu_worker *w, const struct op_norm_matmul *op)
{
    struct job job = job_of_norm_matmul(w->k, op);
    job_run(w, &job);
}

static struct job job_of_norm_glu(const struct cpu_kernels *k, const struct op_norm_glu *op)
{
    struct job job = {.norm = &op->norm, .x = &op->norm.x, .n = 1};
    job.gemm[0] = (struct cpu_gemm){
        .k = k,
        .w = cpu_weight_of(op->gate),
        .up = cpu_weight_of(op->up),
        .store = {.y = &op->y, .scale = 1, .act = op->act},
    };
    return job;
}

void cpu_plan_norm_glu(const struct cpu_device *dev, const struct op_norm_glu *op,
                       struct cpu_plan *plan)
{
    struct job job = job_of_norm_glu(&dev->k, op);
    job_plan(&job, dev, plan);
}

void cpu_run_norm_glu(struct cpu_worker *w, const struct op_norm_glu *op)
{
    struct job job = job_of_norm_glu(w->k, op);
    job_run(w, &job);
}
