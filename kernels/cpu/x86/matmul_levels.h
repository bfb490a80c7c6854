/* Rows of kernels of the x86 levels, each defined in the file of its family and level. */
#ifndef OLL_KERNELS_CPU_X86_MATMUL_LEVELS_H
#define OLL_KERNELS_CPU_X86_MATMUL_LEVELS_H

#include "kernels/cpu/cpu_matmul.h"
#include "kernels/cpu/tile_lists.h"

#define X(name, dtype)                                                                             \
    extern const struct cpu_matmul_row cpu_matmul_##name##__avx512vnni,                            \
        cpu_matmul_##name##__avxvnni, cpu_matmul_##name##__avx2;
CPU_TILE_SMALL_LIST(X)
CPU_TILE_K_LIST(X)
X(bytes32, )
X(bytes256, )
#undef X
#define X(name, dtype)                                                                             \
    extern const struct cpu_matmul_row cpu_matmul_##name##__avx512, cpu_matmul_##name##__avx2;
CPU_TILE_FLOAT_LIST(X)
#undef X
#define X(name, dtype) extern const struct cpu_matmul_rows cpu_rows_##name##__avx512vnni;
CPU_ROWS_LIST(X)
#undef X

extern const struct cpu_matmul_row cpu_matmul_bf16__avx512bf16;

extern const struct cpu_matmul_kernels cpu_matmul_avx512bf16, cpu_matmul_avx512vnni,
    cpu_matmul_avx512, cpu_matmul_avxvnni, cpu_matmul_avx2;

#endif
