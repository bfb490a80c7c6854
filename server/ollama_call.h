/* What generate and chat have in common, in every dialect of the API: finding the model, the checks
 * before it is loaded, the load, and the collection of events into one reply or many pieces. Each
 * step that fails has answered the request when it returns false.
 *
 * Other dialects (openai_*.c, anthropic_*.c) map their requests onto these fields, so that
 * defaults, checks and their order are the native ones; they differ in a struct call_dialect. */
#ifndef OLL_SERVER_OLLAMA_CALL_H
#define OLL_SERVER_OLLAMA_CALL_H

#include "engine/base/json.h"
#include "server/app.h"
#include "server/generation.h"
#include "server/ollama_request.h"

/* Fields of a request that both have; decoded by their own tables. */
struct ollama_fields {
    const char *model;
    const char *grammar; /* GBNF instead of a format; "" or NULL: none */
    const struct oll_json *format, *keep_alive, *options, *think;
    bool stream, truncate, shift, logprobs, debug;
    bool strict;        /* options that there are not are an error */
    bool think_if_able; /* a model that cannot think is no error: `think` is dropped */
    int64_t top_logprobs;
    int64_t priority; /* among those who wait for the model; 0: usual */
    /* Of the dialects that have them: as in oll_request. */
    bool force_call, one_call;
    const char *forced_tool;
    const struct oll_token_bias *logit_bias;
    uint32_t n_logit_bias;
    uint32_t n_choices; /* replies to one request, one after another; 0: 1 */
    bool wants_score;   /* call->score is looked at */
};

/* Rows of a decode table for a struct whose first member is `struct ollama_fields`. */
#define OLLAMA_COMMON_FIELDS                                                                       \
    {"model", DECODE_STRING, offsetof(struct ollama_fields, model), NULL},                         \
        {"format", DECODE_ANY, offsetof(struct ollama_fields, format), NULL},                      \
        {"grammar", DECODE_STRING, offsetof(struct ollama_fields, grammar), NULL},                 \
        {"keep_alive", DECODE_ANY, offsetof(struct ollama_fields, keep_alive), NULL},              \
        {"options", DECODE_OBJECT, offsetof(struct ollama_fields, options), NULL},                 \
        {"think", DECODE_ANY, offsetof(struct ollama_fields, think), NULL},                        \
        {"stream", DECODE_BOOL, offsetof(struct ollama_fields, stream), NULL},                     \
        {"truncate", DECODE_BOOL, offsetof(struct ollama_fields, truncate), NULL},                 \
        {"shift", DECODE_BOOL, offsetof(struct ollama_fields, shift), NULL},                       \
        {"logprobs", DECODE_BOOL, offsetof(struct ollama_fields, logprobs), NULL},                 \
        {"top_logprobs", DECODE_INT, offsetof(struct ollama_fields, top_logprobs), NULL},          \
        {"priority", DECODE_INT, offsetof(struct ollama_fields, priority), NULL},                  \
        {"strict", DECODE_BOOL, offsetof(struct ollama_fields, strict), NULL},                     \
    {                                                                                              \
        "_debug_render_only", DECODE_BOOL, offsetof(struct ollama_fields, debug), NULL             \
    }
#define OLLAMA_FIELDS_DEFAULT {.model = "", .stream = true, .truncate = true, .shift = true}

/* What has been collected and not been sent yet. */
struct ollama_parts {
    struct oll_strbuf text, thinking;
    struct oll_strbuf logprobs, calls; /* elements of the arrays, as JSON */
    struct oll_json_writer logprobs_writer, calls_writer;
    uint32_t n_calls; /* of the whole reply */
};

struct ollama_call;

/* How a dialect answers. */
struct call_dialect {
    /* A failure. `stream`: the reply was to be streamed; its head may have gone out already. */
    void (*fail)(struct ollama_call *call, int status, const char *text, bool stream);
    /* Sends what an event adds to a stream; it has been collected in call->parts, which is empty
     * again afterwards. False: the peer is gone. */
    bool (*piece)(struct ollama_call *call, const struct oll_event *event);
    /* Sends the reply that is no stream. */
    void (*whole)(struct ollama_call *call, const struct oll_event *done);
    /* Answers a request that only loads ("load") or unloads ("unload") the model. */
    void (*loaded)(struct ollama_call *call, const char *reason);
    /* Writes one element of parts.calls; NULL: none are collected. */
    void (*tool_call)(struct ollama_call *call, struct oll_json_writer *w,
                      const struct oll_event *event, uint32_t index);
};

struct ollama_call {
    const struct call_dialect *dialect;
    struct http_request *req;
    const struct app *app;
    const struct ollama_fields *fields;
    struct served_model *model;
    struct ollama_keep_alive keep_alive;
    enum oll_think think;
    struct options options;
    struct generation generation;
    struct ollama_parts parts;
    uint32_t n_images;
    uint32_t i_choice; /* which reply this is */
    double score;      /* with wants_score: sum of the log probabilities of its tokens */
};

/* The field of that name in a body of another dialect, which has been read with `status`. */
int64_t ollama_priority(const struct oll_json *root, oll_status status);
bool ollama_call_refuse(struct ollama_call *call, int status, const char *fmt, ...)
    OLL_PRINTF(3, 4);
/* After decoding: ranges, keep_alive and think, in the order of the checks (rest-api 2.1, 2.2). */
bool ollama_call_begin(struct ollama_call *call, struct http_request *req,
                       const struct call_dialect *dialect, const struct ollama_fields *fields);
/* Finds the model by its name, which is not empty. */
bool ollama_call_find(struct ollama_call *call);
/* Whether this asks only for the model to be unloaded; then it is. */
bool ollama_call_unloads(struct ollama_call *call, bool is_empty);
/* Thinking and completion; `what` is the verb of the message: "generate", "chat". */
bool ollama_call_check(struct ollama_call *call, const char *what);
bool ollama_call_load(struct ollama_call *call);
/* Fills what every request to the engine says. False with a bad format. */
bool ollama_call_fill(struct ollama_call *call, struct oll_request *ask);

/* Whether this is the last reply. */
static inline bool ollama_call_is_last(const struct ollama_call *call)
{
    return call->i_choice + 1 >= call->fields->n_choices;
}
/* Runs the request and answers it, piece by piece or whole. With `calls_last` tool calls stay
 * collected until the end. */
void ollama_call_run(struct ollama_call *call, const struct oll_request *ask, bool calls_last);
/* Gives back what the call holds. */
void ollama_call_end(struct ollama_call *call);

/* ---- the native dialect ---- */

/* Writes the object for what was collected; `done` is NULL but for the last one. */
typedef void (*ollama_write_fn)(struct ollama_call *call, struct oll_json_writer *w,
                                const struct oll_event *done);
void ollama_native_fail(struct ollama_call *call, int status, const char *text, bool stream);
/* A line of the stream when there is something to say; with `calls_last` calls alone are not. */
bool ollama_native_piece(struct ollama_call *call, const struct oll_event *event,
                         ollama_write_fn write, bool calls_last);
void ollama_native_whole(struct ollama_call *call, const struct oll_event *done,
                         ollama_write_fn write);

/* "created_at" and the members that chat and generate share. */
void ollama_write_model(struct ollama_call *call, struct oll_json_writer *w);
void ollama_write_done(struct oll_json_writer *w, const struct oll_event *done);
void ollama_write_debug(struct ollama_call *call, struct oll_json_writer *w);
/* The collected array under a key, when it is not empty. */
void ollama_write_list(struct oll_json_writer *w, const char *key, const struct oll_strbuf *list);

#endif
