/* The ISA table: plain C first, then each family overwrites level by level. */
#include "kernels/cpu/cpu_kernels.h"

#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/cpu_matmul.h"

void cpu_kernels_init(struct cpu_kernels *k, uint32_t features)
{
    cpu_kernels_scalar(k);
    k->matmul = cpu_matmul_kernels_of(features);
#if defined(OLL_X86)
    if (!(features & CPU_AVX2))
        return;
    cpu_kernels_avx2(k);
    if (!(features & CPU_AVX512))
        return;
    cpu_kernels_avx512(k);
#elif defined(OLL_ARM64)
    if (!(features & CPU_NEON))
        return;
    cpu_kernels_neon(k);
#endif
}
