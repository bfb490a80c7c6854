/* The KV cache on the CPU: what lies inside a page.
 *
 *   page     | kv head 0 | kv head 1 | ...        each OLL_KV_PAGE positions, contiguous
 *   K head   | [2][head_dim][16]                  value d of position 16 * half + i
 *   V head   | [32][head_dim_pad]                 one row per position
 *   K q8_0   | s8 [2][head_dim][16] | f16 scale [2][head_dim / 32][16]
 *   V q8_0   | s8 [32][head_dim]    | f16 scale [32][head_dim / 32]
 *   K q4_0   | u8 [2][head_dim / 2][16] | scales as above     values d (low half) and d + 1
 *   V q4_0   | u8 [32][head_dim / 2]    | scales as above     blocks as files have them
 *
 * No byte belongs to two positions: workers store the tokens of a page side by side.
 *
 * K is interleaved by 16 positions, so that a dot product of a query with 16 keys is a run of
 * broadcasts and multiply-adds down head_dim without a horizontal sum, and its results lie side by
 * side as softmax wants them. V rows are padded to 16 values (zeros), so that vector kernels need
 * no tails. A token's K touches every second line of its head's block; those lines are read by the
 * attention that follows in any case. */
#ifndef OLL_KERNELS_CPU_KV_H
#define OLL_KERNELS_CPU_KV_H

#include "engine/base/mem.h"
#include "kernels/cpu/cpu_internal.h"

enum { CPU_KV_HALF = 16 /* positions interleaved */, CPU_KV_BLOCK = 32 /* of Q8_0, Q4_0 */ };

static inline uint32_t cpu_kv_pad(uint32_t head_dim)
{
    return (uint32_t)oll_align_up(head_dim, CPU_KV_HALF);
}

static inline bool cpu_kv_is_quantised(enum oll_dtype dtype)
{
    return dtype == OLL_Q8_0 || dtype == OLL_Q4_0;
}

/* Bytes of one kv head in a page. */
static inline size_t cpu_kv_head_bytes(enum oll_dtype dtype, uint32_t head_dim)
{
    size_t n = (size_t)OLL_KV_PAGE * cpu_kv_pad(head_dim);
    switch (dtype) {
    case OLL_F16: return n * 2;
    case OLL_F32: return n * 4;
    case OLL_Q4_0: return n / 2 + n / CPU_KV_BLOCK * 2;
    default: return n + n / CPU_KV_BLOCK * 2;
    }
}

/* Physical page that holds position `pos` of sequence `seq`. */
static inline size_t cpu_kv_page(const struct oll_kv *kv, const int32_t *pages, int32_t seq,
                                 int32_t pos)
{
    size_t col = (uint32_t)pos / OLL_KV_PAGE % kv->n_col;
    return (size_t)pages[(size_t)seq * kv->n_col + col];
}

static inline unsigned char *cpu_kv_k(const struct oll_kv *kv, size_t page, uint32_t head)
{
    size_t head_bytes = cpu_kv_head_bytes(kv->dtype, kv->head_dim_k);
    return cpu_bytes(kv->buf) + kv->k_off + (page * kv->n_head_kv + head) * head_bytes;
}

static inline unsigned char *cpu_kv_v(const struct oll_kv *kv, size_t page, uint32_t head)
{
    size_t head_bytes = cpu_kv_head_bytes(kv->dtype, kv->head_dim_v);
    return cpu_bytes(kv->buf) + kv->v_off + (page * kv->n_head_kv + head) * head_bytes;
}

#endif
