/* Which type each tensor gets (store-and-registry 10.3). */
#include "engine/convert/quantize.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const target_names[] = {"F32", "F16", "BF16", "Q8_0", "Q4_K_S", "Q4_K_M"};
enum { N_TARGETS = sizeof target_names / sizeof target_names[0] };

const char *oll_quantize_target_name(enum oll_quantize_target target)
{
    return target_names[target];
}

oll_status oll_quantize_target_parse(const char *name, enum oll_quantize_target *out,
                                     struct oll_error *err)
{
    char upper[32];
    size_t n = 0;
    for (int i = 0; i < N_TARGETS; i++)
        if (strcasecmp(name, target_names[i]) == 0) {
            *out = (enum oll_quantize_target)i;
            return OLL_OK;
        }
    if (strcasecmp(name, "Q4_K") == 0) {
        *out = OLL_TARGET_Q4_K_M;
        return OLL_OK;
    }
    for (; name[n] && n < sizeof upper - 1; n++)
        upper[n] = (char)toupper((unsigned char)name[n]);
    upper[n] = '\0';
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                    "unsupported quantization type %s - supported types are F32, F16, Q4_K_S, "
                    "Q4_K_M, Q8_0",
                    upper);
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), n_end = strlen(end);
    return n >= n_end && strcmp(s + n - n_end, end) == 0;
}

static bool holds_any(const char *name, const char *const *parts)
{
    for (; *parts; parts++)
        if (strstr(name, *parts))
            return true;
    return false;
}

/* Tensors that are small or that suffer. */
static bool stays(const char *name, uint32_t n_dims)
{
    static const char *const parts[] = {"mm.",
                                        "_norm.weight",
                                        "ffn_gate_inp.weight",
                                        "ffn_gate_inp_shexp.weight",
                                        "ssm_conv1d.weight",
                                        "shortconv.conv.weight",
                                        "time_mix_first.weight",
                                        "time_mix_w1.weight",
                                        "time_mix_w2.weight",
                                        "time_mix_decay_w1.weight",
                                        "time_mix_decay_w2.weight",
                                        "time_mix_lerp_fused.weight",
                                        "attn_rel_b.weight",
                                        "per_layer_token_embd.weight",
                                        "per_layer_model_proj",
                                        "altup",
                                        "laurel",
                                        "rope_",
                                        NULL};
    return n_dims < 2 || !ends_with(name, "weight") || strncmp(name, "v.", 2) == 0 ||
           strncmp(name, "a.", 2) == 0 || holds_any(name, parts) ||
           strcmp(name, "position_embd.weight") == 0 || strcmp(name, "token_types.weight") == 0;
}

uint64_t quantize_layer_of(const char *name)
{
    return strncmp(name, "blk.", 4) == 0 ? strtoull(name + 4, NULL, 10) : 0;
}

/* Layers at both ends and every third between deserve more bits. */
static bool more_bits(uint64_t i, uint64_t n)
{
    return i < n / 8 || i >= 7 * n / 8 || (i >= n / 8 && (i - n / 8) % 3 == 2);
}

/* Whether a layer is among the first four with an attn_v. */
static bool is_early(const struct quantize_plan *plan, uint64_t i_layer)
{
    int before = 0;
    for (uint64_t i = 0; i < i_layer && i < QUANTIZE_LAYERS_MAX; i++)
        before += plan->has_attn_v[i];
    return before < 4;
}

static enum oll_dtype k_quant_type(const struct quantize_plan *plan, const char *name)
{
    static const char *const mla[] = {"attn_k_b.", "attn_v_b.", "attn_kv_a_mqa.",
                                      "attn_q_a.", "attn_q_b.", NULL};
    const bool is_m = plan->target == OLL_TARGET_Q4_K_M, eight = plan->n_expert == 8;
    const uint64_t i = quantize_layer_of(name);
    if (strcmp(name, "output.weight") == 0 ||
        (strcmp(name, "token_embd.weight") == 0 && !plan->has_output))
        return OLL_Q6_K;
    if (holds_any(name, mla))
        return OLL_Q8_0;
    if (strstr(name, "attn_v.weight")) {
        if (eight)
            return OLL_Q8_0;
        return is_m ? (more_bits(i, plan->n_layer) ? OLL_Q6_K : OLL_Q4_K)
                    : (is_early(plan, i) ? OLL_Q5_K : OLL_Q4_K);
    }
    if (strstr(name, "attn_k.weight") && eight)
        return OLL_Q8_0;
    if (strstr(name, "attn_output.weight") && eight)
        return OLL_Q5_K;
    if (strstr(name, "attn_qkv.weight"))
        return is_m ? OLL_Q5_K : OLL_Q4_K;
    if (strstr(name, "ffn_down"))
        return is_m ? (more_bits(i, plan->n_layer) ? OLL_Q6_K : OLL_Q4_K)
                    : (i < plan->n_layer / 8 ? OLL_Q5_K : OLL_Q4_K);
    return OLL_Q4_K;
}

static bool divides(enum oll_dtype dtype, uint64_t n_in)
{
    return n_in % oll_dtype_info((uint32_t)dtype)->block_elements == 0;
}

/* The next type whose block divides the row. */
static enum oll_dtype fitting(enum oll_dtype dtype, uint64_t n_in)
{
    if (!divides(dtype, n_in))
        dtype = dtype == OLL_Q4_K ? OLL_Q5_0 : dtype == OLL_Q5_K ? OLL_Q5_1 : OLL_Q8_0;
    return divides(dtype, n_in) ? dtype : OLL_F16;
}

enum oll_dtype quantize_tensor_type(const struct quantize_plan *plan, const char *name,
                                    uint32_t n_dims, uint64_t n_in, enum oll_dtype source)
{
    if (stays(name, n_dims))
        return source;
    switch (plan->target) {
    case OLL_TARGET_KEEP: return source;
    case OLL_TARGET_F32: return OLL_F32;
    case OLL_TARGET_F16: return OLL_F16;
    case OLL_TARGET_BF16: return OLL_BF16;
    case OLL_TARGET_Q8_0: return fitting(OLL_Q8_0, n_in);
    case OLL_TARGET_Q4_K_S:
    case OLL_TARGET_Q4_K_M: break;
    }
    return fitting(k_quant_type(plan, name), n_in);
}
