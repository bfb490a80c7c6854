/* The tables of the x86 levels. A level takes the rows of the levels below it where it has none of
 * its own. */
#include "kernels/cpu/cpu_expand.h"
#include "kernels/cpu/cpu_quantize_act.h"
#include "kernels/cpu/x86/matmul_levels.h"

#define QUANTIZE(level)                                                                            \
    {cpu_quantize_f32__scalar, cpu_quantize_a32__##level, cpu_quantize_a256__##level, NULL}

#define ROW_AVX512VNNI(name, dtype)  [dtype] = &cpu_matmul_##name##__avx512vnni,
#define ROW_AVXVNNI(name, dtype)     [dtype] = &cpu_matmul_##name##__avxvnni,
#define ROWS_AVX512VNNI(name, dtype) [dtype] = &cpu_rows_##name##__avx512vnni,
#define ROW_AVX512(name, dtype)      [dtype] = &cpu_matmul_##name##__avx512,
#define ROW_AVX2(name, dtype)        [dtype] = &cpu_matmul_##name##__avx2,

const struct cpu_matmul_kernels cpu_matmul_avx512vnni = {
    .name = "avx512vnni",
    .bytes32 = &cpu_matmul_bytes32__avx512vnni,
    .bytes256 = &cpu_matmul_bytes256__avx512vnni,
    .tiling = {{8, 6}, {8, 6}, {8, 6}},
    .interleave = cpu_interleave__avx512,
    .quantize = QUANTIZE(avx512),
    .row = {CPU_TILE_SMALL_LIST(ROW_AVX512VNNI) CPU_TILE_K_LIST(ROW_AVX512VNNI)
                CPU_TILE_FLOAT_LIST(ROW_AVX512)},
#if !defined(OLL_EMULATED) /* SIMDe lacks the gathers */
    .rows = {CPU_ROWS_LIST(ROWS_AVX512VNNI)},
#endif
};

#if !defined(OLL_EMULATED)
const struct cpu_matmul_kernels cpu_matmul_avx512bf16 = {
    .name = "avx512bf16",
    .bytes32 = &cpu_matmul_bytes32__avx512vnni,
    .bytes256 = &cpu_matmul_bytes256__avx512vnni,
    .bf16_act = CPU_ACT_B16,
    .tiling = {{8, 6}, {8, 6}, {8, 6}, {8, 6}},
    .interleave = cpu_interleave__avx512,
    .quantize = {cpu_quantize_f32__scalar, cpu_quantize_a32__avx512, cpu_quantize_a256__avx512,
                 cpu_quantize_b16__avx512bf16},
    .row = {CPU_TILE_SMALL_LIST(ROW_AVX512VNNI) CPU_TILE_K_LIST(ROW_AVX512VNNI) ROW_AVX512(
                f32, OLL_F32) ROW_AVX512(f16, OLL_F16)[OLL_BF16] = &cpu_matmul_bf16__avx512bf16},
    .rows = {CPU_ROWS_LIST(ROWS_AVX512VNNI)},
};
#endif

const struct cpu_matmul_kernels cpu_matmul_avx512 = {
    .name = "avx512",
    .bytes32 = &cpu_matmul_bytes32__avx2,
    .bytes256 = &cpu_matmul_bytes256__avx2,
    .tiling = {{8, 6}, {4, 0}, {4, 0}},
    .interleave = cpu_interleave__avx512,
    .quantize = QUANTIZE(avx512),
    .row = {CPU_TILE_SMALL_LIST(ROW_AVX2) CPU_TILE_K_LIST(ROW_AVX2)
                CPU_TILE_FLOAT_LIST(ROW_AVX512)},
};

const struct cpu_matmul_kernels cpu_matmul_avxvnni = {
    .name = "avxvnni",
    .bytes32 = &cpu_matmul_bytes32__avxvnni,
    .bytes256 = &cpu_matmul_bytes256__avxvnni,
    .tiling = {{6, 0}, {6, 0}, {6, 0}},
    .interleave = cpu_interleave__avx2,
    .quantize = QUANTIZE(avx2),
    .row = {CPU_TILE_SMALL_LIST(ROW_AVXVNNI) CPU_TILE_K_LIST(ROW_AVXVNNI)
                CPU_TILE_FLOAT_LIST(ROW_AVX2)},
};

const struct cpu_matmul_kernels cpu_matmul_avx2 = {
    .name = "avx2",
    .bytes32 = &cpu_matmul_bytes32__avx2,
    .bytes256 = &cpu_matmul_bytes256__avx2,
    .tiling = {{6, 0}, {4, 0}, {4, 0}},
    .interleave = cpu_interleave__avx2,
    .quantize = QUANTIZE(avx2),
    .row = {CPU_TILE_SMALL_LIST(ROW_AVX2) CPU_TILE_K_LIST(ROW_AVX2) CPU_TILE_FLOAT_LIST(ROW_AVX2)},
};
