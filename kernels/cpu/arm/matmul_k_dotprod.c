/* NEON with dot products: tiles of the formats with super-blocks of 256. */
#define MM_LEVEL dotprod
#include "kernels/cpu/arm/tile_vec_neon.h"

#include "kernels/cpu/tile_k.h"
