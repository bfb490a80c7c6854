/* Helpers shared by the packing functions (cpu_pack_*.c). */
#ifndef OLL_KERNELS_CPU_PACK_ROWS_H
#define OLL_KERNELS_CPU_PACK_ROWS_H

#include "kernels/cpu/cpu_panel.h"

#include <stdint.h>
#include <string.h>

/* Block b of a row; a missing row reads as a block of zeros. */
static inline const void *pack_block(const uint8_t *row, uint32_t b, size_t block_bytes)
{
    static const uint8_t zeros[512];
    return row ? row + b * block_bytes : zeros;
}

/* Four bytes of row r, k-group (line) g. */
static inline uint8_t *pack_group(uint8_t *lines, unsigned g, unsigned r)
{
    return lines + g * CPU_LINE + r * 4;
}

/* Spreads n_line x 4 consecutive bytes of one row over as many lines, `flip` applied to each. */
static inline void pack_lines(uint8_t *lines, unsigned r, const uint8_t *src, unsigned n_line,
                              uint32_t flip)
{
    for (unsigned g = 0; g < n_line; g++) {
        uint32_t v;
        memcpy(&v, src + 4 * g, 4);
        v ^= flip;
        memcpy(pack_group(lines, g, r), &v, 4);
    }
}

static inline void unpack_lines(const uint8_t *lines, unsigned r, uint8_t *dst, unsigned n_line,
                                uint32_t flip)
{
    for (unsigned g = 0; g < n_line; g++) {
        uint32_t v;
        memcpy(&v, lines + g * CPU_LINE + r * 4, 4);
        v ^= flip;
        memcpy(dst + 4 * g, &v, 4);
    }
}

/* The fifth bits of 32 weights, bit e for weight e, as four bytes of a line: bit g of byte i is
 * that of weight 4g + i. A transposition of an 8 x 4 bit matrix, and its inverse. */
static inline uint32_t pack_bits(uint32_t bits)
{
    uint32_t line = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t v = bits >> i & 0x11111111u; /* bit 4g: weight 4g + i */
        v = (v | v >> 3) & 0x03030303u;
        v = (v | v >> 6) & 0x000f000fu;
        v = (v | v >> 12) & 0xffu;
        line |= v << 8 * i;
    }
    return line;
}

static inline uint32_t unpack_bits(uint32_t line)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t v = line >> 8 * i & 0xffu;
        v = (v | v << 12) & 0x000f000fu;
        v = (v | v << 6) & 0x03030303u;
        v = (v | v << 3) & 0x11111111u;
        bits |= v << i;
    }
    return bits;
}

#endif
