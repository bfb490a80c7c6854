/* Loads from pages of the KV cache (layout: cpu_kv.h), whatever they hold, as vectors of f32. The
 * type is a constant where these are inlined. A quantised value is integer times scale, rounded
 * once, on every level. Included by cpu_attention_impl.h. */
#ifndef OLL_KERNELS_CPU_ATTENTION_PAGE_H
#define OLL_KERNELS_CPU_ATTENTION_PAGE_H

#include "kernels/cpu/cpu_kv.h"
#include "kernels/cpu/cpu_vec.h"

enum att_type { ATT_F32, ATT_F16, ATT_Q8_0, ATT_Q4_0 };

CPU_INLINE bool att_is_quantised(enum att_type type) { return type >= ATT_Q8_0; }

/* Bytes of 16 values, without their scales. */
CPU_INLINE size_t att_bytes(enum att_type type)
{
    return type == ATT_F32 ? 64 : type == ATT_F16 ? 32 : type == ATT_Q8_0 ? 16 : 8;
}

/* Scales of a head's block: they follow the integers of its 32 positions. */
CPU_INLINE const uint16_t *att_scales(enum att_type type, const void *page, uint32_t n)
{
    return (const uint16_t *)page + OLL_KV_PAGE / CPU_KV_HALF * n * att_bytes(type) / 2;
}

/* VW keys of a page, from slot `slot` on. */
struct att_key {
    const unsigned char *p;
    const uint16_t *scales;
    vf scale;
};

CPU_INLINE struct att_key att_key_at(enum att_type type, const void *page, uint32_t n,
                                     uint32_t slot)
{
    const uint32_t half = slot / CPU_KV_HALF, i = slot % CPU_KV_HALF;
    const size_t size = type == ATT_F32 ? sizeof(float) : type == ATT_F16 ? sizeof(uint16_t) : 1;
    struct att_key key = {.p = (const unsigned char *)page + half * n * att_bytes(type) + i * size};
    if (att_is_quantised(type))
        key.scales = att_scales(type, page, n) + half * (n / CPU_KV_BLOCK) * CPU_KV_HALF + i;
    return key;
}

/* Value d of the keys; d is to go up from 0 one by one. */
CPU_INLINE vf att_key_load(enum att_type type, struct att_key *key, uint32_t d)
{
    const unsigned char *p = key->p + (size_t)d * att_bytes(type);
    if (att_is_quantised(type) && d % CPU_KV_BLOCK == 0)
        key->scale = vf_load_f16(key->scales + d / CPU_KV_BLOCK * CPU_KV_HALF);
    switch (type) {
    case ATT_F32: return vf_load((const float *)(const void *)p);
    case ATT_F16: return vf_load_f16((const uint16_t *)(const void *)p);
    case ATT_Q8_0: return vf_mul(vf_load_s8((const int8_t *)p), key->scale);
    /* Two values share a byte; p of the odd one lies 8 bytes on. */
    default: return vf_mul(vf_load_u4(p - d % 2 * att_bytes(type), d % 2 * 4), key->scale);
    }
}

/* Values d .. d + VW of the V row in slot `slot`. */
CPU_INLINE vf att_value_load(enum att_type type, const void *page, uint32_t n, uint32_t slot,
                             uint32_t d)
{
    const size_t at = (size_t)slot * n + d;
    if (type == ATT_F32)
        return vf_load((const float *)page + at);
    if (type == ATT_F16)
        return vf_load_f16((const uint16_t *)page + at);
    const vf scale = vf_set1_f16(att_scales(type, page, n) + at / CPU_KV_BLOCK);
    if (type == ATT_Q8_0)
        return vf_mul(vf_load_s8((const int8_t *)page + at), scale);
    /* The first 16 values of a block are its low halves. */
    const size_t in_block = at % CPU_KV_BLOCK, half = in_block / CPU_KV_HALF;
    const unsigned char *p = (const unsigned char *)page + at / CPU_KV_BLOCK * CPU_KV_HALF;
    return vf_mul(vf_load_u4(p + in_block % CPU_KV_HALF, (uint32_t)half * 4), scale);
}

/* A head's blocks of a quantised page as those of an f32 page: k [32 * n_k], v [32 * n_v]. */
CPU_INLINE void att_expand(enum att_type type, const void *page_k, uint32_t n_k, float *k,
                           const void *page_v, uint32_t n_v, float *v)
{
    for (uint32_t slot = 0; slot < OLL_KV_PAGE; slot += VW) {
        struct att_key key = att_key_at(type, page_k, n_k, slot);
        float *dst = k + (size_t)(slot / CPU_KV_HALF) * n_k * CPU_KV_HALF + slot % CPU_KV_HALF;
        for (uint32_t d = 0; d < n_k; d++)
            vf_store(dst + (size_t)d * CPU_KV_HALF, att_key_load(type, &key, d));
    }
    for (uint32_t slot = 0; slot < OLL_KV_PAGE; slot++)
        for (uint32_t d = 0; d < n_v; d += VW)
            vf_store(v + (size_t)slot * n_v + d, att_value_load(type, page_v, n_v, slot, d));
}

#endif
