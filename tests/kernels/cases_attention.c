/* The KV cache and attention. K and V enter the cache by kv_store, since its layout is the
 * device's own; what comes out of attention tells whether they were stored right. */
#include "tests/kernels/cases.h"

#include "kernels/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_SEQ_MAX = 8, STORE_CHUNK = 40 };

enum paging {
    PAGING_SHUFFLED, /* a block table in no order */
    PAGING_RING,     /* fewer columns than positions, for windows */
    PAGING_SHARED    /* all sequences share the first page */
};

struct attention_case {
    enum oll_dtype dtype;
    uint32_t n_head, n_head_kv, head_dim_k, head_dim_v;
    uint32_t n_seq, lens[N_SEQ_MAX], n_query[N_SEQ_MAX]; /* queries are a sequence's last tokens */
    uint32_t window;
    float softcap;
    bool has_sinks, has_slopes, is_bidirectional;
    enum paging paging;
    enum fill q_fill, kv_fill;
    bool has_nan; /* in the last key and value of the first sequence */
    bool is_bench;
};

struct params {
    const struct attention_case *c;
    uint32_t n_store, n_query, n_col, n_kv_max;
    float scale;
    int k, v, store_pos, store_seq, pages, q, pos, seq, kv_len, sinks, slopes, y, y_split;
};

/* ---- recording ---- */

static struct oll_ints ints_at(const struct run *run, int operand, uint32_t begin, uint32_t n)
{
    struct oll_ints ints = run_ints(run, operand);
    ints.off += begin;
    ints.n = n;
    return ints;
}

static struct op_attention attention_op(const struct run *run, const struct params *p)
{
    const struct attention_case *c = p->c;
    return (struct op_attention){.y = run_mat(run, p->y),
                                 .q = run_mat(run, p->q),
                                 .kv = run_kv(run, p->pages, p->n_col),
                                 .pos = run_ints(run, p->pos),
                                 .seq = run_ints(run, p->seq),
                                 .kv_len = run_ints(run, p->kv_len),
                                 .sinks = run_vec(run, p->sinks),
                                 .slopes = run_vec(run, p->slopes),
                                 .n_head = c->n_head,
                                 .window = c->window,
                                 .n_kv_max = p->n_kv_max,
                                 .scale = p->scale,
                                 .softcap = c->softcap,
                                 .causal = !c->is_bidirectional};
}

static void record_attention(const struct run *run, struct oll_cmd *cmd, const void *params)
{
    const struct params *p = params;
    /* In pieces: a ring may wrap between two of them, never inside one. */
    for (uint32_t i = 0; i < p->n_store; i += STORE_CHUNK) {
        uint32_t n = p->n_store - i < STORE_CHUNK ? p->n_store - i : STORE_CHUNK;
        op_kv_store(cmd, &(struct op_kv_store){.k = run_rows(run, p->k, i, n),
                                               .v = run_rows(run, p->v, i, n),
                                               .kv = run_kv(run, p->pages, p->n_col),
                                               .pos = ints_at(run, p->store_pos, i, n),
                                               .seq = ints_at(run, p->store_seq, i, n)});
    }
    struct op_attention op = attention_op(run, p);
    op_attention(cmd, &op);
    for (uint32_t t = 0; p->y_split >= 0 && t < p->n_query; t++) {
        struct op_attention row = op;
        row.y = run_rows(run, p->y_split, t, 1);
        row.q = run_rows(run, p->q, t, 1);
        row.pos = ints_at(run, p->pos, t, 1);
        row.seq = ints_at(run, p->seq, t, 1);
        op_attention(cmd, &row);
    }
}

/* ---- declaration ---- */

static uint32_t columns(const struct attention_case *c)
{
    uint32_t n = 0;
    for (uint32_t s = 0; s < c->n_seq; s++) {
        /* A ring holds the window of the oldest query and all queries. */
        uint32_t need =
            c->paging == PAGING_RING ? c->window + c->n_query[s] + STORE_CHUNK : c->lens[s];
        uint32_t n_page = (need + OLL_KV_PAGE - 1) / OLL_KV_PAGE;
        n = n_page > n ? n_page : n;
    }
    return n;
}

/* Page table: every column that holds a position gets a page of its own, in random order; the
 * others get a number that is no page. */
static void declare_pages(struct trial *t, struct params *p)
{
    const struct attention_case *c = p->c;
    uint32_t n = c->n_seq * p->n_col, n_spare = 3, used = 0;
    int32_t *pages = malloc(n * sizeof *pages), *order = malloc((n + n_spare) * sizeof *order);
    for (uint32_t i = 0; i < n + n_spare; i++) {
        uint32_t j = fill_below(&t->rng, i + 1);
        order[i] = order[j];
        order[j] = (int32_t)i;
    }
    for (uint32_t s = 0; s < c->n_seq; s++) {
        for (uint32_t col = 0; col < p->n_col; col++)
            pages[s * p->n_col + col] = col * OLL_KV_PAGE < c->lens[s] ? order[used++] : -1;
        if (c->paging == PAGING_SHARED)
            pages[s * p->n_col] = pages[0];
    }
    t->kv = (struct trial_kv){c->dtype, n + n_spare, c->n_head_kv, c->head_dim_k, c->head_dim_v};
    p->pages = trial_ints(t, "pages", n, pages);
    free(order);
    free(pages);
}

/* Positions to store, sequence by sequence; a shared page is written by the first alone. */
static void declare_store(struct trial *t, struct params *p)
{
    const struct attention_case *c = p->c;
    uint32_t n_max = 0, n = 0;
    for (uint32_t s = 0; s < c->n_seq; s++)
        n_max += c->lens[s];
    int32_t *pos = malloc(2 * n_max * sizeof *pos), *seq = pos + n_max;
    for (uint32_t s = 0; s < c->n_seq; s++) {
        uint32_t begin = c->paging == PAGING_SHARED && s > 0 ? OLL_KV_PAGE : 0;
        for (uint32_t i = begin; i < c->lens[s]; i++) {
            pos[n] = (int32_t)i;
            seq[n++] = (int32_t)s;
        }
    }
    p->n_store = n;
    p->store_pos = trial_ints(t, "store_pos", n, pos);
    p->store_seq = trial_ints(t, "store_seq", n, seq);
    p->k = trial_mat(t, "k", n, c->n_head_kv * c->head_dim_k, ROLE_IN, c->kv_fill);
    p->v = trial_mat(t, "v", n, c->n_head_kv * c->head_dim_v, ROLE_IN, c->kv_fill);
    free(pos);
}

static void declare_queries(struct trial *t, struct params *p)
{
    const struct attention_case *c = p->c;
    int32_t pos[256], seq[256], kv_len[N_SEQ_MAX];
    uint32_t n = 0;
    for (uint32_t s = 0; s < c->n_seq; s++) {
        kv_len[s] = (int32_t)c->lens[s];
        for (uint32_t i = 0; i < c->n_query[s]; i++) {
            pos[n] = (int32_t)(c->lens[s] - c->n_query[s] + i);
            seq[n++] = (int32_t)s;
        }
        p->n_kv_max = c->lens[s] > p->n_kv_max ? c->lens[s] : p->n_kv_max;
    }
    uint32_t reach = c->is_bidirectional ? c->window + 1 : c->window;
    if (c->window && p->n_kv_max > reach)
        p->n_kv_max = reach;
    p->n_query = n;
    p->pos = trial_ints(t, "pos", n, pos);
    p->seq = trial_ints(t, "seq", n, seq);
    p->kv_len = c->is_bidirectional ? trial_ints(t, "kv_len", c->n_seq, kv_len) : -1;
    p->q = trial_mat(t, "q", n, c->n_head * c->head_dim_k, ROLE_IN, c->q_fill);
    p->sinks = c->has_sinks ? trial_vec(t, "sinks", c->n_head, FILL_NORMAL) : -1;
    p->slopes = c->has_slopes ? trial_vec(t, "slopes", c->n_head, FILL_ZERO) : -1;
    for (uint32_t h = 0; c->has_slopes && h < c->n_head; h++)
        trial_row(t, t->image, p->slopes, 0)[h] = exp2f(-8.0f * (float)(h + 1) / (float)c->n_head);
}

/* ---- bounds ---- */

/* Error that rounding q to 8 bits per 32 brings to q . k. */
static double query_rounding(const float *q, const float *k, uint32_t n)
{
    double sum = 0;
    for (uint32_t b = 0; b < n; b += 32) {
        float max = 0;
        for (uint32_t i = b; i < b + 32; i++)
            max = fabsf(q[i]) > max ? fabsf(q[i]) : max;
        for (uint32_t i = b; i < b + 32; i++) {
            double rounded =
                max > 0x1p-119f ? rint((double)q[i] * 127 / (double)max) * (double)max / 127 : 0;
            sum += fabs((double)k[i]) * fabs((double)q[i] - rounded);
        }
    }
    return sum;
}

/* What a score may be off by: roundings of a sum of products, of the softcap, of the bias. */
static double score_error(const struct trial *t, const struct params *p, const float *q,
                          const float *k)
{
    const struct attention_case *c = p->c;
    double sum = 0;
    for (uint32_t i = 0; i < c->head_dim_k; i++)
        sum += fabs((double)q[i] * (double)k[i]);
    bool is_hostile = fill_is_hostile(c->q_fill) || fill_is_hostile(c->kv_fill);
    double error = sum * (sum_error(c->head_dim_k, is_hostile) + 4 * EPS);
    if (c->dtype == OLL_Q8_0 || c->dtype == OLL_Q4_0)
        error += query_rounding(q, k, c->head_dim_k);
    return error * (double)p->scale + 8 * EPS * (double)c->softcap +
           (t->operands[p->y].rows && c->has_slopes ? 4 * EPS * (double)c->lens[0] : 0);
}

/* The row of K or V as the cache holds it: dst [n_head_kv * head_dim]. */
static void cached_row(enum oll_dtype dtype, const float *src, uint32_t n, float *dst)
{
    uint8_t *bytes = malloc(oll_dtype_row_bytes(dtype, n));
    oll_quantize_row(dtype, src, bytes, n);
    oll_dequantize_row(dtype, bytes, dst, n);
    free(bytes);
}

/* Largest score error and value of one kv head over all stored positions of one sequence. */
struct worst {
    double score, value;
};

static struct worst worst_of(const struct trial *t, const struct params *p, int32_t seq,
                             uint32_t head_kv, const float *q)
{
    const struct attention_case *c = p->c;
    struct worst w = {0, 0};
    float k[1024], v[1024];
    const int32_t *seqs = (const int32_t *)(void *)trial_row(t, t->image, p->store_seq, 0);
    for (uint32_t i = 0; i < p->n_store; i++) {
        if (seqs[i] != seq && !(c->paging == PAGING_SHARED && seqs[i] == 0))
            continue;
        cached_row(c->dtype, trial_row(t, t->image, p->k, i) + head_kv * c->head_dim_k,
                   c->head_dim_k, k);
        cached_row(c->dtype, trial_row(t, t->image, p->v, i) + head_kv * c->head_dim_v,
                   c->head_dim_v, v);
        double error = score_error(t, p, q, k);
        w.score = error > w.score ? error : w.score;
        for (uint32_t j = 0; j < c->head_dim_v; j++)
            w.value = fabs((double)v[j]) > w.value ? fabs((double)v[j]) : w.value;
    }
    return w;
}

/* Softmax turns an error d of the scores into at most 2 d of the result, in units of the largest
 * value. Where one position alone is visible and no sink joins, its value comes out as it is. */
static void bound_attention(struct trial *t, const struct params *p, int operand)
{
    const struct attention_case *c = p->c;
    double *each = trial_bound_each(t, operand);
    uint32_t n_share = c->n_head / c->n_head_kv, n = c->n_head * c->head_dim_v;
    for (uint32_t r = 0; r < p->n_query; r++) {
        const float *q = trial_row(t, t->image, p->q, r);
        int32_t pos, seq;
        memcpy(&pos, trial_row(t, t->image, p->pos, 0) + r, sizeof pos);
        memcpy(&seq, trial_row(t, t->image, p->seq, 0) + r, sizeof seq);
        bool is_alone = !c->has_sinks && !c->is_bidirectional && (pos == 0 || c->window == 1);
        for (uint32_t h = 0; h < c->n_head; h++) {
            struct worst w = worst_of(t, p, seq, h / n_share, q + (size_t)h * c->head_dim_k);
            double error = is_alone ? 4 * EPS : 2 * w.score + sum_error(c->lens[seq], false);
            for (uint32_t j = 0; j < c->head_dim_v; j++)
                each[(size_t)r * n + h * c->head_dim_v + j] = error * w.value + 1e-37;
        }
    }
    if (c->q_fill == FILL_NORMAL && c->kv_fill == FILL_NORMAL)
        trial_bound(t, operand, 0, 0, c->dtype == OLL_Q8_0 || c->dtype == OLL_Q4_0 ? 1e-4 : 1e-6);
}

/* ---- trials ---- */

static const char *describe(const struct attention_case *c, char *text, size_t n)
{
    static const char *const pagings[] = {"", "/ring", "/shared"};
    int at = snprintf(text, n, "%s/h%u_%ud%u_%u/", oll_dtype_name((uint32_t)c->dtype), c->n_head,
                      c->n_head_kv, c->head_dim_k, c->head_dim_v);
    for (uint32_t s = 0; s < c->n_seq; s++)
        at +=
            snprintf(text + at, n - (size_t)at, "%s%u:%u", s ? "," : "", c->lens[s], c->n_query[s]);
    if (c->window)
        at += snprintf(text + at, n - (size_t)at, "/w%u", c->window);
    snprintf(text + at, n - (size_t)at, "%s%s%s%s%s/%s_x_%s%s", c->softcap != 0 ? "/softcap" : "",
             c->has_sinks ? "/sinks" : "", c->has_slopes ? "/alibi" : "",
             c->is_bidirectional ? "/bidirectional" : "", pagings[c->paging], fill_name(c->q_fill),
             fill_name(c->kv_fill), c->has_nan ? "/nan" : "");
    return text;
}

static bool is_decode(const struct attention_case *c)
{
    for (uint32_t s = 0; s < c->n_seq; s++) {
        if (c->n_query[s] != 1)
            return false;
    }
    return true;
}

static void attention_trial(struct session *s, const struct attention_case *c)
{
    struct trial t;
    char text[112];
    struct params p = {
        .c = c, .scale = 1.0f / sqrtf((float)c->head_dim_k), .n_col = columns(c), .y_split = -1};
    if (!trial_open(&t, s, "attention/%s", describe(c, text, sizeof text)))
        return;
    trial_needs(&t, OLL_OP_ATTENTION, c->dtype);
    trial_needs(&t, OLL_OP_KV_STORE, c->dtype);
    declare_pages(&t, &p);
    declare_store(&t, &p);
    if (c->has_nan) {
        trial_row(&t, t.image, p.k, c->lens[0] - 1)[0] = NAN;
        trial_row(&t, t.image, p.v, c->lens[0] - 1)[0] = NAN;
    }
    declare_queries(&t, &p);
    p.y = trial_mat(&t, "y", p.n_query, c->n_head * c->head_dim_v, ROLE_OUT, FILL_ZERO);
    /* Decoding rows have the same bits alone and together (spec 2.16). */
    if (is_decode(c) && c->n_seq > 1) {
        p.y_split =
            trial_mat(&t, "y_split", p.n_query, c->n_head * c->head_dim_v, ROLE_OUT, FILL_ZERO);
        bound_attention(&t, &p, p.y_split);
        trial_equal(&t, p.y, p.y_split);
    }
    bound_attention(&t, &p, p.y);
    t.has_threads = true;
    t.is_bench = c->is_bench;
    t.n_mac = (double)p.n_query * c->n_head * (c->head_dim_k + c->head_dim_v) * c->lens[0];
    trial_run(&t, record_attention, &p);
}

/* The features of models, one by one and together, on one sequence. */
static void feature_family(struct session *s, enum oll_dtype dtype)
{
    static const uint32_t lens[] = {1, 2, 31, 32, 33, 64, 100, 255, 256, 257, 300, 513, 600};
    static const uint32_t windows[] = {1, 2, 31, 32, 33, 100, 256};
    static const uint32_t queries[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 33, 64, 65};
    struct attention_case base = {.dtype = dtype,
                                  .n_head = 6,
                                  .n_head_kv = 2,
                                  .head_dim_k = 64,
                                  .head_dim_v = 64,
                                  .n_seq = 1,
                                  .lens = {77},
                                  .n_query = {1}};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        struct attention_case c = base;
        c.lens[0] = lens[i];
        attention_trial(s, &c);
        c.n_query[0] = lens[i] < 5 ? lens[i] : 5;
        c.softcap = i % 2 ? 20.0f : 0;
        c.has_sinks = i % 3 == 0;
        attention_trial(s, &c);
    }
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        struct attention_case c = base;
        c.lens[0] = 70;
        c.n_query[0] = queries[i];
        attention_trial(s, &c);
        c.has_slopes = i % 2;
        c.is_bidirectional = i % 3 == 0;
        c.has_sinks = i % 3 == 1;
        c.softcap = i % 3 == 2 ? 5.0f : 0;
        attention_trial(s, &c);
    }
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        struct attention_case c = base;
        c.lens[0] = 290;
        c.window = windows[i];
        c.n_query[0] = i % 2 ? 1 : 19;
        attention_trial(s, &c);
        c.is_bidirectional = true;
        attention_trial(s, &c);
        c.is_bidirectional = false;
        c.paging = PAGING_RING;
        c.has_sinks = true;
        attention_trial(s, &c);
    }
}

static void shape_family(struct session *s, enum oll_dtype dtype)
{
    static const uint32_t shapes[][4] = {
        {1, 1, 32, 32},  {4, 4, 64, 64},   {9, 3, 64, 64},   {8, 1, 64, 64},  {4, 1, 256, 256},
        {5, 5, 96, 96},  {4, 2, 128, 128}, {2, 1, 192, 128}, {16, 2, 64, 64}, {3, 1, 576, 512},
        {7, 7, 80, 80},  {2, 2, 16, 16},   {3, 3, 20, 12},   {2, 1, 1, 1},    {12, 2, 33, 65},
        {64, 8, 64, 64}, {4, 2, 160, 96}};
    uint32_t n_block = oll_dtype_info((uint32_t)dtype)->block_elements;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct attention_case c = {.dtype = dtype,
                                   .n_head = shapes[i][0],
                                   .n_head_kv = shapes[i][1],
                                   .head_dim_k = shapes[i][2],
                                   .head_dim_v = shapes[i][3],
                                   .n_seq = 1,
                                   .lens = {45},
                                   .n_query = {1}};
        if (c.head_dim_k % n_block != 0 || c.head_dim_v % n_block != 0)
            continue;
        attention_trial(s, &c);
        c.n_query[0] = 11;
        attention_trial(s, &c);
    }
}

static void batch_family(struct session *s, enum oll_dtype dtype)
{
    struct attention_case c = {
        .dtype = dtype, .n_head = 6, .n_head_kv = 3, .head_dim_k = 64, .head_dim_v = 64};
    const struct attention_case decode = {
        .n_seq = 5, .lens = {40, 1, 300, 33, 64}, .n_query = {1, 1, 1, 1, 1}};
    const struct attention_case mixed = {
        .n_seq = 4, .lens = {40, 70, 9, 100}, .n_query = {1, 33, 9, 1}};
    const struct attention_case *batches[] = {&decode, &mixed};
    for (int i = 0; i < 2; i++) {
        c.n_seq = batches[i]->n_seq;
        memcpy(c.lens, batches[i]->lens, sizeof c.lens);
        memcpy(c.n_query, batches[i]->n_query, sizeof c.n_query);
        attention_trial(s, &c);
        c.window = 30;
        attention_trial(s, &c);
        c.paging = PAGING_RING;
        attention_trial(s, &c);
        c.window = 0;
        c.paging = PAGING_SHUFFLED;
        c.is_bidirectional = true;
        attention_trial(s, &c);
        c.is_bidirectional = false;
        c.has_nan = true; /* the first sequence alone shows it */
        attention_trial(s, &c);
        c.has_nan = false;
        c.has_sinks = c.has_slopes = true;
        attention_trial(s, &c);
        c.has_sinks = c.has_slopes = false;
    }
    c = (struct attention_case){.dtype = dtype,
                                .n_head = 4,
                                .n_head_kv = 2,
                                .head_dim_k = 32,
                                .head_dim_v = 32,
                                .n_seq = 3,
                                .lens = {40, 50, 90},
                                .n_query = {1, 1, 1},
                                .paging = PAGING_SHARED};
    attention_trial(s, &c);
}

static void fill_family(struct session *s, enum oll_dtype dtype)
{
    static const enum fill fills[][2] = {{FILL_MAX, FILL_NORMAL},
                                         {FILL_ALTERNATE, FILL_NORMAL},
                                         {FILL_NORMAL, FILL_MAX},
                                         {FILL_MAX, FILL_MIN},
                                         {FILL_MIN, FILL_MIN},
                                         {FILL_ZERO, FILL_NORMAL},
                                         {FILL_NORMAL, FILL_ZERO},
                                         {FILL_DENORMAL, FILL_NORMAL},
                                         {FILL_NORMAL, FILL_DENORMAL},
                                         {FILL_HEAVY, FILL_NORMAL},
                                         {FILL_NORMAL, FILL_HEAVY},
                                         {FILL_HEAVY, FILL_HEAVY},
                                         {FILL_ALTERNATE, FILL_ALTERNATE}};
    for (size_t i = 0; i < sizeof fills / sizeof fills[0]; i++) {
        struct attention_case c = {.dtype = dtype,
                                   .n_head = 4,
                                   .n_head_kv = 2,
                                   .head_dim_k = 64,
                                   .head_dim_v = 64,
                                   .n_seq = 1,
                                   .lens = {50},
                                   .n_query = {1},
                                   .q_fill = fills[i][0],
                                   .kv_fill = fills[i][1]};
        attention_trial(s, &c);
        c.n_query[0] = 17;
        attention_trial(s, &c);
        c.has_sinks = true;
        c.lens[0] = c.n_query[0] = 1; /* the score of one key, weighed against the sink */
        attention_trial(s, &c);
    }
}

static void bench_family(struct session *s, enum oll_dtype dtype)
{
    static const uint32_t lens[] = {512, 4096};
    static const uint32_t queries[] = {1, 64};
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 2; j++) {
            struct attention_case c = {.dtype = dtype,
                                       .n_head = 32,
                                       .n_head_kv = 8,
                                       .head_dim_k = 64,
                                       .head_dim_v = 64,
                                       .n_seq = 1,
                                       .lens = {lens[i]},
                                       .n_query = {queries[j]},
                                       .is_bench = true};
            attention_trial(s, &c);
        }
    }
}

void cases_attention(struct session *s)
{
    static const enum oll_dtype types[] = {OLL_F32, OLL_F16, OLL_Q8_0, OLL_Q4_0};
    for (int i = 0; i < 4; i++) {
        if (s->is_bench) {
            bench_family(s, types[i]);
            continue;
        }
        feature_family(s, types[i]);
        shape_family(s, types[i]);
        batch_family(s, types[i]);
        fill_family(s, types[i]);
    }
}
