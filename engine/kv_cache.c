#include "engine/kv_cache.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/kv_keep.h"

#include <string.h>

/* ---- layout ---- */

static int group_of(const struct kv_cache *kv, uint32_t window)
{
    for (int i = 0; i < kv->n_group; i++)
        if (kv->groups[i].window == window)
            return i;
    return -1;
}

/* Columns of a ring: the window before the first token of an ubatch and the ubatch itself may begin
 * anywhere in a page, hence one more. */
static uint32_t ring_columns(const struct kv_cache *kv, uint32_t window)
{
    uint64_t n_full = oll_div_up(kv->n_ctx, OLL_KV_PAGE);
    uint64_t n_ring = oll_div_up((uint64_t)window + kv->n_ubatch, OLL_KV_PAGE) + 1;
    return (uint32_t)(n_ring < n_full ? n_ring : n_full);
}

static oll_status lay_out_groups(struct kv_cache *kv, const struct oll_model *model,
                                 struct oll_error *err)
{
    kv->i_full = -1;
    kv->n_col = (uint32_t)oll_div_up(kv->n_ctx, OLL_KV_PAGE);
    for (uint32_t il = 0; il < kv->n_layer; il++) {
        /* A window as wide as the context is none; an encoder masks inside its one pass. */
        uint32_t window = model->hp.layers[il].window;
        if (window >= kv->n_ctx || model_is_encoder(model))
            window = 0;
        const int known = group_of(kv, window);
        kv->layer_group[il] = (uint8_t)(known >= 0 ? known : kv->n_group);
        if (known >= 0)
            continue;
        if (kv->n_group == KV_MAX_GROUPS)
            return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "more than %d different windows",
                            KV_MAX_GROUPS);
        if (window == 0)
            kv->i_full = kv->n_group;
        struct kv_group *g = &kv->groups[kv->n_group++];
        g->window = window;
        g->n_col = window ? ring_columns(kv, window) : kv->n_col;
        /* One more than sequences may hold, for copies. */
        g->n_page = (uint64_t)kv->n_seq * g->n_col + (window != 0);
    }
    return OLL_OK;
}

/* Fills the descriptor of a layer but for its buffers; *n_bytes gets the size of its pages. */
static oll_status lay_out_layer(struct kv_cache *kv, const struct oll_model *model, uint32_t il,
                                uint64_t *n_bytes, struct oll_error *err)
{
    const struct layer_hparams *hp = &model->hp.layers[il];
    const struct oll_device *dev = model->devices[model->placement.layer_device[il]].dev;
    const struct kv_group *g = &kv->groups[kv->layer_group[il]];
    uint64_t k_bytes, v_bytes;
    if (g->n_page > INT32_MAX ||
        !oll_mul_u64(g->n_page, dev->ops->kv_page_bytes(kv->dtype, hp->n_head_kv, hp->head_dim_k),
                     &k_bytes) ||
        !oll_mul_u64(g->n_page, dev->ops->kv_page_bytes(kv->dtype, hp->n_head_kv, hp->head_dim_v),
                     &v_bytes) ||
        !oll_add_u64(k_bytes, v_bytes, n_bytes) || *n_bytes > SIZE_MAX / 2)
        return OLL_FAIL(err, OLL_ERR_LIMIT,
                        "kv cache: %u sequences of %u positions exceed any memory", kv->n_seq,
                        kv->n_ctx);
    kv->layers[il] = (struct oll_kv){.k_off = 0,
                                     .v_off = (size_t)k_bytes,
                                     .dtype = kv->dtype,
                                     .n_page = (uint32_t)g->n_page,
                                     .n_head_kv = hp->n_head_kv,
                                     .head_dim_k = hp->head_dim_k,
                                     .head_dim_v = hp->head_dim_v,
                                     .n_col = g->n_col};
    return OLL_OK;
}

/* Blocks of a quantised cache lie along a head: where heads are no whole blocks it is f16. */
static enum oll_dtype usable_dtype(const struct oll_model *model, enum oll_dtype dtype)
{
    if (model_is_encoder(model))
        return OLL_F32;
    uint32_t n_block = oll_dtype_info((uint32_t)dtype)->block_elements;
    for (uint32_t il = 0; il < model->hp.n_layer; il++)
        if (model->hp.layers[il].head_dim_k % n_block ||
            model->hp.layers[il].head_dim_v % n_block) {
            oll_log_warn("kv", "heads are no whole blocks of %s, the cache is F16",
                         oll_dtype_name((uint32_t)dtype));
            return OLL_F16;
        }
    return dtype;
}

/* The cache without device memory: what plan and allocation both start from. */
static oll_status cache_shape(const struct oll_model *model, const struct kv_params *params,
                              struct kv_cache **out, struct oll_error *err)
{
    oll_status status = OLL_OK;
    struct kv_cache *kv = oll_calloc(1, sizeof *kv);
    if (!kv)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for the kv cache");
    kv->n_ctx = params->n_ctx;
    kv->n_seq = params->n_seq;
    kv->n_ubatch = params->n_ubatch;
    kv->n_layer = model->hp.n_layer;
    kv->dtype = usable_dtype(model, params->dtype);
    kv->layers = oll_calloc(kv->n_layer, sizeof *kv->layers);
    kv->buffers = oll_calloc(kv->n_layer, sizeof *kv->buffers);
    kv->seqs = oll_calloc(kv->n_seq, sizeof *kv->seqs);
    kv->layer_group = oll_calloc(kv->n_layer, sizeof *kv->layer_group);
    if (!kv->layers || !kv->buffers || !kv->seqs || !kv->layer_group) {
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for the kv cache");
        goto done;
    }
    OLL_TRY_DONE(lay_out_groups(kv, model, err));
done:
    if (status == OLL_OK)
        *out = kv;
    else
        kv_cache_free(kv);
    return status;
}

/* Layer whose buffer a layer uses: its own, or in an encoder the first one of the same device and
 * shape. */
static uint32_t buffer_owner(const struct oll_model *model, uint32_t il)
{
    if (!model_is_encoder(model))
        return il;
    for (uint32_t i = 0; i < il; i++)
        if (model->placement.layer_device[i] == model->placement.layer_device[il] &&
            model->hp.layers[i].n_head_kv == model->hp.layers[il].n_head_kv)
            return i;
    return il;
}

/* ---- plan and memory ---- */

oll_status kv_cache_plan(const struct oll_model *model, const struct kv_params *params,
                         struct plan *plan, struct oll_error *err)
{
    oll_status status = OLL_OK;
    struct kv_cache *kv = NULL;
    OLL_TRY(cache_shape(model, params, &kv, err));
    for (uint32_t il = 0; il < kv->n_layer; il++) {
        int i_device = model->placement.layer_device[il];
        uint64_t n_bytes;
        OLL_TRY_DONE(lay_out_layer(kv, model, il, &n_bytes, err));
        if (buffer_owner(model, il) == il)
            plan_add(plan, "kv cache", i_device, n_bytes);
    }
    for (int i = 0; i < kv->n_group; i++)
        for (int d = 0; d < model->placement.n_device; d++)
            plan_add(plan, "kv cache", d,
                     (uint64_t)kv->n_seq * kv->groups[i].n_col * sizeof(int32_t));
done:
    kv_cache_free(kv);
    return status;
}

/* The page tables of a group. What they hold at first is overwritten before it is used. */
static oll_status make_tables(struct kv_cache *kv, const struct oll_model *model,
                              struct kv_group *g, struct oll_error *err)
{
    oll_status status = OLL_OK;
    size_t n = (size_t)kv->n_seq * g->n_col;
    int32_t *pages = oll_alloc(n, sizeof *pages);
    if (!pages)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a page table of %zu pages", n);
    for (size_t i = 0; i < n; i++)
        pages[i] = (int32_t)i;
    for (int d = 0; d < model->placement.n_device; d++) {
        OLL_TRY_DONE(oll_buffer_new(model->devices[d].dev, n * sizeof *pages, &g->tables[d], err));
        OLL_TRY_DONE(oll_buffer_upload(g->tables[d], 0, pages, n * sizeof *pages, err));
    }
done:
    oll_free(pages);
    return status;
}

static oll_status make_layer(struct kv_cache *kv, const struct oll_model *model, uint32_t il,
                             struct oll_error *err)
{
    int i_device = model->placement.layer_device[il];
    uint32_t owner = buffer_owner(model, il);
    uint64_t n_bytes;
    OLL_TRY(lay_out_layer(kv, model, il, &n_bytes, err));
    if (owner == il)
        OLL_TRY(
            oll_buffer_new(model->devices[i_device].dev, (size_t)n_bytes, &kv->buffers[il], err));
    struct kv_group *g = &kv->groups[kv->layer_group[il]];
    kv->layers[il].buf = kv->buffers[owner];
    kv->layers[il].pages = (struct oll_ints){g->tables[i_device], 0, kv->n_seq * g->n_col};
    return OLL_OK;
}

static oll_status make_window(struct kv_cache *kv, struct kv_group *g, struct oll_error *err)
{
    g->rings = oll_calloc((size_t)kv->n_seq * g->n_col, sizeof *g->rings);
    g->spans = oll_calloc(kv->n_seq, sizeof *g->spans);
    if (!g->rings || !g->spans)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a page table of a window");
    return kv_window_new((uint32_t)g->n_page, kv->n_node, &g->win, err);
}

/* An encoder keeps nothing, and has nothing to share. */
static oll_status make_tree(struct kv_cache *kv, const struct oll_model *model,
                            struct oll_error *err)
{
    const uint64_t n_node = (uint64_t)kv->n_seq * kv->n_col;
    if (model_is_encoder(model))
        return OLL_OK;
    if (n_node > INT32_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "%u sequences of %u positions exceed any memory",
                        kv->n_seq, kv->n_ctx);
    kv->n_node = (uint32_t)n_node;
    kv->table = oll_calloc(kv->n_node, sizeof *kv->table);
    if (!kv->table)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a page table of %u pages", kv->n_node);
    for (int i = 0; i < kv->n_group; i++)
        if (kv->groups[i].window)
            OLL_TRY(make_window(kv, &kv->groups[i], err));
    OLL_TRY(kv_tree_new(kv->n_node, &kv->tree, err));
    kv_tree_watch(kv->tree, kv_cache_forget, kv);
    return OLL_OK;
}

oll_status kv_cache_new(const struct oll_model *model, const struct kv_params *params,
                        struct kv_cache **out, struct oll_error *err)
{
    oll_status status = OLL_OK;
    struct kv_cache *kv = NULL;
    OLL_TRY(cache_shape(model, params, &kv, err));
    for (int i = 0; i < kv->n_group; i++)
        OLL_TRY_DONE(make_tables(kv, model, &kv->groups[i], err));
    for (uint32_t il = 0; il < kv->n_layer; il++)
        OLL_TRY_DONE(make_layer(kv, model, il, err));
    OLL_TRY_DONE(make_tree(kv, model, err));
done:
    if (status == OLL_OK)
        *out = kv;
    else
        kv_cache_free(kv);
    return status;
}

void kv_cache_free(struct kv_cache *kv)
{
    if (!kv)
        return;
    kv_keep_close(kv);
    for (uint32_t il = 0; kv->buffers && il < kv->n_layer; il++)
        oll_buffer_free(kv->buffers[il]);
    for (int i = 0; i < kv->n_group; i++) {
        struct kv_group *g = &kv->groups[i];
        for (int d = 0; d < PLACEMENT_MAX_DEVICES; d++)
            oll_buffer_free(g->tables[d]);
        kv_window_free(g->win);
        oll_free(g->rings);
        oll_free(g->spans);
    }
    oll_free(kv->buffers);
    oll_free(kv->layers);
    oll_free(kv->seqs);
    oll_free(kv->layer_group);
    kv_tree_free(kv->tree);
    oll_free(kv->table);
    oll_free(kv);
}

/* ---- sequences ---- */

oll_status kv_cache_store(struct kv_cache *kv, uint32_t seq, uint32_t n, struct oll_error *err)
{
    return kv->tree ? kv_cache_reserve(kv, seq, kv->seqs[seq].n + n, err) : OLL_OK;
}

void kv_cache_commit(struct kv_cache *kv, uint32_t seq, uint32_t n) { kv->seqs[seq].n += n; }

bool kv_cache_truncate(struct kv_cache *kv, uint32_t seq, uint32_t n)
{
    if (kv->tree)
        return kv_cache_cut(kv, seq, n);
    if (n < kv->seqs[seq].n)
        kv->seqs[seq].n = n;
    return true;
}
