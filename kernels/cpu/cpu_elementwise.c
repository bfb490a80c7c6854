/* Ops whose elements are independent: the matrix is cut into tiles of columns within a row. */
#include "kernels/cpu/cpu_internal.h"

/* Columns of a tile: a few cache lines more than the cost of handing it out. */
enum { TILE = 1024 };
/* Elements below which a second worker does not pay, for cheap functions and for those with an
 * exponential: about a microsecond of work. */
enum { SERIAL_CHEAP = 16384, SERIAL_EXP = 4096 };

static bool is_small(const struct oll_mat *y, size_t limit)
{
    return (size_t)y->rows * y->cols <= limit;
}

struct tile {
    uint32_t row, col, n;
};

static uint32_t tiles_per_row(const struct oll_mat *y) { return (y->cols + TILE - 1) / TILE; }

static struct tile tile_at(const struct oll_mat *y, uint32_t i)
{
    uint32_t per_row = tiles_per_row(y), col = i % per_row * TILE;
    return (struct tile){i / per_row, col, y->cols - col < TILE ? y->cols - col : TILE};
}

/* Runs BODY with `t` for each tile of this worker. */
#define FOR_TILES(w, y)                                                                            \
    for (struct cpu_range range_ = cpu_worker_range(w, (y)->rows * tiles_per_row(y), 1);           \
         range_.begin < range_.end && !cpu_worker_stopped(w); range_.begin++)                      \
        for (struct tile t = tile_at(y, range_.begin), *once_ = &t; once_; once_ = NULL)

static float *at(const struct oll_mat *m, const struct tile *t)
{
    return cpu_mat_row(m, t->row) + t->col;
}

void cpu_glu_row(const struct cpu_kernels *k, enum oll_act act, const float *gate, const float *up,
                 float *y, uint32_t n)
{
    k->glu(act, gate, up, y, n);
}

void cpu_plan_glu(const struct cpu_device *dev, const struct op_glu *op, struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = is_small(&op->y, SERIAL_EXP);
}

void cpu_run_glu(struct cpu_worker *w, const struct op_glu *op)
{
    FOR_TILES(w, &op->y)
    w->k->glu(op->act, at(&op->gate, &t), at(&op->up, &t), at(&op->y, &t), t.n);
}

void cpu_plan_unary(const struct cpu_device *dev, const struct op_unary *op, struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = is_small(&op->y, SERIAL_EXP);
}

void cpu_run_unary(struct cpu_worker *w, const struct op_unary *op)
{
    FOR_TILES(w, &op->y)
    w->k->unary(op->act, at(&op->x, &t), at(&op->y, &t), t.n);
}

void cpu_plan_add(const struct cpu_device *dev, const struct op_add *op, struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = is_small(&op->y, SERIAL_CHEAP);
}

void cpu_run_add(struct cpu_worker *w, const struct op_add *op)
{
    float scale = op->scale != 0 ? op->scale : 1;
    FOR_TILES(w, &op->y)
    w->k->add(at(&op->a, &t), at(&op->b, &t), scale, at(&op->y, &t), t.n);
}

void cpu_plan_gate(const struct cpu_device *dev, const struct op_gate *op, struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = is_small(&op->y, SERIAL_EXP);
}

void cpu_run_gate(struct cpu_worker *w, const struct op_gate *op)
{
    bool is_one = op->g.cols == 1;
    FOR_TILES(w, &op->y)
    {
        const float *g = is_one ? cpu_mat_row(&op->g, t.row) : at(&op->g, &t);
        w->k->gate(at(&op->x, &t), g, is_one, at(&op->y, &t), t.n);
    }
}

void cpu_plan_scale(const struct cpu_device *dev, const struct op_scale *op, struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = is_small(&op->y, op->softcap != 0 ? SERIAL_EXP : SERIAL_CHEAP);
}

void cpu_run_scale(struct cpu_worker *w, const struct op_scale *op)
{
    FOR_TILES(w, &op->y)
    w->k->scale(op, at(&op->x, &t), at(&op->y, &t), t.n);
}

void cpu_plan_expert_sum(const struct cpu_device *dev, const struct op_expert_sum *op,
                         struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = is_small(&op->x, SERIAL_CHEAP);
}

void cpu_run_expert_sum(struct cpu_worker *w, const struct op_expert_sum *op)
{
    uint32_t n_used = op->weights.cols;
    FOR_TILES(w, &op->y)
    {
        struct cpu_weighted_sum sum = {
            .x = cpu_mat_row(&op->x, t.row * n_used) + t.col,
            .x_stride = op->x.stride,
            .weights = cpu_mat_row(&op->weights, t.row),
            .residual = op->residual.buf ? at(&op->residual, &t) : NULL,
            .y = at(&op->y, &t),
            .n = t.n,
            .n_used = n_used,
            .scale = op->scale != 0 ? op->scale : 1,
        };
        w->k->weighted_sum(&sum);
    }
}
