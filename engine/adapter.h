/* LoRA adapters: the file beside a model whose small matrices change what its matrices do.
 *
 * y = W x becomes y = W x + alpha / r * B (A x), with A [n_in, r] and B [r, n_out] (Hu et al. 2021,
 * arXiv:2106.09685). The two stand in the file as "<tensor>.lora_a" and "<tensor>.lora_b", where
 * <tensor> is a name of the base model, such as "blk.0.attn_q.weight".
 *
 * The binder asks for the pair of each matrix that it can adapt; what nobody asked for does not fit
 * the model, which adapter_check_used reports. */
#ifndef OLL_ENGINE_ADAPTER_H
#define OLL_ENGINE_ADAPTER_H

#include "gguf/gguf.h"

struct adapter {
    struct oll_gguf *gguf;
    float alpha;
    bool *used; /* [tensors of the file] */
};

/* The two matrices of an adapted one; both NULL: it is not adapted. */
struct adapter_pair {
    const struct oll_gguf_tensor *a, *b;
    float scale; /* alpha / r */
};

/* Opens the file and checks that it is an adapter for models of `architecture`. The caller releases
 * it with adapter_close, also after a failure. */
oll_status adapter_open(const char *path, const char *architecture, struct adapter *adapter,
                        struct oll_error *err) OLL_MUST_USE;
void adapter_close(struct adapter *adapter); /* an empty one is accepted */

/* The pair of the matrix `name` [n_in, n_out] (with ".weight"). OLL_ERR_FORMAT where one of the two
 * is missing or does not fit. */
oll_status adapter_find(struct adapter *adapter, const char *name, uint64_t n_in, uint64_t n_out,
                        struct adapter_pair *out, struct oll_error *err) OLL_MUST_USE;

/* OLL_ERR_FORMAT when the file holds a tensor that adapter_find has not given. */
oll_status adapter_check_used(const struct adapter *adapter, struct oll_error *err) OLL_MUST_USE;

#endif
