/* What a page of a group holds, in all layers of it: K and V of the first layer, then of the next.
 * It goes through host memory: the devices are idle between passes. */
#include "engine/kv_cache.h"

#include "engine/base/mem.h"

static size_t area_bytes(const struct oll_kv *layer, uint32_t head_dim)
{
    return layer->buf->dev->ops->kv_page_bytes(layer->dtype, layer->n_head_kv, head_dim);
}

static bool is_in(const struct kv_cache *kv, int group, uint32_t il)
{
    return kv->layer_group[il] == group;
}

size_t kv_page_bytes(const struct kv_cache *kv, int group)
{
    size_t n = 0;
    for (uint32_t il = 0; il < kv->n_layer; il++)
        if (is_in(kv, group, il))
            n += area_bytes(&kv->layers[il], kv->layers[il].head_dim_k) +
                 area_bytes(&kv->layers[il], kv->layers[il].head_dim_v);
    return n;
}

oll_status kv_page_download(const struct kv_cache *kv, int group, int32_t page, void *to)
{
    unsigned char *p = to;
    for (uint32_t il = 0; il < kv->n_layer; il++) {
        const struct oll_kv *l = &kv->layers[il];
        if (!is_in(kv, group, il))
            continue;
        const size_t k = area_bytes(l, l->head_dim_k), v = area_bytes(l, l->head_dim_v);
        OLL_TRY(oll_buffer_download(l->buf, l->k_off + (size_t)page * k, p, k, NULL));
        OLL_TRY(oll_buffer_download(l->buf, l->v_off + (size_t)page * v, p + k, v, NULL));
        p += k + v;
    }
    return OLL_OK;
}

oll_status kv_page_upload(struct kv_cache *kv, int group, int32_t page, const void *from)
{
    const unsigned char *p = from;
    for (uint32_t il = 0; il < kv->n_layer; il++) {
        const struct oll_kv *l = &kv->layers[il];
        if (!is_in(kv, group, il))
            continue;
        const size_t k = area_bytes(l, l->head_dim_k), v = area_bytes(l, l->head_dim_v);
        OLL_TRY(oll_buffer_upload(l->buf, l->k_off + (size_t)page * k, p, k, NULL));
        OLL_TRY(oll_buffer_upload(l->buf, l->v_off + (size_t)page * v, p + k, v, NULL));
        p += k + v;
    }
    return OLL_OK;
}

bool kv_page_copy(struct kv_cache *kv, int group, int32_t to, int32_t from)
{
    void *stage = oll_alloc(kv_page_bytes(kv, group), 1);
    const bool ok = stage && kv_page_download(kv, group, from, stage) == OLL_OK &&
                    kv_page_upload(kv, group, to, stage) == OLL_OK;
    oll_free(stage);
    return ok;
}
