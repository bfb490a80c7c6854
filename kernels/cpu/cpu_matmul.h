/* Matrix products of the CPU backend: weights, activations, tiles and the kernels that join them.
 *
 * A product runs in tiles of one or two weight panels (16 rows each, cpu_panel.h) times up to
 * CPU_TILE_TOKENS tokens, over the whole row length. The activations of a tile are laid out for it
 * beforehand (quantised where the weights are), so that a kernel reads two forward streams and
 * writes [tokens][rows] f32. Every token is quantised on its own, integer parts are exact and the
 * order of float additions per output is fixed, so a row of a batch gets the same bits as the same
 * row alone (spec 2.16): the kernels of one level differ in nothing but shape.
 *
 * Types without a panel layout stay as the file has them; 16 rows are expanded to signed bytes, a
 * chunk at a time, and then used by all tokens. */
#ifndef OLL_KERNELS_CPU_MATMUL_H
#define OLL_KERNELS_CPU_MATMUL_H

#include "kernels/cpu/cpu_panel.h"
#include "kernels/device.h"

enum { CPU_TILE_TOKENS = 8 };

/* ---- activations ---- */

/* How the activations of T tokens lie in memory. Integer forms hold quants in -127 .. 127 with the
 * scale amax / 127 of their block, [k / 4][T][4 bytes], then words [block][word][T]:
 *   A32   per 32: scale (f32), scale * sum of quants (f32), -8 * sum of quants (i32)
 *   A256  per 256: scale; 4 words with two i16 each, the sums of 32 quants (2j, 2j + 1); 8 words
 *         likewise with the sums of 16; 16 words i32, -32 * sum of 16 quants
 *   F32   [k][T] f32, as they are
 *   B16   [k / 2][T][2] bf16, an odd last one paired with zero; of BF16 weights, on levels that
 *         multiply them as pairs. */
enum cpu_act { CPU_ACT_F32, CPU_ACT_A32, CPU_ACT_A256, CPU_ACT_B16, CPU_ACT_COUNT };

enum {
    A32_SCALE,
    A32_SUM,
    A32_SUM8,
    A32_WORDS,
};
enum {
    A256_SCALE = 0,
    A256_PAIR32 = 1,
    A256_PAIR16 = 5,
    A256_SUM32 = 13, /* of 16 quants, times -32 */
    A256_WORDS = 29,
};

union cpu_word {
    float f;
    int32_t i;
    int16_t pair[2];
};

/* Bytes of one token; T tokens take T times as much. A multiple of 64. */
size_t cpu_act_bytes(enum cpu_act act, uint32_t n_in);

/* Offset of the words of a tile of T tokens. */
static inline size_t cpu_act_words_at(uint32_t n_in, uint32_t n_tokens)
{
    return (size_t)n_in * n_tokens;
}

/* Lays out rows x[0 .. n_tokens) of n_in floats as one tile at dst, 64-byte aligned. A NaN or an
 * infinity spoils the products of its block, whatever its place. */
typedef void (*cpu_quantize_fn)(const float *const *x, uint32_t n_tokens, uint32_t n_in,
                                uint8_t *dst);

/* ---- kernels ---- */

struct cpu_tile {
    const uint8_t *w; /* panel, or the first of n_rows rows of a type without panels */
    size_t w_stride;  /* bytes to the second panel, or to the next row */
    const uint8_t *a;
    const union cpu_word *words;
    float *c; /* [n_tokens][16 or 32 rows] */
    uint32_t n_in, n_rows, n_tokens;
    enum oll_dtype dtype;
};

typedef void (*cpu_tile_fn)(const struct cpu_tile *t);

/* One weight type on one level. [T] is the kernel for T tokens; NULL entries do not exist. */
struct cpu_matmul_row {
    const char *name;
    cpu_tile_fn narrow[CPU_TILE_TOKENS + 1]; /* one panel */
    cpu_tile_fn wide[CPU_TILE_TOKENS + 1];   /* two panels */
};

/* A type that stays as the file has it, on a level that reads it faster than plain C does. */
struct cpu_row256;
struct cpu_matmul_rows {
    struct cpu_matmul_row direct; /* narrow[1]: one token times the rows themselves */
    void (*row256)(const void *block, struct cpu_row256 *out); /* as of struct cpu_expand */
};

/* Tokens of a tile. With `wide` > 0, batches from 4 * (wide - 1) tokens on are cut in tiles of wide
 * - 1 and wide tokens, for which the kernels of two panels exist; others in tiles of up to
 * `narrow`. */
struct cpu_tiling {
    uint8_t narrow, wide;
};

/* Inner loops of one level of instructions: a constant table per level. */
struct cpu_matmul_kernels {
    const char *name;
    enum cpu_act bf16_act; /* activations of BF16 weights */
    struct cpu_tiling tiling[CPU_ACT_COUNT];
    cpu_quantize_fn quantize[CPU_ACT_COUNT];
    const struct cpu_matmul_row *row[OLL_DTYPE_COUNT]; /* by weight type */
    /* For types whose row is NULL, which the driver expands first (cpu_expand.h): blocks of 32 and
     * of 256. */
    const struct cpu_matmul_row *bytes32, *bytes256;
    const struct cpu_matmul_rows *rows[OLL_DTYPE_COUNT]; /* NULL: plain C expands it */
    void (*interleave)(const uint8_t *rows, size_t stride, uint32_t n_group,
                       uint8_t q[][CPU_PANEL_ROWS][4]);
};

extern const struct cpu_matmul_kernels cpu_matmul_scalar;
/* The best table for these features (enum cpu_feature). */
const struct cpu_matmul_kernels *cpu_matmul_kernels_of(uint32_t features);

/* Form of the activations that a weight type is multiplied with on a level. */
enum cpu_act cpu_act_of(const struct cpu_matmul_kernels *k, enum oll_dtype dtype);

/* ---- weights ---- */

struct cpu_weight {
    struct oll_weight base;
    const struct cpu_panel *panel; /* NULL: rows as in the source */
    const uint8_t *data;           /* first panel or row */
    size_t panel_bytes;            /* of one panel, or of 16 rows */
    size_t panel_stride; /* to the next panel: several panel_bytes where weights are interleaved */
    size_t expert_stride;
    struct cpu_weight_store *store; /* owner of `data`, shared by an interleaved group */
};

static inline const struct cpu_weight *cpu_weight_of(const struct oll_weight *w)
{
    return (const struct cpu_weight *)(const void *)w;
}

static inline uint32_t cpu_weight_panels(const struct cpu_weight *w)
{
    return (w->base.n_out + CPU_PANEL_ROWS - 1u) / CPU_PANEL_ROWS;
}

#endif
