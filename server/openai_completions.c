/* POST /v1/completions (rest-api 6.3): one prompt, as /api/generate has it. */
#include "server/decode.h"
#include "server/ollama_generate.h"
#include "server/openai.h"
#include "server/openai_common.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { REPLY_BYTES_MAX = 256 * 1024 * 1024 };

struct completion_fields {
    const char *model, *prompt, *suffix;
    const struct oll_json *stream_options, *stop, *max_tokens, *temperature, *top_p, *seed;
    const struct oll_json *frequency_penalty, *presence_penalty, *n, *best_of, *logit_bias;
    int64_t logprobs;
    bool stream, debug, echo;
};

#define AT(member) offsetof(struct completion_fields, member)
static const struct decode_field members[] = {
    {"model", DECODE_STRING, AT(model), NULL},
    {"prompt", DECODE_STRING, AT(prompt), NULL},
    {"suffix", DECODE_STRING, AT(suffix), NULL},
    {"stream", DECODE_BOOL, AT(stream), NULL},
    {"stream_options", DECODE_OBJECT, AT(stream_options), "openai.StreamOptions"},
    {"stop", DECODE_ANY, AT(stop), NULL},
    {"max_tokens", DECODE_ANY, AT(max_tokens), NULL},
    {"temperature", DECODE_ANY, AT(temperature), NULL},
    {"top_p", DECODE_ANY, AT(top_p), NULL},
    {"seed", DECODE_ANY, AT(seed), NULL},
    {"frequency_penalty", DECODE_ANY, AT(frequency_penalty), NULL},
    {"presence_penalty", DECODE_ANY, AT(presence_penalty), NULL},
    {"logprobs", DECODE_INT, AT(logprobs), NULL},
    {"n", DECODE_ANY, AT(n), NULL},
    {"best_of", DECODE_ANY, AT(best_of), NULL},
    {"logit_bias", DECODE_ANY, AT(logit_bias), NULL},
    {"echo", DECODE_BOOL, AT(echo), NULL},
    {"_debug_render_only", DECODE_BOOL, AT(debug), NULL},
    {NULL, DECODE_ANY, 0, NULL}};

/* A reply that waits for the others. */
struct candidate {
    const char *text;
    size_t n;
    const char *reason;
    double score; /* mean log probability of its tokens */
};

struct completion_call {
    struct ollama_generate_call generate; /* first */
    bool include_usage, echo;
    bool begun;        /* of the stream: a chunk of this reply */
    uint32_t n_wanted; /* choices of the reply, the best of the candidates */
    uint32_t n_reply;  /* tokens of all candidates */
    struct candidate *candidates;
    int64_t created;
    char id[32];
};

static struct completion_call *of_call(struct ollama_call *call)
{
    return (struct completion_call *)(void *)call;
}

/* ---- replies ---- */

static void write_head(const struct completion_call *c, struct oll_json_writer *w)
{
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "id");
    oll_json_write_str(w, c->id);
    oll_json_write_key(w, "object");
    oll_json_write_str(w, "text_completion");
    oll_json_write_key(w, "created");
    oll_json_write_int(w, c->created);
}

static void write_model(const struct completion_call *c, struct oll_json_writer *w)
{
    oll_json_write_key(w, "model");
    oll_json_write_str(w, c->generate.fields.common.model);
    oll_json_write_key(w, "system_fingerprint");
    oll_json_write_str(w, "fp_ollama");
}

/* An element of "choices"; `reason` NULL: not finished. */
static void write_choice(struct oll_json_writer *w, uint32_t index, const char *text, size_t n,
                         const char *reason)
{
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "text");
    oll_json_write_strn(w, text, n);
    oll_json_write_key(w, "index");
    oll_json_write_uint(w, index);
    oll_json_write_key(w, "finish_reason");
    if (reason)
        oll_json_write_str(w, reason);
    else
        oll_json_write_null(w);
    oll_json_write_object_end(w);
}

/* Usage of all candidates: the prompt counts once. */
static void write_usage(const struct completion_call *c, struct oll_json_writer *w,
                        const struct oll_event *done)
{
    struct oll_event all = done ? *done : (struct oll_event){0};
    all.n_reply = c->n_reply;
    openai_write_usage(w, done ? &all : NULL);
}

static const char *reason_of(const struct oll_event *done)
{
    return done->done_reason == OLL_DONE_LENGTH ? "length" : "stop";
}

static void send_choices(struct completion_call *c, const struct candidate *list, uint32_t n,
                         const struct oll_event *done)
{
    struct oll_strbuf json;
    struct oll_json_writer w;
    oll_strbuf_init(&json, REPLY_BYTES_MAX);
    oll_json_write_init(&w, &json);
    write_head(c, &w);
    write_model(c, &w);
    oll_json_write_key(&w, "choices");
    oll_json_write_array_begin(&w);
    for (uint32_t i = 0; i < n; i++)
        write_choice(&w, i, list[i].text, list[i].n, list[i].reason);
    oll_json_write_array_end(&w);
    write_usage(c, &w, done);
    oll_json_write_object_end(&w);
    openai_send(c->generate.call.req, &json);
    oll_strbuf_free(&json);
}

/* The text of the reply at hand, behind the prompt where that is wanted. */
static bool keep_candidate(struct completion_call *c, const struct oll_event *done)
{
    struct ollama_call *call = &c->generate.call;
    struct candidate *own = &c->candidates[call->i_choice];
    const char *prompt = c->echo ? c->generate.fields.prompt : "";
    const size_t n_prompt = strlen(prompt), n = n_prompt + call->parts.text.len;
    char *text = oll_arena_alloc(call->req->arena, n + 1, 1);
    if (!text)
        return false;
    memcpy(text, prompt, n_prompt);
    memcpy(text + n_prompt, call->parts.text.data, call->parts.text.len);
    *own = (struct candidate){.text = text,
                              .n = n,
                              .reason = reason_of(done),
                              .score = call->score / (done->n_reply ? done->n_reply : 1)};
    return true;
}

/* Best first; those that are equal in their order. */
static void sort_candidates(struct candidate *list, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        const struct candidate one = list[i];
        uint32_t k = i;
        for (; k > 0 && list[k - 1].score < one.score; k--)
            list[k] = list[k - 1];
        list[k] = one;
    }
}

static void send_whole(struct ollama_call *call, const struct oll_event *done)
{
    struct completion_call *c = of_call(call);
    static const struct candidate none = {.text = ""};
    if (call->fields->debug) {
        send_choices(c, &none, 1, NULL);
        return;
    }
    c->n_reply += done->n_reply;
    if (!keep_candidate(c, done)) {
        openai_fail(call, 500, "the reply is larger than the server allows", false);
        return;
    }
    if (!ollama_call_is_last(call))
        return;
    if (call->fields->n_choices > c->n_wanted)
        sort_candidates(c->candidates, call->fields->n_choices);
    send_choices(c, c->candidates, c->n_wanted, done);
}

static void send_loaded(struct ollama_call *call, const char *reason)
{
    const struct candidate none = {.text = "", .reason = reason};
    send_choices(of_call(call), &none, 1, NULL);
}

static void write_text(struct completion_call *c, struct oll_strbuf *sb, const char *text, size_t n,
                       const char *reason)
{
    struct oll_json_writer w;
    oll_strbuf_adds(sb, "data: ");
    oll_json_write_init(&w, sb);
    write_head(c, &w);
    oll_json_write_key(&w, "choices");
    oll_json_write_array_begin(&w);
    write_choice(&w, c->generate.call.i_choice, text, n, reason);
    oll_json_write_array_end(&w);
    write_model(c, &w);
    if (c->include_usage)
        openai_write_usage(&w, NULL);
    oll_json_write_object_end(&w);
    oll_strbuf_adds(sb, "\n\n");
}

static void write_chunk(struct completion_call *c, struct oll_strbuf *sb,
                        const struct oll_event *done)
{
    const struct oll_strbuf *text = &c->generate.call.parts.text;
    const char *prompt = c->generate.fields.prompt;
    if (c->echo && !c->begun)
        write_text(c, sb, prompt, strlen(prompt), NULL);
    c->begun = true;
    write_text(c, sb, text->data, text->len, done ? reason_of(done) : NULL);
}

static void write_end(struct completion_call *c, struct oll_strbuf *sb,
                      const struct oll_event *done)
{
    struct oll_json_writer w;
    c->n_reply += done->n_reply;
    c->begun = false;
    if (!ollama_call_is_last(&c->generate.call))
        return;
    if (c->include_usage) {
        oll_strbuf_adds(sb, "data: ");
        oll_json_write_init(&w, sb);
        write_head(c, &w);
        oll_json_write_key(&w, "choices");
        oll_json_write_array_begin(&w);
        oll_json_write_array_end(&w);
        write_model(c, &w);
        write_usage(c, &w, done);
        oll_json_write_object_end(&w);
        oll_strbuf_adds(sb, "\n\n");
    }
    oll_strbuf_adds(sb, "data: [DONE]\n\n");
}

/* Reasoning is not shown, but each of its pieces makes a chunk, as recorded. */
static bool send_piece(struct ollama_call *call, const struct oll_event *event)
{
    struct completion_call *c = of_call(call);
    const struct oll_event *done = event->kind == OLL_EVENT_DONE ? event : NULL;
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, REPLY_BYTES_MAX);
    write_chunk(c, &sb, done);
    if (done)
        write_end(c, &sb, done);
    if (!http_reply_begun(call->req))
        http_reply_begin(call->req, 200, "text/event-stream");
    bool ok = sb.status == OLL_OK && http_reply_write(call->req, sb.data, sb.len);
    oll_strbuf_free(&sb);
    return ok;
}

/* A completion has no place for tool calls. */
static void drop_tool_call(struct ollama_call *call, struct oll_json_writer *w,
                           const struct oll_event *event, uint32_t index)
{
    (void)call;
    (void)w;
    (void)event;
    (void)index;
}

static const struct call_dialect dialect = {
    .fail = openai_fail,
    .piece = send_piece,
    .whole = send_whole,
    .loaded = send_loaded,
    .tool_call = drop_tool_call,
};

/* ---- request ---- */

/* top_p 0 counts as absent, as recorded. */
static const struct oll_json *present_top_p(const struct oll_json *v)
{
    return v && v->type == OLL_JSON_NUMBER && v->real == 0 ? NULL : v;
}

static oll_status read_options(struct http_request *req, const struct completion_fields *f,
                               const struct oll_json **out, struct oll_error *err)
{
#define FIELD(name) "CompletionRequest." name
    const struct {
        const char *name;
        const struct oll_json *v;
        double fallback;
        const char *field, *go_type;
    } numbers[] = {
        {"num_predict", f->max_tokens, NAN, FIELD("max_tokens"), "int"},
        {"temperature", f->temperature, 1, FIELD("temperature"), "float32"},
        {"top_p", present_top_p(f->top_p), 1, FIELD("top_p"), "float32"},
        {"seed", f->seed, NAN, FIELD("seed"), "int"},
        {"frequency_penalty", f->frequency_penalty, 0, FIELD("frequency_penalty"), "float32"},
        {"presence_penalty", f->presence_penalty, 0, FIELD("presence_penalty"), "float32"},
    };
#undef FIELD
    struct openai_options options;
    oll_status status = OLL_OK;
    openai_options_begin(&options);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && status == OLL_OK; i++)
        status = openai_options_number(&options, numbers[i].name, numbers[i].v, numbers[i].fallback,
                                       numbers[i].field, numbers[i].go_type, err);
    if (status == OLL_OK)
        status = openai_options_stop(&options, f->stop, true, err);
    oll_status ended = openai_options_end(&options, req->arena, out, err);
    return status != OLL_OK ? status : ended;
}

/* `n` replies are shown, the best of `best_of` that are made. */
static oll_status read_choices(struct completion_call *c, struct http_request *req,
                               const struct completion_fields *f, struct oll_error *err)
{
    struct ollama_fields *common = &c->generate.fields.common;
    OLL_TRY(openai_read_count(f->n, "n", &c->n_wanted, err));
    OLL_TRY(openai_read_count(f->best_of, "best_of", &common->n_choices, err));
    if (!f->best_of || f->best_of->type == OLL_JSON_NULL)
        common->n_choices = c->n_wanted;
    if (common->n_choices < c->n_wanted)
        return OLL_FAIL(err, OLL_ERR_ARG, "best_of must be at least n");
    if (common->n_choices > c->n_wanted && f->stream)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "best_of cannot be streamed: the best reply is known at the end");
    common->wants_score = common->n_choices > c->n_wanted;
    c->echo = f->echo;
    c->candidates = oll_arena_alloc(req->arena, common->n_choices, sizeof *c->candidates);
    return c->candidates
               ? OLL_OK
               : OLL_FAIL(err, req->arena->status, "the request needs more memory than allowed");
}

static oll_status map(struct completion_call *c, struct http_request *req,
                      const struct completion_fields *f, struct oll_error *err)
{
    struct ollama_generate_fields *to = &c->generate.fields;
    const struct oll_json *usage = oll_json_get(f->stream_options, "include_usage");
    *to = (struct ollama_generate_fields)OLLAMA_GENERATE_FIELDS_DEFAULT;
    OLL_TRY(read_options(req, f, &to->common.options, err));
    OLL_TRY(read_choices(c, req, f, err));
    OLL_TRY(openai_read_bias(req->arena, f->logit_bias, &to->common.logit_bias,
                             &to->common.n_logit_bias, err));
    to->common.model = f->model;
    to->common.stream = f->stream;
    to->common.debug = f->debug;
    to->common.logprobs = f->logprobs > 0;
    to->common.top_logprobs = f->logprobs > 0 ? f->logprobs : 0;
    to->prompt = f->prompt;
    to->suffix = f->suffix;
    c->include_usage = usage && usage->type == OLL_JSON_BOOL && usage->is_true;
    c->created = openai_now();
    snprintf(c->id, sizeof c->id, "cmpl-%u", openai_random());
    return OLL_OK;
}

void openai_completions(struct http_request *req)
{
    struct completion_call *c = oll_arena_alloc(req->arena, 1, sizeof *c);
    struct completion_fields fields = {.model = "", .prompt = "", .suffix = ""};
    const struct oll_json *root;
    struct oll_error err = {0};
    if (!c) {
        openai_error(req, 500, "out of memory", OPENAI_MAPPING);
        return;
    }
    oll_status status = openai_decode_body(req, "CompletionRequest", &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, members, "CompletionRequest.", &fields, &err);
    if (status == OLL_OK)
        status = map(c, req, &fields, &err);
    c->generate.fields.common.priority = ollama_priority(root, status);
    if (status != OLL_OK) {
        openai_error(req, 400, err.text, OPENAI_MAPPING);
        return;
    }
    if (ollama_generate_begin(&c->generate, req, &dialect, 0))
        ollama_generate_answer(&c->generate);
    ollama_call_end(&c->generate.call);
}
