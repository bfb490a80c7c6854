#include "kernels/cpu/cpu_internal.h"

#include <math.h>

void cpu_plan_rope_table(const struct cpu_device *dev, const struct op_rope_table *op,
                         struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = (size_t)op->table.rows * op->freq.n <= 64;
}

void cpu_run_rope_table(struct cpu_worker *w, const struct op_rope_table *op)
{
    const float *freq = cpu_vec(&op->freq);
    const int32_t *pos = cpu_ints(&op->pos);
    double magnitude = (double)op->magnitude;
    struct cpu_range range = cpu_worker_range(w, op->table.rows, 1);
    for (uint32_t t = range.begin; t < range.end && !cpu_worker_stopped(w); t++) {
        float *table = cpu_mat_row(&op->table, t);
        for (uint32_t i = 0; i < op->freq.n; i++) {
            double angle = (double)pos[t] * (double)freq[i];
            table[2 * i] = (float)(magnitude * cos(angle));
            table[2 * i + 1] = (float)(magnitude * sin(angle));
        }
    }
}

void cpu_plan_rope(const struct cpu_device *dev, const struct op_rope *op, struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = (size_t)op->x.rows * op->x.cols <= 8192;
}

void cpu_run_rope(struct cpu_worker *w, const struct op_rope *op)
{
    if (op->kind == OLL_ROPE_NONE)
        return;
    struct cpu_range range = cpu_worker_range(w, op->x.rows, 1);
    for (uint32_t t = range.begin; t < range.end && !cpu_worker_stopped(w); t++) {
        const float *table = cpu_mat_row(&op->table, t);
        for (uint32_t head = 0; head < op->n_head; head++) {
            float *x = cpu_mat_row(&op->x, t) + (size_t)head * op->head_dim;
            if (op->kind == OLL_ROPE_NORM)
                w->k->rope_norm(x, table, op->n_rot);
            else
                w->k->rope_neox(x, table, op->n_rot);
        }
    }
}

void cpu_plan_query_scale(const struct cpu_device *dev, const struct op_query_scale *op,
                          struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = (size_t)op->x.rows * op->x.cols <= 8192;
}

void cpu_run_query_scale(struct cpu_worker *w, const struct op_query_scale *op)
{
    const int32_t *pos = cpu_ints(&op->pos);
    struct cpu_range range = cpu_worker_range(w, op->x.rows, 1);
    for (uint32_t t = range.begin; t < range.end && !cpu_worker_stopped(w); t++) {
        double step = floor(((double)pos[t] + (double)op->offset) / (double)op->length);
        double factor = 1.0 + (double)op->beta * log(1.0 + step);
        float *x = cpu_mat_row(&op->x, t);
        for (uint32_t i = 0; i < op->x.cols; i++)
            x[i] = (float)((double)x[i] * factor);
    }
}
