#include "engine/rope.h"
#include "tests/testing.h"

#include <math.h>

static struct rope_params plain(uint32_t n_rot, float base)
{
    return (struct rope_params){.kind = OLL_ROPE_NORM,
                                .n_rot = n_rot,
                                .freq_base = base,
                                .factor = 1,
                                .n_ctx_orig = 4096,
                                .attn_factor = 1,
                                .ext_factor = 1,
                                .beta_fast = 32,
                                .beta_slow = 1};
}

static bool near(double a, double b) { return fabs(a - b) <= 1e-6 * fabs(b) + 1e-12; }

TEST(plain_and_linear)
{
    float freq[4];
    struct rope_params rope = plain(8, 10000);
    CHECK(near((double)rope_frequencies(&rope, 100, freq), 1));
    for (int i = 0; i < 4; i++)
        CHECK(near((double)freq[i], pow(10, -i)));
    rope.scaling = ROPE_SCALING_LINEAR;
    rope.factor = 4;
    rope_frequencies(&rope, 100, freq);
    CHECK(near((double)freq[0], 0.25) && near((double)freq[3], 0.00025));
}

TEST(factors_divide_and_longrope_chooses_by_the_context)
{
    const float brief[] = {1, 2, 4, 8}, wide[] = {2, 4, 8, 16};
    float freq[4];
    struct rope_params rope = plain(8, 10000);
    rope.factors = brief;
    rope.factors_long = wide;
    rope.attn_factor = 1.25f;
    CHECK(near((double)rope_frequencies(&rope, 4096, freq), 1.25));
    CHECK(near((double)freq[1], 0.05));
    rope_frequencies(&rope, 4097, freq);
    CHECK(near((double)freq[1], 0.025));
}

/* n_rot 64, base 150000, original 4096, factor 32: corr(32) = 8.09 so low is 8, corr(1) = 17.4 so
 * high is 18. */
TEST(yarn_blends_between_its_two_corners)
{
    float freq[32];
    struct rope_params rope = plain(64, 150000);
    rope.scaling = ROPE_SCALING_YARN;
    rope.factor = 32;
    float magnitude = rope_frequencies(&rope, 131072, freq);
    CHECK(near((double)magnitude, 1 + 0.1 * log(32.0)));
    for (int i = 0; i < 32; i++) {
        double theta = pow(150000, -2.0 * i / 64);
        double keep = i <= 8 ? 1 : i >= 18 ? 0 : 1 - (i - 8) / 10.0;
        CHECK_MSG(near((double)freq[i], theta * keep + theta / 32 * (1 - keep)), "pair %d: %g", i,
                  (double)freq[i]);
    }
}

TEST(yarn_magnitudes)
{
    float freq[32];
    struct rope_params rope = plain(64, 150000);
    rope.scaling = ROPE_SCALING_YARN;
    rope.factor = 16;
    rope.log_multiplier = 1;
    CHECK(near((double)rope_frequencies(&rope, 1, freq), 1));
    rope.log_multiplier = 0.5f;
    CHECK(near((double)rope_frequencies(&rope, 1, freq),
               (1 + 0.1 * log(16.0)) / (1 + 0.05 * log(16.0))));
    rope.yarn_attn_factor = 0.75f;
    CHECK(near((double)rope_frequencies(&rope, 1, freq), 0.75));
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
