#include "kernels/cpu/cpu_kv.h"

#include "kernels/quant.h"

#include <string.h>

size_t cpu_kv_page_bytes(enum oll_dtype dtype, uint32_t n_head_kv, uint32_t head_dim)
{
    return n_head_kv * cpu_kv_head_bytes(dtype, head_dim);
}

/* Values are rounded a piece at a time on the stack before they are spread over the page. */
enum { PIECE = 64 };

static void store_k_f16(const struct cpu_kernels *k, const float *src, uint32_t n, uint32_t slot,
                        uint16_t *dst)
{
    uint16_t piece[PIECE];
    dst += slot / CPU_KV_HALF * n * CPU_KV_HALF + slot % CPU_KV_HALF;
    for (uint32_t d = 0; d < n; d += PIECE) {
        uint32_t n_piece = n - d < PIECE ? n - d : PIECE;
        k->to_f16(src + d, piece, n_piece);
        for (uint32_t i = 0; i < n_piece; i++)
            dst[(d + i) * CPU_KV_HALF] = piece[i];
    }
}

static void store_k_f32(const float *src, uint32_t n, uint32_t slot, float *dst)
{
    dst += slot / CPU_KV_HALF * n * CPU_KV_HALF + slot % CPU_KV_HALF;
    for (uint32_t d = 0; d < n; d++)
        dst[d * CPU_KV_HALF] = src[d];
}

static uint16_t *scales_of(unsigned char *block, uint32_t n)
{
    return (uint16_t *)(void *)(block + (size_t)OLL_KV_PAGE * n);
}

static void store_k_q8_0(const float *src, uint32_t n, uint32_t slot, unsigned char *dst)
{
    uint32_t half = slot / CPU_KV_HALF, i = slot % CPU_KV_HALF, n_block = n / CPU_KV_BLOCK;
    uint16_t *scales = scales_of(dst, n) + half * n_block * CPU_KV_HALF + i;
    dst += half * n * CPU_KV_HALF + i;
    for (uint32_t b = 0; b < n_block; b++) {
        struct block_q8_0 block;
        oll_quantize_row(OLL_Q8_0, src + b * CPU_KV_BLOCK, &block, CPU_KV_BLOCK);
        scales[b * CPU_KV_HALF] = block.d;
        for (uint32_t d = 0; d < CPU_KV_BLOCK; d++)
            dst[(b * CPU_KV_BLOCK + d) * CPU_KV_HALF] = (unsigned char)block.qs[d];
    }
}

static void store_v_q8_0(const float *src, uint32_t n, uint32_t slot, unsigned char *dst)
{
    uint32_t n_block = n / CPU_KV_BLOCK;
    uint16_t *scales = scales_of(dst, n) + slot * n_block;
    dst += slot * n;
    for (uint32_t b = 0; b < n_block; b++) {
        struct block_q8_0 block;
        oll_quantize_row(OLL_Q8_0, src + b * CPU_KV_BLOCK, &block, CPU_KV_BLOCK);
        scales[b] = block.d;
        memcpy(dst + b * CPU_KV_BLOCK, block.qs, CPU_KV_BLOCK);
    }
}

static void store_k_q4_0(const float *src, uint32_t n, uint32_t slot, unsigned char *dst)
{
    uint32_t half = slot / CPU_KV_HALF, i = slot % CPU_KV_HALF, n_block = n / CPU_KV_BLOCK;
    uint16_t *scales = scales_of(dst, n / 2) + half * n_block * CPU_KV_HALF + i;
    dst += half * n / 2 * CPU_KV_HALF + i;
    for (uint32_t b = 0; b < n_block; b++) {
        struct block_q4_0 block;
        oll_quantize_row(OLL_Q4_0, src + b * CPU_KV_BLOCK, &block, CPU_KV_BLOCK);
        scales[b * CPU_KV_HALF] = block.d;
        /* A block's low halves are its first 16 values: here neighbours share a byte. */
        for (uint32_t d = 0; d < CPU_KV_BLOCK; d += 2) {
            uint32_t at = d % CPU_KV_HALF, shift = d / CPU_KV_HALF * 4;
            uint32_t low = block.qs[at] >> shift & 15, high = block.qs[at + 1] >> shift & 15;
            dst[(b * CPU_KV_BLOCK + d) / 2 * CPU_KV_HALF] = (unsigned char)(low | high << 4);
        }
    }
}

static void store_v_q4_0(const float *src, uint32_t n, uint32_t slot, unsigned char *dst)
{
    uint32_t n_block = n / CPU_KV_BLOCK;
    uint16_t *scales = scales_of(dst, n / 2) + slot * n_block;
    dst += slot * n / 2;
    for (uint32_t b = 0; b < n_block; b++) {
        struct block_q4_0 block;
        oll_quantize_row(OLL_Q4_0, src + b * CPU_KV_BLOCK, &block, CPU_KV_BLOCK);
        scales[b] = block.d;
        memcpy(dst + b * sizeof block.qs, block.qs, sizeof block.qs);
    }
}

static void store_head(const struct cpu_worker *w, const struct op_kv_store *op, uint32_t t,
                       uint32_t head, size_t page, uint32_t slot)
{
    const struct oll_kv *kv = &op->kv;
    uint32_t n_k = kv->head_dim_k, n_v = kv->head_dim_v;
    const float *k = cpu_mat_row(&op->k, t) + (size_t)head * n_k;
    const float *v = cpu_mat_row(&op->v, t) + (size_t)head * n_v;
    void *k_dst = cpu_kv_k(kv, page, head), *v_dst = cpu_kv_v(kv, page, head);
    switch (kv->dtype) {
    case OLL_F16:
        store_k_f16(w->k, k, n_k, slot, k_dst);
        w->k->to_f16(v, (uint16_t *)v_dst + (size_t)slot * cpu_kv_pad(n_v), n_v);
        break;
    case OLL_F32:
        store_k_f32(k, n_k, slot, k_dst);
        memcpy((float *)v_dst + (size_t)slot * cpu_kv_pad(n_v), v, n_v * sizeof *v);
        break;
    case OLL_Q4_0:
        store_k_q4_0(k, n_k, slot, k_dst);
        store_v_q4_0(v, n_v, slot, v_dst);
        break;
    default:
        store_k_q8_0(k, n_k, slot, k_dst);
        store_v_q8_0(v, n_v, slot, v_dst);
        break;
    }
}

void cpu_plan_kv_store(const struct cpu_device *dev, const struct op_kv_store *op,
                       struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = (size_t)op->k.rows * (op->k.cols + op->v.cols) <= 4096;
}

void cpu_run_kv_store(struct cpu_worker *w, const struct op_kv_store *op)
{
    const struct oll_kv *kv = &op->kv;
    const int32_t *pos = cpu_ints(&op->pos), *seq = cpu_ints(&op->seq);
    const int32_t *pages = cpu_ints(&kv->pages);
    /* Whole pages of consecutive tokens stay with one worker. */
    struct cpu_range range = cpu_worker_range(w, op->k.rows, 1);
    for (uint32_t t = range.begin; t < range.end && !cpu_worker_stopped(w); t++) {
        size_t page = cpu_kv_page(kv, pages, seq[t], pos[t]);
        for (uint32_t head = 0; head < kv->n_head_kv; head++)
            store_head(w, op, t, head, page, (uint32_t)pos[t] % OLL_KV_PAGE);
    }
}
