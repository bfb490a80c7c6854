/* AVX-512: tiles of the formats without quantisation. */
#define MM_LEVEL avx512
#include "kernels/cpu/x86/matmul_float.h"
