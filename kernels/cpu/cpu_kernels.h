/* The ISA table: one function pointer per inner loop, filled once when the device opens. Scalar C
 * comes first, then each family overwrites level by level (x86/, arm/) with early returns. */
#ifndef OLL_KERNELS_CPU_KERNELS_H
#define OLL_KERNELS_CPU_KERNELS_H

#include "kernels/device.h"

#include <stdint.h>

struct cpu_matmul_kernels; /* rows of cpu_matmul.h */

struct cpu_kernels {
    const char *level; /* name of the highest level in use, for the log */
    const struct cpu_matmul_kernels *matmul;
};

void cpu_kernels_init(struct cpu_kernels *k, uint32_t features);

#endif
