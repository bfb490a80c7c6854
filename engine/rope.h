/* Rotary position embedding: the frequencies and the magnitude that a model asks for.
 *
 * Every scaling (linear, llama3 factors, YaRN, LongRoPE) ends in one frequency per pair and one
 * factor on cos and sin; kernels see nothing else (op_rope_table).
 *
 * Sources: Su et al. 2021, arXiv:2104.09864; YaRN, Peng et al. 2023, arXiv:2309.00071; LongRoPE,
 * Ding et al. 2024, arXiv:2402.13753. Pure functions. */
#ifndef OLL_ENGINE_ROPE_H
#define OLL_ENGINE_ROPE_H

#include "kernels/device.h"

enum rope_scaling { ROPE_SCALING_NONE, ROPE_SCALING_LINEAR, ROPE_SCALING_YARN, ROPE_SCALING_LONG };

/* Checked by hparams_read: n_rot even and positive, freq_base and factor finite and positive. */
struct rope_params {
    enum oll_rope_kind kind;
    enum rope_scaling scaling;
    uint32_t n_rot; /* rotated dimensions of a head; n_rot / 2 pairs */
    float freq_base;
    float factor;        /* context extension, 1: none */
    uint32_t n_ctx_orig; /* trained context before the extension */
    float attn_factor;   /* on cos and sin */
    /* YaRN */
    float ext_factor, beta_fast, beta_slow;
    float yarn_attn_factor; /* replaces the computed magnitude when not 0 */
    float log_multiplier;   /* mu of mistral3, 0: absent */
    /* [n_rot / 2] divisors of the frequencies, NULL: 1. `factors_long` alone may be NULL. */
    const float *factors, *factors_long;
};

/* Fills freq [n_rot / 2] with radians per position and returns the magnitude. `n_ctx` is the
 * context allocated per sequence: LongRoPE takes its long factors when that exceeds n_ctx_orig. */
float rope_frequencies(const struct rope_params *rope, uint32_t n_ctx, float *freq);

#endif
