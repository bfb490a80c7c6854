/* NEON: tiles of the formats without quantisation. */
#define MM_LEVEL neon
#include "kernels/cpu/arm/tile_vec_neon.h"

#include "kernels/cpu/tile_float.h"
