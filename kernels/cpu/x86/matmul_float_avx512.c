/* AVX-512: tiles of the formats without quantisation. */
#define MM_LEVEL avx512
#include "kernels/cpu/x86/tile_vec_x86.h"

#include "kernels/cpu/tile_float.h"
