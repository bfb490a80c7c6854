/* What the files of the engine thread share: engine.c (public functions, the list of requests, the
 * thread), engine_step.c (batches of tokens), engine_embed.c (embeddings, ranking),
 * engine_program.c (formats and grammars), engine_call.c (forced tool calls), engine_any.c (events
 * of all requests for one reader). */
#ifndef OLL_ENGINE_ENGINE_INTERNAL_H
#define OLL_ENGINE_ENGINE_INTERNAL_H

#include "engine/rank.h"
#include "engine/slot.h"

#include <pthread.h>
#include <stdatomic.h>

/* Formats and grammars that are kept compiled. */
enum { ENGINE_PROGRAMS = 16 };
struct engine_program {
    struct oll_constraint_program *program; /* NULL: a free place */
    char *text;
    bool is_grammar;
    uint64_t used; /* order of use */
};

struct oll_engine {
    struct oll_model *model;
    struct oll_model_info info;
    struct slot_env env;
    struct prompt_env prompt_env;
    struct oll_context *embed_ctx; /* of an encoder; others embed in env.ctx */
    struct oll_context_params context_params;
    struct ranker ranker;

    struct slot *slots;
    uint32_t n_slots;
    /* Arrays of a step, [n_ubatch]. */
    int32_t *tokens, *seq;
    uint8_t *want;
    struct slot **sampled; /* [n_slots] slots whose last token is in the step */
    uint32_t n_ubatch;
    bool speculates;
    struct speculate_costs costs;
    struct speculate_offer *offers; /* [n_slots] of slots that decode, in the order of the step */
    double prefill_rate;            /* of steps that decode, tokens per second; 0: not known yet */

    struct request *embedding; /* request whose inputs are being embedded */
    struct slot *embed_slot;   /* lent to it; NULL: an encoder has none */
    uint32_t i_input;
    struct oll_event embed_done;

    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t mutex;
    pthread_cond_t work; /* a request came, was cancelled, or can take events again */
    struct request *requests, **requests_end;
    pthread_cond_t any; /* an event of some request came, or oll_engine_wake */
    bool woken;
    atomic_ullong n_steps; /* done so far; read by oll_engine_progress */
    uint32_t n_queued;
    uint64_t next_id;
    struct engine_program programs[ENGINE_PROGRAMS];
    uint64_t programs_used;
    bool poked; /* something happened since the thread last looked: it must not sleep */
    bool closing;
    atomic_bool abort; /* read by the device; set under the mutex */
};

/* As oll_engine_open, without memory for the model and without the thread: only sizes count.
 * `with_text` false: no tokeniser and no template either. */
oll_status engine_open_dry(const struct oll_engine_params *params, bool with_text,
                           struct oll_engine **out, struct oll_error *err) OLL_MUST_USE;
void engine_any_init(struct oll_engine *e);
/* Lets the thread look for work (mutex held). */
void engine_poke(struct oll_engine *e);

/* Queues an event; wakes the reader. False when there was no memory: the event is lost. */
bool engine_push(struct oll_engine *e, struct request *r, struct oll_event *event);
/* Ends a request with its last event, and frees the record when the caller has let go of it. */
void engine_finish(struct oll_engine *e, struct request *r, struct oll_event *last);
/* The same with an ERROR event. */
void engine_fail(struct oll_engine *e, struct request *r, oll_status status,
                 const struct oll_error *err);

/* Ends the request of a slot with an error. */
void engine_end_slot(struct oll_engine *e, struct slot *slot, oll_status status,
                     const struct oll_error *err);
/* Runs one step of all slots that can go on; false when there was none. */
bool engine_step(struct oll_engine *e);

/* The compiled format or grammar of a request, with a reference for the caller; NULL when it has
 * none. Any thread. OLL_ERR_ARG: it is invalid. */
oll_status engine_program(struct oll_engine *e, const struct oll_request *ask,
                          struct oll_constraint_program **out, struct oll_error *err) OLL_MUST_USE;
/* The grammar of a forced call, made anew each time. */
oll_status engine_call_program(struct oll_engine *e, const struct oll_request *ask,
                               struct oll_constraint_program **out,
                               struct oll_error *err) OLL_MUST_USE;
/* Makes env.trie, once. */
oll_status engine_trie(struct oll_engine *e, struct oll_error *err) OLL_MUST_USE;
void engine_programs_free(struct oll_engine *e);

/* Makes a request the one that is embedded, with an idle slot of a model that generates. */
void engine_embed_begin(struct oll_engine *e, struct request *r);
/* Takes leave of it: its slot is idle again. */
void engine_embed_end(struct oll_engine *e);
/* Embeds one input of the current request, so that replies beside it go on between inputs; false
 * when there was nothing to do. */
bool engine_embed_step(struct oll_engine *e);

#endif
