/* Direct evaluation: a loaded model and contexts of token sequences, for the engine thread and for
 * tools that need numbers rather than text (`oll logits`, `oll perplexity`, `oll embed`, `oll
 * bench`, golden tests).
 *
 * A model is read-only after loading; several contexts may use it, one at a time (they share its
 * devices). A context belongs to one thread at a time. */
#ifndef OLL_ENGINE_EVAL_H
#define OLL_ENGINE_EVAL_H

#include "engine/base/dtype.h"
#include "engine/base/status.h"
#include "engine/oll.h"
#include "tokenizer/tokenizer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct oll_model;
struct oll_context;

/* Who may share what was computed: a digest of a name, all zero for none. */
struct oll_space {
    uint64_t words[2];
};

struct oll_model_params {
    const char *devices;      /* as in oll_engine_params */
    const char *adapter_path; /* as in oll_engine_params */
    int n_threads;
    bool no_tokenizer; /* a file whose vocabulary cannot be used still gives logits */
    const char *isa;   /* as in oll_device_params */
    bool dry;          /* likewise: all is checked and sized, nothing can be computed */
};

/* Maps the file, checks every hyper-parameter and shape of its architecture, opens the devices,
 * places and uploads the weights. An unknown architecture or a missing tensor is named, with the
 * nearest known one. */
oll_status oll_model_load(const char *path, const struct oll_model_params *params,
                          struct oll_model **out, struct oll_error *err) OLL_MUST_USE;
void oll_model_free(struct oll_model *model); /* after its contexts; NULL is accepted */

/* kv_bytes, activation_bytes and n_ctx are 0 here: they belong to a context. */
const struct oll_model_info *oll_model_facts(const struct oll_model *model);
const struct oll_tokenizer *oll_model_tokenizer(
    const struct oll_model *model); /* NULL with no_tokenizer */
/* The Jinja text of tokenizer.chat_template, NULL when there is none; terminated, owned by the
 * model. */
const char *oll_model_chat_template(const struct oll_model *model);
/* How the model pools: enum oll_pooling of kernels/device.h; OLL_POOLING_NONE for plain decoders.
 */
int oll_model_pooling(const struct oll_model *model);

struct oll_context_params {
    uint32_t n_ctx; /* positions of one sequence, not rounded; 0: min(trained, 4096) */
    uint32_t n_seq; /* sequences held at once, at least 1 */
    uint32_t
        n_ubatch; /* most tokens of one pass; 0: 512. Encoders need a whole input in one pass */
    enum oll_dtype kv_dtype; /* OLL_F16, OLL_F32, OLL_Q8_0, OLL_Q4_0 */
};

oll_status oll_context_new(struct oll_model *model, const struct oll_context_params *params,
                           struct oll_context **out, struct oll_error *err) OLL_MUST_USE;
void oll_context_free(struct oll_context *ctx);

/* Memory as planned at creation, equal to what was allocated. */
uint64_t oll_context_kv_bytes(const struct oll_context *ctx);
uint64_t oll_context_activation_bytes(const struct oll_context *ctx);
/* What was allocated, device by device (engine/placement.h). */
struct plan;
const struct plan *oll_context_plan(const struct oll_context *ctx);
uint32_t oll_context_n_ctx(const struct oll_context *ctx);
uint32_t oll_context_n_ubatch(const struct oll_context *ctx);

/* Tokens of one step. Positions of a sequence must go on where it ends; token ids must be below
 * n_vocab (checked, OLL_ERR_ARG); a sequence beyond n_ctx is OLL_ERR_LIMIT. Any number of tokens:
 * passes of n_ubatch are formed inside.
 */
struct oll_batch {
    uint32_t n;
    const int32_t *tokens;
    const int32_t *seq;  /* [n] sequence of each token; NULL: all of `one_seq` */
    const uint8_t *want; /* [n] nonzero: logits of this row; NULL: the last row alone */
    uint32_t one_seq;    /* where `seq` is NULL */
    uint32_t n_first;    /* tokens from here on are of a second text; 0: there is none */
};

/* Runs the batch. On success *logits points at [n_wanted, n_vocab] f32 in the order of the rows,
 * valid until the next call on this context (the caller may change them: a sampler does); NULL when
 * nothing was wanted. With `abort` set by another thread the call ends with OLL_ERR_CANCELED and
 * the sequences of the batch are as before (empty where a sliding window has moved on: a batch of
 * several passes). */
oll_status oll_context_eval(struct oll_context *ctx, const struct oll_batch *batch,
                            const atomic_bool *abort, float **logits,
                            struct oll_error *err) OLL_MUST_USE;

/* Takes the memory for the logits of n_rows, so that a call that wants as many needs no more. */
oll_status oll_context_reserve_logits(struct oll_context *ctx, uint32_t n_rows,
                                      struct oll_error *err) OLL_MUST_USE;

/* Sequence bookkeeping. */
uint32_t oll_context_seq_len(const struct oll_context *ctx, uint32_t seq);
/* Keeps the first n positions. False when the state cannot go back that far (a sliding window that
 * has moved on): then the sequence is empty. */
bool oll_context_seq_truncate(struct oll_context *ctx, uint32_t seq, uint32_t n);
/* Of a dry model alone: the sequence goes on by n positions as if they had been evaluated. */
void oll_context_seq_skip(struct oll_context *ctx, uint32_t seq, uint32_t n);
void oll_context_seq_clear(struct oll_context *ctx, uint32_t seq);

/* Common beginnings. What a sequence has computed stays known to all of its space, by whole pages,
 * while there is room and also when the sequence has gone on or has been cleared. In models
 * with sliding windows a beginning can be taken over where the pages that its window sees are still
 * there; they have as much room as the rings of all sequences. */
/* Positions of `tokens` [n] that are known in whole pages. */
uint32_t oll_context_match(const struct oll_context *ctx, const struct oll_space *space,
                           const int32_t *tokens, uint32_t n);
/* The sequence becomes the longest known beginning of `tokens` [n]; its new length, 0 when nothing
 * is known. Pages are shared, a part of one is copied. */
uint32_t oll_context_seq_adopt(struct oll_context *ctx, uint32_t seq, const struct oll_space *space,
                               const int32_t *tokens, uint32_t n);
/* Makes the whole pages of a sequence known that begins with `tokens` [n]. Cheap when no page has
 * become whole since the last call. */
void oll_context_seq_publish(struct oll_context *ctx, uint32_t seq, const struct oll_space *space,
                             const int32_t *tokens, uint32_t n);

/* Pages that outlive the process: what oll_context_seq_publish makes known is also kept in a folder
 * (kv_keep.h), under a digest of model, adapter, form of the cache, space and tokens. */
struct oll_keep_params {
    const char *folder;
    uint64_t max_bytes; /* of all files in it */
    void (*wake)(
        void *arg); /* by other threads: oll_context_keep or _seq_fetching has more to do */
    void *arg;
};
/* Before the first evaluation. A model that shares nothing keeps nothing. */
oll_status oll_context_keep(struct oll_context *ctx, const struct oll_keep_params *params,
                            struct oll_error *err) OLL_MUST_USE;
/* For idle moments: copies one page that is not yet in the folder; false when there is nothing to
 * do now. */
bool oll_context_keep_step(struct oll_context *ctx);
/* Whether the folder has whole pages of the beginning of `tokens` [n] beyond `held` positions,
 * which memory has. Then they are being read, and the sequence is empty until
 * oll_context_seq_fetching says false: oll_context_seq_adopt finds them. Any change of the sequence
 * ends it. */
bool oll_context_seq_fetch(struct oll_context *ctx, uint32_t seq, const struct oll_space *space,
                           const int32_t *tokens, uint32_t n, uint32_t held);
/* Takes in what has been read, until about `deadline_ns` (oll_clock_ns); true while more is to
 * come. */
bool oll_context_seq_fetching(struct oll_context *ctx, uint32_t seq, uint64_t deadline_ns);

/* Embeddings: evaluates `n` ids as one input and writes the pooled, L2-normalised vector
 * [n_embd_out] (dense layers applied); with `raw` the un-normalised one. A model that ranks gives
 * what its head says, as it is. The ids are taken as given. Uses sequence `seq`, which is empty
 * afterwards; the others stay as they are, and no other sequence can take over what was computed.
 * `abort` (NULL: never) as in oll_context_eval. */
oll_status oll_context_embed(struct oll_context *ctx, uint32_t seq, const int32_t *tokens,
                             uint32_t n, bool raw, const atomic_bool *abort, float *out,
                             struct oll_error *err) OLL_MUST_USE;
/* The same for two texts in one input: the second begins at tokens[n_first]. */
oll_status oll_context_embed_pair(struct oll_context *ctx, uint32_t seq, const int32_t *tokens,
                                  uint32_t n, uint32_t n_first, const atomic_bool *abort,
                                  float *out, struct oll_error *err) OLL_MUST_USE;

#endif
