/* Decoders of one row, one per block type; what oll_dequantize_row dispatches to. Internal to
 * quant*.c. src [row_bytes(n)] of any alignment, dst [n], n a multiple of the block. */
#ifndef OLL_KERNELS_QUANT_ROWS_H
#define OLL_KERNELS_QUANT_ROWS_H

#include <stddef.h>

typedef void (*quant_decode_fn)(const void *src, float *dst, size_t n);

/* quant_small.c */
void quant_decode_q4_0(const void *src, float *dst, size_t n);
void quant_decode_q4_1(const void *src, float *dst, size_t n);
void quant_decode_q5_0(const void *src, float *dst, size_t n);
void quant_decode_q5_1(const void *src, float *dst, size_t n);
void quant_decode_q8_0(const void *src, float *dst, size_t n);
void quant_decode_q8_1(const void *src, float *dst, size_t n);
void quant_decode_iq4_nl(const void *src, float *dst, size_t n);
void quant_decode_mxfp4(const void *src, float *dst, size_t n);
void quant_decode_nvfp4(const void *src, float *dst, size_t n);
void quant_decode_q1_0(const void *src, float *dst, size_t n);
void quant_decode_q2_0(const void *src, float *dst, size_t n);
void quant_decode_tq1_0(const void *src, float *dst, size_t n);
void quant_decode_tq2_0(const void *src, float *dst, size_t n);

/* quant_k.c */
void quant_decode_q2_k(const void *src, float *dst, size_t n);
void quant_decode_q3_k(const void *src, float *dst, size_t n);
void quant_decode_q4_k(const void *src, float *dst, size_t n);
void quant_decode_q5_k(const void *src, float *dst, size_t n);
void quant_decode_q6_k(const void *src, float *dst, size_t n);
void quant_decode_q8_k(const void *src, float *dst, size_t n);

/* quant_iq.c */
void quant_decode_iq2_xxs(const void *src, float *dst, size_t n);
void quant_decode_iq2_xs(const void *src, float *dst, size_t n);
void quant_decode_iq2_s(const void *src, float *dst, size_t n);
void quant_decode_iq3_xxs(const void *src, float *dst, size_t n);
void quant_decode_iq3_s(const void *src, float *dst, size_t n);
void quant_decode_iq1_s(const void *src, float *dst, size_t n);
void quant_decode_iq1_m(const void *src, float *dst, size_t n);
void quant_decode_iq4_xs(const void *src, float *dst, size_t n);

#endif
