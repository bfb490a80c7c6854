/* Tiles of attention on the vectors of cpu_vec.h. Included once by each file that instantiates a
 * level, after CPU_ATT_R (rows of a register tile) is defined.
 *
 * Scores: 16 keys lie side by side (cpu_kv.h), so the tile R rows x ATT_NV vectors of keys is a run
 * of broadcasts and multiply-adds down head_dim; each K vector is loaded (and widened from f16)
 * once for R rows. Values: R rows x ATT_NV vectors of a V row, a run down the positions. Both are
 * bound by the multiply-add units; R x ATT_NV accumulators hide their latency. */
#include "kernels/cpu/cpu_attention.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/cpu_kv.h"
#include "kernels/cpu/cpu_vec.h"

#include <math.h>

/* Vectors side by side: 32 keys with vectors of 16, else 16 keys, or 4 in plain C. */
enum { ATT_NV = VW == 1 ? 4 : VW == 4 ? 4 : 2 };

/* `r` and `is_f16` are constants where these are inlined. */
CPU_INLINE vf att_load(const void *p, size_t at, int is_f16)
{
    return is_f16 ? vf_load_f16((const uint16_t *)p + at) : vf_load((const float *)p + at);
}

/* deep nesting: pages, groups of keys, dimensions, rows, vectors; the inner three unroll. */
CPU_INLINE void att_scores(const struct cpu_attention_tile *t, uint32_t row, uint32_t r, int is_f16)
{
    const uint32_t n = t->head_dim_k;
    const float *q = t->q + (size_t)row * n;
    for (uint32_t page = t->begin / OLL_KV_PAGE; page * OLL_KV_PAGE < t->end; page++) {
        for (uint32_t g = 0; g < OLL_KV_PAGE / VW; g += ATT_NV) {
            vf acc[CPU_ATT_R][ATT_NV];
            size_t at[ATT_NV];
            for (uint32_t v = 0; v < ATT_NV; v++) {
                uint32_t lane = (g + v) * VW;
                at[v] = (size_t)(lane / CPU_KV_HALF) * n * CPU_KV_HALF + lane % CPU_KV_HALF;
                for (uint32_t i = 0; i < r; i++)
                    acc[i][v] = vf_set1(0);
            }
            for (uint32_t d = 0; d < n; d++) {
                vf key[ATT_NV];
                for (uint32_t v = 0; v < ATT_NV; v++)
                    key[v] = att_load(t->k[page], at[v] + (size_t)d * CPU_KV_HALF, is_f16);
                for (uint32_t i = 0; i < r; i++) {
                    vf b = vf_set1(q[(size_t)i * n + d]);
                    for (uint32_t v = 0; v < ATT_NV; v++)
                        acc[i][v] = vf_fma(b, key[v], acc[i][v]);
                }
            }
            for (uint32_t i = 0; i < r; i++)
                for (uint32_t v = 0; v < ATT_NV; v++)
                    vf_store(t->s + (size_t)(row + i) * CPU_ATT_CHUNK + page * OLL_KV_PAGE +
                                 (g + v) * VW,
                             acc[i][v]);
        }
    }
}

/* o[row .. row + r)[d .. d + nv * VW) = sum over positions of p v */
CPU_INLINE void att_values_block(const struct cpu_attention_tile *t, uint32_t row, uint32_t r,
                                 uint32_t d, uint32_t nv, int is_f16)
{
    const uint32_t n = t->head_dim_v;
    const float *p = t->s + (size_t)row * CPU_ATT_CHUNK;
    vf acc[CPU_ATT_R][ATT_NV];
    for (uint32_t i = 0; i < r; i++)
        for (uint32_t v = 0; v < nv; v++)
            acc[i][v] = vf_set1(0);
    /* Positions that no row sees may hold anything: they are left out, not multiplied by 0. */
    for (uint32_t j = t->begin; j < t->end; j++) {
        const void *page = t->v[j / OLL_KV_PAGE];
        vf value[ATT_NV];
        for (uint32_t v = 0; v < nv; v++)
            value[v] = att_load(page, (size_t)(j % OLL_KV_PAGE) * n + d + v * VW, is_f16);
        for (uint32_t i = 0; i < r; i++) {
            vf b = vf_set1(p[(size_t)i * CPU_ATT_CHUNK + j]);
            for (uint32_t v = 0; v < nv; v++)
                acc[i][v] = vf_fma(b, value[v], acc[i][v]);
        }
    }
    for (uint32_t i = 0; i < r; i++)
        for (uint32_t v = 0; v < nv; v++)
            vf_store(t->o + (size_t)(row + i) * n + d + v * VW, acc[i][v]);
}

CPU_INLINE void att_values(const struct cpu_attention_tile *t, uint32_t row, uint32_t r, int is_f16)
{
    uint32_t d = 0;
    for (; d + ATT_NV * VW <= t->head_dim_v; d += ATT_NV * VW)
        att_values_block(t, row, r, d, ATT_NV, is_f16);
    for (; d < t->head_dim_v; d += VW)
        att_values_block(t, row, r, d, 1, is_f16);
}

/* Scores of one row become exp(score - max), 0 where the row does not look. */
static void att_softmax(const struct cpu_attention_tile *t, uint32_t row)
{
    const struct cpu_attention_row *view = &t->rows[row];
    float *s = t->s + (size_t)row * CPU_ATT_CHUNK;
    const int32_t first = (int32_t)(t->begin / OLL_KV_PAGE * OLL_KV_PAGE);
    const int32_t last = (int32_t)oll_align_up(t->end, OLL_KV_PAGE);
    if (t->softcap != 0) {
        const vf cap = vf_set1(t->softcap), inverse = vf_set1(1.0f / t->softcap);
        for (int32_t j = first; j < last; j += VW)
            vf_store(s + j, vf_mul(cap, vf_tanh(vf_mul(vf_load(s + j), inverse))));
    }
    if (view->slope != 0)
        for (int32_t j = first; j < last; j++)
            s[j] -= view->slope * (float)(view->pos > j ? view->pos - j : j - view->pos);
    for (int32_t j = first; j < last && j < view->begin; j++)
        s[j] = -INFINITY;
    for (int32_t j = view->end > first ? view->end : first; j < last; j++)
        s[j] = -INFINITY;
    vf max = vf_set1(-INFINITY), sum = vf_set1(0);
    for (int32_t j = first; j < last; j += VW)
        max = vf_max(vf_load(s + j), max);
    float m = vf_max_of(max);
    t->max[row] = m;
    /* A row that sees nothing here: its weights are 0 whatever is subtracted. */
    const vf shift = vf_set1(m > -INFINITY ? m : 0);
    for (int32_t j = first; j < last; j += VW) {
        vf p = vf_exp(vf_sub(vf_load(s + j), shift));
        sum = vf_add(sum, p);
        vf_store(s + j, p);
    }
    t->sum[row] = vf_sum(sum);
}

CPU_INLINE void att_rows(const struct cpu_attention_tile *t, uint32_t row, uint32_t r, int is_f16)
{
    att_scores(t, row, r, is_f16);
    for (uint32_t i = 0; i < r; i++)
        att_softmax(t, row + i);
    att_values(t, row, r, is_f16);
}

CPU_INLINE void att_tile(const struct cpu_attention_tile *t, int is_f16)
{
    uint32_t row = 0;
    for (; row + CPU_ATT_R <= t->n_rows; row += CPU_ATT_R)
        att_rows(t, row, CPU_ATT_R, is_f16);
    /* The remainder, each with loops of constant length. */
#define REST(r)                                                                                    \
    case r:                                                                                        \
        if (r < CPU_ATT_R)                                                                         \
            att_rows(t, row, r < CPU_ATT_R ? r : 1, is_f16);                                       \
        break;
    switch (t->n_rows - row) {
        REST(1)
        REST(2)
        REST(3)
        REST(4)
        REST(5)
        REST(6)
        REST(7)
    default: break;
    }
#undef REST
}

static void attention_f16(const struct cpu_attention_tile *t) { att_tile(t, 1); }
static void attention_f32(const struct cpu_attention_tile *t) { att_tile(t, 0); }

static void attention_init(struct cpu_kernels *k)
{
    k->attention_f16 = attention_f16;
    k->attention_f32 = attention_f32;
}
