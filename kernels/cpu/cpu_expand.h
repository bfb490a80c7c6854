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

/* Block b of the rows of a tile; rows beyond t->n_rows become zeros. */
typedef void (*cpu_expand32_fn)(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out);
typedef void (*cpu_expand256_fn)(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out);

struct cpu_expand {
    cpu_expand32_fn block32;   /* types with CPU_ACT_A32 */
    cpu_expand256_fn block256; /* types with CPU_ACT_A256 */
    bool has_m, has_min;       /* m, min are not all 0 */
    bool two_scales;           /* d[0] and d[1] differ */
};

/* Entry of a quantised type; both functions NULL where there is none. */
const struct cpu_expand *cpu_expand_of(enum oll_dtype dtype);

/* Bytes of 16 rows of n_in weights, expanded. */
size_t cpu_expanded_bytes(const struct cpu_expand *e, uint32_t n_in);
/* All blocks of the rows of a tile, one after the other: a panel for the kernels of bytes. */
void cpu_expand_panel(const struct cpu_tile *t, uint8_t *panel);

/* cpu_expand_rows.c: types that stay as the file has them. */
void cpu_expand_q1_0(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out);
void cpu_expand_q2_0(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out);
void cpu_expand_tq1_0(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out);
void cpu_expand_tq2_0(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out);
void cpu_expand_iq2_xxs(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out);
void cpu_expand_iq2_xs(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out);
void cpu_expand_iq2_s(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out);
void cpu_expand_iq3_xxs(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out);
void cpu_expand_iq3_s(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out);
void cpu_expand_iq1_s(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out);
void cpu_expand_iq1_m(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out);

#endif
