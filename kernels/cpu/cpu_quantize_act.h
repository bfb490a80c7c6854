/* Quantisers of activations per level of instructions (forms: enum cpu_act in cpu_matmul.h). */
#ifndef OLL_KERNELS_CPU_QUANTIZE_ACT_H
#define OLL_KERNELS_CPU_QUANTIZE_ACT_H

#include "kernels/cpu/cpu_matmul.h"

/* Bits of 2^-120: a block whose largest magnitude is smaller counts as zeros. */
#define ACT_MIN_BITS 0x03800000u

void cpu_quantize_f32__scalar(const float *const *x, uint32_t n_tokens, uint32_t n_in,
                              uint8_t *dst);
void cpu_quantize_a32__scalar(const float *const *x, uint32_t n_tokens, uint32_t n_in,
                              uint8_t *dst);
void cpu_quantize_a256__scalar(const float *const *x, uint32_t n_tokens, uint32_t n_in,
                               uint8_t *dst);

void cpu_quantize_b16__avx512bf16(const float *const *x, uint32_t n_tokens, uint32_t n_in,
                                  uint8_t *dst);
void cpu_quantize_a32__avx2(const float *const *x, uint32_t n_tokens, uint32_t n_in, uint8_t *dst);
void cpu_quantize_a256__avx2(const float *const *x, uint32_t n_tokens, uint32_t n_in, uint8_t *dst);
void cpu_quantize_a32__avx512(const float *const *x, uint32_t n_tokens, uint32_t n_in,
                              uint8_t *dst);
void cpu_quantize_a256__avx512(const float *const *x, uint32_t n_tokens, uint32_t n_in,
                               uint8_t *dst);

void cpu_quantize_a32__neon(const float *const *x, uint32_t n_tokens, uint32_t n_in, uint8_t *dst);
void cpu_quantize_a256__neon(const float *const *x, uint32_t n_tokens, uint32_t n_in, uint8_t *dst);

#endif
