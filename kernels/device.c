#include "kernels/device.h"

#include "engine/base/mem.h"
#include "kernels/backends.h"
#include "kernels/op_check.h"

#include <stdio.h>
#include <string.h>

/* A pass of the largest model takes a few thousand ops; more is a loop gone wrong. */
enum { CMD_OP_MAX = 1 << 18, CMD_OP_FIRST = 64 };

static const struct oll_device_ops *const backends[] = {
    &oll_cpu_device_ops,
    &oll_ref_device_ops,
};
enum { N_BACKEND = sizeof backends / sizeof backends[0] };

/* ---- command list ---- */

const char *oll_op_name(enum oll_op_kind kind)
{
    static const char *const names[] = {
#define X(upper, lower) #lower,
        OLL_OP_LIST(X)
#undef X
    };
    return (unsigned)kind < OLL_OP_COUNT ? names[kind] : "?";
}

void oll_cmd_init(struct oll_cmd *cmd, struct oll_device *dev)
{
    memset(cmd, 0, sizeof *cmd);
    cmd->dev = dev;
}

void oll_cmd_reset(struct oll_cmd *cmd)
{
    cmd->n_op = 0;
    cmd->status = OLL_OK;
    cmd->err = (struct oll_error){0};
}

void oll_cmd_free(struct oll_cmd *cmd)
{
    oll_free(cmd->ops);
    oll_cmd_init(cmd, cmd->dev);
}

static oll_status cmd_reserve(struct oll_cmd *cmd)
{
    if (cmd->n_op < cmd->cap_op)
        return OLL_OK;
    if (cmd->cap_op >= CMD_OP_MAX)
        return OLL_FAIL(&cmd->err, OLL_ERR_LIMIT, "the list holds %u ops, its limit", cmd->n_op);
    uint32_t cap = cmd->cap_op ? cmd->cap_op * 2 : CMD_OP_FIRST;
    struct oll_op *ops = oll_realloc(cmd->ops, cap, sizeof *ops);
    if (!ops)
        return OLL_FAIL(&cmd->err, OLL_ERR_MEMORY, "no memory for a list of %u ops", cap);
    cmd->ops = ops;
    cmd->cap_op = cap;
    return OLL_OK;
}

static void cmd_record(struct oll_cmd *cmd, const struct oll_op *op)
{
    if (cmd->status != OLL_OK)
        return;
    bool is_empty = false;
    oll_status status = op_check(cmd->dev, op, &is_empty, &cmd->err);
    if (status == OLL_OK && !is_empty)
        status = cmd_reserve(cmd);
    if (status != OLL_OK) {
        cmd->status = status;
        oll_error_prefix(&cmd->err, "op %u (%s)", cmd->n_op, oll_op_name(op->kind));
        return;
    }
    if (!is_empty)
        cmd->ops[cmd->n_op++] = *op;
}

#define X(upper, lower)                                                                            \
    void op_##lower(struct oll_cmd *cmd, const struct op_##lower *desc)                            \
    {                                                                                              \
        struct oll_op op = {.kind = OLL_OP_##upper, .lower = *desc};                               \
        cmd_record(cmd, &op);                                                                      \
    }
OLL_OP_LIST(X)
#undef X

/* ---- devices ---- */

oll_status oll_device_open(const char *name, const struct oll_device_params *params,
                           struct oll_device **out, struct oll_error *err)
{
    static const struct oll_device_params defaults;
    for (int i = 0; i < N_BACKEND; i++) {
        if (strcmp(backends[i]->name, name) == 0)
            return backends[i]->open(params ? params : &defaults, out, err);
    }
    char known[64] = "";
    for (int i = 0; i < N_BACKEND; i++) {
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", backends[i]->name);
    }
    return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "no device \"%s\"; this build has: %s", name, known);
}

void oll_device_close(struct oll_device *dev)
{
    if (dev)
        dev->ops->close(dev);
}

bool oll_device_supports(const struct oll_device *dev, enum oll_op_kind kind, enum oll_dtype dtype)
{
    return (unsigned)kind < OLL_OP_COUNT && (unsigned)dtype < OLL_DTYPE_COUNT &&
           (dev->ops->caps[kind] >> dtype & 1) != 0;
}

oll_status oll_buffer_new(struct oll_device *dev, size_t n_bytes, struct oll_buffer **out,
                          struct oll_error *err)
{
    return dev->ops->buffer_new(dev, n_bytes, out, err);
}

void oll_buffer_free(struct oll_buffer *buf)
{
    if (buf)
        buf->dev->ops->buffer_free(buf);
}

static oll_status check_bounds(const struct oll_buffer *buf, size_t off_bytes, size_t n_bytes,
                               const char *what, struct oll_error *err)
{
    if (off_bytes > buf->n_bytes || n_bytes > buf->n_bytes - off_bytes)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "%s of %zu bytes at %zu ends beyond the buffer of %zu bytes", what, n_bytes,
                        off_bytes, buf->n_bytes);
    return OLL_OK;
}

oll_status oll_buffer_upload(struct oll_buffer *buf, size_t off_bytes, const void *src,
                             size_t n_bytes, struct oll_error *err)
{
    OLL_TRY(check_bounds(buf, off_bytes, n_bytes, "upload", err));
    if (n_bytes == 0 || buf->dev->is_dry)
        return OLL_OK;
    return buf->dev->ops->upload(buf, off_bytes, src, n_bytes, err);
}

oll_status oll_buffer_download(const struct oll_buffer *buf, size_t off_bytes, void *dst,
                               size_t n_bytes, struct oll_error *err)
{
    OLL_TRY(check_bounds(buf, off_bytes, n_bytes, "download", err));
    if (buf->dev->is_dry) {
        memset(dst, 0, n_bytes);
        return OLL_OK;
    }
    return n_bytes ? buf->dev->ops->download(buf, off_bytes, dst, n_bytes, err) : OLL_OK;
}

static oll_status check_source(const struct oll_device *dev, const struct oll_weight_source *src,
                               struct oll_error *err)
{
    const struct oll_dtype_info *info = oll_dtype_info((uint32_t)src->dtype);
    if (!info || !(oll_device_supports(dev, OLL_OP_MATMUL, src->dtype) ||
                   oll_device_supports(dev, OLL_OP_MATMUL_EXPERT, src->dtype) ||
                   oll_device_supports(dev, OLL_OP_EMBED, src->dtype)))
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "tensor %s: device %s has no op for type %s",
                        src->name, dev->ops->name, oll_dtype_name((uint32_t)src->dtype));
    if (src->n_in == 0 || src->n_out == 0 || src->n_expert == 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "tensor %s: shape [%u, %u, %u] is empty", src->name,
                        src->n_expert, src->n_out, src->n_in);
    if (src->n_in % info->block_elements != 0)
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "tensor %s: rows of %u elements are no whole blocks of %s (%u elements)",
                        src->name, src->n_in, info->name, info->block_elements);
    uint64_t n_rows = (uint64_t)src->n_expert * src->n_out, n_bytes;
    if (!oll_mul_u64(n_rows, oll_dtype_row_bytes(src->dtype, src->n_in), &n_bytes) ||
        n_bytes > SIZE_MAX / 2)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "tensor %s: shape [%u, %u, %u] exceeds the memory",
                        src->name, src->n_expert, src->n_out, src->n_in);
    return src->data ? OLL_OK : OLL_FAIL(err, OLL_ERR_ARG, "tensor %s: no data", src->name);
}

oll_status oll_weights_new(struct oll_device *dev, const struct oll_weight_source *src, int n,
                           struct oll_weight **out, struct oll_error *err)
{
    for (int i = 0; i < n; i++)
        OLL_TRY(check_source(dev, &src[i], err));
    return dev->ops->weights_new(dev, src, n, out, err);
}

void oll_weight_free(struct oll_weight *w)
{
    if (w)
        w->dev->ops->weight_free(w);
}

oll_status oll_device_submit(struct oll_cmd *cmd, struct oll_error *err)
{
    if (cmd->status != OLL_OK)
        return OLL_FAIL(err, cmd->status, "%s", oll_error_text(&cmd->err));
    return cmd->dev->ops->submit(cmd->dev, cmd, err);
}

oll_status oll_device_wait(struct oll_device *dev, struct oll_error *err)
{
    return dev->ops->wait(dev, err);
}

/* ---- copies between devices ---- */

/* Rows [row, row + n) of a view from or to packed host memory. */
static oll_status stage_rows(const struct oll_mat *mat, uint32_t row, uint32_t n, float *host,
                             bool is_upload, struct oll_error *err)
{
    /* Packed rows move at once, a view with a wider stride row by row. */
    uint32_t n_step = mat->stride == mat->cols ? n : 1;
    size_t n_bytes = (size_t)n_step * mat->cols * sizeof(float);
    for (uint32_t r = 0; r < n; r += n_step) {
        size_t off = (mat->off + (size_t)(row + r) * mat->stride) * sizeof(float);
        float *at = host + (size_t)r * mat->cols;
        OLL_TRY(is_upload ? oll_buffer_upload(mat->buf, off, at, n_bytes, err)
                          : oll_buffer_download(mat->buf, off, at, n_bytes, err));
    }
    return OLL_OK;
}

oll_status oll_device_copy(const struct oll_mat *dst, const struct oll_mat *src,
                           struct oll_error *err)
{
    if (!dst->buf || !src->buf)
        return OLL_FAIL(err, OLL_ERR_ARG, "copy: no buffer given");
    if (dst->rows != src->rows || dst->cols != src->cols)
        return OLL_FAIL(err, OLL_ERR_ARG, "copy: source is [%u, %u], destination [%u, %u]",
                        src->rows, src->cols, dst->rows, dst->cols);
    OLL_TRY(op_check_mat("copy source", src, err));
    OLL_TRY(op_check_mat("copy destination", dst, err));
    /* A stage of 1 MiB, or one row: the residual stream of a prompt need not fit at once. */
    uint32_t n_stage = (1u << 18) / src->cols + 1;
    if (n_stage > src->rows)
        n_stage = src->rows;
    float *host = oll_alloc((size_t)n_stage * src->cols, sizeof *host);
    if (!host)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "copy: no memory for %u rows of %u floats", n_stage,
                        src->cols);
    oll_status status = OLL_OK;
    for (uint32_t row = 0; row < src->rows; row += n_stage) {
        uint32_t n = src->rows - row < n_stage ? src->rows - row : n_stage;
        OLL_TRY_DONE(stage_rows(src, row, n, host, false, err));
        OLL_TRY_DONE(stage_rows(dst, row, n, host, true, err));
    }
done:
    oll_free(host);
    return status;
}
