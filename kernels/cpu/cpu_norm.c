#include "kernels/cpu/cpu_internal.h"

static void norm_row(const struct cpu_kernels *k, const struct op_norm *op, uint32_t row, float *y)
{
    uint32_t n = op->group ? op->group : op->x.cols;
    const float *x = cpu_mat_row(&op->x, row), *w = cpu_vec(&op->w), *b = cpu_vec(&op->b);
    for (uint32_t c = 0; c < op->x.cols; c += n) {
        /* Shared by the groups, or one value per column. */
        const float *w_at = w && op->w.n != n ? w + c : w;
        const float *b_at = b && op->b.n != n ? b + c : b;
        k->norm[op->kind](x + c, w_at, b_at, y + c, n, op->eps);
    }
}

void cpu_norm_rows(const struct cpu_worker *w, const struct op_norm *op, uint32_t begin,
                   uint32_t end, float *y, size_t y_stride)
{
    for (uint32_t row = begin; row < end; row++)
        norm_row(w->k, op, row, y + (row - begin) * y_stride);
}

void cpu_plan_norm(const struct cpu_device *dev, const struct op_norm *op, struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = op->x.rows == 1 || (size_t)op->x.rows * op->x.cols <= 8192;
}

void cpu_run_norm(struct cpu_worker *w, const struct op_norm *op)
{
    struct cpu_range range = cpu_worker_range(w, op->x.rows, 1);
    for (uint32_t row = range.begin; row < range.end && !cpu_worker_stopped(w); row++)
        norm_row(w->k, op, row, cpu_mat_row(&op->y, row));
}
