/* ref against numbers that were worked out by other means: by hand, from the papers' formulas in
 * another form, or from identities that hold whatever the values. */
#include "kernels/device.h"
#include "tests/testing.h"

#include <math.h>
#include <string.h>

enum { N_WORD = 4096 };

static struct oll_device *dev;
static struct oll_buffer *buf;
static struct oll_cmd cmd;
static uint32_t n_used; /* words given out */

static void setup(void)
{
    CHECK_OK(oll_device_open("ref", NULL, &dev, NULL));
    CHECK_OK(oll_buffer_new(dev, N_WORD * 4, &buf, NULL));
    oll_cmd_init(&cmd, dev);
    n_used = 0;
}

static void teardown(void)
{
    oll_cmd_free(&cmd);
    oll_buffer_free(buf);
    oll_device_close(dev);
}

static struct oll_mat mat(uint32_t rows, uint32_t cols, const float *values)
{
    struct oll_mat m = {.buf = buf, .off = n_used, .rows = rows, .cols = cols, .stride = cols};
    n_used += rows * cols;
    if (values)
        CHECK_OK(oll_buffer_upload(buf, m.off * 4, values, (size_t)rows * cols * 4, NULL));
    return m;
}

static struct oll_vec vec(uint32_t n, const float *values)
{
    struct oll_mat m = mat(1, n, values);
    return (struct oll_vec){.buf = buf, .off = m.off, .n = n};
}

static struct oll_ints ints(uint32_t n, const int32_t *values)
{
    struct oll_mat m = mat(1, n, NULL);
    if (values)
        CHECK_OK(oll_buffer_upload(buf, m.off * 4, values, n * 4, NULL));
    return (struct oll_ints){.buf = buf, .off = m.off, .n = n};
}

#define INTS(...)                                                                                  \
    ints(sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t), (const int32_t[]){__VA_ARGS__})
#define VEC(...) vec(sizeof((float[]){__VA_ARGS__}) / sizeof(float), (const float[]){__VA_ARGS__})
#define MAT(rows, ...)                                                                             \
    mat(rows, sizeof((float[]){__VA_ARGS__}) / sizeof(float) / (rows), (const float[]){__VA_ARGS__})

/* Runs what was recorded and compares a matrix with expected values. */
#define EXPECT(m, tolerance, ...)                                                                  \
    expect(__LINE__, m, tolerance, (const double[]){__VA_ARGS__},                                  \
           sizeof((double[]){__VA_ARGS__}) / sizeof(double))
static void run(int line)
{
    struct oll_error err = {0};
    testing_check(oll_device_submit(&cmd, &err) == OLL_OK && oll_device_wait(dev, &err) == OLL_OK,
                  __FILE__, line, "%s", oll_error_text(&err));
    oll_cmd_reset(&cmd);
}

static void expect(int line, struct oll_mat m, double tolerance, const double *expected, size_t n)
{
    float got[256];
    run(line);
    testing_check(n == (size_t)m.rows * m.cols, __FILE__, line, "%zu expected values", n);
    CHECK_OK(oll_buffer_download(buf, m.off * 4, got, n * 4, NULL));
    for (size_t i = 0; i < n; i++)
        testing_check(fabs((double)got[i] - expected[i]) <= tolerance, __FILE__, line,
                      "value %zu is %.9g, expected %.9g", i, (double)got[i], expected[i]);
}

#define EXPECT_INTS(m, ...) expect_ints(__LINE__, m, (const int32_t[]){__VA_ARGS__})
static void expect_ints(int line, struct oll_ints m, const int32_t *expected)
{
    int32_t got[64];
    CHECK_OK(oll_buffer_download(buf, m.off * 4, got, m.n * 4, NULL));
    for (uint32_t i = 0; i < m.n; i++)
        testing_check(got[i] == expected[i], __FILE__, line, "entry %u is %d, expected %d", i,
                      got[i], expected[i]);
}

static struct oll_weight *weight(enum oll_dtype dtype, const void *data, uint32_t n_in,
                                 uint32_t n_out, uint32_t n_expert)
{
    struct oll_weight *w = NULL;
    const struct oll_weight_source src = {"w", data, dtype, n_in, n_out, n_expert, false};
    CHECK_OK(oll_weights_new(dev, &src, 1, &w, NULL));
    return w;
}

/* ---- products ---- */

TEST(matmul_adds_bias_scales_and_adds_residual)
{
    setup();
    const float w_values[] = {1, 2, 3, -1, 0, 0.5f};
    struct oll_weight *w = weight(OLL_F32, w_values, 3, 2, 1);
    struct oll_mat x = MAT(2, 1, 1, 1, 2, 0, -4), y = MAT(2, 100, 200, 300, 400);
    struct op_matmul d = {.y = y, .x = x, .w = w, .b = VEC(10, 20), .residual = y, .scale = 2};
    op_matmul(&cmd, &d);
    EXPECT(y, 0, 100 + 2 * (6 + 10), 200 + 2 * (-0.5 + 20), 300 + 2 * (-10 + 10),
           400 + 2 * (-4.0 + 20));
    d = (struct op_matmul){.y = y, .x = x, .w = w};
    op_matmul(&cmd, &d); /* scale 0 means 1 */
    EXPECT(y, 0, 6, -0.5, -10, -4);
    oll_weight_free(w);
    teardown();
}

TEST(matmul_reads_quantised_rows)
{
    setup();
    /* Q8_0: d = 0.5 (f16 0x3800), quants 0 .. 31; and d = 2 (0x4000), quants -1. */
    unsigned char rows[2][34] = {{0x00, 0x38}, {0x00, 0x40}};
    for (int i = 0; i < 32; i++) {
        rows[0][2 + i] = (unsigned char)i;
        rows[1][2 + i] = 0xff;
    }
    float ones[32];
    for (int i = 0; i < 32; i++)
        ones[i] = 1;
    struct oll_weight *w = weight(OLL_Q8_0, rows, 32, 2, 1);
    struct oll_mat y = mat(1, 2, NULL);
    struct op_matmul d = {.y = y, .x = mat(1, 32, ones), .w = w};
    op_matmul(&cmd, &d);
    EXPECT(y, 0, 0.5 * 496, -64);
    struct oll_mat row = mat(1, 32, NULL);
    struct op_embed e = {.y = row, .w = w, .row = 1, .scale = 0.25f};
    op_embed(&cmd, &e);
    run(__LINE__);
    float got[32];
    CHECK_OK(oll_buffer_download(buf, row.off * 4, got, sizeof got, NULL));
    CHECK(got[0] == -0.5f && got[31] == -0.5f);
    oll_weight_free(w);
    teardown();
}

TEST(experts_take_their_own_matrix)
{
    setup();
    const float stack[] = {1, 1, 10, 10, 100, 100}; /* three experts of [1, 2] */
    struct oll_weight *w = weight(OLL_F32, stack, 2, 1, 3);
    struct oll_mat y = mat(4, 1, NULL), x = MAT(2, 1, 2, 3, 4);
    struct op_matmul_expert d = {.y = y, .x = x, .w = w, .ids = INTS(2, 0, 1, 2), .n_used = 2};
    op_matmul_expert(&cmd, &d);
    EXPECT(y, 0, 300, 3, 70, 700);
    d.x = MAT(4, 1, 2, 3, 4, 5, 6, 7, 8);
    d.b = VEC(0.5f, 0.25f, 0.125f);
    d.expert_scale = VEC(1, 2, 4);
    op_matmul_expert(&cmd, &d);
    EXPECT(y, 0, 4 * (300 + 0.125), 7.5, 2 * (110 + 0.25), 4 * (1500 + 0.125));
    oll_weight_free(w);
    teardown();
}

/* ---- norms, rope ---- */

TEST(norms_match_hand_computed_rows)
{
    setup();
    struct oll_mat x = MAT(1, 3, 4, 0, 0), y = mat(1, 4, NULL);
    struct op_norm d = {.kind = OLL_NORM_RMS, .y = y, .x = x, .w = VEC(1, 2, 3, 4)};
    op_norm(&cmd, &d);
    EXPECT(y, 1e-6, 1.2, 3.2, 0, 0); /* rms = 2.5 */
    d = (struct op_norm){.kind = OLL_NORM_LAYER,
                         .y = y,
                         .x = MAT(1, 1, 3, 5, 7),
                         .w = VEC(1, 1, 1, 2),
                         .b = VEC(0, 0, 0, 10)};
    op_norm(&cmd, &d);
    EXPECT(y, 1e-6, -3 / sqrt(5), -1 / sqrt(5), 1 / sqrt(5), 2 * 3 / sqrt(5) + 10);
    d = (struct op_norm){.kind = OLL_NORM_L2, .y = y, .x = x, .group = 2, .eps = 0.5f};
    op_norm(&cmd, &d);
    EXPECT(y, 1e-7, 0.6, 0.8, 0, 0);
    /* Below eps the length counts as eps; per-column weights go past the first group. */
    d.x = MAT(1, 0.25f, 0, 0, 2);
    op_norm(&cmd, &d);
    EXPECT(y, 1e-7, 0.5, 0, 0, 1);
    d = (struct op_norm){
        .kind = OLL_NORM_RMS, .y = y, .x = MAT(1, 1, 1, 3, 3), .group = 2, .w = VEC(1, 2, 3, 4)};
    op_norm(&cmd, &d);
    EXPECT(y, 1e-6, 1, 2, 3, 4);
    d.w = VEC(1, 2);
    op_norm(&cmd, &d);
    EXPECT(y, 1e-6, 1, 2, 1, 2);
    teardown();
}

TEST(rope_turns_by_quarter_turns)
{
    setup();
    const float quarter = 1.5707963267948966f;
    struct oll_mat table = mat(3, 4, NULL);
    struct op_rope_table d = {
        .table = table, .pos = INTS(0, 1, 2), .freq = VEC(quarter, quarter / 2), .magnitude = 2};
    op_rope_table(&cmd, &d);
    EXPECT(table, 1e-6, 2, 0, 2, 0, 0, 2, M_SQRT2, M_SQRT2, -2, 0, 0, 2);
    /* Heads of 6, the last two dimensions stay. Position 1, pairs turned by 90 and 45 degrees. */
    struct oll_mat one = MAT(1, 0, 1, (float)M_SQRT1_2, (float)M_SQRT1_2);
    struct oll_mat x = MAT(1, 1, 2, 3, 4, 5, 6, 10, 0, 0, 0, 7, 8);
    struct op_rope r = {
        .kind = OLL_ROPE_NORM, .x = x, .table = one, .n_head = 2, .head_dim = 6, .n_rot = 4};
    op_rope(&cmd, &r);
    EXPECT(x, 1e-6, -2, 1, -M_SQRT1_2, 7 * M_SQRT1_2, 5, 6, 0, 10, 0, 0, 7, 8);
    r.x = x = MAT(1, 1, 2, 3, 4, 5, 6, 10, 0, 0, 0, 7, 8);
    r.kind = OLL_ROPE_NEOX;
    op_rope(&cmd, &r);
    EXPECT(x, 1e-6, -3, -2 * M_SQRT1_2, 1, 6 * M_SQRT1_2, 5, 6, 0, 0, 10, 0, 7, 8);
    teardown();
}

TEST(far_positions_keep_their_angle)
{
    setup();
    struct oll_mat table = mat(1, 2, NULL);
    struct op_rope_table d = {
        .table = table, .pos = INTS(10000000), .freq = VEC(0.1f), .magnitude = 1};
    op_rope_table(&cmd, &d);
    EXPECT(table, 1e-7, cos(1e7 * (double)0.1f), sin(1e7 * (double)0.1f));
    teardown();
}

TEST(query_scale_steps_at_multiples)
{
    setup();
    struct oll_mat x = MAT(4, 1, 1, 1, 1);
    struct op_query_scale d = {
        .x = x, .pos = INTS(0, 99, 100, 399), .beta = 0.5f, .length = 100, .offset = 1};
    op_query_scale(&cmd, &d);
    EXPECT(x, 1e-6, 1, 1 + 0.5 * log(2), 1 + 0.5 * log(2), 1 + 0.5 * log(5));
    teardown();
}

/* ---- attention ---- */

enum { HEAD = 4, KV_BYTES = 1 << 14 };

struct cache {
    struct oll_buffer *buf;
    struct oll_kv kv;
};

/* A cache of four pages, one kv head of four values. */
static struct cache cache_new(enum oll_dtype dtype, struct oll_ints pages, uint32_t n_col)
{
    struct cache c = {0};
    CHECK_OK(oll_buffer_new(dev, KV_BYTES, &c.buf, NULL));
    c.kv = (struct oll_kv){.buf = c.buf,
                           .v_off = KV_BYTES / 2,
                           .dtype = dtype,
                           .n_page = 4,
                           .n_head_kv = 1,
                           .head_dim_k = HEAD,
                           .head_dim_v = HEAD,
                           .pages = pages,
                           .n_col = n_col};
    return c;
}

static void store(const struct oll_kv *kv, struct oll_mat k, struct oll_mat v, struct oll_ints pos,
                  struct oll_ints seq)
{
    struct op_kv_store d = {.k = k, .v = v, .kv = *kv, .pos = pos, .seq = seq};
    op_kv_store(&cmd, &d);
}

/* Three positions whose scores against q = (1, 0, 0, 0) are ln 1, ln 2, ln 3: weights 1/6, 2/6,
 * 3/6; values 6, 60 and 600. */
static struct op_attention three(struct cache *c, uint32_t n_token)
{
    c->kv = cache_new(OLL_F32, INTS(3), 1).kv;
    c->buf = c->kv.buf;
    store(&c->kv, MAT(3, 0, 9, 9, 9, logf(2), 9, 9, 9, logf(3), 9, 9, 9),
          MAT(3, 6, 0, 0, 0, 60, 0, 0, 1, 600, 0, 0, 0), INTS(0, 1, 2), INTS(0, 0, 0));
    float q[3 * HEAD] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0};
    return (struct op_attention){.y = mat(n_token, HEAD, NULL),
                                 .q = mat(n_token, HEAD, q),
                                 .kv = c->kv,
                                 .pos = n_token == 3 ? INTS(0, 1, 2) : INTS(2),
                                 .seq = n_token == 3 ? INTS(0, 0, 0) : INTS(0),
                                 .n_head = 1,
                                 .n_kv_max = 8,
                                 .scale = 1,
                                 .causal = true};
}

TEST(attention_weighs_what_a_token_may_see)
{
    setup();
    struct cache c = {0};
    struct op_attention d = three(&c, 3);
    op_attention(&cmd, &d);
    EXPECT(d.y, 1e-4, 6, 0, 0, 0, 2 + 40, 0, 0, 2.0 / 3, 1 + 20 + 300, 0, 0, 1.0 / 3);
    d.window = 2; /* position 2 sees 1 and 2: weights 2/5 and 3/5 */
    op_attention(&cmd, &d);
    EXPECT(d.y, 1e-4, 6, 0, 0, 0, 42, 0, 0, 2.0 / 3, 24 + 360, 0, 0, 0.4);
    d.window = 1;
    op_attention(&cmd, &d);
    EXPECT(d.y, 1e-4, 6, 0, 0, 0, 60, 0, 0, 1, 600, 0, 0, 0);
    d.window = 0;
    d.causal = false;
    d.kv_len = INTS(2); /* the third is not there yet */
    op_attention(&cmd, &d);
    EXPECT(d.y, 1e-4, 42, 0, 0, 2.0 / 3, 42, 0, 0, 2.0 / 3, 42, 0, 0, 2.0 / 3);
    d.kv_len = INTS(3);
    d.window = 3; /* one to either side */
    op_attention(&cmd, &d);
    EXPECT(d.y, 1e-4, 42, 0, 0, 2.0 / 3, 321, 0, 0, 1.0 / 3, 384, 0, 0, 0.4);
    d.kv_len = INTS(0);
    op_attention(&cmd, &d);
    EXPECT(d.y, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    oll_buffer_free(c.buf);
    teardown();
}

TEST(sinks_slopes_and_softcap_act_in_their_order)
{
    setup();
    struct cache c = {0};
    struct op_attention d = three(&c, 1);
    d.sinks = VEC(logf(4)); /* weights 1, 2, 3 and a sink of 4: tenths */
    op_attention(&cmd, &d);
    EXPECT(d.y, 1e-4, 0.6 + 12 + 180, 0, 0, 0.2);
    d.sinks.buf = NULL;
    d.slopes = VEC(logf(2)); /* weights 1/4, 2/2, 3 */
    op_attention(&cmd, &d);
    EXPECT(d.y, 1e-3, (6 * 0.25 + 60 + 1800) / 4.25, 0, 0, 1 / 4.25);
    /* The cap bends scores before the slope is taken off. */
    d.softcap = 0.5f;
    d.scale = 2;
    double e[3];
    for (int j = 0; j < 3; j++)
        e[j] = exp(0.5 * tanh(2 * log(j + 1.0) / 0.5) - log(2) * (2 - j));
    op_attention(&cmd, &d);
    EXPECT(d.y, 1e-3, (6 * e[0] + 60 * e[1] + 600 * e[2]) / (e[0] + e[1] + e[2]), 0, 0,
           e[1] / (e[0] + e[1] + e[2]));
    oll_buffer_free(c.buf);
    teardown();
}

TEST(query_heads_share_kv_heads_in_order)
{
    setup();
    struct oll_buffer *kv_buf;
    CHECK_OK(oll_buffer_new(dev, KV_BYTES, &kv_buf, NULL));
    struct oll_kv kv = {.buf = kv_buf,
                        .v_off = KV_BYTES / 2,
                        .dtype = OLL_F16,
                        .n_page = 1,
                        .n_head_kv = 2,
                        .head_dim_k = 1,
                        .head_dim_v = 2,
                        .pages = INTS(0),
                        .n_col = 1};
    store(&kv, MAT(1, 1, 1), MAT(1, 10, 11, 20, 21), INTS(0), INTS(0));
    struct op_attention d = {.y = mat(1, 8, NULL),
                             .q = MAT(1, 1, 1, 1, 1),
                             .kv = kv,
                             .pos = INTS(0),
                             .seq = INTS(0),
                             .n_head = 4,
                             .n_kv_max = 1,
                             .scale = 1,
                             .causal = true};
    op_attention(&cmd, &d);
    EXPECT(d.y, 0, 10, 11, 10, 11, 20, 21, 20, 21);
    oll_buffer_free(kv_buf);
    teardown();
}

TEST(a_ring_forgets_and_tables_keep_sequences_apart)
{
    setup();
    /* Sequence 0: a ring of two pages (2 and 0); sequence 1: pages 1 and 3. */
    struct cache c = cache_new(OLL_F32, INTS(2, 0, 1, 3), 2);
    const float k[HEAD] = {0};
    struct oll_mat k_row = mat(1, HEAD, k);
    for (int32_t pos = 0; pos < 100; pos++) {
        float v0[HEAD] = {(float)pos}, v1[HEAD] = {(float)(1000 + pos)};
        n_used = 512; /* the operands of one step at a time */
        store(&c.kv, k_row, mat(1, HEAD, v0), ints(1, &pos), INTS(0));
        if (pos < 64)
            store(&c.kv, k_row, mat(1, HEAD, v1), ints(1, &pos), INTS(1));
        run(__LINE__);
    }
    n_used = 512;
    float zero[2 * HEAD] = {0};
    struct op_attention d = {.y = mat(2, HEAD, NULL),
                             .q = mat(2, HEAD, zero),
                             .kv = c.kv,
                             .pos = INTS(99, 63),
                             .seq = INTS(0, 1),
                             .n_head = 1,
                             .window = 36,
                             .n_kv_max = 36,
                             .scale = 1,
                             .causal = true};
    op_attention(&cmd, &d); /* means of 64 .. 99 and of 1028 .. 1063 */
    EXPECT(d.y, 1e-3, 81.5, 0, 0, 0, 1045.5, 0, 0, 0);
    d.n_kv_max = 35;
    op_attention(&cmd, &d);
    CHECK_OK(oll_device_submit(&cmd, NULL));
    CHECK_STATUS(oll_device_wait(dev, NULL), OLL_ERR_ARG); /* a bound that is none */
    oll_buffer_free(c.buf);
    teardown();
}

TEST(the_cache_rounds_to_its_type)
{
    setup();
    static float k[32], v[32];
    for (int i = 0; i < 32; i++)
        v[i] = 1.0f + (float)i * 0x1p-12f;
    v[31] = 127;
    struct oll_buffer *kv_buf;
    CHECK_OK(oll_buffer_new(dev, KV_BYTES, &kv_buf, NULL));
    struct oll_kv kv = {.buf = kv_buf,
                        .v_off = KV_BYTES / 2,
                        .dtype = OLL_F16,
                        .n_page = 1,
                        .n_head_kv = 1,
                        .head_dim_k = 32,
                        .head_dim_v = 32,
                        .pages = INTS(0),
                        .n_col = 1};
    struct oll_mat k_row = mat(1, 32, k), v_row = mat(1, 32, v), y = mat(1, 32, NULL);
    struct oll_ints zero = INTS(0);
    struct op_attention d = {.y = y,
                             .q = k_row,
                             .kv = kv,
                             .pos = zero,
                             .seq = zero,
                             .n_head = 1,
                             .n_kv_max = 1,
                             .scale = 1,
                             .causal = true};
    float got[32];
    store(&kv, k_row, v_row, zero, zero);
    op_attention(&cmd, &d);
    run(__LINE__);
    CHECK_OK(oll_buffer_download(buf, y.off * 4, got, sizeof got, NULL));
    CHECK(got[1] == 1.0f);            /* 1 + 2^-12 rounds down to a multiple of 2^-10 */
    CHECK(got[3] == 1.0f + 0x1p-10f); /* 1 + 3/4 of a step rounds up */
    CHECK(got[2] == 1.0f);            /* half a step: to even */
    kv.dtype = d.kv.dtype = OLL_Q8_0; /* the scale is 1 */
    store(&kv, k_row, v_row, zero, zero);
    op_attention(&cmd, &d);
    run(__LINE__);
    CHECK_OK(oll_buffer_download(buf, y.off * 4, got, sizeof got, NULL));
    CHECK(got[30] == 1.0f && got[31] == 127.0f);
    oll_buffer_free(kv_buf);
    teardown();
}

/* ---- experts and rows ---- */

TEST(routers_choose_and_weigh)
{
    setup();
    struct oll_mat logits = MAT(1, logf(1), logf(4), logf(2), logf(3)), w = mat(1, 2, NULL);
    struct oll_ints ids = ints(2, NULL);
    struct op_router d = {.ids = ids, .weights = w, .logits = logits, .n_used = 2};
    op_router(&cmd, &d);
    EXPECT(w, 1e-6, 0.4, 0.3);
    EXPECT_INTS(ids, 1, 3);
    d.normalise = true;
    d.scale = 7;
    op_router(&cmd, &d);
    EXPECT(w, 1e-6, 4, 3);
    d.normalise = false;
    d.scale = 0;
    d.gating = OLL_GATING_SOFTMAX_SELECTED;
    op_router(&cmd, &d);
    EXPECT(w, 1e-6, 4.0 / 7, 3.0 / 7);
    d.gating = OLL_GATING_SIGMOID;
    op_router(&cmd, &d);
    EXPECT(w, 1e-6, 0.8, 0.75);
    d.gating = OLL_GATING_SQRT_SOFTPLUS;
    op_router(&cmd, &d);
    EXPECT(w, 1e-6, sqrt(log(5)), sqrt(log(4)));
    /* The bias chooses, and does not weigh. */
    d.gating = OLL_GATING_SIGMOID;
    d.selection_bias = VEC(1, 0, 0, 0);
    op_router(&cmd, &d);
    EXPECT(w, 1e-6, 0.5, 0.8);
    EXPECT_INTS(ids, 0, 1);
    /* Nothing to divide by: the divisor is 2^-14. */
    struct oll_mat low = MAT(1, -200, -200, -200, -200);
    d = (struct op_router){.ids = ids,
                           .weights = w,
                           .logits = low,
                           .n_used = 2,
                           .normalise = true,
                           .gating = OLL_GATING_SIGMOID};
    op_router(&cmd, &d);
    EXPECT(w, 1e-30, 0, 0);
    EXPECT_INTS(ids, 0, 1); /* ties to the lower index */
    teardown();
}

TEST(groups_are_ranked_by_their_two_best)
{
    setup();
    /* Groups (3, 0), (2, 2), (0, 1): sums 3, 4, 1. */
    struct oll_mat logits = MAT(1, 3, 0, 2, 2, 0, 1), w = mat(1, 2, NULL);
    struct oll_ints ids = ints(2, NULL);
    struct op_router d = {.ids = ids,
                          .weights = w,
                          .logits = logits,
                          .n_used = 2,
                          .n_group = 3,
                          .n_group_used = 1,
                          .gating = OLL_GATING_SOFTMAX_SELECTED};
    op_router(&cmd, &d);
    EXPECT(w, 1e-6, 0.5, 0.5);
    EXPECT_INTS(ids, 2, 3);
    d.n_group_used = 2;
    op_router(&cmd, &d);
    EXPECT(w, 1e-6, M_E / (M_E + 1), 1 / (M_E + 1));
    EXPECT_INTS(ids, 0, 2);
    /* Not a number anywhere: still experts that exist, all different. */
    d.logits = MAT(1, NAN, 0, NAN, NAN, 1, NAN);
    op_router(&cmd, &d);
    run(__LINE__);
    int32_t got[2];
    CHECK_OK(oll_buffer_download(buf, ids.off * 4, got, sizeof got, NULL));
    CHECK(got[0] >= 0 && got[0] < 6 && got[1] >= 0 && got[1] < 6 && got[0] != got[1]);
    teardown();
}

TEST(experts_are_summed_and_rows_moved)
{
    setup();
    struct oll_mat x = MAT(4, 1, 2, 3, 4, 5, 6, 7, 8), y = MAT(2, 100, 100, 200, 200);
    struct op_expert_sum d = {
        .y = y, .x = x, .weights = MAT(2, 1, 10, 0.5f, -1), .residual = y, .scale = 2};
    op_expert_sum(&cmd, &d);
    EXPECT(y, 0, 100 + 2 * 31, 100 + 2 * 42, 200 + 2 * (2.5 - 7), 200 + 2 * (3.0 - 8));
    struct op_gather g = {.y = y, .x = x, .rows = INTS(3, 0)};
    op_gather(&cmd, &g);
    EXPECT(y, 0, 7, 8, 1, 2);
    struct op_pool p = {.kind = OLL_POOLING_MEAN, .y = y, .x = x, .begin = INTS(0, 3, 4)};
    op_pool(&cmd, &p);
    EXPECT(y, 0, 3, 4, 7, 8);
    p.kind = OLL_POOLING_FIRST;
    op_pool(&cmd, &p);
    EXPECT(y, 0, 1, 2, 7, 8);
    p.kind = OLL_POOLING_LAST;
    op_pool(&cmd, &p);
    EXPECT(y, 0, 5, 6, 7, 8);
    teardown();
}

/* ---- elementwise ---- */

TEST(activations_have_their_known_values)
{
    setup();
    struct oll_mat x = MAT(1, 0, 1, -1, -30), y = mat(1, 4, NULL);
    static const struct {
        enum oll_act act;
        double expected[4];
    } rows[] = {
        {OLL_ACT_NONE, {0, 1, -1, -30}},
        {OLL_ACT_SILU, {0, 0.7310585786, -0.2689414214, -2.807286890e-12}},
        {OLL_ACT_GELU, {0, 0.8411919906, -0.1588080094, 0}},
        {OLL_ACT_GELU_QUICK, {0, 0.8457957659, -0.1542042341, 0}},
        {OLL_ACT_RELU, {0, 1, 0, 0}},
        {OLL_ACT_RELU_SQR, {0, 1, 0, 0}},
        {OLL_ACT_SIGMOID, {0.5, 0.7310585786, 0.2689414214, 0}},
        {OLL_ACT_TANH, {0, 0.7615941560, -0.7615941560, -1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct op_unary d = {.act = rows[i].act, .y = y, .x = x};
        op_unary(&cmd, &d);
        expect(__LINE__, y, 1e-7, rows[i].expected, 4);
    }
    struct op_glu g = {
        .act = OLL_ACT_RELU, .y = y, .gate = MAT(1, 2, -3, 4, 5), .up = MAT(1, 10, 10, -1, 0)};
    op_glu(&cmd, &g);
    EXPECT(y, 0, 20, 0, -4, 0);
    /* gpt-oss: the gate is cut at 7 from above, up at 7 on both sides and shifted by one. */
    g = (struct op_glu){.act = OLL_ACT_SWIGLU_OAI,
                        .y = y,
                        .gate = MAT(1, 100, 0, -100, 7),
                        .up = MAT(1, 100, 5, 1, -100)};
    op_glu(&cmd, &g);
    double s = 7 / (1 + exp(-1.702 * 7));
    EXPECT(y, 1e-5, s * 8, 0, 0, s * -6);
    teardown();
}

TEST(elementwise_ops_scale_cap_and_clamp)
{
    setup();
    struct oll_mat a = MAT(1, 1, -2, 3, 1000), y = mat(1, 4, NULL);
    struct op_add d = {.y = y, .a = a, .b = MAT(1, 4, 4, 4, 4), .scale = -0.5f};
    op_add(&cmd, &d);
    EXPECT(y, 0, -1, -4, 1, 998);
    d.scale = 0;
    op_add(&cmd, &d);
    EXPECT(y, 0, 5, 2, 7, 1004);
    struct op_scale s = {.y = y, .x = a, .scale = 2, .softcap = 3};
    op_scale(&cmd, &s);
    EXPECT(y, 1e-6, 3 * tanh(2.0 / 3), -3 * tanh(4.0 / 3), 3 * tanh(2), 3);
    s.softcap = 0;
    s.limit = 5;
    op_scale(&cmd, &s);
    EXPECT(y, 0, 2, -4, 5, 5);
    s.limit = 0;
    op_scale(&cmd, &s);
    EXPECT(y, 0, 2, -4, 6, 2000);
    struct op_gate g = {.y = y, .x = a, .g = MAT(1, 0)};
    op_gate(&cmd, &g);
    EXPECT(y, 0, 0.5, -1, 1.5, 500);
    g.g = MAT(1, 0, logf(3), 50, -200);
    op_gate(&cmd, &g);
    EXPECT(y, 1e-6, 0.5, -1.5, 3, 0);
    teardown();
}

TEST(a_nan_stays_one)
{
    setup();
    struct oll_mat x = MAT(1, NAN, 1), y = mat(1, 2, NULL);
    for (int act = OLL_ACT_NONE; act < OLL_ACT_SWIGLU_OAI; act++) {
        struct op_unary d = {.act = (enum oll_act)act, .y = y, .x = x};
        op_unary(&cmd, &d);
        run(__LINE__);
        float got[2];
        CHECK_OK(oll_buffer_download(buf, y.off * 4, got, sizeof got, NULL));
        CHECK_MSG(isnan(got[0]) && !isnan(got[1]), "activation %d", act);
    }
    struct op_scale s = {.y = y, .x = x, .scale = 1, .limit = 5};
    op_scale(&cmd, &s);
    run(__LINE__);
    float got[2];
    CHECK_OK(oll_buffer_download(buf, y.off * 4, got, sizeof got, NULL));
    CHECK(isnan(got[0]));
    teardown();
}

TEST(fused_ops_are_their_composition)
{
    setup();
    const float a_values[] = {1, 0, 0, 1, 1, 1}, b_values[] = {1, -1, 2, 0, 0, 2};
    struct oll_weight *a = weight(OLL_F32, a_values, 2, 3, 1),
                      *b = weight(OLL_F32, b_values, 2, 3, 1);
    struct op_norm norm = {.kind = OLL_NORM_RMS, .x = MAT(1, 1, 7), .w = VEC(5, 5)}; /* h = 1, 7 */
    struct oll_mat y0 = mat(1, 3, NULL), y1 = mat(1, 3, NULL);
    struct op_norm_matmul d = {
        .norm = norm, .n = 2, .y = {y0, y1}, .w = {a, b}, .b = {{0}, VEC(100, 100, 100)}};
    op_norm_matmul(&cmd, &d);
    EXPECT(y0, 1e-5, 1, 7, 8);
    EXPECT(y1, 1e-5, 94, 102, 114);
    struct op_norm_glu g = {.norm = norm, .act = OLL_ACT_RELU_SQR, .y = y0, .gate = b, .up = a};
    op_norm_glu(&cmd, &g);
    EXPECT(y0, 1e-3, 0, 4 * 7, 196 * 8);
    oll_weight_free(a);
    oll_weight_free(b);
    teardown();
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
