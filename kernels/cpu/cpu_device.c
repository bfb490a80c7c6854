/* The device table of the CPU: memory, and the walk of all workers over a command list. */
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "kernels/backends.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/cpu_internal.h"
#include "kernels/cpu/cpu_matmul.h"
#include "kernels/cpu/cpu_plan.h"
#include "kernels/cpu/cpu_profile.h"

#include <stdlib.h>
#include <string.h>

/* ---- the walk ---- */

struct walk {
    struct cpu_device *dev;
    const struct oll_cmd *cmd;
};

void cpu_worker_barrier(struct cpu_worker *w)
{
    if (w->nth > 1)
        cpu_pool_barrier(w->dev->pool, w->ith);
}

static void run_op(struct cpu_worker *w, const struct oll_op *op)
{
    switch (op->kind) {
#define X(upper, lower)                                                                            \
    case OLL_OP_##upper: cpu_run_##lower(w, &op->lower); break;
        OLL_OP_LIST(X)
#undef X
    case OLL_OP_COUNT: break;
    }
}

static void walk_list(void *ctx, uint32_t ith, uint32_t nth)
{
    const struct walk *walk = ctx;
    struct cpu_device *dev = walk->dev;
    struct cpu_worker w = {
        .dev = dev,
        .k = &dev->k,
        .ith = ith,
        .shared_scratch = dev->shared_scratch,
        .thread_scratch = dev->thread_scratch ? dev->thread_scratch + ith * dev->thread_cap : NULL,
        .abort = walk->cmd->abort,
    };
    struct cpu_profile *profile = ith == 0 ? dev->profile : NULL;
    for (uint32_t i = 0; i < walk->cmd->n_op; i++) {
        w.step = &dev->steps[i];
        if (w.step->wait)
            cpu_pool_barrier(dev->pool, ith);
        w.nth = w.step->serial ? 1 : nth;
        if (ith >= w.nth)
            continue;
        if (profile)
            cpu_profile_enter(profile, walk->cmd->ops[i].kind);
        run_op(&w, &walk->cmd->ops[i]);
    }
    if (profile)
        cpu_profile_enter(profile, OLL_OP_COUNT);
}

/* ---- scratch ---- */

static oll_status grow(const struct cpu_device *dev, unsigned char **p, size_t *cap, size_t count,
                       size_t bytes, struct oll_error *err)
{
    size_t total;
    bytes = oll_align_up(bytes, 64);
    if (bytes <= *cap)
        return OLL_OK;
    if (dev->base.is_dry) {
        oll_mem_claim((int64_t)((bytes - *cap) * count));
        *cap = bytes;
        return OLL_OK;
    }
    /* The old one goes first: its contents are of no use, and both together were the peak. */
    oll_free_aligned(*p);
    *cap = 0;
    *p = oll_mul_size(count, bytes, &total) ? oll_alloc_aligned(total) : NULL;
    if (!*p)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for %zu x %zu bytes of scratch", count,
                        bytes);
    *cap = bytes;
    return OLL_OK;
}

static oll_status grow_steps(struct cpu_device *dev, uint32_t n, struct oll_error *err)
{
    if (n <= dev->cap_step)
        return OLL_OK;
    struct cpu_step *steps = oll_alloc_aligned(n * sizeof *steps);
    if (!steps)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a list of %u ops", n);
    oll_free_aligned(dev->steps);
    dev->steps = steps;
    dev->cap_step = n;
    return OLL_OK;
}

static oll_status device_submit(struct oll_device *base, const struct oll_cmd *cmd,
                                struct oll_error *err)
{
    struct cpu_device *dev = (struct cpu_device *)base;
    struct cpu_list_plan plan;
    dev->status = OLL_OK;
    if (cmd->n_op == 0)
        return OLL_OK;
    OLL_TRY(grow_steps(dev, cmd->n_op, err));
    cpu_plan_list(dev, cmd, dev->steps, &plan);
    OLL_TRY(grow(dev, &dev->shared_scratch, &dev->shared_cap, 1, plan.shared_bytes, err));
    OLL_TRY(grow(dev, &dev->thread_scratch, &dev->thread_cap, cpu_pool_size(dev->pool),
                 plan.thread_bytes, err));
    if (base->is_dry)
        return OLL_OK;
    struct walk walk = {dev, cmd};
    cpu_pool_run(dev->pool, plan.serial ? 1 : 0, walk_list, &walk);
    /* Relaxed: the flag carries no data with it. */
    if (cmd->abort && atomic_load_explicit(cmd->abort, memory_order_relaxed))
        dev->status = OLL_ERR_CANCELED;
    return OLL_OK;
}

/* The caller of submit is a worker itself, so the list is done when submit returns. */
static oll_status device_wait(struct oll_device *base, struct oll_error *err)
{
    struct cpu_device *dev = (struct cpu_device *)base;
    return dev->status == OLL_OK ? OLL_OK : OLL_FAIL(err, dev->status, "the pass was canceled");
}

/* ---- buffers ---- */

/* Below this size a heap block does, which sanitizers watch; above, pages that take memory when
 * touched. */
enum { PAGES_FROM_BYTES = 1 << 20 };

static oll_status buffer_new(struct oll_device *dev, size_t n_bytes, struct oll_buffer **out,
                             struct oll_error *err)
{
    struct cpu_buffer *buf = oll_calloc(1, sizeof *buf);
    if (!buf)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a buffer");
    if (dev->is_dry) {
        oll_mem_claim((int64_t)n_bytes);
    } else if (n_bytes >= PAGES_FROM_BYTES) {
        buf->data = oll_platform_pages_new(n_bytes);
    } else {
        buf->data = oll_alloc_aligned(n_bytes);
        if (buf->data)
            memset(buf->data, 0, n_bytes);
    }
    if (!buf->data && !dev->is_dry) {
        oll_free(buf);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a buffer of %zu bytes", n_bytes);
    }
    buf->base = (struct oll_buffer){.dev = dev, .n_bytes = n_bytes};
    *out = &buf->base;
    return OLL_OK;
}

static void buffer_free(struct oll_buffer *base)
{
    struct cpu_buffer *buf = (struct cpu_buffer *)base;
    if (base->n_bytes >= PAGES_FROM_BYTES)
        oll_platform_pages_free(buf->data, base->n_bytes);
    else
        oll_free_aligned(buf->data);
    oll_free(buf);
}

static oll_status buffer_upload(struct oll_buffer *buf, size_t off_bytes, const void *src,
                                size_t n_bytes, struct oll_error *err)
{
    (void)err;
    memcpy(cpu_bytes(buf) + off_bytes, src, n_bytes);
    return OLL_OK;
}

static oll_status buffer_download(const struct oll_buffer *buf, size_t off_bytes, void *dst,
                                  size_t n_bytes, struct oll_error *err)
{
    (void)err;
    memcpy(dst, cpu_bytes(buf) + off_bytes, n_bytes);
    return OLL_OK;
}

/* ---- open and close ---- */

static oll_status read_features(const struct oll_device_params *params, uint32_t *features,
                                struct oll_error *err)
{
    struct cpu_words words;
    cpu_words_read(&words);
    *features = cpu_features_of(&words);
    const char *level = params->isa ? params->isa : getenv("OLL_CPU_ISA");
    if (level && *level && !cpu_features_cut(level, features))
        return OLL_FAIL(
            err, OLL_ERR_ARG,
            "unknown instruction level \"%s\" (OLL_CPU_ISA): use scalar, avx2, avxvnni, "
            "avx512, avx512vnni, avx512bf16, neon, dotprod or i8mm",
            level);
    return OLL_OK;
}

static void device_close(struct oll_device *base)
{
    struct cpu_device *dev = (struct cpu_device *)base;
    cpu_profile_free(dev->profile);
    cpu_pool_free(dev->pool);
    oll_free_aligned(dev->steps);
    oll_free_aligned(dev->shared_scratch);
    oll_free_aligned(dev->thread_scratch);
    oll_free_aligned(dev);
}

static oll_status device_open(const struct oll_device_params *params, struct oll_device **out,
                              struct oll_error *err)
{
    uint32_t features;
    OLL_TRY(read_features(params, &features, err));
    struct cpu_device *dev = oll_alloc_aligned(sizeof *dev);
    if (!dev)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for the cpu device");
    memset(dev, 0, sizeof *dev);
    oll_status status =
        cpu_pool_new(params->n_threads, !params->no_pin && !params->dry, &dev->pool, err);
    if (status != OLL_OK) {
        device_close(&dev->base);
        return status;
    }
    dev->base.ops = &oll_cpu_device_ops;
    dev->base.n_threads = (int)cpu_pool_size(dev->pool);
    dev->base.is_dry = params->dry;
    dev->features = features;
    dev->profile = cpu_profile_new();
    cpu_kernels_init(&dev->k, features);
    oll_log_debug("cpu", "%d threads, kernels %s", dev->base.n_threads,
                  cpu_features_level(features));
    *out = &dev->base;
    return OLL_OK;
}

const struct oll_device_ops oll_cpu_device_ops = {
    .name = "cpu",
    .open = device_open,
    .close = device_close,
    .buffer_new = buffer_new,
    .buffer_free = buffer_free,
    .upload = buffer_upload,
    .download = buffer_download,
    .weights_new = cpu_weights_new,
    .weight_free = cpu_weight_free,
    .kv_page_bytes = cpu_kv_page_bytes,
    .submit = device_submit,
    .wait = device_wait,
    .caps =
        {
            [OLL_OP_EMBED] = OLL_CAP_WEIGHTS,       [OLL_OP_NORM] = OLL_CAP_PLAIN,
            [OLL_OP_MATMUL] = OLL_CAP_WEIGHTS,      [OLL_OP_MATMUL_EXPERT] = OLL_CAP_WEIGHTS,
            [OLL_OP_ROPE_TABLE] = OLL_CAP_PLAIN,    [OLL_OP_ROPE] = OLL_CAP_PLAIN,
            [OLL_OP_KV_STORE] = OLL_CAP_CACHES,     [OLL_OP_ATTENTION] = OLL_CAP_CACHES,
            [OLL_OP_GLU] = OLL_CAP_PLAIN,           [OLL_OP_UNARY] = OLL_CAP_PLAIN,
            [OLL_OP_ADD] = OLL_CAP_PLAIN,           [OLL_OP_GATE] = OLL_CAP_PLAIN,
            [OLL_OP_SCALE] = OLL_CAP_PLAIN,         [OLL_OP_QUERY_SCALE] = OLL_CAP_PLAIN,
            [OLL_OP_ROUTER] = OLL_CAP_PLAIN,        [OLL_OP_EXPERT_SUM] = OLL_CAP_PLAIN,
            [OLL_OP_GATHER] = OLL_CAP_PLAIN,        [OLL_OP_POOL] = OLL_CAP_PLAIN,
            [OLL_OP_NORM_MATMUL] = OLL_CAP_WEIGHTS, [OLL_OP_NORM_GLU] = OLL_CAP_WEIGHTS,
        },
};
