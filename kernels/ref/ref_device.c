/* Memory and command lists of the `ref` device.
 *
 * Regions are PROT_NONE except inside upload, download and wait. A list runs in wait, not in
 * submit: an engine that reads results early, or changes the list or its operands before wait
 * returns, gets wrong numbers here just as it would on an asynchronous device. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "kernels/ref/ref.h"

#include "engine/base/mem.h"
#include "kernels/backends.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- regions ---- */

static oll_status region_new(struct ref_device *ref, struct ref_region *region, size_t n_bytes,
                             struct oll_error *err)
{
    size_t n_page = (size_t)sysconf(_SC_PAGESIZE);
    if (n_bytes > SIZE_MAX / 2)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "device ref: no memory for %zu bytes", n_bytes);
    size_t n_page_bytes = oll_align_up(n_bytes ? n_bytes : 1, n_page);
    if (ref->base.is_dry) {
        *region = (struct ref_region){.n_page_bytes = n_page_bytes};
        oll_mem_claim((int64_t)n_page_bytes);
        return OLL_OK;
    }
    char *map =
        mmap(NULL, n_page_bytes + 2 * n_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "device ref: no memory for %zu bytes", n_bytes);
    oll_mem_claim((int64_t)n_page_bytes);
    region->pages = map + n_page;
    region->n_page_bytes = n_page_bytes;
    region->data = region->pages + ((n_page_bytes - n_bytes) & ~(size_t)63);
    region->next = &ref->regions;
    region->prev = ref->regions.prev;
    region->prev->next = region;
    ref->regions.prev = region;
    return OLL_OK;
}

static void region_free(struct ref_region *region)
{
    size_t n_page = (size_t)sysconf(_SC_PAGESIZE);
    oll_mem_claim(-(int64_t)region->n_page_bytes);
    if (!region->pages)
        return;
    region->prev->next = region->next;
    region->next->prev = region->prev;
    munmap(region->pages - n_page, region->n_page_bytes + 2 * n_page);
}

static oll_status region_protect(const struct ref_region *region, int protection,
                                 struct oll_error *err)
{
    if (mprotect(region->pages, region->n_page_bytes, protection) != 0)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "device ref: mprotect of %zu bytes failed",
                        region->n_page_bytes);
    return OLL_OK;
}

static oll_status protect_all(struct ref_device *ref, int protection, struct oll_error *err)
{
    for (struct ref_region *r = ref->regions.next; r != &ref->regions; r = r->next)
        OLL_TRY(region_protect(r, protection, err));
    return OLL_OK;
}

static oll_status check_idle(const struct ref_device *ref, const char *what, struct oll_error *err)
{
    if (ref->pending)
        return OLL_FAIL(err, OLL_ERR_BUSY, "device ref: %s between submit and wait", what);
    return OLL_OK;
}

oll_status ref_scratch(struct ref_device *ref, enum ref_slot slot, size_t n_bytes, void **out,
                       struct oll_error *err)
{
    if (ref->slots[slot].n_bytes < n_bytes) {
        void *data = oll_alloc_aligned(n_bytes);
        if (!data)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "device ref: no memory for %zu bytes of scratch",
                            n_bytes);
        oll_free_aligned(ref->slots[slot].data);
        ref->slots[slot].data = data;
        ref->slots[slot].n_bytes = n_bytes;
    }
    *out = ref->slots[slot].data;
    return OLL_OK;
}

/* ---- the device's functions ---- */

static oll_status ref_open(const struct oll_device_params *params, struct oll_device **out,
                           struct oll_error *err)
{
    struct ref_device *ref = oll_calloc(1, sizeof *ref);
    if (!ref)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "device ref: no memory");
    /* One thread, nothing to choose. */
    ref->base = (struct oll_device){
        .ops = &oll_ref_device_ops, .n_threads = 1, .is_dry = params && params->dry};
    ref->regions.prev = ref->regions.next = &ref->regions;
    *out = &ref->base;
    return OLL_OK;
}

static void ref_close(struct oll_device *dev)
{
    struct ref_device *ref = (struct ref_device *)dev;
    /* A buffer or weight that outlives its device would point to freed memory. */
    OLL_ASSERT(ref->regions.next == &ref->regions);
    for (int slot = 0; slot < REF_SLOT_COUNT; slot++)
        oll_free_aligned(ref->slots[slot].data);
    oll_free(ref);
}

static oll_status ref_buffer_new(struct oll_device *dev, size_t n_bytes, struct oll_buffer **out,
                                 struct oll_error *err)
{
    struct ref_buffer *buf = oll_calloc(1, sizeof *buf);
    if (!buf)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "device ref: no memory");
    oll_status status = region_new((struct ref_device *)dev, &buf->region, n_bytes, err);
    if (status != OLL_OK) {
        oll_free(buf);
        return status;
    }
    buf->base = (struct oll_buffer){.dev = dev, .n_bytes = n_bytes};
    *out = &buf->base;
    return OLL_OK;
}

static void ref_buffer_free(struct oll_buffer *base)
{
    struct ref_buffer *buf = (struct ref_buffer *)base;
    region_free(&buf->region);
    oll_free(buf);
}

static oll_status ref_upload(struct oll_buffer *base, size_t off_bytes, const void *src,
                             size_t n_bytes, struct oll_error *err)
{
    const struct ref_region *region = &((struct ref_buffer *)base)->region;
    OLL_TRY(check_idle((struct ref_device *)base->dev, "upload", err));
    OLL_TRY(region_protect(region, PROT_READ | PROT_WRITE, err));
    memcpy(region->data + off_bytes, src, n_bytes);
    return region_protect(region, PROT_NONE, err);
}

static oll_status ref_download(const struct oll_buffer *base, size_t off_bytes, void *dst,
                               size_t n_bytes, struct oll_error *err)
{
    const struct ref_region *region = &((const struct ref_buffer *)base)->region;
    OLL_TRY(check_idle((struct ref_device *)base->dev, "download", err));
    OLL_TRY(region_protect(region, PROT_READ, err));
    memcpy(dst, region->data + off_bytes, n_bytes);
    return region_protect(region, PROT_NONE, err);
}

static void ref_weight_free(struct oll_weight *base)
{
    struct ref_weight *w = (struct ref_weight *)base;
    region_free(&w->region);
    oll_free(w);
}

/* Copies the rows as they are in the file. */
static oll_status weight_new(struct oll_device *dev, const struct oll_weight_source *src,
                             struct oll_weight **out, struct oll_error *err)
{
    size_t n_bytes = oll_dtype_row_bytes(src->dtype, src->n_in) * src->n_out * src->n_expert;
    struct ref_weight *w = oll_calloc(1, sizeof *w);
    if (!w)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "device ref: no memory");
    oll_status status = region_new((struct ref_device *)dev, &w->region, n_bytes, err);
    if (status != OLL_OK) {
        oll_free(w);
        return status;
    }
    w->base = (struct oll_weight){.dev = dev,
                                  .dtype = src->dtype,
                                  .n_in = src->n_in,
                                  .n_out = src->n_out,
                                  .n_expert = src->n_expert,
                                  .device_bytes = w->region.n_page_bytes};
    if (!dev->is_dry) {
        OLL_TRY_DONE(region_protect(&w->region, PROT_READ | PROT_WRITE, err));
        memcpy(w->region.data, src->data, n_bytes);
        OLL_TRY_DONE(region_protect(&w->region, PROT_NONE, err));
    }
    *out = &w->base;
done:
    if (status != OLL_OK)
        ref_weight_free(&w->base);
    return status;
}

static oll_status ref_weights_new(struct oll_device *dev, const struct oll_weight_source *src,
                                  int n, struct oll_weight **out, struct oll_error *err)
{
    for (int i = 0; i < n; i++) {
        oll_status status = weight_new(dev, &src[i], &out[i], err);
        if (status == OLL_OK)
            continue;
        oll_error_prefix(err, "tensor %s", src[i].name);
        while (i-- > 0) {
            ref_weight_free(out[i]);
            out[i] = NULL;
        }
        return status;
    }
    return OLL_OK;
}

static oll_status ref_submit(struct oll_device *dev, const struct oll_cmd *cmd,
                             struct oll_error *err)
{
    struct ref_device *ref = (struct ref_device *)dev;
    OLL_TRY(check_idle(ref, "a second submit", err));
    ref->pending = cmd;
    return OLL_OK;
}

static oll_status run_op(struct ref_device *ref, const struct oll_op *op, struct oll_error *err)
{
    switch (op->kind) {
#define X(upper, lower)                                                                            \
    case OLL_OP_##upper: return ref_##lower(ref, &op->lower, err);
        OLL_OP_LIST(X)
#undef X
    case OLL_OP_COUNT: break;
    }
    return OLL_FAIL(err, OLL_ERR_INTERNAL, "no such op");
}

static oll_status run_list(struct ref_device *ref, const struct oll_cmd *cmd, struct oll_error *err)
{
    for (uint32_t i = 0; i < cmd->n_op; i++) {
        if (cmd->abort && atomic_load_explicit(cmd->abort, memory_order_relaxed))
            return OLL_FAIL(err, OLL_ERR_CANCELED, "device ref: canceled before op %u of %u", i,
                            cmd->n_op);
        oll_status status = run_op(ref, &cmd->ops[i], err);
        if (status != OLL_OK) {
            oll_error_prefix(err, "op %u (%s)", i, oll_op_name(cmd->ops[i].kind));
            return status;
        }
    }
    return OLL_OK;
}

static oll_status ref_wait(struct oll_device *dev, struct oll_error *err)
{
    struct ref_device *ref = (struct ref_device *)dev;
    const struct oll_cmd *cmd = ref->pending;
    if (!cmd)
        return OLL_OK;
    ref->pending = NULL;
    if (dev->is_dry)
        return OLL_OK;
    oll_status status = protect_all(ref, PROT_READ | PROT_WRITE, err);
    if (status == OLL_OK)
        status = run_list(ref, cmd, err);
    oll_status closed = protect_all(ref, PROT_NONE, err);
    return status != OLL_OK ? status : closed;
}

const struct oll_device_ops oll_ref_device_ops = {
    .name = "ref",
    .open = ref_open,
    .close = ref_close,
    .buffer_new = ref_buffer_new,
    .buffer_free = ref_buffer_free,
    .upload = ref_upload,
    .download = ref_download,
    .weights_new = ref_weights_new,
    .weight_free = ref_weight_free,
    .kv_page_bytes = ref_kv_page_bytes,
    .submit = ref_submit,
    .wait = ref_wait,
    .caps = {[OLL_OP_EMBED] = OLL_CAP_WEIGHTS,       [OLL_OP_NORM] = OLL_CAP_PLAIN,
             [OLL_OP_MATMUL] = OLL_CAP_WEIGHTS,      [OLL_OP_MATMUL_EXPERT] = OLL_CAP_WEIGHTS,
             [OLL_OP_ROPE_TABLE] = OLL_CAP_PLAIN,    [OLL_OP_ROPE] = OLL_CAP_PLAIN,
             [OLL_OP_KV_STORE] = OLL_CAP_CACHES,     [OLL_OP_ATTENTION] = OLL_CAP_CACHES,
             [OLL_OP_GLU] = OLL_CAP_PLAIN,           [OLL_OP_UNARY] = OLL_CAP_PLAIN,
             [OLL_OP_ADD] = OLL_CAP_PLAIN,           [OLL_OP_GATE] = OLL_CAP_PLAIN,
             [OLL_OP_SCALE] = OLL_CAP_PLAIN,         [OLL_OP_QUERY_SCALE] = OLL_CAP_PLAIN,
             [OLL_OP_ROUTER] = OLL_CAP_PLAIN,        [OLL_OP_EXPERT_SUM] = OLL_CAP_PLAIN,
             [OLL_OP_GATHER] = OLL_CAP_PLAIN,        [OLL_OP_POOL] = OLL_CAP_PLAIN,
             [OLL_OP_NORM_MATMUL] = OLL_CAP_WEIGHTS, [OLL_OP_NORM_GLU] = OLL_CAP_WEIGHTS},
};
