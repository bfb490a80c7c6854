/* AVX-VNNI: tiles of the formats with blocks of 32. */
#define MM_LEVEL avxvnni
#include "kernels/cpu/x86/matmul_small.h"
