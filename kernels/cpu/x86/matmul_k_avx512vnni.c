/* AVX-512 VNNI: tiles of the formats with super-blocks of 256. */
#define MM_LEVEL avx512vnni
#include "kernels/cpu/x86/matmul_k.h"
