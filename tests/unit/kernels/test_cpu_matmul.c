/* Tile kernels of every level: against exact sums of the same quants, against each other, and one
 * shape against another to the last bit. */
#include "engine/base/mem.h"
#include "kernels/cpu/cpu_expand.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/cpu_matmul.h"
#include "kernels/half.h"
#include "kernels/quant.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = CPU_PANEL_ROWS, MAX_K = 2304 };

static const char *const levels[] = {"scalar",     "avx2",       "avxvnni", "avx512",
                                     "avx512vnni", "avx512bf16", "neon",    "dotprod"};

static const struct cpu_matmul_kernels *level_table(const char *level)
{
#if defined(OLL_EMULATED) /* every instruction is there */
    uint32_t features = ~0u;
#else
    struct cpu_words words;
    cpu_words_read(&words);
    uint32_t features = cpu_features_of(&words);
#endif
    if (!cpu_features_cut(level, &features))
        return NULL;
    const struct cpu_matmul_kernels *k = cpu_matmul_kernels_of(features);
    return strcmp(k->name, level) == 0 ? k : NULL;
}

/* ---- operands ---- */

static uint64_t state = 1;

static float gauss(void)
{
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += (double)(testing_random(&state) >> 11) * 0x1p-53;
    return (float)(sum - 6);
}

/* Offsets of the f16 scales of a block, which random bytes would make infinite. */
static void tame_scales(enum oll_dtype dtype, uint8_t *block)
{
    static const struct {
        enum oll_dtype dtype;
        uint16_t at[2];
    } scales[] = {
        {OLL_Q4_0, {0, 0}},   {OLL_Q4_1, {0, 2}},   {OLL_Q5_0, {0, 0}},     {OLL_Q5_1, {0, 2}},
        {OLL_Q8_0, {0, 0}},   {OLL_IQ4_NL, {0, 0}}, {OLL_Q2_K, {80, 82}},   {OLL_Q3_K, {108, 108}},
        {OLL_Q4_K, {0, 2}},   {OLL_Q5_K, {0, 2}},   {OLL_Q6_K, {208, 208}}, {OLL_IQ2_XXS, {0, 0}},
        {OLL_IQ2_XS, {0, 0}}, {OLL_IQ2_S, {0, 0}},  {OLL_IQ3_XXS, {0, 0}},  {OLL_IQ3_S, {0, 0}},
        {OLL_IQ1_S, {0, 0}},  {OLL_IQ4_XS, {0, 0}}, {OLL_TQ1_0, {52, 52}},  {OLL_TQ2_0, {64, 64}},
        {OLL_Q1_0, {0, 0}},   {OLL_Q2_0, {0, 0}},
    };
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        for (int j = 0; j < 2 && scales[i].dtype == dtype; j++) {
            const uint16_t d = oll_f32_to_f16(gauss() * 0.02f);
            memcpy(block + scales[i].at[j], &d, 2);
        }
    }
    if (dtype == OLL_MXFP4)
        block[0] = (uint8_t)(120 + block[0] % 10);
    if (dtype == OLL_NVFP4)
        for (int j = 0; j < 4; j++)
            block[j] &= 0x3f;
    if (dtype == OLL_IQ1_M)
        block[55] = (uint8_t)((block[55] & 0x8f) | 0x20); /* the top nibble of the scale */
}

static void random_row(enum oll_dtype dtype, uint32_t n, uint8_t *row)
{
    const struct oll_dtype_info *info = oll_dtype_info(dtype);
    if (dtype == OLL_F32 || dtype == OLL_F16 || dtype == OLL_BF16) {
        float values[MAX_K];
        for (uint32_t i = 0; i < n; i++)
            values[i] = gauss();
        oll_quantize_row(dtype, values, row, n);
        return;
    }
    for (uint32_t b = 0; b < n / info->block_elements; b++) {
        uint8_t *block = row + (size_t)b * info->block_bytes;
        for (int i = 0; i < info->block_bytes; i++)
            block[i] = (uint8_t)(testing_random(&state) >> 40);
        tame_scales(dtype, block);
    }
}

struct operands {
    enum oll_dtype dtype;
    uint32_t n_in;
    size_t row_bytes, w_stride; /* of cpu_tile */
    size_t panel_bytes;
    uint8_t *source; /* 32 rows */
    uint8_t *panels; /* two: packed, expanded, or the source itself */
    float x[CPU_TILE_TOKENS][MAX_K];
};

static void pack_panel(struct operands *o, const struct cpu_panel *p, int h)
{
    const uint8_t *rows[ROWS];
    for (int r = 0; r < ROWS; r++)
        rows[r] = o->source + (size_t)(16 * h + r) * o->row_bytes;
    p->pack(rows, o->n_in, o->panels + (size_t)h * o->panel_bytes);
}

static void expand_panel(struct operands *o, const struct cpu_matmul_kernels *k, int h)
{
    const struct cpu_tile rows = {.w = o->source + (size_t)(16 * h) * o->row_bytes,
                                  .w_stride = o->row_bytes,
                                  .n_in = o->n_in,
                                  .n_rows = ROWS,
                                  .dtype = o->dtype};
    cpu_expand_panel(&rows, k, o->panels + (size_t)h * o->panel_bytes);
}

/* Weights as the kernels of a level want them. */
static void operands_new(struct operands *o, const struct cpu_matmul_kernels *k,
                         enum oll_dtype dtype, uint32_t n_in)
{
    const struct cpu_panel *p = cpu_panel_of(dtype);
    const bool expanded = !k->row[dtype];
    o->dtype = dtype;
    o->n_in = n_in;
    o->row_bytes = oll_dtype_row_bytes(dtype, n_in);
    o->source = oll_alloc(32, o->row_bytes);
    for (int r = 0; r < 32; r++)
        random_row(dtype, n_in, o->source + (size_t)r * o->row_bytes);
    o->panel_bytes = p          ? cpu_panel_bytes(p, n_in)
                     : expanded ? cpu_expanded_bytes(cpu_expand_of(dtype), n_in)
                                : 16 * o->row_bytes;
    o->w_stride = p || expanded ? o->panel_bytes : o->row_bytes;
    o->panels = p || expanded ? oll_alloc_aligned(2 * o->panel_bytes) : o->source;
    for (int h = 0; h < 2; h++) {
        if (p)
            pack_panel(o, p, h);
        else if (expanded)
            expand_panel(o, k, h);
    }
    for (int t = 0; t < CPU_TILE_TOKENS; t++)
        for (uint32_t i = 0; i < n_in; i++)
            o->x[t][i] = gauss() * (t == 3 && i == 7 ? 100 : 1);
    memset(o->x[5], 0, n_in / 2 * sizeof(float));
}

static void operands_free(struct operands *o)
{
    if (o->panels != o->source)
        oll_free_aligned(o->panels);
    oll_free(o->source);
}

/* Values that the activations have after quantisation, read back from the layout of one token. */
static void act_values(enum cpu_act act, const uint8_t *a, uint32_t n_in, double *v)
{
    const union cpu_word *words =
        (const union cpu_word *)(const void *)(a + cpu_act_words_at(n_in, 1));
    const uint32_t block = act == CPU_ACT_A32 ? 32 : 256;
    for (uint32_t i = 0; i < n_in; i++) {
        uint16_t half;
        memcpy(&half, a + 2 * i, sizeof half);
        if (act == CPU_ACT_B16)
            v[i] = (double)oll_bf16_to_f32(half);
        else if (act == CPU_ACT_F32)
            v[i] = (double)((const float *)(const void *)a)[i];
        else
            v[i] = (double)(int8_t)a[i] *
                   (double)words[i / block * (act == CPU_ACT_A32 ? A32_WORDS : A256_WORDS)].f;
    }
}

/* One tile: c [n_tokens][16 or 32]. First row of the weights: 0, or 16. */
static void run(const struct cpu_matmul_kernels *k, const struct operands *o, cpu_tile_fn fn,
                int first_row, uint32_t n_tokens, float *c)
{
    const enum cpu_act act = cpu_act_of(k, o->dtype);
    const float *rows[CPU_TILE_TOKENS];
    for (uint32_t t = 0; t < n_tokens; t++)
        rows[t] = o->x[t];
    uint8_t *a = oll_alloc_aligned(cpu_act_bytes(act, o->n_in) * n_tokens);
    k->quantize[act](rows, n_tokens, o->n_in, a);
    const struct cpu_tile tile = {
        .w = o->panels + (first_row ? o->panel_bytes : 0),
        .w_stride = o->w_stride,
        .a = a,
        .words = (const union cpu_word *)(const void *)(a + cpu_act_words_at(o->n_in, n_tokens)),
        .c = c,
        .n_in = o->n_in,
        .n_rows = ROWS,
        .n_tokens = n_tokens,
        .dtype = o->dtype,
    };
    fn(&tile);
    oll_free_aligned(a);
}

/* ---- cases ---- */

/* Products of token t with all 32 rows in double, on quantised activations, and the sums of
 * magnitudes that bound rounding. */
static void exact(const struct cpu_matmul_kernels *k, const struct operands *o, uint32_t t,
                  double y[32], double bound[32])
{
    const enum cpu_act act = cpu_act_of(k, o->dtype);
    const float *row = o->x[t];
    uint8_t *a = oll_alloc_aligned(cpu_act_bytes(act, o->n_in));
    (act == CPU_ACT_B16 ? k : &cpu_matmul_scalar)->quantize[act](&row, 1, o->n_in, a);
    double v[MAX_K];
    float w[MAX_K];
    act_values(act, a, o->n_in, v);
    for (int r = 0; r < 32; r++) {
        oll_dequantize_row(o->dtype, o->source + (size_t)r * o->row_bytes, w, o->n_in);
        y[r] = bound[r] = 0;
        for (uint32_t i = 0; i < o->n_in; i++) {
            y[r] += v[i] * (double)w[i];
            bound[r] += fabs(v[i] * (double)w[i]);
        }
    }
    oll_free_aligned(a);
}

/* Kernels for a type: its own, or those of bytes. */
static const struct cpu_matmul_row *row_of(const struct cpu_matmul_kernels *k, enum oll_dtype dtype)
{
    const struct cpu_expand *e = cpu_expand_of(dtype);
    if (k->row[dtype] || (!e->block32 && !e->block256 && !e->row256))
        return k->row[dtype];
    return e->block32 ? k->bytes32 : k->bytes256;
}

static void check_level(const struct cpu_matmul_kernels *k, const struct operands *o)
{
    const struct cpu_matmul_row *row = row_of(k, o->dtype);
    const int narrow = k->tiling[cpu_act_of(k, o->dtype)].narrow;
    float alone[CPU_TILE_TOKENS][32], c[CPU_TILE_TOKENS * 32];
    for (uint32_t t = 0; t < CPU_TILE_TOKENS; t++) {
        struct operands one = *o;
        memcpy(one.x[0], o->x[t], sizeof one.x[0]);
        double y[32], bound[32];
        exact(k, o, t, y, bound);
        run(k, &one, row->narrow[1], 0, 1, alone[t]);
        run(k, &one, row->narrow[1], 16, 1, alone[t] + 16);
        for (int r = 0; r < 32; r++)
            CHECK_MSG(fabs((double)alone[t][r] - y[r]) <= 2e-7 * 8 * bound[r] + 1e-30,
                      "%s %s: token %u row %d of %u weights: %g, exactly %g", k->name,
                      oll_dtype_name(o->dtype), t, r, o->n_in, (double)alone[t][r], y[r]);
    }
    for (uint32_t n = 1; n <= CPU_TILE_TOKENS; n++) {
        if (row->narrow[n] && (int)n <= narrow) {
            run(k, o, row->narrow[n], 0, n, c);
            for (uint32_t t = 0; t < n; t++)
                CHECK_MSG(memcmp(c + t * 16, alone[t], 64) == 0, "%s: token %u of %u differs",
                          row->name, t, n);
        }
        if (row->wide[n]) {
            run(k, o, row->wide[n], 0, n, c);
            for (uint32_t t = 0; t < n; t++)
                CHECK_MSG(memcmp(c + t * 32, alone[t], 128) == 0,
                          "%s: token %u of %u, wide, differs", row->name, t, n);
        }
    }
}

/* Products straight from rows of the file, and bytes expanded by a level, are to the bit those of
 * plain C's expansion, also past the run of blocks that a kernel takes at once. */
static void check_rows(const struct cpu_matmul_kernels *k, enum oll_dtype dtype, uint32_t n_in)
{
    static struct operands o, plain;
    struct cpu_matmul_kernels by_plain_c = *k;
    memset(by_plain_c.rows, 0, sizeof by_plain_c.rows);
    operands_new(&o, k, dtype, n_in);
    plain = o;
    plain.panels = oll_alloc_aligned(2 * o.panel_bytes);
    for (int h = 0; h < 2; h++)
        expand_panel(&plain, &by_plain_c, h);
    CHECK_MSG(memcmp(plain.panels, o.panels, 2 * o.panel_bytes) == 0, "%s: expands otherwise",
              k->rows[dtype]->direct.name);
    float direct[16], c[16];
    struct operands rows = o;
    rows.panels = o.source;
    rows.w_stride = o.row_bytes;
    run(k, &rows, k->rows[dtype]->direct.narrow[1], 0, 1, direct);
    run(k, &plain, k->bytes256->narrow[1], 0, 1, c);
    CHECK_MSG(memcmp(direct, c, sizeof c) == 0, "%s: %u weights differ",
              k->rows[dtype]->direct.name, n_in);
    oll_free_aligned(plain.panels);
    operands_free(&o);
}

TEST(rows_of_the_file_agree_with_bytes)
{
    for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
        const struct cpu_matmul_kernels *k = level_table(levels[l]);
        for (int d = 0; k && d < OLL_DTYPE_COUNT; d++) {
            if (!k->rows[d])
                continue;
            check_rows(k, (enum oll_dtype)d, 256);
            check_rows(k, (enum oll_dtype)d, MAX_K / 256 * 256);
        }
    }
}

TEST(tiles_agree_with_exact_sums_and_with_each_other)
{
    for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
        const struct cpu_matmul_kernels *k = level_table(levels[l]);
        int n_type = 0;
        for (int d = 0; k && d < OLL_DTYPE_COUNT; d++) {
            static struct operands o;
            if (!row_of(k, (enum oll_dtype)d))
                continue;
            n_type++;
            const uint32_t block = oll_dtype_info((uint32_t)d)->block_elements;
            const uint32_t unit = block == 1 ? 7 : block;
            for (uint32_t n = 1; n <= 4 && n * unit <= MAX_K; n++) {
                operands_new(&o, k, (enum oll_dtype)d, unit * n);
                check_level(k, &o);
                operands_free(&o);
            }
        }
        printf("%s: %d types\n", levels[l], n_type);
        CHECK(!k || n_type == 28);
    }
}

/* The layout of activations is the same to the bit on every level. */
TEST(levels_quantise_alike)
{
    static float x[CPU_TILE_TOKENS][MAX_K];
    const float *rows[CPU_TILE_TOKENS];
    const float special[] = {0, -0.0f, 1e-40f, 3e38f, INFINITY, NAN, 127, -127};
    for (int t = 0; t < CPU_TILE_TOKENS; t++) {
        rows[t] = x[t];
        for (int i = 0; i < MAX_K; i++)
            x[t][i] = t == 6 && i % 300 == 0 ? special[i / 300] : t == 7 ? 1e-39f : gauss();
    }
    x[5][600] = NAN;
    for (size_t l = 1; l < sizeof levels / sizeof *levels; l++) {
        const struct cpu_matmul_kernels *k = level_table(levels[l]);
        for (int act = 0; k && act < CPU_ACT_B16; act++) {
            for (uint32_t n = 1; n <= CPU_TILE_TOKENS; n++) {
                const size_t bytes = cpu_act_bytes((enum cpu_act)act, MAX_K) * n;
                uint8_t *a = oll_alloc_aligned(bytes), *b = oll_alloc_aligned(bytes);
                memset(a, 0, bytes);
                memset(b, 0, bytes);
                cpu_matmul_scalar.quantize[act](rows, n, MAX_K, a);
                k->quantize[act](rows, n, MAX_K, b);
                size_t at = 0;
                while (at < bytes && a[at] == b[at])
                    at++;
                CHECK_MSG(at == bytes, "%s: form %d of %u tokens differs at byte %zu", k->name, act,
                          n, at);
                oll_free_aligned(a);
                oll_free_aligned(b);
            }
        }
    }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
