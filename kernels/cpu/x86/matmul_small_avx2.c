/* AVX2: tiles of the formats with blocks of 32. */
#define MM_LEVEL avx2
#include "kernels/cpu/x86/tile_vec_x86.h"

#include "kernels/cpu/tile_nvfp4.h"
#include "kernels/cpu/tile_small.h"
