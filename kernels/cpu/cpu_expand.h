/* Sixteen rows of one block as signed bytes: the common form of all quantised types.
 *
 * The plain C kernels compute on it, and so do the vector kernels of types that have no panel
 * layout. Bytes are stored + 128, groups of four k of 16 rows in a line, as in the panel of Q8_0.
 */
#ifndef OLL_KERNELS_CPU_EXPAND_H
#define OLL_KERNELS_CPU_EXPAND_H

#include "kernels/cpu/cpu_matmul.h"

/* 32 weights of each row; weight k is d[k / 16] * (q - 128) + m. Most types have d[0] = d[1]. */
struct cpu_block32 {
    _Alignas(64) float d[2][CPU_PANEL_ROWS];
    float m[CPU_PANEL_ROWS];
    float unused[CPU_PANEL_ROWS];
    uint8_t q[8][CPU_PANEL_ROWS][4];
};

/* 256 weights; weight k is d * scale[k / 16] * (q - 128) - dmin * min[k / 16]. */
struct cpu_block256 {
    _Alignas(64) float d[CPU_PANEL_ROWS], dmin[CPU_PANEL_ROWS];
    int8_t scale[16][CPU_PANEL_ROWS];
    uint8_t min[16][CPU_PANEL_ROWS];
    uint8_t q[64][CPU_PANEL_ROWS][4];
};

/* One row of a block on its way there. */
struct cpu_row256 {
    float d;
    int8_t scale[16];
    uint64_t q[32]; /* 256 bytes + 128 */
};

struct cpu_expand {
    /* Block b of the 16 rows of a tile; rows beyond t->n_rows become zeros. Types with
     * CPU_ACT_A32, and panels with CPU_ACT_A256. */
    void (*block32)(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out);
    void (*block256)(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out);
    /* One block of one row: types with CPU_ACT_A256 that stay as the file has them. */
    void (*row256)(const void *block, struct cpu_row256 *out);
    bool has_m, has_min; /* m, min are not all 0 */
    bool two_scales;     /* d[0] and d[1] differ */
};

/* Entry of a quantised type; no function is set where there is none. */
const struct cpu_expand *cpu_expand_of(enum oll_dtype dtype);

/* Any type with CPU_ACT_A256. */
void cpu_expand_block256(const struct cpu_tile *t, uint32_t b, const struct cpu_matmul_kernels *k,
                         struct cpu_block256 *out);

/* q[g][r] = four bytes g of row r; rows `stride` bytes apart. Part of a level's table. */
void cpu_interleave__scalar(const uint8_t *rows, size_t stride, uint32_t n_group,
                            uint8_t q[][CPU_PANEL_ROWS][4]);
void cpu_interleave__neon(const uint8_t *rows, size_t stride, uint32_t n_group,
                          uint8_t q[][CPU_PANEL_ROWS][4]);
void cpu_interleave__avx2(const uint8_t *rows, size_t stride, uint32_t n_group,
                          uint8_t q[][CPU_PANEL_ROWS][4]);
void cpu_interleave__avx512(const uint8_t *rows, size_t stride, uint32_t n_group,
                            uint8_t q[][CPU_PANEL_ROWS][4]);

/* Bytes of 16 rows of n_in weights, expanded. */
size_t cpu_expanded_bytes(const struct cpu_expand *e, uint32_t n_in);
/* All blocks of the rows of a tile, one after the other: a panel for the kernels of bytes. */
void cpu_expand_panel(const struct cpu_tile *t, const struct cpu_matmul_kernels *k, uint8_t *panel);

/* cpu_expand_rows.c: types that stay as the file has them. */
void cpu_expand_q1_0(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out);
void cpu_expand_q2_0(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out);
void cpu_expand_row_tq1_0(const void *block, struct cpu_row256 *out);
void cpu_expand_row_tq2_0(const void *block, struct cpu_row256 *out);
void cpu_expand_row_iq2_xxs(const void *block, struct cpu_row256 *out);
void cpu_expand_row_iq2_xs(const void *block, struct cpu_row256 *out);
void cpu_expand_row_iq2_s(const void *block, struct cpu_row256 *out);
void cpu_expand_row_iq3_xxs(const void *block, struct cpu_row256 *out);
void cpu_expand_row_iq3_s(const void *block, struct cpu_row256 *out);
void cpu_expand_row_iq1_s(const void *block, struct cpu_row256 *out);
void cpu_expand_row_iq1_m(const void *block, struct cpu_row256 *out);

#endif
