/* Entry points of quant.h: the table of decoders, and the types that need no blocks. */
#include "kernels/quant.h"

#include "engine/base/status.h"
#include "kernels/half.h"
#include "kernels/quant_rows.h"

#include <string.h>

/* The sizes of dtype.h are what the compiler sees. */
#define CHECK_BLOCK(type, dtype_block_bytes)                                                       \
    _Static_assert(sizeof(struct type) == (dtype_block_bytes), #type " differs from dtype.h")
enum block_bytes {
#define X(name, id, text, block, bytes) BYTES_##name = bytes,
    OLL_DTYPE_LIST(X)
#undef X
};
CHECK_BLOCK(block_q4_0, BYTES_OLL_Q4_0);
CHECK_BLOCK(block_q4_1, BYTES_OLL_Q4_1);
CHECK_BLOCK(block_q5_0, BYTES_OLL_Q5_0);
CHECK_BLOCK(block_q5_1, BYTES_OLL_Q5_1);
CHECK_BLOCK(block_q8_0, BYTES_OLL_Q8_0);
CHECK_BLOCK(block_q8_1, BYTES_OLL_Q8_1);
CHECK_BLOCK(block_q2_k, BYTES_OLL_Q2_K);
CHECK_BLOCK(block_q3_k, BYTES_OLL_Q3_K);
CHECK_BLOCK(block_q4_k, BYTES_OLL_Q4_K);
CHECK_BLOCK(block_q5_k, BYTES_OLL_Q5_K);
CHECK_BLOCK(block_q6_k, BYTES_OLL_Q6_K);
CHECK_BLOCK(block_q8_k, BYTES_OLL_Q8_K);
CHECK_BLOCK(block_iq2_xxs, BYTES_OLL_IQ2_XXS);
CHECK_BLOCK(block_iq2_xs, BYTES_OLL_IQ2_XS);
CHECK_BLOCK(block_iq3_xxs, BYTES_OLL_IQ3_XXS);
CHECK_BLOCK(block_iq1_s, BYTES_OLL_IQ1_S);
CHECK_BLOCK(block_iq4_nl, BYTES_OLL_IQ4_NL);
CHECK_BLOCK(block_iq3_s, BYTES_OLL_IQ3_S);
CHECK_BLOCK(block_iq2_s, BYTES_OLL_IQ2_S);
CHECK_BLOCK(block_iq4_xs, BYTES_OLL_IQ4_XS);
CHECK_BLOCK(block_iq1_m, BYTES_OLL_IQ1_M);
CHECK_BLOCK(block_tq1_0, BYTES_OLL_TQ1_0);
CHECK_BLOCK(block_tq2_0, BYTES_OLL_TQ2_0);
CHECK_BLOCK(block_mxfp4, BYTES_OLL_MXFP4);
CHECK_BLOCK(block_nvfp4, BYTES_OLL_NVFP4);
CHECK_BLOCK(block_q1_0, BYTES_OLL_Q1_0);
CHECK_BLOCK(block_q2_0, BYTES_OLL_Q2_0);

static void decode_f32(const void *src, float *dst, size_t n) { memcpy(dst, src, n * sizeof *dst); }

/* Elements of a C type at any alignment, each turned into a float by `expr` on `v`. */
#define DECODE_PLAIN(name, type, expr)                                                             \
    static void decode_##name(const void *src, float *dst, size_t n)                               \
    {                                                                                              \
        const unsigned char *p = src;                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            type v;                                                                                \
            memcpy(&v, p + i * sizeof v, sizeof v);                                                \
            dst[i] = (expr);                                                                       \
        }                                                                                          \
    }

DECODE_PLAIN(f16, uint16_t, oll_f16_to_f32(v))
DECODE_PLAIN(bf16, uint16_t, oll_bf16_to_f32(v))
DECODE_PLAIN(i8, int8_t, (float)v)
DECODE_PLAIN(i16, int16_t, (float)v)
DECODE_PLAIN(i32, int32_t, (float)v)
DECODE_PLAIN(i64, int64_t, (float)v)
DECODE_PLAIN(f64, double, (float)v)

static const quant_decode_fn decoders[OLL_DTYPE_COUNT] = {
    [OLL_F32] = decode_f32,
    [OLL_F16] = decode_f16,
    [OLL_BF16] = decode_bf16,
    [OLL_F64] = decode_f64,
    [OLL_I8] = decode_i8,
    [OLL_I16] = decode_i16,
    [OLL_I32] = decode_i32,
    [OLL_I64] = decode_i64,
    [OLL_Q4_0] = quant_decode_q4_0,
    [OLL_Q4_1] = quant_decode_q4_1,
    [OLL_Q5_0] = quant_decode_q5_0,
    [OLL_Q5_1] = quant_decode_q5_1,
    [OLL_Q8_0] = quant_decode_q8_0,
    [OLL_Q8_1] = quant_decode_q8_1,
    [OLL_Q2_K] = quant_decode_q2_k,
    [OLL_Q3_K] = quant_decode_q3_k,
    [OLL_Q4_K] = quant_decode_q4_k,
    [OLL_Q5_K] = quant_decode_q5_k,
    [OLL_Q6_K] = quant_decode_q6_k,
    [OLL_Q8_K] = quant_decode_q8_k,
    [OLL_IQ2_XXS] = quant_decode_iq2_xxs,
    [OLL_IQ2_XS] = quant_decode_iq2_xs,
    [OLL_IQ3_XXS] = quant_decode_iq3_xxs,
    [OLL_IQ1_S] = quant_decode_iq1_s,
    [OLL_IQ4_NL] = quant_decode_iq4_nl,
    [OLL_IQ3_S] = quant_decode_iq3_s,
    [OLL_IQ2_S] = quant_decode_iq2_s,
    [OLL_IQ4_XS] = quant_decode_iq4_xs,
    [OLL_IQ1_M] = quant_decode_iq1_m,
    [OLL_TQ1_0] = quant_decode_tq1_0,
    [OLL_TQ2_0] = quant_decode_tq2_0,
    [OLL_MXFP4] = quant_decode_mxfp4,
    [OLL_NVFP4] = quant_decode_nvfp4,
    [OLL_Q1_0] = quant_decode_q1_0,
    [OLL_Q2_0] = quant_decode_q2_0,
};

void oll_dequantize_row(enum oll_dtype dtype, const void *src, float *dst, size_t n)
{
    const struct oll_dtype_info *info = oll_dtype_info((uint32_t)dtype);
    OLL_ASSERT(info && decoders[dtype] && n % info->block_elements == 0);
    decoders[dtype](src, dst, n);
}
