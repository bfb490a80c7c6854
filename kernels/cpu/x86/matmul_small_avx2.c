/* AVX2: tiles of the formats with blocks of 32. */
#define MM_LEVEL avx2
#include "kernels/cpu/x86/matmul_small.h"
