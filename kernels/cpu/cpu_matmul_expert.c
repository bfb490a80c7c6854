/* The op matmul_expert: rows are bucketed by expert (counting sort, so in row order within one),
 * and every expert is a batch of its own. With few tokens all workers stream the same expert, each
 * a part of its rows; with many, chunks of panels of all experts come from one counter. */
#include "kernels/cpu/cpu_gemm.h"

#include <string.h>

/* As in cpu_matmul.c. */
enum { OWN_COPY_MAX = 16384 };
#define SERIAL_MACS 30000u

struct expert_job {
    const struct op_matmul_expert *op;
    const struct cpu_weight *w;
    const struct cpu_matmul_kernels *k;
    uint32_t n_row; /* rows of y */
    bool shared_x;  /* all slots of a token read one row of x */
    bool one_x;     /* there is but one row of x, used once by an expert: laid out once */
    enum cpu_act kind;
    uint32_t *first; /* [n_expert + 1]: where the rows of an expert start in `order` */
    uint32_t *order; /* [n_row]: rows of y by expert */
    uint8_t *act, *expanded;
};

static struct expert_job job_of(const struct cpu_kernels *k, const struct op_matmul_expert *op)
{
    const struct cpu_weight *w = cpu_weight_of(op->w);
    return (struct expert_job){
        .op = op,
        .w = w,
        .k = k->matmul,
        .n_row = op->y.rows,
        .shared_x = op->x.rows != op->y.rows,
        .kind = cpu_act_of(k->matmul, w->base.dtype),
    };
}

static size_t act_bytes(const struct expert_job *job)
{
    return cpu_act_bytes(job->kind, job->op->x.cols) * job->n_row;
}

static size_t list_bytes(const struct expert_job *job)
{
    return ((size_t)job->w->base.n_expert + 1 + job->n_row + 15) / 16 * 64;
}

static size_t expand_bytes(const struct expert_job *job, const struct cpu_kernels *k)
{
    return (cpu_gemm_scratch(k, job->w, NULL) + 63) / 64 * 64;
}

static bool own_copy(const struct expert_job *job)
{
    return (uint64_t)job->op->x.cols * job->op->x.rows <= OWN_COPY_MAX &&
           job->n_row <= CPU_STREAM_TOKENS * 4;
}

void cpu_plan_matmul_expert(const struct cpu_device *dev, const struct op_matmul_expert *op,
                            struct cpu_plan *plan)
{
    const struct expert_job job = job_of(&dev->k, op);
    plan->serial = (uint64_t)job.n_row * op->x.cols * op->y.cols < SERIAL_MACS;
    plan->thread_bytes = list_bytes(&job) + expand_bytes(&job, &dev->k);
    if (own_copy(&job))
        plan->thread_bytes += act_bytes(&job);
    else
        plan->shared_bytes = act_bytes(&job);
}

/* Every worker sorts for itself: it takes less time than waiting for one who does. */
static void sort_rows(struct expert_job *job, void *scratch)
{
    const int32_t *ids = cpu_ints(&job->op->ids);
    const uint32_t n_expert = job->w->base.n_expert;
    job->first = scratch;
    job->order = job->first + n_expert + 1;
    memset(job->first, 0, (n_expert + 1) * sizeof *job->first);
    for (uint32_t r = 0; r < job->n_row; r++)
        job->first[ids[r] + 1]++;
    job->one_x = job->op->x.rows == 1;
    for (uint32_t e = 0; e < n_expert; e++) {
        job->one_x = job->one_x && job->first[e + 1] <= 1;
        job->first[e + 1] += job->first[e];
    }
    /* first[e] moves to the end of e while its rows are placed, then back. */
    for (uint32_t r = 0; r < job->n_row; r++)
        job->order[job->first[ids[r]]++] = r;
    for (uint32_t e = n_expert; e > 0; e--)
        job->first[e] = job->first[e - 1];
    job->first[0] = 0;
}

static uint32_t rows_of(const struct expert_job *job, uint32_t expert)
{
    return job->first[expert + 1] - job->first[expert];
}

static struct cpu_batch batch_of(const struct expert_job *job, uint32_t expert)
{
    struct cpu_batch batch;
    cpu_batch_init(&batch, job->k, job->kind, job->op->x.cols, rows_of(job, expert), false);
    batch.act = job->act + (job->one_x ? 0 : batch.token_bytes * job->first[expert]);
    return batch;
}

static void fill_tile(const struct expert_job *job, const struct cpu_batch *batch, uint32_t expert,
                      uint32_t i)
{
    const struct cpu_range tokens = cpu_batch_tile(batch, i);
    const uint32_t *order = job->order + job->first[expert];
    const float *rows[CPU_TILE_TOKENS];
    for (uint32_t t = tokens.begin; t < tokens.end; t++)
        rows[t - tokens.begin] =
            cpu_mat_row(&job->op->x, job->shared_x ? order[t] / job->op->n_used : order[t]);
    cpu_batch_fill(batch, job->k, i, rows);
}

/* Tiles ith, ith + nth .. of all experts. */
static void fill_tiles(struct cpu_worker *w, const struct expert_job *job, uint32_t ith,
                       uint32_t nth)
{
    uint32_t n = 0;
    for (uint32_t e = 0; e < job->w->base.n_expert && !cpu_worker_stopped(w); e++) {
        if (rows_of(job, e) == 0)
            continue;
        const struct cpu_batch batch = batch_of(job, e);
        for (uint32_t i = 0; i < batch.n_tiles; i++)
            if (n++ % nth == ith)
                fill_tile(job, &batch, e, i);
        if (job->one_x)
            return;
    }
}

static void run_expert(const struct cpu_kernels *k, const struct expert_job *job, uint32_t expert,
                       uint32_t begin, uint32_t end)
{
    const struct op_matmul_expert *op = job->op;
    const struct cpu_batch batch = batch_of(job, expert);
    const float *bias = cpu_vec(&op->b), *scale = cpu_vec(&op->expert_scale);
    const struct cpu_gemm g = {
        .k = k,
        .w = job->w,
        .expert = expert,
        .batch = &batch,
        .up_batch = &batch,
        .expanded = job->expanded,
        .store = {.y = &op->y,
                  .bias = bias ? bias + (size_t)expert * job->w->base.n_out : NULL,
                  .scale = scale ? scale[expert] : 1,
                  .rows = job->order + job->first[expert]},
    };
    cpu_gemm_panels(&g, begin, end);
}

static void run_streams(struct cpu_worker *w, const struct expert_job *job)
{
    const struct cpu_range mine = cpu_worker_range(w, cpu_weight_panels(job->w), 1);
    for (uint32_t e = 0; e < job->w->base.n_expert && mine.begin < mine.end; e++)
        if (rows_of(job, e) > 0 && !cpu_worker_stopped(w))
            run_expert(w->k, job, e, mine.begin, mine.end);
}

static void run_chunks(struct cpu_worker *w, const struct expert_job *job)
{
    const struct cpu_gemm any = {.w = job->w};
    const uint32_t n = cpu_weight_panels(job->w), size = cpu_gemm_chunk(&any, w->nth);
    const uint32_t per_expert = (n + size - 1) / size;
    /* `expert` is the seen-th of those with rows. */
    uint32_t expert = 0, seen = 0;
    for (;;) {
        const uint32_t chunk = cpu_worker_take(w, 0), wanted = chunk / per_expert;
        for (; expert < job->w->base.n_expert; expert++) {
            if (rows_of(job, expert) == 0)
                continue;
            if (seen == wanted)
                break;
            seen++;
        }
        if (expert == job->w->base.n_expert || cpu_worker_stopped(w))
            return;
        const uint32_t begin = chunk % per_expert * size;
        run_expert(w->k, job, expert, begin, begin + size < n ? begin + size : n);
    }
}

void cpu_run_matmul_expert(struct cpu_worker *w, const struct op_matmul_expert *op)
{
    struct expert_job job = job_of(w->k, op);
    if (job.n_row == 0)
        return;
    sort_rows(&job, w->thread_scratch);
    job.expanded = (uint8_t *)w->thread_scratch + list_bytes(&job);
    if (own_copy(&job)) {
        job.act = job.expanded + expand_bytes(&job, w->k);
        fill_tiles(w, &job, 0, 1);
    } else {
        job.act = w->shared_scratch;
        fill_tiles(w, &job, w->ith, w->nth);
        cpu_worker_barrier(w);
    }
    if (op->x.rows <= CPU_STREAM_TOKENS)
        run_streams(w, &job);
    else
        run_chunks(w, &job);
}
