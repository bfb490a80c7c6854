/* AVX2: tiles of the formats with super-blocks of 256. */
#define MM_LEVEL avx2
#include "kernels/cpu/x86/tile_vec_x86.h"

#include "kernels/cpu/tile_k.h"
