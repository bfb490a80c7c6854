/* AVX2: tiles of the formats with super-blocks of 256. */
#define MM_LEVEL avx2
#include "kernels/cpu/x86/matmul_k.h"
