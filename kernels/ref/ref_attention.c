/* The KV cache and attention.
 *
 * A page holds its positions one after the other, each [n_head_kv, head_dim] in the cache's type:
 *     page | position 0: head 0, head 1 ... | position 1: ... | ... OLL_KV_PAGE positions */
#include "kernels/ref/ref.h"

#include "engine/base/mem.h"
#include "kernels/quant.h"

#include <math.h>

size_t ref_kv_row_bytes(enum oll_dtype dtype, uint32_t n_head_kv, uint32_t head_dim)
{
    return oll_dtype_row_bytes(dtype, head_dim) * n_head_kv;
}

size_t ref_kv_page_bytes(enum oll_dtype dtype, uint32_t n_head_kv, uint32_t head_dim)
{
    return oll_align_up(OLL_KV_PAGE * ref_kv_row_bytes(dtype, n_head_kv, head_dim), 64);
}

/* Where K (or V, is_v) of kv head `head` at position `pos` of sequence `seq` lies. */
static char *kv_row(const struct oll_kv *kv, bool is_v, int32_t seq, int64_t pos, uint32_t head)
{
    uint32_t head_dim = is_v ? kv->head_dim_v : kv->head_dim_k;
    size_t col = (size_t)(pos / OLL_KV_PAGE) % kv->n_col;
    size_t page = (size_t)ref_ints(&kv->pages)[(size_t)seq * kv->n_col + col];
    size_t off =
        (is_v ? kv->v_off : kv->k_off) +
        page * ref_kv_page_bytes(kv->dtype, kv->n_head_kv, head_dim) +
        (size_t)(pos % OLL_KV_PAGE) * ref_kv_row_bytes(kv->dtype, kv->n_head_kv, head_dim) +
        head * oll_dtype_row_bytes(kv->dtype, head_dim);
    return (char *)ref_floats(kv->buf) + off;
}

/* The page of a position; sequences may leave table entries that they do not use yet unset. */
static oll_status check_page(const struct oll_kv *kv, int32_t seq, int64_t pos,
                             struct oll_error *err)
{
    size_t at = (size_t)seq * kv->n_col + (size_t)(pos / OLL_KV_PAGE) % kv->n_col;
    int32_t page = ref_ints(&kv->pages)[at];
    if (page < 0 || (uint32_t)page >= kv->n_page)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "kv.pages: position %lld of sequence %d lies in page %d of %u",
                        (long long)pos, seq, page, kv->n_page);
    return OLL_OK;
}

oll_status ref_kv_store(struct ref_device *ref, const struct op_kv_store *d, struct oll_error *err)
{
    (void)ref;
    const struct oll_kv *kv = &d->kv;
    const int32_t *pos = ref_ints(&d->pos), *seq = ref_ints(&d->seq);
    OLL_TRY(ref_check_index("pos", pos, d->k.rows, (int64_t)INT32_MAX + 1, err));
    OLL_TRY(ref_check_index("seq", seq, d->k.rows, kv->pages.n / kv->n_col, err));
    for (uint32_t t = 0; t < d->k.rows; t++) {
        OLL_TRY(check_page(kv, seq[t], pos[t], err));
        for (uint32_t h = 0; h < kv->n_head_kv; h++) {
            oll_quantize_row(kv->dtype, ref_row(&d->k, t) + (size_t)h * kv->head_dim_k,
                             kv_row(kv, false, seq[t], pos[t], h), kv->head_dim_k);
            oll_quantize_row(kv->dtype, ref_row(&d->v, t) + (size_t)h * kv->head_dim_v,
                             kv_row(kv, true, seq[t], pos[t], h), kv->head_dim_v);
        }
    }
    return OLL_OK;
}

/* Positions [begin, end) that a token sees. */
struct range {
    int64_t begin, end;
};

static struct range visible(const struct op_attention *d, int64_t pos, const int32_t *kv_len,
                            int32_t seq)
{
    struct range r = {0, d->causal ? pos + 1 : kv_len[seq]};
    if (d->window == 0)
        return r;
    int64_t reach = d->causal ? (int64_t)d->window - 1 : (int64_t)d->window / 2;
    if (r.begin < pos - reach)
        r.begin = pos - reach;
    if (r.end > pos + reach + 1)
        r.end = pos + reach + 1;
    return r;
}

/* Turns the scores of one head into weights that sum to one, the sink's share left out. */
static void softmax(double *score, size_t n, const float *sink)
{
    double max = sink ? (double)*sink : -INFINITY, sum = 0;
    for (size_t j = 0; j < n; j++)
        max = score[j] > max ? score[j] : max;
    for (size_t j = 0; j < n; j++) {
        score[j] = exp(score[j] - max);
        sum += score[j];
    }
    if (sink)
        sum += exp((double)*sink - max);
    for (size_t j = 0; j < n; j++)
        score[j] /= sum;
}

/* What the heads of one token that share a kv head work with. */
struct group {
    uint32_t n_head; /* heads that share */
    uint32_t head_kv;
    int32_t seq;
    int64_t pos;
    struct range seen;
    double *score; /* [n_head, seen.end - seen.begin] */
    double *sum;   /* [n_head, head_dim_v] */
    float *row;    /* a K or V row read back */
};

static void group_scores(const struct op_attention *d, const struct group *g, const float *q)
{
    size_t n = (size_t)(g->seen.end - g->seen.begin);
    const float *slopes = ref_vec(&d->slopes);
    uint32_t head_dim = d->kv.head_dim_k;
    for (int64_t j = g->seen.begin; j < g->seen.end; j++) {
        oll_dequantize_row(d->kv.dtype, kv_row(&d->kv, false, g->seq, j, g->head_kv), g->row,
                           head_dim);
        double distance = (double)(g->pos > j ? g->pos - j : j - g->pos);
        for (uint32_t i = 0; i < g->n_head; i++) {
            double s = (double)d->scale * ref_dot(q + (size_t)i * head_dim, g->row, head_dim);
            if (d->softcap != 0)
                s = (double)d->softcap * tanh(s / (double)d->softcap);
            if (slopes)
                s -= (double)slopes[g->head_kv * g->n_head + i] * distance;
            g->score[i * n + (size_t)(j - g->seen.begin)] = s;
        }
    }
}

static void group_values(const struct op_attention *d, const struct group *g, float *y)
{
    size_t n = (size_t)(g->seen.end - g->seen.begin);
    uint32_t head_dim = d->kv.head_dim_v;
    for (size_t i = 0; i < (size_t)g->n_head * head_dim; i++)
        g->sum[i] = 0;
    for (int64_t j = g->seen.begin; j < g->seen.end; j++) {
        oll_dequantize_row(d->kv.dtype, kv_row(&d->kv, true, g->seq, j, g->head_kv), g->row,
                           head_dim);
        for (uint32_t i = 0; i < g->n_head; i++) {
            double p = g->score[i * n + (size_t)(j - g->seen.begin)];
            for (uint32_t c = 0; c < head_dim; c++)
                g->sum[(size_t)i * head_dim + c] += p * (double)g->row[c];
        }
    }
    for (size_t i = 0; i < (size_t)g->n_head * head_dim; i++)
        y[i] = (float)g->sum[i];
}

/* One token. Without any visible position the result is zero. */
static oll_status attend(struct ref_device *ref, const struct op_attention *d, uint32_t t,
                         struct group g, struct oll_error *err)
{
    const float *sinks = ref_vec(&d->sinks);
    size_t n = g.seen.end > g.seen.begin ? (size_t)(g.seen.end - g.seen.begin) : 0;
    if (n > d->n_kv_max)
        return OLL_FAIL(err, OLL_ERR_ARG, "n_kv_max: token %u sees %zu positions, declared %u", t,
                        n, d->n_kv_max);
    for (int64_t j = g.seen.begin; j < g.seen.end; j++)
        OLL_TRY(check_page(&d->kv, g.seq, j, err));
    void *score;
    OLL_TRY(ref_scratch(ref, REF_SLOT_SCORES, n * g.n_head * sizeof(double), &score, err));
    g.score = score;
    for (g.head_kv = 0; g.head_kv < d->kv.n_head_kv; g.head_kv++) {
        size_t head = (size_t)g.head_kv * g.n_head;
        group_scores(d, &g, ref_row(&d->q, t) + head * d->kv.head_dim_k);
        for (size_t i = 0; i < g.n_head; i++)
            softmax(g.score + i * n, n, sinks ? sinks + head + i : NULL);
        group_values(d, &g, ref_row(&d->y, t) + head * d->kv.head_dim_v);
    }
    return OLL_OK;
}

oll_status ref_attention(struct ref_device *ref, const struct op_attention *d,
                         struct oll_error *err)
{
    const int32_t *pos = ref_ints(&d->pos), *seq = ref_ints(&d->seq);
    const int32_t *kv_len = d->kv_len.buf ? ref_ints(&d->kv_len) : NULL;
    uint32_t n_group = d->n_head / d->kv.n_head_kv;
    uint32_t n_row = d->kv.head_dim_k > d->kv.head_dim_v ? d->kv.head_dim_k : d->kv.head_dim_v;
    OLL_TRY(ref_check_index("pos", pos, d->q.rows, (int64_t)INT32_MAX + 1, err));
    OLL_TRY(ref_check_index("seq", seq, d->q.rows, d->kv.pages.n / d->kv.n_col, err));
    void *row, *sum;
    OLL_TRY(ref_scratch(ref, REF_SLOT_ROW, n_row * sizeof(float), &row, err));
    OLL_TRY(ref_scratch(ref, REF_SLOT_OUTPUT, (size_t)n_group * d->kv.head_dim_v * sizeof(double),
                        &sum, err));
    for (uint32_t t = 0; t < d->q.rows; t++) {
        struct group g = {.n_head = n_group,
                          .seq = seq[t],
                          .pos = pos[t],
                          .seen = visible(d, pos[t], kv_len, seq[t]),
                          .sum = sum,
                          .row = row};
        OLL_TRY(attend(ref, d, t, g, err));
    }
    return OLL_OK;
}
