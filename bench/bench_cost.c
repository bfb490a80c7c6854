#include "bench/bench_cost.h"

#include "engine/base/mem.h"
#include "engine/hparams.h"

#include <math.h>
#include <string.h>

/* ---- tensors ---- */

static bool has_prefix(struct oll_gguf_str s, const char *prefix)
{
    const size_t n = strlen(prefix);
    return s.len >= n && memcmp(s.data, prefix, n) == 0;
}

static bool has_part(struct oll_gguf_str s, const char *part)
{
    const size_t n = strlen(part);
    for (uint64_t i = 0; i + n <= s.len; i++)
        if (memcmp(s.data + i, part, n) == 0)
            return true;
    return false;
}

/* N of "blk.N.", else -1. */
static int64_t layer_of(struct oll_gguf_str name)
{
    int64_t il = 0;
    if (!has_prefix(name, "blk."))
        return -1;
    for (uint64_t i = 4; i < name.len && name.data[i] >= '0' && name.data[i] <= '9'; i++)
        il = il < OLL_GGUF_MAX_LAYERS ? il * 10 + (name.data[i] - '0') : il;
    return il;
}

enum role { ROLE_NONE, ROLE_DENSE, ROLE_HEAD, ROLE_EXPERT };

static enum role role_of(const struct oll_gguf_tensor *t, bool is_tied, uint32_t n_layer)
{
    static const char *const tables[] = {"position_embd", "token_types", "rope_",
                                         "per_layer_token"};
    if (has_prefix(t->name, "output.weight"))
        return ROLE_HEAD;
    if (has_prefix(t->name, "token_embd.weight"))
        return is_tied ? ROLE_HEAD : ROLE_NONE;
    if (layer_of(t->name) >= (int64_t)n_layer) /* appended layers for multi-token prediction */
        return ROLE_NONE;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (has_prefix(t->name, tables[i]))
            return ROLE_NONE;
    return has_part(t->name, "_exps.") ? ROLE_EXPERT : ROLE_DENSE;
}

static void add_tensor(struct bench_cost *cost, const struct oll_gguf_tensor *t, enum role role)
{
    const double n = (double)t->ne[0] * (double)t->ne[1] * (double)t->ne[2] * (double)t->ne[3];
    const double part = cost->n_expert ? (double)cost->n_expert_used / cost->n_expert : 1;
    cost->n_params += (uint64_t)n;
    cost->tensor_bytes += t->n_bytes;
    switch (role) {
    case ROLE_NONE: break;
    case ROLE_DENSE:
        cost->dense_bytes += t->n_bytes;
        cost->macs[t->dtype] += t->n_dims > 1 ? n : 0;
        break;
    case ROLE_HEAD:
        cost->head_bytes += t->n_bytes;
        cost->head_macs += n;
        cost->head_dtype = t->dtype;
        break;
    case ROLE_EXPERT:
        cost->expert_bytes += t->n_bytes;
        cost->macs[t->dtype] += t->n_dims > 1 ? n * part : 0;
        break;
    }
}

oll_status bench_cost_read(const struct oll_gguf *gguf, struct bench_cost *out,
                           struct oll_error *err)
{
    struct model_hparams hp = {0};
    struct bench_cost cost = {0};
    oll_status status = hparams_read(gguf, &hp, err);
    if (status != OLL_OK)
        goto done;
    cost.n_layer = hp.n_layer;
    cost.n_expert = hp.n_expert;
    cost.n_expert_used = hp.n_expert_used;
    cost.layers = oll_calloc(hp.n_layer, sizeof *cost.layers);
    if (!cost.layers) {
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
        goto done;
    }
    for (uint32_t il = 0; il < hp.n_layer; il++) {
        const struct layer_hparams *l = &hp.layers[il];
        cost.layers[il].window = l->window;
        cost.layers[il].kv_size = l->n_head_kv * (l->head_dim_k + l->head_dim_v);
        cost.layers[il].q_macs = l->n_head * (l->head_dim_k + l->head_dim_v);
    }
    const bool is_tied = !oll_gguf_find_tensor(gguf, "output.weight");
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++) {
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(gguf, i);
        add_tensor(&cost, t, role_of(t, is_tied, hp.n_layer));
    }
    *out = cost;
    cost.layers = NULL;
done:
    bench_cost_free(&cost);
    hparams_free(&hp);
    return status;
}

void bench_cost_free(struct bench_cost *cost)
{
    oll_free(cost->layers);
    cost->layers = NULL;
}

/* ---- one test ---- */

/* Sum over n tokens from position `first` on of the positions that each sees. */
static double seen_by(uint32_t first, uint32_t n, uint32_t window)
{
    const double a = first + 1.0, b = (double)first + n; /* seen by the first and by the last */
    if (window == 0 || b <= window)
        return (a + b) * n / 2;
    if (a >= window)
        return (double)window * n;
    const double n_growing = window - a + 1;
    return (a + window) * n_growing / 2 + (n - n_growing) * window;
}

/* Bytes of the experts that n tokens are expected to choose together, if all are equally liked. */
static double expert_bytes(const struct bench_cost *cost, double n_tokens)
{
    if (cost->n_expert == 0)
        return 0;
    const double unused = 1 - (double)cost->n_expert_used / cost->n_expert;
    return (double)cost->expert_bytes * (1 - pow(unused, n_tokens));
}

static double kv_value_bytes(enum oll_dtype dtype)
{
    const struct oll_dtype_info *info = oll_dtype_info((uint32_t)dtype);
    return (double)info->block_bytes / info->block_elements;
}

/* Tokens [first, first + n) of `n_seq` sequences in one go: one pass. */
static void add_pass(const struct bench_cost *cost, const struct bench_test *test, uint32_t first,
                     uint32_t n, struct bench_need *need)
{
    const double n_seq = test->n_parallel, n_tokens = n_seq * n;
    need->bytes += (double)cost->dense_bytes + expert_bytes(cost, n_tokens);
    for (int d = 0; d < OLL_DTYPE_COUNT; d++)
        need->macs[d] += cost->macs[d] * n_tokens;
    for (uint32_t il = 0; il < cost->n_layer; il++) {
        const struct bench_cost_layer *l = &cost->layers[il];
        double n_kv = (double)first + n; /* the part of the cache that any of them sees */
        if (l->window != 0 && n_kv > (double)l->window + n)
            n_kv = (double)l->window + n;
        need->bytes += n_seq * n_kv * l->kv_size * kv_value_bytes(test->kv_dtype);
        need->attention_macs += n_seq * l->q_macs * seen_by(first, n, l->window);
    }
}

static void add_head(const struct bench_cost *cost, double n_rows, struct bench_need *need)
{
    need->bytes += (double)cost->head_bytes;
    need->macs[cost->head_dtype] += cost->head_macs * n_rows;
}

void bench_cost_of(const struct bench_cost *cost, const struct bench_test *test,
                   struct bench_need *out)
{
    uint32_t at = test->n_depth;
    const uint32_t prompt_end = at + test->n_prompt;
    memset(out, 0, sizeof *out);
    while (at < prompt_end) { /* pieces of n_batch, each in passes of n_ubatch */
        const uint32_t left = prompt_end - at;
        const uint32_t piece_end = at + (left < test->n_batch ? left : test->n_batch);
        while (at < piece_end) {
            const uint32_t n = piece_end - at < test->n_ubatch ? piece_end - at : test->n_ubatch;
            add_pass(cost, test, at, n, out);
            at += n;
        }
        add_head(cost, 1, out);
    }
    for (uint32_t i = 0; i < test->n_gen; i++) {
        add_pass(cost, test, at + i, 1, out);
        add_head(cost, test->n_parallel, out);
    }
}

double bench_need_macs(const struct bench_need *need)
{
    double sum = need->attention_macs;
    for (int d = 0; d < OLL_DTYPE_COUNT; d++)
        sum += need->macs[d];
    return sum;
}

/* Types without a measured peak of their own count as the fastest. */
static double best_peak(const struct bench_peak *peak)
{
    double best = 0;
    for (int d = 0; d < OLL_DTYPE_COUNT; d++)
        best = fmax(best, peak->macs_s[d]);
    return best;
}

void bench_roofline_of(const struct bench_need *need, const struct bench_peak *peak, double seconds,
                       struct bench_roofline *out)
{
    const double best = best_peak(peak);
    memset(out, 0, sizeof *out);
    if (peak->read_bytes_s > 0)
        out->read_s = need->bytes / peak->read_bytes_s;
    for (int d = 0; d < OLL_DTYPE_COUNT && best > 0; d++)
        out->compute_s += need->macs[d] / (peak->macs_s[d] > 0 ? peak->macs_s[d] : best);
    if (best > 0)
        out->compute_s +=
            need->attention_macs / (peak->macs_s[OLL_F32] > 0 ? peak->macs_s[OLL_F32] : best);
    out->is_compute_bound = out->compute_s > out->read_s;
    const double least = out->is_compute_bound ? out->compute_s : out->read_s;
    if (seconds > 0 && out->read_s > 0 && out->compute_s > 0)
        out->share = least / seconds;
}
