/* Weight panels: how the CPU kernels store a weight matrix.
 *
 * Sixteen rows form a panel; what a kernel needs of them next lies next in memory, scales included,
 * so that decoding a token reads one forward stream per thread. The unit is the line of 64 bytes:
 * 16 rows x 4 bytes of one k-group (4 consecutive k, numbered from the start of its block). One
 * line times 4 broadcast activations feeds 16 output rows without any horizontal sum: a zmm
 * register at once, ymm as two halves (rows 0-7, 8-15), NEON as four quarters.
 *
 * A panel is a run of units: a head (scales of `subs` sub-blocks that do not fill a line each, else
 * nothing) and then `subs` sub-blocks. The last unit may hold fewer sub-blocks; its head is whole.
 * Bits per weight are those of the file, apart from that padding. A matrix whose rows are no
 * multiple of 16 ends in a panel with zero rows.
 *
 * The order inside a sub-block ("line" counts from its start, r is the row, g the k-group, i = 0..3
 * the byte in the group):
 *
 *  Q4_0, IQ4_NL  head: f16 d[2][16].  4 lines: byte (r, i) of line g = k-group g | k-group (g + 4)
 *                << 4.
 *  MXFP4         head: e[4][16].  4 lines as Q4_0.
 *  Q8_0          head: f16 d[2][16].  8 lines, line g = k-group g, stored as q + 128.
 *  Q5_0          head: f16 d[2][16].  Line 0: bit g of byte (r, i) is the fifth bit of k-group g;
 *                4 lines as Q4_0.
 *  Q4_1          line 0: f16 d[16], m[16]; 4 lines as Q4_0.
 *  Q5_1          line 0: f16 d[16], m[16]; 5 lines as Q5_0.
 *  NVFP4         line 0: scale[4][16]; per 16 k: 2 lines, g0 | g2 << 4 and g1 | g3 << 4.
 *  Q4_K          line 0: f16 d[16], dmin[16].  Lines 1-3: scales and mins of 8 sub-blocks of 32.
 *                With S(j) = (j % 4) * 16 + r and M(j) = (j % 4) / 2 * 32 + r * 2 + j % 2, line 1 +
 * j / 4 holds at byte S(j) in its low nibble the 4 low bits of scale j, at byte M(j) in its high
 * nibble those of min j (neighbouring j side by side, as pairs for vpdpwssd); line 3 holds the two
 * high bits: at S(j) bits 0-1 of scale j < 4, 4-5 of scale j >= 4, at M(j) bits 2-3 of min j < 4,
 * 6-7 of min j >= 4.  Then per 32 k: 4 lines as Q4_0. Q5_K          as Q4_K with 5 lines as Q5_0
 * per 32 k. Q6_K          head: f16 d[2][16].  Lines 0-3: s8 scale[16][16].  Per 16 k: line g0 | g1
 * << 4, line g2 | g3 << 4, line with the two high bits of group g at bits 2g. Q3_K          head:
 * f16 d[2][16].  Lines 0-2: scales + 32: line j / 8 holds at byte S(j) the low nibble (shifted by 4
 * for j % 8 >= 4), line 2 the two high bits at bits 2 (j / 4). Per 32 k: line with bit g = high bit
 * of group g, then 2 lines (16 k each) with 2 bits of group g at bits 2g. Q2_K          line 0: f16
 * d[16], dmin[16].  Lines 1-4: line 1 + j / 4 holds scale j in the low nibble at S(j), min j in the
 * high nibble at M(j).  Per 16 k: line with 2 bits of group g at bits 2g. IQ4_XS        line 0: f16
 * d[16], then 32 bytes: byte (j % 2) * 16 + r holds the two high bits of scale j at bits 2 (j / 2).
 * Line 1: at S(j) the low nibble, shifted by 4 for j >= 4. Per 32 k: 4 lines as Q4_0. F16, F32
 * [k][16 rows].     BF16  [k / 2][16 rows][2 k], an odd last k is paired with zeros.
 */
#ifndef OLL_KERNELS_CPU_PANEL_H
#define OLL_KERNELS_CPU_PANEL_H

#include "engine/base/dtype.h"

#include <stddef.h>
#include <stdint.h>

enum { CPU_PANEL_ROWS = 16, CPU_LINE = 64 };

/* X(name, dtype, k of a sub-block, sub-blocks of a unit, bytes of the head, bytes of a sub-block)
 */
#define CPU_PANEL_LIST(X)                                                                          \
    X(f32, OLL_F32, 1, 1, 0, 64)                                                                   \
    X(f16, OLL_F16, 1, 1, 0, 32)                                                                   \
    X(bf16, OLL_BF16, 2, 1, 0, 64)                                                                 \
    X(q4_0, OLL_Q4_0, 32, 2, 64, 256)                                                              \
    X(q4_1, OLL_Q4_1, 32, 1, 0, 320)                                                               \
    X(q5_0, OLL_Q5_0, 32, 2, 64, 320)                                                              \
    X(q5_1, OLL_Q5_1, 32, 1, 0, 384)                                                               \
    X(q8_0, OLL_Q8_0, 32, 2, 64, 512)                                                              \
    X(iq4_nl, OLL_IQ4_NL, 32, 2, 64, 256)                                                          \
    X(mxfp4, OLL_MXFP4, 32, 4, 64, 256)                                                            \
    X(nvfp4, OLL_NVFP4, 64, 1, 0, 576)                                                             \
    X(q2_k, OLL_Q2_K, 256, 1, 0, 1344)                                                             \
    X(q3_k, OLL_Q3_K, 256, 2, 64, 1728)                                                            \
    X(q4_k, OLL_Q4_K, 256, 1, 0, 2304)                                                             \
    X(q5_k, OLL_Q5_K, 256, 1, 0, 2816)                                                             \
    X(q6_k, OLL_Q6_K, 256, 2, 64, 3328)                                                            \
    X(iq4_xs, OLL_IQ4_XS, 256, 1, 0, 2176)

/* Offsets of sub-block b: its share of the head, and its own lines. */
#define X(name, dtype, k, subs, head, sub)                                                         \
    static inline size_t panel_head_##name(uint32_t b)                                             \
    {                                                                                              \
        return (size_t)(b / (subs)) * ((head) + (subs) * (sub)) + b % (subs) * ((head) / (subs));  \
    }                                                                                              \
    static inline size_t panel_sub_##name(uint32_t b)                                              \
    {                                                                                              \
        return (size_t)(b / (subs)) * ((head) + (subs) * (sub)) + (head) + b % (subs) * (sub);     \
    }
CPU_PANEL_LIST(X)
#undef X

/* Byte of scale j and of min j in the scale lines of the K-quants: S(j) and M(j) above. */
static inline unsigned panel_scale_at(unsigned j, unsigned r) { return j % 4 * 16 + r; }
static inline unsigned panel_min_at(unsigned j, unsigned r)
{
    return j % 4 / 2 * 32 + r * 2 + j % 2;
}

/* Moves 16 rows of n_in weights into a panel. rows[r] points to the source row r, NULL for a row of
 * zeros; the panel is written whole. */
typedef void (*panel_pack_fn)(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in,
                              uint8_t *panel);
/* The way back for one row: the source's bytes, exactly. */
typedef void (*panel_unpack_fn)(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst);

struct cpu_panel {
    enum oll_dtype dtype;
    uint16_t k, subs, head, sub; /* as in CPU_PANEL_LIST */
    panel_pack_fn pack;
    panel_unpack_fn unpack;
};

/* NULL for a type without a panel layout. */
const struct cpu_panel *cpu_panel_of(enum oll_dtype dtype);

/* Bytes of a panel of rows of n_in weights; a multiple of 64. */
size_t cpu_panel_bytes(const struct cpu_panel *p, uint32_t n_in);
static inline uint32_t cpu_panel_subs(const struct cpu_panel *p, uint32_t n_in)
{
    return (n_in + p->k - 1u) / p->k;
}

/* cpu_pack_small.c, cpu_pack_k.c, cpu_pack_float.c */
#define X(name, dtype, k, subs, head, sub)                                                         \
    void panel_pack_##name(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in,               \
                           uint8_t *panel);                                                        \
    void panel_unpack_##name(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst);
CPU_PANEL_LIST(X)
#undef X

#endif
