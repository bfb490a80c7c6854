#include "engine/rope.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* The pair that turns `turns` times within the original context, as a real number. */
static double yarn_pair(const struct rope_params *rope, double turns)
{
    return rope->n_rot * log(rope->n_ctx_orig / (turns * 2 * PI)) / (2 * log(rope->freq_base));
}

/* Share of pair i that keeps its trained frequency: 1 for the fast pairs below `low`, 0 for the
 * slow ones above `high`, a straight line between. */
static double yarn_keep(const struct rope_params *rope, uint32_t i)
{
    double low = floor(yarn_pair(rope, rope->beta_fast));
    double high = ceil(yarn_pair(rope, rope->beta_slow));
    low = low > 0 ? low : 0;
    high = high < rope->n_rot - 1.0 ? high : rope->n_rot - 1.0;
    double width = high - low > 0.001 ? high - low : 0.001;
    return rope->ext_factor * (1 - clamp((i - low) / width, 0, 1));
}

static double yarn_mscale(double factor, double k)
{
    return factor <= 1 ? 1 : 0.1 * k * log(factor) + 1;
}

static double yarn_magnitude(const struct rope_params *rope)
{
    if (rope->yarn_attn_factor != 0)
        return rope->yarn_attn_factor;
    if (rope->log_multiplier != 0)
        return rope->attn_factor * yarn_mscale(rope->factor, 1) /
               yarn_mscale(rope->factor, rope->log_multiplier);
    return rope->attn_factor * (1 + 0.1 * log(rope->factor));
}

float rope_frequencies(const struct rope_params *rope, uint32_t n_ctx, float *freq)
{
    const float *factors = rope->factors;
    if (rope->factors_long && n_ctx > rope->n_ctx_orig)
        factors = rope->factors_long;
    for (uint32_t i = 0; i < rope->n_rot / 2; i++) {
        double theta = pow(rope->freq_base, -2.0 * i / rope->n_rot);
        if (factors)
            theta /= factors[i];
        if (rope->scaling == ROPE_SCALING_LINEAR) {
            theta /= rope->factor;
        } else if (rope->scaling == ROPE_SCALING_YARN) {
            double keep = yarn_keep(rope, i);
            theta = theta * (1 - keep) / rope->factor + theta * keep;
        }
        freq[i] = (float)theta;
    }
    double magnitude =
        rope->scaling == ROPE_SCALING_YARN ? yarn_magnitude(rope) : (double)rope->attn_factor;
    return (float)magnitude;
}
