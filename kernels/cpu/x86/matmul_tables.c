/* The tables of the x86 levels. A level takes the rows of the levels below it where it has none of
 * its own. */
#include "kernels/cpu/cpu_quantize_act.h"
#include "kernels/cpu/x86/matmul_levels.h"

#define SCALAR(dtype) [dtype] = &cpu_matmul_quantised__scalar

#define SCALAR_ROWS                                                                                \
    SCALAR(OLL_NVFP4), SCALAR(OLL_Q1_0), SCALAR(OLL_Q2_0), SCALAR(OLL_TQ1_0), SCALAR(OLL_TQ2_0),   \
        SCALAR(OLL_IQ2_XXS), SCALAR(OLL_IQ2_XS), SCALAR(OLL_IQ2_S), SCALAR(OLL_IQ3_XXS),           \
        SCALAR(OLL_IQ3_S), SCALAR(OLL_IQ1_S), SCALAR(OLL_IQ1_M)

#define QUANTIZE(level)                                                                            \
    {cpu_quantize_f32__scalar, cpu_quantize_a32__##level, cpu_quantize_a256__##level}

#define ROW_AVX512VNNI(name, dtype) [dtype] = &cpu_matmul_##name##__avx512vnni,
#define ROW_AVXVNNI(name, dtype)    [dtype] = &cpu_matmul_##name##__avxvnni,
#define ROW_AVX512(name, dtype)     [dtype] = &cpu_matmul_##name##__avx512,
#define ROW_AVX2(name, dtype)       [dtype] = &cpu_matmul_##name##__avx2,

const struct cpu_matmul_kernels cpu_matmul_avx512vnni = {
    .name = "avx512vnni",
    .tiling = {{8, 6}, {8, 6}, {8, 6}},
    .quantize = QUANTIZE(avx512),
    .row = {CPU_MATMUL_SMALL_LIST(ROW_AVX512VNNI) CPU_MATMUL_K_LIST(ROW_AVX512VNNI)
                CPU_MATMUL_FLOAT_LIST(ROW_AVX512) SCALAR_ROWS},
};

const struct cpu_matmul_kernels cpu_matmul_avx512 = {
    .name = "avx512",
    .tiling = {{8, 6}, {4, 0}, {4, 0}},
    .quantize = QUANTIZE(avx512),
    .row = {CPU_MATMUL_SMALL_LIST(ROW_AVX2) CPU_MATMUL_K_LIST(ROW_AVX2)
                CPU_MATMUL_FLOAT_LIST(ROW_AVX512) SCALAR_ROWS},
};

const struct cpu_matmul_kernels cpu_matmul_avxvnni = {
    .name = "avxvnni",
    .tiling = {{6, 0}, {6, 0}, {6, 0}},
    .quantize = QUANTIZE(avx2),
    .row = {CPU_MATMUL_SMALL_LIST(ROW_AVXVNNI) CPU_MATMUL_K_LIST(ROW_AVXVNNI)
                CPU_MATMUL_FLOAT_LIST(ROW_AVX2) SCALAR_ROWS},
};

const struct cpu_matmul_kernels cpu_matmul_avx2 = {
    .name = "avx2",
    .tiling = {{6, 0}, {4, 0}, {4, 0}},
    .quantize = QUANTIZE(avx2),
    .row = {CPU_MATMUL_SMALL_LIST(ROW_AVX2) CPU_MATMUL_K_LIST(ROW_AVX2)
                CPU_MATMUL_FLOAT_LIST(ROW_AVX2) SCALAR_ROWS},
};
