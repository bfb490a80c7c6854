/* Scales and mins of the super-block formats, unpacked once per block of 256 and panel to bytes
 * that the tile then widens as it needs them (layouts: cpu_panel.h). */
#ifndef OLL_KERNELS_CPU_TILE_K_SCALES_H
#define OLL_KERNELS_CPU_TILE_K_SCALES_H

#include "kernels/cpu/tile.h"

/* K_BYTES: struct cpu_block256, any type expanded to signed bytes. */
enum k_format { K_Q2, K_Q3, K_Q4, K_Q5, K_Q6, K_IQ4, K_BYTES };

/* Of one panel: scale j of row r at S(j) (j / 4 selects the line), mins at M(j). Q6_K reads its
 * scales in place. */
struct k_scales {
    _Alignas(64) uint8_t scale[4 * CPU_LINE];
    uint8_t min[4 * CPU_LINE];
};

/* Lines 1-3 of Q4_K and Q5_K. */
MM_INLINE void k_unpack_q4(const uint8_t *sub, struct k_scales *s)
{
    const vi low = vi_set8(15), high = vi_set8(0x30);
    MM_UNROLL for (int i = 0; i < CPU_LINE; i += MM_BYTES)
    {
        const vi a = vi_load(sub + CPU_LINE + i), b = vi_load(sub + 2 * CPU_LINE + i);
        const vi h = vi_load(sub + 3 * CPU_LINE + i);
        const vi a4 = vi_shr16(a, 4), b4 = vi_shr16(b, 4);
        vi_store(s->scale + i, vi_or_and(vi_and(a, low), vi_shl16(h, 4), high));
        vi_store(s->scale + CPU_LINE + i, vi_or_and(vi_and(b, low), h, high));
        vi_store(s->min + i, vi_or_and(vi_and(a4, low), vi_shl16(h, 2), high));
        vi_store(s->min + CPU_LINE + i, vi_or_and(vi_and(b4, low), vi_shr16(h, 2), high));
    }
}

/* Lines 1-4 of Q2_K. */
MM_INLINE void k_unpack_q2(const uint8_t *sub, struct k_scales *s)
{
    MM_UNROLL for (int i = 0; i < 4 * CPU_LINE; i += MM_BYTES)
    {
        vi scale, min;
        mm_nibbles(vi_load(sub + CPU_LINE + i), &scale, &min);
        vi_store(s->scale + i, scale);
        vi_store(s->min + i, min);
    }
}

/* Lines 0-2 of Q3_K. */
MM_INLINE void k_unpack_q3(const uint8_t *sub, struct k_scales *s)
{
    const vi high = vi_set8(0x30), offset = vi_set8(32);
    MM_UNROLL for (int i = 0; i < CPU_LINE; i += MM_BYTES)
    {
        const vi h = vi_load(sub + 2 * CPU_LINE + i);
        vi q[4];
        mm_nibbles(vi_load(sub + i), &q[0], &q[1]);
        mm_nibbles(vi_load(sub + CPU_LINE + i), &q[2], &q[3]);
        q[0] = vi_or_and(q[0], vi_shl16(h, 4), high);
        q[1] = vi_or_and(q[1], vi_shl16(h, 2), high);
        q[2] = vi_or_and(q[2], h, high);
        q[3] = vi_or_and(q[3], vi_shr16(h, 2), high);
        MM_UNROLL for (int m = 0; m < 4; m++)
            vi_store(s->scale + m * CPU_LINE + i, vi_sub8(q[m], offset));
    }
}

MM_INLINE void k_unpack(const enum k_format format, const uint8_t *sub, struct k_scales *s)
{
    switch (format) {
    case K_Q2: k_unpack_q2(sub, s); break;
    case K_Q3: k_unpack_q3(sub, s); break;
    case K_Q4:
    case K_Q5: k_unpack_q4(sub, s); break;
    case K_IQ4: mm_scales_iq4_xs(sub, s->scale); break;
    case K_Q6:
    case K_BYTES: break;
    }
}

#endif
