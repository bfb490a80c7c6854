/* Slot: a lane that serves one request at a time, and the sequence of the KV cache that goes with
 * it.
 *
 * A slot keeps the tokens of its sequence after a request has ended: the next request takes the
 * slot with the longest common prefix, or what the context knows of other sequences, also running
 * ones, and computes only what differs. `tokens` is the text as it
 * should be (prompt and reply so far); the context holds the first oll_context_seq_len of them; the
 * rest waits for evaluation. So prefill, decode and the recomputation after a shift of the window
 * are one thing: tokens not yet evaluated.
 *
 * Owned by the engine thread. */
#ifndef OLL_ENGINE_SLOT_H
#define OLL_ENGINE_SLOT_H

#include "engine/eval.h"
#include "engine/guard.h"
#include "engine/prompt.h"
#include "engine/reply.h"
#include "engine/request.h"
#include "engine/speculate.h"
#include "engine/split.h"
#include "sampler/sampler.h"

/* What all slots of an engine share. */
struct slot_env {
    const struct oll_tokenizer *tok;
    struct oll_context *ctx;
    uint32_t n_vocab;            /* tokens that may be sampled */
    struct oll_token_trie *trie; /* made for the first request with a format, NULL until then */
};

struct slot {
    uint32_t seq;            /* its sequence in the context */
    struct request *request; /* NULL: idle, or lent */
    bool lent;               /* its sequence computes embeddings (engine_embed.c) */
    struct oll_tokens tokens;
    struct oll_space space; /* of the request that its sequence is from */
    bool in_step;           /* has tokens in the step at hand */
    bool fetching;          /* the beginning of its prompt is being read from the prefix cache */
    uint32_t i_row;         /* of its logits, the first in that step */
    struct speculator speculator;
    struct speculate_offer draft; /* of the step at hand; n_taken tokens follow the known one */
    uint64_t idle_since;          /* order of eviction: smallest first */

    struct oll_sampler *sampler;
    struct reply reply;
    struct split split;          /* events on their way to the caller */
    struct guard guard;          /* of its format or grammar */
    uint32_t n_prompt, n_cached; /* tokens of the prompt, of them found in the cache */
    uint32_t n_reply, max_reply;
    uint32_t n_keep;
    uint32_t n_thinking, n_calls;
    const char *think_close; /* ends thinking that has used up its budget; NULL: nothing does */
    bool truncated, thinking_cut;
    uint64_t begin_ns, first_ns; /* prefill began; first token sampled */
    /* Entries not yet sent. They go out with the next event even while text is held back, as the
     * API has it (rest-api 3.13). */
    struct oll_logprob *logprobs;
    uint32_t n_logprobs, cap_logprobs;
    struct oll_tokens history; /* prompt and reply for the `context` of the final event */
};

/* Takes over an idle slot; the prompt's tokens move into it. On failure the slot is idle and its
 * sequence is kept. */
oll_status slot_begin(struct slot *slot, const struct slot_env *env, struct request *r,
                      struct prompt *prompt, struct oll_error *err) OLL_MUST_USE;
/* Length of the prefix that `tokens` has in common with what the slot's sequence holds. */
uint32_t slot_common_prefix(const struct slot *slot, const struct slot_env *env,
                            const struct oll_space *space, const struct oll_tokens *tokens);
/* Whether the slot must wait for pages of its prompt; takes in those that have come, until about
 * `deadline_ns`. */
bool slot_waits(struct slot *slot, const struct slot_env *env, uint64_t deadline_ns);
/* Lets others use what the sequence has computed. */
void slot_publish(const struct slot *slot, const struct slot_env *env);

enum slot_outcome { SLOT_CONTINUES, SLOT_DONE };

/* Samples from the logits of the slot's last token. What may be shown is added to slot->split; when
 * the outcome is SLOT_DONE, *done is the final event. */
oll_status slot_sample(struct slot *slot, const struct slot_env *env, float *logits,
                       struct oll_event *done, enum slot_outcome *outcome,
                       struct oll_error *err) OLL_MUST_USE;

/* Lets go of the request; the sequence stays for reuse. */
void slot_end(struct slot *slot, uint64_t now);
void slot_free(struct slot *slot);

#endif
