/* The tables of the x86 levels. */
#include "kernels/cpu/cpu_quantize_act.h"
#include "kernels/cpu/x86/matmul_levels.h"

#define SCALAR(dtype) [dtype] = &cpu_matmul_quantised__scalar

#define SCALAR_ROWS                                                                                \
    SCALAR(OLL_NVFP4), SCALAR(OLL_Q1_0), SCALAR(OLL_Q2_0), SCALAR(OLL_TQ1_0), SCALAR(OLL_TQ2_0),   \
        SCALAR(OLL_IQ2_XXS), SCALAR(OLL_IQ2_XS), SCALAR(OLL_IQ2_S), SCALAR(OLL_IQ3_XXS),           \
        SCALAR(OLL_IQ3_S), SCALAR(OLL_IQ1_S), SCALAR(OLL_IQ1_M)

#define SCALAR_QUANTIZE                                                                            \
    {cpu_quantize_f32__scalar, cpu_quantize_a32__scalar, cpu_quantize_a256__scalar}

const struct cpu_matmul_kernels cpu_matmul_avx512vnni = {
    .name = "avx512vnni",
    .tiling = {{8, 0}, {8, 6}, {8, 6}},
    .quantize = SCALAR_QUANTIZE,
    .row =
        {
#define X(name, dtype) [dtype] = &cpu_matmul_##name##__avx512vnni,
            CPU_MATMUL_SMALL_LIST(X) CPU_MATMUL_K_LIST(X)
#undef X
                SCALAR_ROWS},
};

const struct cpu_matmul_kernels cpu_matmul_avxvnni = {
    .name = "avxvnni",
    .tiling = {{8, 0}, {6, 0}, {6, 0}},
    .quantize = SCALAR_QUANTIZE,
    .row =
        {
#define X(name, dtype) [dtype] = &cpu_matmul_##name##__avxvnni,
            CPU_MATMUL_SMALL_LIST(X) CPU_MATMUL_K_LIST(X)
#undef X
                SCALAR_ROWS},
};

const struct cpu_matmul_kernels cpu_matmul_avx2 = {
    .name = "avx2",
    .tiling = {{8, 0}, {4, 0}, {4, 0}},
    .quantize = SCALAR_QUANTIZE,
    .row =
        {
#define X(name, dtype) [dtype] = &cpu_matmul_##name##__avx2,
            CPU_MATMUL_SMALL_LIST(X) CPU_MATMUL_K_LIST(X)
#undef X
                SCALAR_ROWS},
};
