#include "kernels/op_check.h"

#include <math.h>

/* One op under inspection. Helpers return the status so that each check reads as a list. */
struct check {
    const struct oll_device *dev;
    enum oll_op_kind kind;
    uint32_t n_rows; /* rows the op works on, set by its check */
    struct oll_error *err;
};

/* ---- operands ---- */

static oll_status check_buffer(const struct check *c, const char *name,
                               const struct oll_buffer *buf)
{
    if (!buf)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "%s: no buffer given", name);
    if (buf->dev != c->dev)
        return OLL_FAIL(c->err, OLL_ERR_ARG,
                        "%s: its buffer belongs to another device (%s) than the list (%s)", name,
                        buf->dev->ops->name, c->dev->ops->name);
    return OLL_OK;
}

oll_status op_check_mat(const char *name, const struct oll_mat *mat, struct oll_error *err)
{
    if (mat->cols == 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "%s: has no columns", name);
    if (mat->rows > 1 && mat->stride < mat->cols)
        return OLL_FAIL(err, OLL_ERR_ARG, "%s: stride %u is below its %u columns", name,
                        mat->stride, mat->cols);
    if (mat->rows == 0)
        return OLL_OK;
    size_t n_have = mat->buf->n_bytes / sizeof(float);
    size_t n_span = (size_t)(mat->rows - 1) * mat->stride + mat->cols;
    if (mat->off > n_have || n_span > n_have - mat->off)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "%s: [%u, %u] with stride %u at element %zu ends beyond its buffer of %zu "
                        "floats",
                        name, mat->rows, mat->cols, mat->stride, mat->off, n_have);
    return OLL_OK;
}

static oll_status check_mat(const struct check *c, const char *name, const struct oll_mat *mat,
                            uint32_t rows, uint64_t cols)
{
    OLL_TRY(check_buffer(c, name, mat->buf));
    if (mat->rows != rows || mat->cols != cols)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "%s: is [%u, %u], expected [%u, %llu]", name,
                        mat->rows, mat->cols, rows, (unsigned long long)cols);
    return op_check_mat(name, mat, c->err);
}

static oll_status check_span(const struct check *c, const char *name, const struct oll_buffer *buf,
                             size_t off, uint32_t n, uint64_t n_expected)
{
    OLL_TRY(check_buffer(c, name, buf));
    if (n != n_expected)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "%s: has %u values, expected %llu", name, n,
                        (unsigned long long)n_expected);
    size_t n_have = buf->n_bytes / sizeof(float);
    if (off > n_have || n > n_have - off)
        return OLL_FAIL(c->err, OLL_ERR_ARG,
                        "%s: %u values at element %zu end beyond its buffer of %zu values", name, n,
                        off, n_have);
    return OLL_OK;
}

static oll_status check_vec(const struct check *c, const char *name, const struct oll_vec *vec,
                            uint64_t n)
{
    return check_span(c, name, vec->buf, vec->off, vec->n, n);
}

static oll_status check_vec_optional(const struct check *c, const char *name,
                                     const struct oll_vec *vec, uint64_t n)
{
    return vec->buf ? check_vec(c, name, vec, n) : OLL_OK;
}

static oll_status check_ints(const struct check *c, const char *name, const struct oll_ints *ints,
                             uint64_t n)
{
    return check_span(c, name, ints->buf, ints->off, ints->n, n);
}

static oll_status check_supported(const struct check *c, const char *name, enum oll_dtype dtype)
{
    if (!oll_device_supports(c->dev, c->kind, dtype))
        return OLL_FAIL(c->err, OLL_ERR_UNSUPPORTED, "%s: device %s has no %s for %s", name,
                        c->dev->ops->name, oll_op_name(c->kind), oll_dtype_name((uint32_t)dtype));
    return OLL_OK;
}

static oll_status check_weight(const struct check *c, const char *name, const struct oll_weight *w,
                               bool is_stack)
{
    if (!w)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "%s: no weight given", name);
    if (w->dev != c->dev)
        return OLL_FAIL(c->err, OLL_ERR_ARG,
                        "%s: the weight belongs to another device (%s) than the list (%s)", name,
                        w->dev->ops->name, c->dev->ops->name);
    if (!is_stack && w->n_expert != 1)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "%s: is a stack of %u matrices, expected one", name,
                        w->n_expert);
    return check_supported(c, name, w->dtype);
}

/* ---- overlap ---- */

static bool mats_equal(const struct oll_mat *a, const struct oll_mat *b)
{
    return a->buf == b->buf && a->off == b->off && a->rows == b->rows && a->cols == b->cols &&
           (a->rows <= 1 || a->stride == b->stride);
}

/* Exact for views of equal stride (column ranges of one wide matrix); for others a shared range of
 * addresses counts as overlap. */
static bool mats_overlap(const struct oll_mat *a, const struct oll_mat *b)
{
    if (a->buf != b->buf || a->rows == 0 || b->rows == 0)
        return false;
    size_t end_a = a->off + (size_t)(a->rows - 1) * a->stride + a->cols;
    size_t end_b = b->off + (size_t)(b->rows - 1) * b->stride + b->cols;
    if (end_a <= b->off || end_b <= a->off)
        return false;
    if (a->stride != b->stride || a->rows == 1 || b->rows == 1)
        return true;
    /* Columns as arcs of a circle of `stride` places: b begins `gap` places after a. */
    size_t gap = (b->off % a->stride + a->stride - a->off % a->stride) % a->stride;
    return gap < a->cols || a->stride - gap < b->cols;
}

static oll_status check_disjoint(const struct check *c, const char *name, const struct oll_mat *a,
                                 const char *other, const struct oll_mat *b)
{
    if (mats_overlap(a, b))
        return OLL_FAIL(c->err, OLL_ERR_ARG, "%s: overlaps %s, which this op forbids", name, other);
    return OLL_OK;
}

/* The output may be the very view of an input, but no shifted version of it. */
static oll_status check_same_or_disjoint(const struct check *c, const char *name,
                                         const struct oll_mat *a, const char *other,
                                         const struct oll_mat *b)
{
    if (!mats_equal(a, b) && mats_overlap(a, b))
        return OLL_FAIL(c->err, OLL_ERR_ARG, "%s: overlaps %s without being the same view", name,
                        other);
    return OLL_OK;
}

/* An elementwise input: the shape of y, and y itself or elsewhere. */
static oll_status check_like(const struct check *c, const char *name, const struct oll_mat *in,
                             const struct oll_mat *y)
{
    OLL_TRY(check_mat(c, name, in, y->rows, y->cols));
    return check_same_or_disjoint(c, "y", y, name, in);
}

static oll_status check_out(struct check *c, const struct oll_mat *y)
{
    c->n_rows = y->rows;
    return check_mat(c, "y", y, y->rows, y->cols);
}

/* ---- matrices and norms ---- */

static oll_status check_embed(struct check *c, const struct op_embed *d)
{
    OLL_TRY(check_weight(c, "w", d->w, false));
    c->n_rows = d->y.rows;
    OLL_TRY(check_mat(c, "y", &d->y, d->y.rows, d->w->n_in));
    if (d->scale == 0)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "scale: 0 would clear the rows; 1 keeps them");
    if (d->ids.buf)
        return check_ints(c, "ids", &d->ids, d->y.rows);
    if (d->row >= d->w->n_out)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "row: %u, but the table has %u rows", d->row,
                        d->w->n_out);
    return OLL_OK;
}

/* All of a norm but its output, which fused ops do not write. */
static oll_status check_norm_input(struct check *c, const struct op_norm *d)
{
    c->n_rows = d->x.rows;
    OLL_TRY(check_mat(c, "x", &d->x, d->x.rows, d->x.cols));
    if ((unsigned)d->kind > OLL_NORM_L2)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "kind: %d is no norm", (int)d->kind);
    if (d->group != 0 && d->x.cols % d->group != 0)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "group: %u columns do not divide the %u of x",
                        d->group, d->x.cols);
    if (!(d->eps >= 0 && isfinite(d->eps)))
        return OLL_FAIL(c->err, OLL_ERR_ARG, "eps: %g is not a small number from 0 on",
                        (double)d->eps);
    if (d->kind == OLL_NORM_L2 && d->w.buf)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "w: an L2 norm has no weights");
    if (d->kind != OLL_NORM_LAYER && d->b.buf)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "b: only a layer norm has biases");
    uint32_t n_group = d->group ? d->group : d->x.cols;
    OLL_TRY(check_vec_optional(c, "w", &d->w, d->w.n == n_group ? n_group : d->x.cols));
    return check_vec_optional(c, "b", &d->b, d->b.n == n_group ? n_group : d->x.cols);
}

static oll_status check_norm(struct check *c, const struct op_norm *d)
{
    OLL_TRY(check_norm_input(c, d));
    OLL_TRY(check_mat(c, "y", &d->y, d->x.rows, d->x.cols));
    return check_same_or_disjoint(c, "y", &d->y, "x", &d->x);
}

static oll_status check_matmul(struct check *c, const struct op_matmul *d)
{
    OLL_TRY(check_weight(c, "w", d->w, false));
    c->n_rows = d->x.rows;
    OLL_TRY(check_mat(c, "x", &d->x, d->x.rows, d->w->n_in));
    OLL_TRY(check_mat(c, "y", &d->y, d->x.rows, d->w->n_out));
    OLL_TRY(check_disjoint(c, "y", &d->y, "x", &d->x));
    OLL_TRY(check_vec_optional(c, "b", &d->b, d->w->n_out));
    return d->residual.buf ? check_like(c, "residual", &d->residual, &d->y) : OLL_OK;
}

static oll_status check_matmul_expert(struct check *c, const struct op_matmul_expert *d)
{
    OLL_TRY(check_weight(c, "w", d->w, true));
    uint32_t n = d->ids.n;
    if (d->n_used == 0 || n % d->n_used != 0)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "n_used: %u does not divide the %u ids", d->n_used, n);
    c->n_rows = n;
    OLL_TRY(check_ints(c, "ids", &d->ids, n));
    OLL_TRY(check_mat(c, "y", &d->y, n, d->w->n_out));
    OLL_TRY(check_mat(c, "x", &d->x, d->x.rows == n ? n : n / d->n_used, d->w->n_in));
    OLL_TRY(check_disjoint(c, "y", &d->y, "x", &d->x));
    OLL_TRY(check_vec_optional(c, "b", &d->b, (uint64_t)d->w->n_expert * d->w->n_out));
    return check_vec_optional(c, "expert_scale", &d->expert_scale, d->w->n_expert);
}

static oll_status check_norm_matmul(struct check *c, const struct op_norm_matmul *d)
{
    OLL_TRY(check_norm_input(c, &d->norm));
    if (d->n == 0 || d->n > OLL_FUSED_MAX)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "n: %u products, possible are 1 to %d", d->n,
                        OLL_FUSED_MAX);
    for (uint32_t i = 0; i < d->n; i++) {
        OLL_TRY(check_weight(c, "w", d->w[i], false));
        OLL_TRY(check_mat(c, "x", &d->norm.x, c->n_rows, d->w[i]->n_in));
        OLL_TRY(check_mat(c, "y", &d->y[i], c->n_rows, d->w[i]->n_out));
        OLL_TRY(check_disjoint(c, "y", &d->y[i], "x", &d->norm.x));
        OLL_TRY(check_vec_optional(c, "b", &d->b[i], d->w[i]->n_out));
    }
    return OLL_OK;
}

static oll_status check_act(const struct check *c, enum oll_act act)
{
    if ((unsigned)act > OLL_ACT_SWIGLU_OAI)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "act: %d is no activation", (int)act);
    return OLL_OK;
}

static oll_status check_norm_glu(struct check *c, const struct op_norm_glu *d)
{
    OLL_TRY(check_norm_input(c, &d->norm));
    OLL_TRY(check_act(c, d->act));
    OLL_TRY(check_weight(c, "gate", d->gate, false));
    OLL_TRY(check_weight(c, "up", d->up, false));
    OLL_TRY(check_mat(c, "x", &d->norm.x, c->n_rows, d->gate->n_in));
    if (d->up->n_in != d->gate->n_in || d->up->n_out != d->gate->n_out)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "up: is [%u, %u], gate is [%u, %u]", d->up->n_out,
                        d->up->n_in, d->gate->n_out, d->gate->n_in);
    OLL_TRY(check_mat(c, "y", &d->y, c->n_rows, d->gate->n_out));
    return check_disjoint(c, "y", &d->y, "x", &d->norm.x);
}

/* ---- positions, cache, attention ---- */

static oll_status check_rope_table(struct check *c, const struct op_rope_table *d)
{
    c->n_rows = d->table.rows;
    OLL_TRY(check_mat(c, "table", &d->table, d->table.rows, 2 * (uint64_t)d->freq.n));
    OLL_TRY(check_vec(c, "freq", &d->freq, d->freq.n));
    return check_ints(c, "pos", &d->pos, d->table.rows);
}

static oll_status check_rope(struct check *c, const struct op_rope *d)
{
    if (d->kind == OLL_ROPE_NONE)
        return OLL_OK;
    if (d->kind != OLL_ROPE_NORM && d->kind != OLL_ROPE_NEOX)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "kind: %d is no rope", (int)d->kind);
    if (d->n_rot == 0 || d->n_rot % 2 != 0 || d->n_rot > d->head_dim)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "n_rot: %u must be even and lie in 2 .. head_dim (%u)",
                        d->n_rot, d->head_dim);
    c->n_rows = d->x.rows;
    OLL_TRY(check_mat(c, "x", &d->x, d->x.rows, (uint64_t)d->n_head * d->head_dim));
    OLL_TRY(check_mat(c, "table", &d->table, d->x.rows, d->n_rot));
    return check_disjoint(c, "x", &d->x, "table", &d->table);
}

static oll_status check_kv_area(const struct check *c, const struct oll_kv *kv, const char *name,
                                size_t off, uint32_t head_dim, size_t *end)
{
    size_t n_page_bytes = c->dev->ops->kv_page_bytes(kv->dtype, kv->n_head_kv, head_dim);
    if (off % 64 != 0)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "%s: %zu is no multiple of 64", name, off);
    if (off > kv->buf->n_bytes ||
        (n_page_bytes > 0 && kv->n_page > (kv->buf->n_bytes - off) / n_page_bytes))
        return OLL_FAIL(c->err, OLL_ERR_ARG,
                        "%s: %u pages of %zu bytes at %zu end beyond the buffer of %zu bytes", name,
                        kv->n_page, n_page_bytes, off, kv->buf->n_bytes);
    *end = off + kv->n_page * n_page_bytes;
    return OLL_OK;
}

static oll_status check_kv(const struct check *c, const struct oll_kv *kv)
{
    OLL_TRY(check_buffer(c, "kv", kv->buf));
    OLL_TRY(check_supported(c, "kv", kv->dtype));
    if (kv->n_page == 0 || kv->n_head_kv == 0 || kv->head_dim_k == 0 || kv->head_dim_v == 0)
        return OLL_FAIL(c->err, OLL_ERR_ARG,
                        "kv: %u pages, %u heads of %u (k) and %u (v) values; none may be 0",
                        kv->n_page, kv->n_head_kv, kv->head_dim_k, kv->head_dim_v);
    uint32_t n_block = oll_dtype_info((uint32_t)kv->dtype)->block_elements;
    if (kv->head_dim_k % n_block != 0 || kv->head_dim_v % n_block != 0)
        return OLL_FAIL(c->err, OLL_ERR_ARG,
                        "kv: heads of %u (k) and %u (v) values are no whole blocks of %s (%u)",
                        kv->head_dim_k, kv->head_dim_v, oll_dtype_name((uint32_t)kv->dtype),
                        n_block);
    size_t end_k, end_v;
    OLL_TRY(check_kv_area(c, kv, "kv.k_off", kv->k_off, kv->head_dim_k, &end_k));
    OLL_TRY(check_kv_area(c, kv, "kv.v_off", kv->v_off, kv->head_dim_v, &end_v));
    if (kv->k_off < end_v && kv->v_off < end_k)
        return OLL_FAIL(c->err, OLL_ERR_ARG,
                        "kv: K at %zu .. %zu overlaps V at %zu .. %zu of the buffer", kv->k_off,
                        end_k, kv->v_off, end_v);
    if (kv->n_col == 0 || kv->pages.n == 0 || kv->pages.n % kv->n_col != 0)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "kv.pages: %u entries are no rows of n_col = %u",
                        kv->pages.n, kv->n_col);
    return check_ints(c, "kv.pages", &kv->pages, kv->pages.n);
}

static oll_status check_kv_store(struct check *c, const struct op_kv_store *d)
{
    OLL_TRY(check_kv(c, &d->kv));
    uint32_t n = d->k.rows;
    c->n_rows = n;
    OLL_TRY(check_mat(c, "k", &d->k, n, (uint64_t)d->kv.n_head_kv * d->kv.head_dim_k));
    OLL_TRY(check_mat(c, "v", &d->v, n, (uint64_t)d->kv.n_head_kv * d->kv.head_dim_v));
    OLL_TRY(check_ints(c, "pos", &d->pos, n));
    return check_ints(c, "seq", &d->seq, n);
}

static oll_status check_attention(struct check *c, const struct op_attention *d)
{
    OLL_TRY(check_kv(c, &d->kv));
    if (d->n_head == 0 || d->n_head % d->kv.n_head_kv != 0)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "n_head: %u is no multiple of n_head_kv (%u)",
                        d->n_head, d->kv.n_head_kv);
    uint32_t n = d->q.rows;
    c->n_rows = n;
    OLL_TRY(check_mat(c, "q", &d->q, n, (uint64_t)d->n_head * d->kv.head_dim_k));
    OLL_TRY(check_mat(c, "y", &d->y, n, (uint64_t)d->n_head * d->kv.head_dim_v));
    OLL_TRY(check_disjoint(c, "y", &d->y, "q", &d->q));
    OLL_TRY(check_ints(c, "pos", &d->pos, n));
    OLL_TRY(check_ints(c, "seq", &d->seq, n));
    if (!d->causal)
        OLL_TRY(check_ints(c, "kv_len", &d->kv_len, d->kv.pages.n / d->kv.n_col));
    OLL_TRY(check_vec_optional(c, "sinks", &d->sinks, d->n_head));
    OLL_TRY(check_vec_optional(c, "slopes", &d->slopes, d->n_head));
    if (d->n_kv_max == 0)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "n_kv_max: 0 positions");
    return OLL_OK;
}

/* ---- elementwise ---- */

static oll_status check_glu(struct check *c, const struct op_glu *d)
{
    OLL_TRY(check_act(c, d->act));
    OLL_TRY(check_out(c, &d->y));
    OLL_TRY(check_like(c, "gate", &d->gate, &d->y));
    return check_like(c, "up", &d->up, &d->y);
}

static oll_status check_unary(struct check *c, const struct op_unary *d)
{
    OLL_TRY(check_act(c, d->act));
    if (d->act == OLL_ACT_SWIGLU_OAI)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "act: SWIGLU_OAI takes two operands (glu)");
    OLL_TRY(check_out(c, &d->y));
    return check_like(c, "x", &d->x, &d->y);
}

static oll_status check_add(struct check *c, const struct op_add *d)
{
    OLL_TRY(check_out(c, &d->y));
    OLL_TRY(check_like(c, "a", &d->a, &d->y));
    return check_like(c, "b", &d->b, &d->y);
}

static oll_status check_gate(struct check *c, const struct op_gate *d)
{
    OLL_TRY(check_out(c, &d->y));
    OLL_TRY(check_like(c, "x", &d->x, &d->y));
    OLL_TRY(check_mat(c, "g", &d->g, d->y.rows, d->g.cols == 1 ? 1 : d->y.cols));
    return check_disjoint(c, "y", &d->y, "g", &d->g);
}

static oll_status check_scale(struct check *c, const struct op_scale *d)
{
    OLL_TRY(check_out(c, &d->y));
    return check_like(c, "x", &d->x, &d->y);
}

static oll_status check_query_scale(struct check *c, const struct op_query_scale *d)
{
    c->n_rows = d->x.rows;
    OLL_TRY(check_mat(c, "x", &d->x, d->x.rows, d->x.cols));
    if (!(d->length > 0))
        return OLL_FAIL(c->err, OLL_ERR_ARG, "length: %g must be above 0", (double)d->length);
    return check_ints(c, "pos", &d->pos, d->x.rows);
}

/* ---- experts and rows ---- */

static oll_status check_router(struct check *c, const struct op_router *d)
{
    uint32_t n = d->logits.rows, n_expert = d->logits.cols;
    c->n_rows = n;
    if ((unsigned)d->gating > OLL_GATING_SQRT_SOFTPLUS)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "gating: %d is no gate function", (int)d->gating);
    OLL_TRY(check_mat(c, "logits", &d->logits, n, n_expert));
    uint32_t n_selectable = n_expert;
    if (d->n_group > 1) {
        if (n_expert % d->n_group != 0 || d->n_group_used == 0 || d->n_group_used > d->n_group)
            return OLL_FAIL(c->err, OLL_ERR_ARG, "n_group: %u of %u groups of %u experts",
                            d->n_group_used, d->n_group, n_expert);
        n_selectable = n_expert / d->n_group * d->n_group_used;
    }
    if (d->n_used == 0 || d->n_used > n_selectable)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "n_used: %u of %u selectable experts", d->n_used,
                        n_selectable);
    OLL_TRY(check_ints(c, "ids", &d->ids, (uint64_t)n * d->n_used));
    OLL_TRY(check_mat(c, "weights", &d->weights, n, d->n_used));
    OLL_TRY(check_disjoint(c, "weights", &d->weights, "logits", &d->logits));
    return check_vec_optional(c, "selection_bias", &d->selection_bias, n_expert);
}

static oll_status check_expert_sum(struct check *c, const struct op_expert_sum *d)
{
    OLL_TRY(check_out(c, &d->y));
    OLL_TRY(check_mat(c, "weights", &d->weights, d->y.rows, d->weights.cols));
    uint64_t n = (uint64_t)d->y.rows * d->weights.cols;
    if (d->x.rows != n)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "x: has %u rows, expected %u tokens x %u experts",
                        d->x.rows, d->y.rows, d->weights.cols);
    OLL_TRY(check_mat(c, "x", &d->x, (uint32_t)n, d->y.cols));
    OLL_TRY(check_disjoint(c, "y", &d->y, "x", &d->x));
    OLL_TRY(check_disjoint(c, "y", &d->y, "weights", &d->weights));
    return d->residual.buf ? check_like(c, "residual", &d->residual, &d->y) : OLL_OK;
}

static oll_status check_gather(struct check *c, const struct op_gather *d)
{
    OLL_TRY(check_out(c, &d->y));
    OLL_TRY(check_mat(c, "x", &d->x, d->x.rows, d->y.cols));
    OLL_TRY(check_disjoint(c, "y", &d->y, "x", &d->x));
    return check_ints(c, "rows", &d->rows, d->y.rows);
}

static oll_status check_pool(struct check *c, const struct op_pool *d)
{
    if (d->kind <= OLL_POOLING_NONE || d->kind > OLL_POOLING_LAST)
        return OLL_FAIL(c->err, OLL_ERR_ARG, "kind: %d pools nothing", (int)d->kind);
    OLL_TRY(check_out(c, &d->y));
    OLL_TRY(check_mat(c, "x", &d->x, d->x.rows, d->y.cols));
    OLL_TRY(check_disjoint(c, "y", &d->y, "x", &d->x));
    return check_ints(c, "begin", &d->begin, (uint64_t)d->y.rows + 1);
}

/* ---- entry ---- */

/* Ops with a weight or a cache ask for support where they look at it, the others here. */
static bool op_has_dtype(enum oll_op_kind kind)
{
    switch (kind) {
    case OLL_OP_EMBED:
    case OLL_OP_MATMUL:
    case OLL_OP_MATMUL_EXPERT:
    case OLL_OP_KV_STORE:
    case OLL_OP_ATTENTION:
    case OLL_OP_NORM_MATMUL:
    case OLL_OP_NORM_GLU: return true;
    default: return false;
    }
}

oll_status op_check(const struct oll_device *dev, const struct oll_op *op, bool *is_empty,
                    struct oll_error *err)
{
    struct check c = {.dev = dev, .kind = op->kind, .err = err};
    oll_status status = OLL_OK;
    if (!op_has_dtype(op->kind))
        OLL_TRY(check_supported(&c, "op", OLL_F32));
    switch (op->kind) {
#define X(upper, lower)                                                                            \
    case OLL_OP_##upper: status = check_##lower(&c, &op->lower); break;
        OLL_OP_LIST(X)
#undef X
    case OLL_OP_COUNT: status = OLL_FAIL(err, OLL_ERR_ARG, "no such op"); break;
    }
    *is_empty = c.n_rows == 0;
    return status;
}
