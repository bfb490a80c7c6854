/* NEON: tiles of the formats with blocks of 32. */
#define MM_LEVEL neon
#include "kernels/cpu/arm/tile_vec_neon.h"

#include "kernels/cpu/tile_nvfp4.h"
#include "kernels/cpu/tile_small.h"
