#include "engine/batch.h"

#include "engine/base/mem.h"

#include <string.h>

oll_status ubatch_init(struct ubatch *ub, uint32_t cap, uint32_t n_seq, struct oll_error *err)
{
    memset(ub, 0, sizeof *ub);
    ub->cap = cap;
    int32_t **per_token[] = {&ub->tokens, &ub->pos,     &ub->seq,    &ub->types,
                             &ub->rows,   &ub->pos_out, &ub->seq_out};
    bool ok = true;
    for (size_t i = 0; i < sizeof per_token / sizeof per_token[0]; i++) {
        *per_token[i] = oll_calloc(cap, sizeof(int32_t));
        ok = ok && *per_token[i];
    }
    ub->kv_len = oll_calloc(n_seq, sizeof *ub->kv_len);
    ub->n_new = oll_calloc(n_seq, sizeof *ub->n_new);
    if (ok && ub->kv_len && ub->n_new)
        return OLL_OK;
    ubatch_free(ub);
    return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a batch of %u tokens", cap);
}

void ubatch_free(struct ubatch *ub)
{
    oll_free(ub->tokens);
    oll_free(ub->pos);
    oll_free(ub->seq);
    oll_free(ub->types);
    oll_free(ub->rows);
    oll_free(ub->pos_out);
    oll_free(ub->seq_out);
    oll_free(ub->kv_len);
    oll_free(ub->n_new);
    memset(ub, 0, sizeof *ub);
}

static uint32_t seq_of(const struct oll_batch *batch, uint32_t i)
{
    return batch->seq ? (uint32_t)batch->seq[i] : batch->one_seq;
}

static bool is_wanted(const struct oll_batch *batch, uint32_t i)
{
    return batch->want ? batch->want[i] != 0 : i + 1 == batch->n;
}

oll_status batch_check(const struct oll_batch *batch, const struct kv_cache *kv, uint32_t n_vocab,
                       uint32_t *n_wanted, struct oll_error *err)
{
    oll_status status = OLL_OK;
    uint32_t *n_new = oll_calloc(kv->n_seq, sizeof *n_new);
    if (!n_new)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory to check a batch");
    *n_wanted = 0;
    for (uint32_t i = 0; i < batch->n && status == OLL_OK; i++) {
        uint32_t seq = seq_of(batch, i);
        if (batch->tokens[i] < 0 || (uint32_t)batch->tokens[i] >= n_vocab) {
            status = OLL_FAIL(err, OLL_ERR_ARG, "token %d is not in the vocabulary (0..%u)",
                              batch->tokens[i], n_vocab - 1);
        } else if (seq >= kv->n_seq) {
            status = OLL_FAIL(err, OLL_ERR_ARG, "sequence %d: the context holds 0..%u", (int)seq,
                              kv->n_seq - 1);
        } else if (kv->seqs[seq].n + n_new[seq]++ >= kv->n_ctx) {
            status =
                OLL_FAIL(err, OLL_ERR_LIMIT,
                         "sequence %u would grow beyond the context of %u tokens", seq, kv->n_ctx);
        }
        *n_wanted += is_wanted(batch, i);
    }
    oll_free(n_new);
    return status;
}

uint32_t batch_take(const struct oll_batch *batch, uint32_t begin, const struct kv_cache *kv,
                    struct ubatch *ub)
{
    ub->n_tokens = batch->n - begin < ub->cap ? batch->n - begin : ub->cap;
    ub->n_out = 0;
    ub->n_kv_max = 1;
    memset(ub->n_new, 0, kv->n_seq * sizeof *ub->n_new);
    for (uint32_t i = 0; i < ub->n_tokens; i++) {
        uint32_t seq = seq_of(batch, begin + i);
        ub->tokens[i] = batch->tokens[begin + i];
        ub->seq[i] = (int32_t)seq;
        ub->types[i] = batch->n_first > 0 && begin + i >= batch->n_first;
        ub->pos[i] = (int32_t)(kv->seqs[seq].n + ub->n_new[seq]++);
        if ((uint32_t)ub->pos[i] + 1 > ub->n_kv_max)
            ub->n_kv_max = (uint32_t)ub->pos[i] + 1;
        if (is_wanted(batch, begin + i)) {
            ub->rows[ub->n_out] = (int32_t)i;
            ub->pos_out[ub->n_out] = ub->pos[i];
            ub->seq_out[ub->n_out++] = ub->seq[i];
        }
    }
    for (uint32_t s = 0; s < kv->n_seq; s++)
        ub->kv_len[s] = (int32_t)(kv->seqs[s].n + ub->n_new[s]);
    return ub->n_tokens;
}
