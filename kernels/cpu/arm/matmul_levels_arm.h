/* Rows of kernels of the ARM levels, each defined in the file of its family and level. */
#ifndef OLL_KERNELS_CPU_ARM_MATMUL_LEVELS_ARM_H
#define OLL_KERNELS_CPU_ARM_MATMUL_LEVELS_ARM_H

#include "kernels/cpu/cpu_matmul.h"
#include "kernels/cpu/tile_lists.h"

#define X(name, dtype)                                                                             \
    extern const struct cpu_matmul_row cpu_matmul_##name##__dotprod, cpu_matmul_##name##__neon;
CPU_TILE_SMALL_LIST(X)
CPU_TILE_K_LIST(X)
X(bytes32, )
X(bytes256, )
#undef X
#define X(name, dtype) extern const struct cpu_matmul_row cpu_matmul_##name##__neon;
CPU_TILE_FLOAT_LIST(X)
#undef X

extern const struct cpu_matmul_kernels cpu_matmul_dotprod, cpu_matmul_neon;

#endif
