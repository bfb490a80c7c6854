/* The public door to a model: plain structs, token arrays, ids, events.
 *
 * One engine is one loaded model with a thread of its own. Requests are copied in, events are
 * pulled out; nothing is shared with the caller but copies, so that the same structs can cross a
 * process boundary as framed messages. All that belongs to a model happens behind this header:
 * prompt rendering, tokenising, truncation, sampling, stop strings, splitting of the reply.
 *
 *     oll_engine_open(&params, &engine, &err);
 *     oll_engine_submit(engine, &request, &id, &err);
 *     while (oll_engine_next(engine, id, timeout_ms, &event) ...)   until a DONE or ERROR event
 *
 * Any thread may call any function; calls for one request come from one thread. The engine never
 * touches a socket and never waits for a slow reader: a request whose events are not pulled pauses
 * when its queue is full. */
#ifndef OLL_ENGINE_OLL_H
#define OLL_ENGINE_OLL_H

#include "engine/base/dtype.h"
#include "engine/base/status.h"
#include "engine/base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- engine ---- */

struct oll_engine;

struct oll_engine_params {
    const char *model_path;
    const char *devices;       /* "cpu", "ref", "cpu:0-9,ref:10-29" (layers); NULL: "cpu" */
    const char *adapter_path;  /* LoRA adapter (GGUF) that is applied to the model; NULL: none */
    const char *prefix_folder; /* keeps beginnings of prompts beyond the process; NULL: none */
    uint64_t prefix_bytes;     /* most that is kept there, for all models */
    uint32_t n_ctx;            /* window of one slot; 0: min(trained, 4096) */
    uint32_t n_slots;          /* requests served at once; 0: 1 */
    uint32_t n_ubatch;         /* most tokens of one forward pass; 0: 512 */
    int n_threads;             /* 0: physical cores within quota and affinity */
    enum oll_dtype kv_dtype; /* OLL_F16 (also for 0 = OLL_F32 unless kv_f32), OLL_Q8_0, OLL_Q4_0 */
    bool kv_f32;             /* f32 cache, for tests */
    bool no_speculation;     /* one token at a time (engine/speculate.h); the texts are the same */
};

/* Static facts of a loaded model; strings belong to the engine. */
struct oll_model_info {
    const char *architecture, *name, *quantization; /* "llama", "SmolLM2 135M Instruct", "Q4_1" */
    uint64_t n_params, file_bytes;
    uint64_t weights_bytes, kv_bytes, activation_bytes; /* memory as planned */
    uint32_t n_ctx, n_ctx_train, n_embd, n_embd_out, n_layer, n_vocab;
    bool can_complete; /* generates text */
    bool can_embed;    /* has a pooling head, or is a decoder whose last state can be used */
    bool is_encoder;   /* cannot generate */
    bool has_chat_template, can_insert, can_use_tools, can_think;
};

/* Loads the model and starts its thread. Everything that can go wrong with a file, its size or its
 * architecture is reported here. */
oll_status oll_engine_open(const struct oll_engine_params *params, struct oll_engine **out,
                           struct oll_error *err) OLL_MUST_USE;
/* Cancels what runs, waits for the thread, gives all memory back. NULL is accepted. */
void oll_engine_close(struct oll_engine *engine);
const struct oll_model_info *oll_engine_info(const struct oll_engine *engine);

/* ---- requests ---- */

enum oll_request_kind {
    OLL_REQUEST_PROMPT, /* `prompt` with its template applied unless `raw`; `suffix`: fill in the
                           middle */
    OLL_REQUEST_CHAT,   /* `messages` */
    OLL_REQUEST_EMBED   /* `inputs` */
};

enum oll_think {
    OLL_THINK_UNSET,
    OLL_THINK_OFF,
    OLL_THINK_ON,
    OLL_THINK_LOW,
    OLL_THINK_MEDIUM,
    OLL_THINK_HIGH,
    OLL_THINK_MAX
};

/* Which of two templates counts, when a model has a Go template and its file a Jinja template. */
enum oll_template_preference { OLL_TEMPLATE_BEST, OLL_TEMPLATE_GO, OLL_TEMPLATE_JINJA };

struct oll_tool_call {
    const char *id, *name;
    const char *arguments_json; /* one JSON object */
};

struct oll_message {
    const char *role; /* "system", "user", "assistant", "tool" */
    const char *content;
    const char *thinking;  /* NULL: none */
    const char *tool_name; /* of a tool's result; NULL: none */
    const char *tool_call_id;
    const struct oll_tool_call *tool_calls;
    uint32_t n_tool_calls;
};

struct oll_token_bias {
    int32_t token;
    float bias; /* added to its logit */
};

/* Sampling and limits. oll_options_default gives the built-in defaults (rest-api 3.4). */
struct oll_options {
    int64_t seed;      /* negative: random */
    float temperature; /* <= 0: arg max */
    int32_t top_k;     /* <= 0: off */
    float top_p, min_p, typical_p;
    int32_t repeat_last_n; /* 0: off, -1: the whole window */
    float repeat_penalty, presence_penalty, frequency_penalty;
    int32_t num_predict;  /* <= 0: up to 10 windows */
    int32_t think_budget; /* tokens of thinking, then its end is forced; <= 0: no limit */
    int32_t num_keep;     /* prompt tokens kept on shift and truncation; negative: all */
    const char *const *stop;
    uint32_t n_stop;
    const struct oll_token_bias *logit_bias;
    uint32_t n_logit_bias;
    bool ignore_eog; /* benchmarks: end-of-generation tokens are drawn like others */
};
struct oll_options oll_options_default(void);

struct oll_request {
    enum oll_request_kind kind;
    struct oll_options options;

    /* PROMPT */
    const char *system, *prompt, *suffix; /* NULL: none */
    const int32_t *context;               /* tokens of an earlier reply that go before the prompt */
    uint32_t n_context;
    bool raw;

    /* CHAT; also the tools of PROMPT */
    const struct oll_message *messages;
    uint32_t n_messages;
    const char *tools_json;  /* JSON array, NULL: none */
    bool force_call;         /* the reply is one tool call, after thinking where the model thinks */
    const char *forced_tool; /* with force_call: of this tool; NULL: of any */
    bool one_call;           /* the reply ends behind its first call */
    enum oll_think think;

    /* EMBED */
    const char *const *inputs; /* texts, NULL-free; or */
    uint32_t n_inputs;
    const int32_t *tokens; /* one input given as ids, taken as they are */
    uint32_t n_tokens;
    uint32_t n_input_max; /* tokens of an input, special ones included; 0: the window */
    uint32_t dimensions;  /* 0: all; else cut to the first ones, then normalised again */
    /* The texts are documents that are ranked by how well they answer this; NULL: no ranking. Each
     * EMBEDDING event is one number, a logit (engine/rank.h). `instruction` tells models that read
     * one what is looked for; NULL: what they were trained with. */
    const char *query, *instruction;

    /* all */
    /* How the model is prompted, beside what its file says (engine/chat/style.h); NULL: not said.
     */
    const char *template_text;     /* Go template of this request */
    const char *model_template;    /* Go template that was stored with the model */
    const char *renderer, *parser; /* built-in ones, by name */
    const char *model_name;        /* without host, namespace and tag */
    enum oll_template_preference prefer_template;
    const char *format_json; /* "\"json\"" or a schema; NULL: free text */
    const char *grammar;     /* GBNF, instead of format_json; NULL: none */
    const char *share_with;  /* beginnings of prompts are shared by requests with the same text here
                                (an API key); NULL: by those without one */
    bool no_truncate;        /* an input that does not fit is OLL_ERR_LIMIT instead of being cut */
    bool no_shift;           /* a full window ends the reply instead of being shifted */
    bool want_context;       /* DONE carries the tokens of prompt and reply */
    bool render_only;        /* one TEXT event with the rendered prompt, then DONE */
    uint32_t n_top_logprobs; /* alternatives per token, at most OLL_TOP_LOGPROBS_MAX */
    bool logprobs;
    bool no_speculation; /* as in oll_engine_params, for this request */
};

enum { OLL_TOP_LOGPROBS_MAX = 20, OLL_QUEUE_MAX = 512 };

/* Copies the request and queues it. OLL_ERR_BUSY when the queue is full; OLL_ERR_ARG and the like
 * for what can be told at once. */
oll_status oll_engine_submit(struct oll_engine *engine, const struct oll_request *request,
                             uint64_t *id, struct oll_error *err) OLL_MUST_USE;
/* Ends a request soon, also while it waits or is being prefilled; its last event is ERROR with
 * OLL_ERR_CANCELED. Unknown ids are ignored. */
void oll_engine_cancel(struct oll_engine *engine, uint64_t id);
/* Forgets a request and its undelivered events (cancels it when it still runs). Every submitted
 * request must be released exactly once. */
void oll_engine_release(struct oll_engine *engine, uint64_t id);

/* ---- events ---- */

enum oll_event_kind {
    OLL_EVENT_TEXT,     /* a piece of the reply, whole characters only */
    OLL_EVENT_THINKING, /* a piece of the reasoning */
    OLL_EVENT_TOOL_CALL,
    OLL_EVENT_EMBEDDING, /* one input's vector, in order */
    OLL_EVENT_DONE,
    OLL_EVENT_ERROR
};

enum oll_done_reason { OLL_DONE_STOP, OLL_DONE_LENGTH };

struct oll_logprob {
    int32_t token;
    float logprob;
    char *text; /* bytes of the token, not terminated: see n_text */
    uint32_t n_text;
    uint32_t n_top;
    struct oll_logprob *top; /* n_top alternatives, best first; their own n_top is 0 */
};

struct oll_event {
    enum oll_event_kind kind;
    char
        *text; /* TEXT, THINKING: terminated, no NUL inside; TOOL_CALL: arguments; ERROR: message */
    size_t n_text;
    char *tool_name, *tool_id;
    struct oll_logprob *logprobs; /* of the tokens behind this piece */
    uint32_t n_logprobs;
    bool truncated; /* the prompt was cut; on every event of a reply */

    float *embedding; /* EMBEDDING: [n_embedding], normalised; or a score */
    uint32_t n_embedding;

    oll_status status; /* ERROR */

    /* DONE */
    enum oll_done_reason done_reason;
    uint32_t n_prompt, n_prompt_cached, n_reply; /* tokens; n_reply with the end token */
    uint32_t n_drafted, n_accepted;              /* tokens tried by speculation; of them right */
    uint64_t prompt_ns, reply_ns, queue_ns;
    bool thinking_cut; /* think_budget ended the thinking */
    int32_t *context;
    uint32_t n_context;
};

/* Waits up to `timeout_ms` (negative: for ever) for the next event of a request. OLL_ERR_TIMEOUT
 * when there was none, OLL_ERR_NOT_FOUND for an unknown id or when the last event has been taken.
 */
oll_status oll_engine_next(struct oll_engine *engine, uint64_t id, int timeout_ms,
                           struct oll_event *event) OLL_MUST_USE;
/* For one thread that carries the events of all requests elsewhere, instead of oll_engine_next: the
 * next event of any request that is not held, and whose it is. OLL_ERR_TIMEOUT when there was none,
 * also after oll_engine_wake. */
oll_status oll_engine_next_any(struct oll_engine *engine, int timeout_ms, uint64_t *id,
                               struct oll_event *event) OLL_MUST_USE;
/* Holds the events of one request back from oll_engine_next_any, or no longer. */
void oll_engine_hold(struct oll_engine *engine, uint64_t id, bool hold);
/* Grows with every piece of work that the engine has done: a sign of life where nothing is said. */
uint64_t oll_engine_progress(const struct oll_engine *engine);
/* Ends the present wait of oll_engine_next_any, or the next one. */
void oll_engine_wake(struct oll_engine *engine);
/* Releases what an event holds. */
void oll_event_free(struct oll_event *event);

/* ---- text and tokens, answered at once by the calling thread ---- */

/* Appends nothing on failure; *tokens is released with oll_free (engine/base/mem.h). */
oll_status oll_engine_tokenize(const struct oll_engine *engine, const char *text, size_t n,
                               bool add_special, bool parse_special, int32_t **tokens,
                               size_t *n_tokens, struct oll_error *err) OLL_MUST_USE;
/* Appends the text of ids[0..n), special tokens as their text. OLL_ERR_ARG: an id is none. */
oll_status oll_engine_detokenize(const struct oll_engine *engine, const int32_t *ids, size_t n,
                                 struct oll_strbuf *out, struct oll_error *err) OLL_MUST_USE;

#endif
