/* Rows of kernels of the x86 levels, each defined in the file of its family and level. */
#ifndef OLL_KERNELS_CPU_X86_MATMUL_LEVELS_H
#define OLL_KERNELS_CPU_X86_MATMUL_LEVELS_H

#include "kernels/cpu/cpu_matmul.h"

#define CPU_MATMUL_SMALL_LIST(X)                                                                   \
    X(q4_0, OLL_Q4_0)                                                                              \
    X(q4_1, OLL_Q4_1)                                                                              \
    X(q5_0, OLL_Q5_0)                                                                              \
    X(q5_1, OLL_Q5_1)                                                                              \
    X(q8_0, OLL_Q8_0)                                                                              \
    X(iq4_nl, OLL_IQ4_NL)                                                                          \
    X(mxfp4, OLL_MXFP4)

#define CPU_MATMUL_K_LIST(X)                                                                       \
    X(q2_k, OLL_Q2_K)                                                                              \
    X(q3_k, OLL_Q3_K)                                                                              \
    X(q4_k, OLL_Q4_K)                                                                              \
    X(q5_k, OLL_Q5_K)                                                                              \
    X(q6_k, OLL_Q6_K)                                                                              \
    X(iq4_xs, OLL_IQ4_XS)

#define CPU_MATMUL_FLOAT_LIST(X)                                                                   \
    X(f32, OLL_F32)                                                                                \
    X(f16, OLL_F16)                                                                                \
    X(bf16, OLL_BF16)

#define X(name, dtype)                                                                             \
    extern const struct cpu_matmul_row cpu_matmul_##name##__avx512vnni,                            \
        cpu_matmul_##name##__avxvnni, cpu_matmul_##name##__avx2;
CPU_MATMUL_SMALL_LIST(X)
CPU_MATMUL_K_LIST(X)
X(bytes32, )
X(bytes256, )
#undef X
#define X(name, dtype)                                                                             \
    extern const struct cpu_matmul_row cpu_matmul_##name##__avx512, cpu_matmul_##name##__avx2;
CPU_MATMUL_FLOAT_LIST(X)
#undef X

extern const struct cpu_matmul_row cpu_matmul_quantised__scalar; /* any quantised type */

extern const struct cpu_matmul_kernels cpu_matmul_avx512vnni, cpu_matmul_avx512, cpu_matmul_avxvnni,
    cpu_matmul_avx2;

#endif
