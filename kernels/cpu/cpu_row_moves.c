/* Ops that fetch rows: embed, gather, pool. */
#include "kernels/cpu/cpu_internal.h"

#include <string.h>

void cpu_plan_embed(const struct cpu_device *dev, const struct op_embed *op, struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = op->y.rows <= 2;
    plan->thread_bytes = op->add ? op->y.cols * sizeof(float) : 0;
}

void cpu_run_embed(struct cpu_worker *w, const struct op_embed *op)
{
    const int32_t *ids = cpu_ints(&op->ids);
    uint32_t n = op->y.cols;
    struct cpu_range range = cpu_worker_range(w, op->y.rows, 1);
    for (uint32_t t = range.begin; t < range.end && !cpu_worker_stopped(w); t++) {
        float *y = cpu_mat_row(&op->y, t), *row = op->add ? w->thread_scratch : y;
        cpu_weight_row(op->w, ids ? (uint32_t)ids[t] : op->row, row);
        if (op->add)
            w->k->add(y, row, op->scale, y, n);
        else if (op->scale != 1.0f)
            w->k->scale(&(struct op_scale){.scale = op->scale}, y, y, n);
    }
}

void cpu_plan_gather(const struct cpu_device *dev, const struct op_gather *op,
                     struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = op->y.rows <= 2;
}

void cpu_run_gather(struct cpu_worker *w, const struct op_gather *op)
{
    const int32_t *rows = cpu_ints(&op->rows);
    struct cpu_range range = cpu_worker_range(w, op->y.rows, 1);
    for (uint32_t r = range.begin; r < range.end && !cpu_worker_stopped(w); r++)
        memcpy(cpu_mat_row(&op->y, r), cpu_mat_row(&op->x, (uint32_t)rows[r]),
               op->y.cols * sizeof(float));
}

void cpu_plan_pool(const struct cpu_device *dev, const struct op_pool *op, struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = op->y.rows == 1 && (size_t)op->x.rows * op->x.cols <= 16384;
}

/* Columns [begin, end) of one sequence. */
static void pool_columns(const struct cpu_worker *w, const struct op_pool *op, uint32_t seq,
                         struct cpu_range cols)
{
    const int32_t *begin = cpu_ints(&op->begin);
    uint32_t first = (uint32_t)begin[seq], last = (uint32_t)begin[seq + 1] - 1;
    uint32_t n = cols.end - cols.begin;
    float *y = cpu_mat_row(&op->y, seq) + cols.begin;
    uint32_t from = op->kind == OLL_POOLING_LAST ? last : first;
    memcpy(y, cpu_mat_row(&op->x, from) + cols.begin, n * sizeof *y);
    if (op->kind != OLL_POOLING_MEAN)
        return;
    for (uint32_t r = first + 1; r <= last; r++)
        w->k->add(y, cpu_mat_row(&op->x, r) + cols.begin, 1, y, n);
    w->k->scale(&(struct op_scale){.scale = 1.0f / (float)(last - first + 1)}, y, y, n);
}

void cpu_run_pool(struct cpu_worker *w, const struct op_pool *op)
{
    struct cpu_range cols = cpu_worker_range(w, op->y.cols, 16);
    for (uint32_t seq = 0; seq < op->y.rows && !cpu_worker_stopped(w); seq++)
        if (cols.begin < cols.end)
            pool_columns(w, op, seq, cols);
}
