/* POST /api/tokenize and /api/detokenize: text to ids and back, by the vocabulary of a model.
 *
 * {"model", "text", "add_special"?: bool, "parse_special"?: bool} gives {"model", "tokens"};
 * {"model", "tokens"} gives {"model", "text"}. The model is loaded as for any other request. */
#include "server/decode.h"
#include "server/ollama.h"
#include "server/ollama_call.h"
#include "server/ollama_reply.h"

#include "engine/base/mem.h"

#include <string.h>

enum { REPLY_BYTES_MAX = 256 * 1024 * 1024 };

struct tokens_fields {
    struct ollama_fields common; /* first */
    const struct oll_json *text, *tokens;
    bool add_special, parse_special;
};

#define AT(member) offsetof(struct tokens_fields, member)
static const struct decode_field members[] = {
    {"model", DECODE_STRING, offsetof(struct ollama_fields, model), NULL},
    {"keep_alive", DECODE_ANY, offsetof(struct ollama_fields, keep_alive), NULL},
    {"options", DECODE_OBJECT, offsetof(struct ollama_fields, options), NULL},
    {"text", DECODE_ANY, AT(text), NULL},
    {"tokens", DECODE_ANY, AT(tokens), NULL},
    {"add_special", DECODE_BOOL, AT(add_special), NULL},
    {"parse_special", DECODE_BOOL, AT(parse_special), NULL},
    {NULL, DECODE_ANY, 0, NULL}};

struct tokens_call {
    struct ollama_call call; /* first */
    struct tokens_fields fields;
};

/* These routes generate nothing: only failures go through the dialect. */
static const struct call_dialect dialect = {.fail = ollama_native_fail};

static void reply_tokens(struct tokens_call *c, const int32_t *ids, size_t n)
{
    struct oll_strbuf json;
    struct oll_json_writer w;
    oll_strbuf_init(&json, REPLY_BYTES_MAX);
    oll_json_write_init(&w, &json);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "model");
    oll_json_write_str(&w, c->fields.common.model);
    oll_json_write_key(&w, "tokens");
    oll_json_write_array_begin(&w);
    for (size_t i = 0; i < n; i++)
        oll_json_write_int(&w, ids[i]);
    oll_json_write_array_end(&w);
    oll_json_write_object_end(&w);
    ollama_send(c->call.req, &json);
    oll_strbuf_free(&json);
}

static void tokenize(struct tokens_call *c)
{
    const struct oll_json *text = c->fields.text;
    struct oll_error err = {0};
    int32_t *ids = NULL;
    size_t n;
    if (runner_tokenize(schedule_engine(c->call.generation.lease), text->str, text->str_len,
                        c->fields.add_special, c->fields.parse_special, &ids, &n, &err) != OLL_OK) {
        ollama_error(c->call.req, 500, err.text);
        return;
    }
    reply_tokens(c, ids, n);
    oll_free(ids);
}

static void detokenize(struct tokens_call *c)
{
    const struct oll_json *list = c->fields.tokens;
    int32_t *ids = oll_arena_alloc(c->call.req->arena, list->n + 1, sizeof *ids);
    struct oll_strbuf text, json;
    struct oll_json_writer w;
    struct oll_error err = {0};
    size_t n = 0;
    if (!ids) {
        ollama_error(c->call.req, 500, "the request needs more memory than allowed");
        return;
    }
    for (const struct oll_json *t = list->first; t; t = t->next)
        ids[n++] = t->i < 0 || t->i > INT32_MAX ? -1 : (int32_t)t->i;
    oll_strbuf_init(&text, REPLY_BYTES_MAX);
    oll_strbuf_init(&json, REPLY_BYTES_MAX);
    oll_status status =
        runner_detokenize(schedule_engine(c->call.generation.lease), ids, n, &text, &err);
    if (status == OLL_OK) {
        oll_json_write_init(&w, &json);
        oll_json_write_object_begin(&w);
        oll_json_write_key(&w, "model");
        oll_json_write_str(&w, c->fields.common.model);
        oll_json_write_key(&w, "text");
        oll_json_write_strn(&w, text.data, text.len);
        oll_json_write_object_end(&w);
        ollama_send(c->call.req, &json);
    } else {
        ollama_error(c->call.req, status == OLL_ERR_ARG ? 400 : 500, err.text);
    }
    oll_strbuf_free(&text);
    oll_strbuf_free(&json);
}

static const char *fault_of(const struct tokens_fields *f, bool to_text)
{
    if (!*f->common.model)
        return "model is required";
    if (!to_text)
        return f->text && f->text->type == OLL_JSON_STRING ? NULL : "text must be a string";
    bool ok = f->tokens && f->tokens->type == OLL_JSON_ARRAY;
    for (const struct oll_json *t = ok ? f->tokens->first : NULL; t; t = t->next)
        ok = ok && t->type == OLL_JSON_NUMBER && t->is_int;
    return ok ? NULL : "tokens must be an array of integers";
}

static void answer(struct http_request *req, bool to_text)
{
    struct tokens_call *c = oll_arena_alloc(req->arena, 1, sizeof *c);
    const struct oll_json *root;
    struct options options;
    struct oll_error err = {0};
    if (!c) {
        ollama_error(req, 500, "out of memory");
        return;
    }
    c->fields.common = (struct ollama_fields)OLLAMA_FIELDS_DEFAULT;
    c->fields.common.stream = false;
    c->fields.add_special = true;
    c->fields.parse_special = true;
    oll_status status = decode_body(req, "TokensRequest", &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, members, "TokensRequest.", &c->fields, &err);
    options_default(&options);
    if (status == OLL_OK)
        status = options_merge(&options, c->fields.common.options, &err);
    const char *fault = status == OLL_OK ? fault_of(&c->fields, to_text) : err.text;
    if (fault) {
        ollama_error(req, 400, fault);
        return;
    }
    if (ollama_call_begin(&c->call, req, &dialect, &c->fields.common) &&
        ollama_call_find(&c->call) && ollama_call_load(&c->call)) {
        if (to_text)
            detokenize(c);
        else
            tokenize(c);
    }
    ollama_call_end(&c->call);
}

void ollama_tokenize(struct http_request *req) { answer(req, false); }

void ollama_detokenize(struct http_request *req) { answer(req, true); }
