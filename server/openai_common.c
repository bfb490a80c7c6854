#include "server/openai_common.h"

#include "server/body_zstd.h"
#include "server/decode.h"
#include "server/ollama_reply.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { ERROR_JSON_MAX = 16 * OLL_ERROR_TEXT_MAX, OPTIONS_BYTES_MAX = 1024 * 1024 };

/* ---- replies ---- */

static void write_error(struct oll_strbuf *sb, int status, const char *text)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, sb);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "error");
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "message");
    oll_json_write_str(&w, text);
    oll_json_write_key(&w, "type");
    oll_json_write_str(&w, status == 400   ? "invalid_request_error"
                           : status == 404 ? "not_found_error"
                                           : "api_error");
    oll_json_write_key(&w, "param");
    oll_json_write_null(&w);
    oll_json_write_key(&w, "code");
    oll_json_write_null(&w);
    oll_json_write_object_end(&w);
    oll_json_write_object_end(&w);
}

void openai_error(struct http_request *req, int status, const char *text, enum openai_origin origin)
{
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, ERROR_JSON_MAX);
    write_error(&sb, status, text);
    if (origin == OPENAI_NATIVE)
        oll_strbuf_addc(&sb, '\n');
    if (status == 503)
        http_reply_header(req, "Retry-After", "1");
    http_reply_send(req, status,
                    origin == OPENAI_NATIVE ? "application/json"
                                            : "application/json; charset=utf-8",
                    sb.data, sb.len);
    oll_strbuf_free(&sb);
}

void openai_fail(struct ollama_call *call, int status, const char *text, bool stream)
{
    struct oll_strbuf sb;
    if (status == 403) { /* a model of the cloud: refused before the mapping, in the native shape */
        ollama_error(call->req, status, text);
        return;
    }
    if (!stream || !http_reply_begun(call->req)) {
        openai_error(call->req, status, text, OPENAI_NATIVE);
        return;
    }
    oll_strbuf_init(&sb, ERROR_JSON_MAX);
    oll_strbuf_adds(&sb, "data: ");
    write_error(&sb, status, text);
    oll_strbuf_adds(&sb, "\n\n");
    (void)http_reply_write(call->req, sb.data, sb.len);
    oll_strbuf_free(&sb);
}

void openai_send(struct http_request *req, struct oll_strbuf *json)
{
    oll_strbuf_addc(json, '\n');
    if (json->status != OLL_OK)
        openai_error(req, 500, "the reply is larger than the server allows", OPENAI_NATIVE);
    else
        http_reply_send(req, 200, "application/json", json->data, json->len);
}

/* The body becomes what it was before it was compressed. */
static oll_status decompress(struct http_request *req, struct oll_error *err)
{
    struct oll_strbuf text;
    oll_strbuf_init(&text, BODY_ZSTD_BYTES_MAX);
    oll_status status = body_zstd_read(req->body, req->n_body, &text, err);
    if (status == OLL_OK) {
        req->n_body = text.len;
        req->body = oll_arena_strndup(req->arena, text.len ? text.data : "", text.len);
        if (!req->body)
            status = OLL_FAIL(err, OLL_ERR_MEMORY, "the request needs more memory than allowed");
    }
    oll_strbuf_free(&text);
    return status;
}

oll_status openai_decode_body(struct http_request *req, const char *type,
                              const struct oll_json **root, struct oll_error *err)
{
    const char *encoding = http_request_header(req, "Content-Encoding");
    if (req->n_body == 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "EOF");
    if (encoding && strcasecmp(encoding, "zstd") == 0)
        OLL_TRY(decompress(req, err));
    return decode_body(req, type, root, err);
}

void openai_write_usage(struct oll_json_writer *w, const struct oll_event *done)
{
    const uint64_t n_prompt = done ? done->n_prompt : 0, n_reply = done ? done->n_reply : 0;
    oll_json_write_key(w, "usage");
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "prompt_tokens");
    oll_json_write_uint(w, n_prompt);
    oll_json_write_key(w, "completion_tokens");
    oll_json_write_uint(w, n_reply);
    oll_json_write_key(w, "total_tokens");
    oll_json_write_uint(w, n_prompt + n_reply);
    oll_json_write_object_end(w);
}

int64_t openai_now(void) { return (int64_t)time(NULL); }

unsigned openai_random(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned)((uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u >> 40) % 999;
}

/* ---- options ---- */

void openai_options_begin(struct openai_options *o)
{
    oll_strbuf_init(&o->text, OPTIONS_BYTES_MAX);
    oll_json_write_init(&o->writer, &o->text);
    oll_json_write_object_begin(&o->writer);
}

oll_status openai_options_number(struct openai_options *o, const char *name,
                                 const struct oll_json *v, double fallback, const char *field,
                                 const char *go_type, struct oll_error *err)
{
    bool absent = !v || v->type == OLL_JSON_NULL;
    if (!absent && v->type != OLL_JSON_NUMBER)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "json: cannot unmarshal %s into Go struct field %s of "
                        "type %s",
                        oll_json_type_name(v), field, go_type);
    if (absent && isnan(fallback))
        return OLL_OK;
    oll_json_write_key(&o->writer, name);
    if (absent)
        oll_json_write_double(&o->writer, fallback);
    else
        oll_json_write_node(&o->writer, v, false);
    return OLL_OK;
}

oll_status openai_options_stop(struct openai_options *o, const struct oll_json *v, bool strict,
                               struct oll_error *err)
{
    if (!v || (v->type != OLL_JSON_STRING && v->type != OLL_JSON_ARRAY))
        return OLL_OK;
    const bool list = v->type == OLL_JSON_ARRAY;
    oll_json_write_key(&o->writer, "stop");
    oll_json_write_array_begin(&o->writer);
    for (const struct oll_json *s = list ? v->first : v; s; s = list ? s->next : NULL) {
        if (s->type == OLL_JSON_STRING)
            oll_json_write_strn(&o->writer, s->str, s->str_len);
        else if (strict)
            return OLL_FAIL(err, OLL_ERR_ARG, "invalid type for 'stop' field: %s",
                            s->type == OLL_JSON_NUMBER ? "float64" : oll_json_type_name(s));
    }
    oll_json_write_array_end(&o->writer);
    return OLL_OK;
}

oll_status openai_options_end(struct openai_options *o, struct oll_arena *arena,
                              const struct oll_json **out, struct oll_error *err)
{
    struct oll_json *root = NULL;
    oll_json_write_object_end(&o->writer);
    oll_status status = o->text.status;
    if (status == OLL_OK)
        status = oll_json_parse(arena, o->text.data, o->text.len, NULL, &root, err);
    else
        oll_error_set(err, status, "the options are longer than %d bytes", OPTIONS_BYTES_MAX);
    oll_strbuf_free(&o->text);
    *out = root;
    return status;
}

/* ---- think and format ---- */

oll_status openai_read_effort(const struct oll_json *effort, const struct oll_json **think,
                              struct oll_error *err)
{
    static const struct oll_json off = {.type = OLL_JSON_BOOL};
#define LEVEL(text) {.type = OLL_JSON_STRING, .str = text, .str_len = sizeof text - 1}
    static const struct oll_json low = LEVEL("low"), medium = LEVEL("medium"), high = LEVEL("high"),
                                 max = LEVEL("max");
#undef LEVEL
    static const struct {
        const char *name;
        const struct oll_json *think;
    } levels[] = {{"none", &off},  {"minimal", &low}, {"low", &low},   {"medium", &medium},
                  {"high", &high}, {"xhigh", &max},   {"ultra", &max}, {"max", &max}};
    if (!effort || effort->type != OLL_JSON_STRING || effort->str_len == 0)
        return OLL_OK;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strcmp(effort->str, levels[i].name) == 0) {
            *think = levels[i].think;
            return OLL_OK;
        }
    return OLL_FAIL(err, OLL_ERR_ARG,
                    "invalid reasoning value: \"%s\" (must be \"minimal\", \"low\", \"medium\", "
                    "\"high\", \"xhigh\", \"ultra\", \"max\", or \"none\")",
                    effort->str);
}

const struct oll_json *openai_format(const struct oll_json *response_format)
{
    static const struct oll_json json = {.type = OLL_JSON_STRING, .str = "json", .str_len = 4};
    const char *type = oll_json_get_str(response_format, "type", "");
    if (strcasecmp(type, "json_object") == 0)
        return &json;
    if (strcasecmp(type, "json_schema") == 0)
        return oll_json_get(oll_json_get(response_format, "json_schema"), "schema");
    return NULL;
}

/* ---- numbers of replies, biases ---- */

enum { COUNT_MAX = 128, BIAS_ENTRIES_MAX = 4096, BIAS_MAX = 100 };

oll_status openai_read_count(const struct oll_json *v, const char *name, uint32_t *out,
                             struct oll_error *err)
{
    *out = 1;
    if (!v || v->type == OLL_JSON_NULL)
        return OLL_OK;
    if (v->type != OLL_JSON_NUMBER || !v->is_int || v->i < 1 || v->i > COUNT_MAX)
        return OLL_FAIL(err, OLL_ERR_ARG, "%s must be an integer from 1 to %d", name, COUNT_MAX);
    *out = (uint32_t)v->i;
    return OLL_OK;
}

static oll_status read_bias(const struct oll_json *m, struct oll_token_bias *out,
                            struct oll_error *err)
{
    char *end;
    const long long token = strtoll(m->key, &end, 10);
    if (end == m->key || *end || token < 0 || token > INT32_MAX)
        return OLL_FAIL(err, OLL_ERR_ARG, "logit_bias: \"%.40s\" is no token id", m->key);
    if (m->type != OLL_JSON_NUMBER || !(fabs(m->real) <= BIAS_MAX))
        return OLL_FAIL(err, OLL_ERR_ARG, "logit_bias of token %lld must be from -%d to %d", token,
                        BIAS_MAX, BIAS_MAX);
    *out = (struct oll_token_bias){(int32_t)token, (float)m->real};
    return OLL_OK;
}

oll_status openai_read_bias(struct oll_arena *arena, const struct oll_json *v,
                            const struct oll_token_bias **out, uint32_t *n, struct oll_error *err)
{
    *out = NULL;
    *n = 0;
    if (!v || v->type == OLL_JSON_NULL)
        return OLL_OK;
    if (v->type != OLL_JSON_OBJECT || v->n > BIAS_ENTRIES_MAX)
        return OLL_FAIL(err, OLL_ERR_ARG, "logit_bias must be an object of at most %d token ids",
                        BIAS_ENTRIES_MAX);
    struct oll_token_bias *list = oll_arena_alloc(arena, v->n + 1, sizeof *list);
    if (!list)
        return OLL_FAIL(err, arena->status, "the request needs more memory than allowed");
    for (const struct oll_json *m = v->first; m; m = m->next)
        OLL_TRY(read_bias(m, &list[(*n)++], err));
    *out = list;
    return OLL_OK;
}
