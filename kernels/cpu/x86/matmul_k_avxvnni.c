/* AVX-VNNI: tiles of the formats with super-blocks of 256. */
#define MM_LEVEL avxvnni
#include "kernels/cpu/x86/matmul_k.h"
