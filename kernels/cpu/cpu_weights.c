/* Weights of the CPU backend: repacking at load, and rows read back for embeddings.
 *
 * All workers repack one tensor at a time, each the panels that it will stream in decoding (first
 * touch). Two matrices of the same shape that are uploaded together (gate and up) lie panel by
 * panel side by side, so that the product of both reads one stream. Types without a panel layout
 * stay in the caller's memory. */
#include "engine/base/mem.h"
#include "kernels/cpu/cpu_internal.h"
#include "kernels/cpu/cpu_matmul.h"
#include "kernels/quant.h"

#include <string.h>

/* Memory of one upload: shared by the weights that are interleaved in it. */
struct cpu_weight_store {
    uint32_t n_users;
    uint8_t *data;
};

struct pack_job {
    const struct oll_weight_source *src;
    const struct cpu_panel *panel;
    uint8_t *data;
    size_t row_bytes, panel_bytes, panel_stride;
    uint32_t panels_per_expert;
};

static void pack_panel(const struct pack_job *job, uint32_t i)
{
    const struct oll_weight_source *src = job->src;
    const uint32_t first = i % job->panels_per_expert * CPU_PANEL_ROWS;
    const uint8_t *matrix = (const uint8_t *)src->data +
                            (size_t)(i / job->panels_per_expert) * src->n_out * job->row_bytes;
    const uint8_t *rows[CPU_PANEL_ROWS];
    for (uint32_t r = 0; r < CPU_PANEL_ROWS; r++)
        rows[r] = first + r < src->n_out ? matrix + (size_t)(first + r) * job->row_bytes : NULL;
    job->panel->pack(rows, src->n_in, job->data + (size_t)i * job->panel_stride);
}

static void pack_share(void *ctx, uint32_t ith, uint32_t nth)
{
    const struct pack_job *job = ctx;
    const uint64_t n = (uint64_t)job->panels_per_expert * job->src->n_expert;
    for (uint32_t i = (uint32_t)(n * ith / nth); i < n * (ith + 1) / nth; i++)
        pack_panel(job, i);
}

static struct cpu_weight *weight_new(struct oll_device *dev, const struct oll_weight_source *src)
{
    struct cpu_weight *w = oll_calloc(1, sizeof *w);
    if (w)
        w->base = (struct oll_weight){.dev = dev,
                                      .dtype = src->dtype,
                                      .n_in = src->n_in,
                                      .n_out = src->n_out,
                                      .n_expert = src->n_expert,
                                      .precise = src->precise};
    return w;
}

/* Uses the rows where they are. */
static void borrow(struct cpu_weight *w, const struct oll_weight_source *src)
{
    const size_t row_bytes = oll_dtype_row_bytes(src->dtype, src->n_in);
    w->data = src->data;
    w->panel_bytes = w->panel_stride = row_bytes * CPU_PANEL_ROWS;
    w->expert_stride = row_bytes * src->n_out;
    w->base.borrows_source = true;
}

/* Packs n weights of one shape into one block of memory, panels side by side. */
static oll_status pack_group(struct cpu_device *dev, const struct cpu_panel *panel,
                             const struct oll_weight_source *src, uint32_t n, struct cpu_weight **w,
                             struct oll_error *err)
{
    const size_t panel_bytes = cpu_panel_bytes(panel, src->n_in);
    const uint32_t n_panel = (src->n_out + CPU_PANEL_ROWS - 1u) / CPU_PANEL_ROWS;
    size_t bytes;
    struct cpu_weight_store *store = oll_calloc(1, sizeof *store);
    if (!store || !oll_mul_size(panel_bytes * n, (size_t)n_panel * src->n_expert, &bytes) ||
        (!dev->base.is_dry && !(store->data = oll_alloc_aligned(bytes)))) {
        oll_free(store);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "%s: no memory for its panels", src->name);
    }
    store->n_users = n;
    if (dev->base.is_dry)
        oll_mem_claim((int64_t)bytes);
    for (uint32_t i = 0; i < n; i++) {
        struct pack_job job = {
            .src = &src[i],
            .panel = panel,
            .data = store->data ? store->data + i * panel_bytes : NULL,
            .row_bytes = oll_dtype_row_bytes(src->dtype, src->n_in),
            .panel_bytes = panel_bytes,
            .panel_stride = n * panel_bytes,
            .panels_per_expert = n_panel,
        };
        if (!dev->base.is_dry)
            cpu_pool_run(dev->pool, 0, pack_share, &job);
        w[i]->panel = panel;
        w[i]->store = store;
        w[i]->data = job.data;
        w[i]->panel_bytes = panel_bytes;
        w[i]->panel_stride = job.panel_stride;
        w[i]->expert_stride = job.panel_stride * n_panel;
        w[i]->base.device_bytes = bytes / n;
    }
    return OLL_OK;
}

static bool is_pair(const struct oll_weight_source *src, int n)
{
    return n == 2 && src[0].dtype == src[1].dtype && src[0].n_in == src[1].n_in &&
           src[0].n_out == src[1].n_out && src[0].n_expert == src[1].n_expert;
}

static oll_status fill(struct cpu_device *dev, const struct oll_weight_source *src, int n,
                       struct cpu_weight **w, struct oll_error *err)
{
    const struct cpu_panel *first = cpu_panel_of(src[0].dtype);
    if (first && is_pair(src, n))
        return pack_group(dev, first, src, 2, w, err);
    for (int i = 0; i < n; i++) {
        const struct cpu_panel *panel = cpu_panel_of(src[i].dtype);
        if (panel)
            OLL_TRY(pack_group(dev, panel, &src[i], 1, &w[i], err));
        else
            borrow(w[i], &src[i]);
    }
    return OLL_OK;
}

oll_status cpu_weights_new(struct oll_device *dev, const struct oll_weight_source *src, int n,
                           struct oll_weight **out, struct oll_error *err)
{
    struct cpu_weight **w = oll_calloc((size_t)n, sizeof(struct cpu_weight *));
    oll_status status = OLL_OK;
    for (int i = 0; w && i < n; i++) {
        w[i] = weight_new(dev, &src[i]);
        if (!w[i])
            status = OLL_ERR_MEMORY;
    }
    if (!w || status != OLL_OK)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "%s: no memory for a weight", src[0].name);
    else
        status = fill((struct cpu_device *)(void *)dev, src, n, w, err);
    for (int i = 0; w && i < n; i++) {
        if (status == OLL_OK)
            out[i] = &w[i]->base;
        else if (w[i])
            cpu_weight_free(&w[i]->base);
    }
    oll_free(w);
    return status;
}

void cpu_weight_free(struct oll_weight *base)
{
    struct cpu_weight *w = (struct cpu_weight *)(void *)base;
    if (w->store && --w->store->n_users == 0) {
        oll_free_aligned(w->store->data);
        oll_free(w->store);
    }
    oll_free(w);
}

/* Weights unpacked at a time: whole units of every layout, small enough for the stack. */
enum { ROW_PIECE = 512 };

void cpu_weight_row(const struct oll_weight *base, uint32_t row, float *dst)
{
    const struct cpu_weight *w = cpu_weight_of(base);
    if (!w->panel) {
        const size_t row_bytes = w->panel_bytes / CPU_PANEL_ROWS;
        oll_dequantize_row(base->dtype, w->data + row * row_bytes, dst, base->n_in);
        return;
    }
    const struct cpu_panel *p = w->panel;
    const uint8_t *panel = w->data + row / CPU_PANEL_ROWS * w->panel_stride;
    const size_t piece_bytes =
        ROW_PIECE / ((size_t)p->k * p->subs) * (p->head + (size_t)p->subs * p->sub);
    for (uint32_t k = 0; k < base->n_in; k += ROW_PIECE, panel += piece_bytes) {
        uint8_t block[ROW_PIECE * 4];
        const uint32_t n = base->n_in - k < ROW_PIECE ? base->n_in - k : ROW_PIECE;
        p->unpack(panel, row % CPU_PANEL_ROWS, n, block);
        oll_dequantize_row(base->dtype, block, dst + k, n);
    }
}
