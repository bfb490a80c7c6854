/* Encoders that search for their scales; what oll_quantize_row dispatches to. Internal to quant*.c.
 * src [n], dst [row_bytes(n)] of any alignment, n a multiple of the block. */
#ifndef OLL_KERNELS_QUANT_ENCODE_K_H
#define OLL_KERNELS_QUANT_ENCODE_K_H

#include <stddef.h>

void quant_encode_q2_k(const float *src, void *dst, size_t n);
void quant_encode_q3_k(const float *src, void *dst, size_t n);
void quant_encode_q4_k(const float *src, void *dst, size_t n);
void quant_encode_q5_k(const float *src, void *dst, size_t n);
void quant_encode_q6_k(const float *src, void *dst, size_t n);

#endif
