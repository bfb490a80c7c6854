/* The table of matrix kernels for the features of a processor. */
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/cpu_matmul.h"
#if defined(OLL_X86)
#include "kernels/cpu/x86/matmul_levels.h"
#elif defined(OLL_ARM64)
#include "kernels/cpu/arm/matmul_levels_arm.h"
#endif

const struct cpu_matmul_kernels *cpu_matmul_kernels_of(uint32_t features)
{
#if defined(OLL_X86)
#if !defined(OLL_EMULATED)
    if (features & CPU_AVX512VNNI && features & CPU_AVX512BF16)
        return &cpu_matmul_avx512bf16;
#endif
    if (features & CPU_AVX512VNNI)
        return &cpu_matmul_avx512vnni;
    if (features & CPU_AVX512)
        return &cpu_matmul_avx512;
    if (features & CPU_AVXVNNI)
        return &cpu_matmul_avxvnni;
    if (features & CPU_AVX2)
        return &cpu_matmul_avx2;
#elif defined(OLL_ARM64)
    if (features & CPU_DOTPROD)
        return &cpu_matmul_dotprod;
    if (features & CPU_NEON)
        return &cpu_matmul_neon;
#endif
    (void)features;
    return &cpu_matmul_scalar;
}
