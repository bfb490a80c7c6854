/* AVX2: tiles of the formats without quantisation. */
#define MM_LEVEL avx2
#include "kernels/cpu/x86/matmul_float.h"
