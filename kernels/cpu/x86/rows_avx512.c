/* Rows and attention tiles, compiled for this level: see the included files. */
#define CPU_VEC_AVX512
#define CPU_ATT_R 8
#include "kernels/cpu/cpu_rows_impl.h"

#include "kernels/cpu/cpu_attention_impl.h"

void cpu_kernels_avx512(struct cpu_kernels *k)
{
    rows_init(k);
    attention_init(k);
}
