/* The tables of the ARM levels. */
#include "kernels/cpu/arm/matmul_levels_arm.h"
#include "kernels/cpu/cpu_expand.h"
#include "kernels/cpu/cpu_quantize_act.h"

#define ROW_DOTPROD(name, dtype) [dtype] = &cpu_matmul_##name##__dotprod,
#define ROW_NEON(name, dtype)    [dtype] = &cpu_matmul_##name##__neon,

#define QUANTIZE {cpu_quantize_f32__scalar, cpu_quantize_a32__neon, cpu_quantize_a256__neon}

const struct cpu_matmul_kernels cpu_matmul_dotprod = {
    .name = "dotprod",
    .tiling = {{6, 0}, {4, 0}, {4, 0}},
    .quantize = QUANTIZE,
    .interleave = cpu_interleave__neon,
    .row = {CPU_TILE_SMALL_LIST(ROW_DOTPROD) CPU_TILE_K_LIST(ROW_DOTPROD)
                CPU_TILE_FLOAT_LIST(ROW_NEON)},
    .bytes32 = &cpu_matmul_bytes32__dotprod,
    .bytes256 = &cpu_matmul_bytes256__dotprod,
};

const struct cpu_matmul_kernels cpu_matmul_neon = {
    .name = "neon",
    .tiling = {{6, 0}, {4, 0}, {4, 0}},
    .quantize = QUANTIZE,
    .interleave = cpu_interleave__neon,
    .row = {CPU_TILE_SMALL_LIST(ROW_NEON) CPU_TILE_K_LIST(ROW_NEON) CPU_TILE_FLOAT_LIST(ROW_NEON)},
    .bytes32 = &cpu_matmul_bytes32__neon,
    .bytes256 = &cpu_matmul_bytes256__neon,
};
