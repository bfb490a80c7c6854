#include "bench/bench_server.h"

#include "bench/bench_fill.h"
#include "bench/bench_stats.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"

#include <stdio.h>
#include <string.h>

enum {
    LINE_MAX_BYTES = 4 << 20,
    REPLY_MAX_BYTES = 16 << 20,
    ARENA_MAX_BYTES = 64 << 20,
    GAPS_MAX = 1 << 22,
    CODE_OK = 200
};

/* ---- what the server is ---- */

static oll_status get_json(const char *url, const char *path, struct oll_arena *arena,
                           struct oll_json **root, long *code, struct oll_error *err)
{
    char full[BENCH_HTTP_URL_MAX];
    struct oll_strbuf body;
    oll_strbuf_init(&body, REPLY_MAX_BYTES);
    snprintf(full, sizeof full, "%s%s", url, path);
    *root = NULL;
    const oll_status status = bench_http_get(full, &body, code, err);
    if (status == OLL_OK && oll_json_parse(arena, body.data, body.len, NULL, root, NULL) != OLL_OK)
        *root = NULL; /* a page of another kind of server */
    oll_strbuf_free(&body);
    return status;
}

static oll_status probe_api(const char *url, enum bench_api *api, struct oll_arena *arena,
                            struct oll_error *err)
{
    struct oll_json *root;
    long code = 0;
    if (*api != BENCH_API_AUTO)
        return OLL_OK;
    OLL_TRY(get_json(url, "/api/version", arena, &root, &code, err));
    if (code == CODE_OK && oll_json_get(root, "version")) {
        *api = BENCH_API_OLLAMA;
        return OLL_OK;
    }
    OLL_TRY(get_json(url, "/v1/models", arena, &root, &code, err));
    if (code == CODE_OK && oll_json_get(root, "data")) {
        *api = BENCH_API_OPENAI;
        return OLL_OK;
    }
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                    "%s: speaks neither Ollama's API (/api/version) nor OpenAI's (/v1/models)",
                    url);
}

/* The first model of a list {"models": [{"name": ...}]} or {"data": [{"id": ...}]}. */
static oll_status first_model(const char *url, enum bench_api api, struct oll_arena *arena,
                              char name[BENCH_MODEL_NAME_MAX], struct oll_error *err)
{
    const bool is_ollama = api == BENCH_API_OLLAMA;
    struct oll_json *root;
    long code = 0;
    OLL_TRY(get_json(url, is_ollama ? "/api/tags" : "/v1/models", arena, &root, &code, err));
    const struct oll_json *list = oll_json_get(root, is_ollama ? "models" : "data");
    const struct oll_json *first = list && list->type == OLL_JSON_ARRAY ? list->first : NULL;
    snprintf(name, BENCH_MODEL_NAME_MAX, "%s",
             oll_json_get_str(first, is_ollama ? "name" : "id", ""));
    if (!name[0])
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "%s: lists no model; name one with --model", url);
    return OLL_OK;
}

oll_status bench_server_probe(const char *url, enum bench_api *api, const char *model,
                              char name[BENCH_MODEL_NAME_MAX], struct oll_error *err)
{
    struct oll_arena arena;
    oll_arena_init(&arena, ARENA_MAX_BYTES);
    oll_status status = probe_api(url, api, &arena, err);
    if (status == OLL_OK && model)
        snprintf(name, BENCH_MODEL_NAME_MAX, "%s", model);
    else if (status == OLL_OK)
        status = first_model(url, *api, &arena, name, err);
    oll_arena_free(&arena);
    return status;
}

/* ---- requests ---- */

struct client {
    struct oll_strbuf line; /* of the reply, until its end arrives */
    uint64_t sent_ns, last_ns;
    double first_ms; /* until the first piece of text */
    uint32_t n_piece;
    uint64_t n_prompt, n_output; /* as the server says, 0: it has not */
    char failure[OLL_ERROR_TEXT_MAX / 4];
};

struct level {
    const struct bench_server_params *params;
    enum bench_api api;
    char url[BENCH_HTTP_URL_MAX], model[BENCH_MODEL_NAME_MAX];
    uint32_t n_left;
    uint64_t state; /* of the words */
    struct client *clients;
    struct oll_arena arena;
    double *first_ms; /* [n_request] */
    double *gaps_ms;  /* [cap_gap] */
    uint32_t n_gap, cap_gap;
    uint64_t n_prompt, n_output;
    struct bench_server_result result;
};

/* Common words, each a token of most vocabularies. */
static void add_prompt(struct level *level, struct oll_strbuf *out)
{
    static const char *const words[] = {
        "the",  "water", "day",   "house", "long",  "place", "work",  "name", "small", "hand",
        "read", "world", "light", "story", "night", "point", "city",  "tree", "cross", "farm",
        "hard", "start", "might", "far",   "sea",   "left",  "late",  "run",  "while", "press",
        "real", "life",  "few",   "north", "open",  "seem",  "group", "often"};
    enum { N_WORD = sizeof words / sizeof words[0] };
    for (uint32_t i = 0; i < level->params->n_prompt; i++)
        oll_strbuf_printf(out, "%s%s", i ? " " : "", words[bench_random(&level->state) % N_WORD]);
}

static void put_uint(struct oll_json_writer *w, const char *key, uint64_t value)
{
    oll_json_write_key(w, key);
    oll_json_write_uint(w, value);
}

static void put_str(struct oll_json_writer *w, const char *key, const char *value)
{
    oll_json_write_key(w, key);
    oll_json_write_str(w, value);
}

static void put_bool(struct oll_json_writer *w, const char *key, bool value)
{
    oll_json_write_key(w, key);
    oll_json_write_bool(w, value);
}

static void put_ollama(struct oll_json_writer *w, const struct level *level, const char *prompt)
{
    put_str(w, "prompt", prompt);
    put_bool(w, "raw", true);
    oll_json_write_key(w, "options");
    oll_json_write_object_begin(w);
    put_uint(w, "num_predict", level->params->n_output);
    put_uint(w, "temperature", 0);
    put_uint(w, "seed", level->params->seed);
    oll_json_write_object_end(w);
}

static void put_openai(struct oll_json_writer *w, const struct level *level, const char *prompt)
{
    if (level->api == BENCH_API_CHAT) {
        oll_json_write_key(w, "messages");
        oll_json_write_array_begin(w);
        oll_json_write_object_begin(w);
        put_str(w, "role", "user");
        put_str(w, "content", prompt);
        oll_json_write_object_end(w);
        oll_json_write_array_end(w);
    } else {
        put_str(w, "prompt", prompt);
    }
    put_uint(w, "max_tokens", level->params->n_output);
    put_uint(w, "temperature", 0);
    put_uint(w, "seed", level->params->seed);
    put_bool(w, "ignore_eos", true); /* of llama-server and others; unknown elsewhere */
    oll_json_write_key(w, "stream_options");
    oll_json_write_object_begin(w);
    put_bool(w, "include_usage", true);
    oll_json_write_object_end(w);
}

static bool next_request(void *ctx, uint32_t i, struct bench_http_call *call)
{
    static const char *const paths[] = {[BENCH_API_OLLAMA] = "/api/generate",
                                        [BENCH_API_OPENAI] = "/v1/completions",
                                        [BENCH_API_CHAT] = "/v1/chat/completions"};
    struct level *level = ctx;
    struct client *c = &level->clients[i];
    struct oll_json_writer w;
    struct oll_strbuf prompt;
    if (level->n_left == 0)
        return false;
    level->n_left--;
    oll_strbuf_init(&prompt, REPLY_MAX_BYTES);
    add_prompt(level, &prompt);
    oll_json_write_init(&w, &call->body);
    oll_json_write_object_begin(&w);
    put_str(&w, "model", level->model);
    put_bool(&w, "stream", true);
    if (level->api == BENCH_API_OLLAMA)
        put_ollama(&w, level, prompt.data);
    else
        put_openai(&w, level, prompt.data);
    oll_json_write_object_end(&w);
    if (prompt.status != OLL_OK)
        call->body.status = prompt.status;
    oll_strbuf_free(&prompt);
    snprintf(call->url, sizeof call->url, "%s%s", level->url, paths[level->api]);
    oll_strbuf_clear(&c->line);
    c->n_piece = 0;
    c->n_prompt = c->n_output = 0;
    c->failure[0] = '\0';
    c->sent_ns = oll_clock_ns();
    bench_watch_show(level->params->watch, "%u clients: %u requests left", level->result.n_clients,
                     level->n_left);
    return true;
}

/* ---- replies ---- */

static bool has_text(const struct oll_json *object, const char *key)
{
    return oll_json_get_str(object, key, "")[0] != '\0';
}

static void take_count(const struct oll_json *object, const char *key, uint64_t *out)
{
    const struct oll_json *v = oll_json_get(object, key);
    if (v && v->type == OLL_JSON_NUMBER && v->is_uint)
        *out = (uint64_t)v->i;
}

/* Whether the object brings text; counts are taken from it, and a failure. */
static bool read_object(const struct oll_json *root, struct client *c)
{
    const struct oll_json *error = oll_json_get(root, "error");
    if (error && error->type == OLL_JSON_OBJECT)
        snprintf(c->failure, sizeof c->failure, "%s", oll_json_get_str(error, "message", "error"));
    else if (error && error->type == OLL_JSON_STRING)
        snprintf(c->failure, sizeof c->failure, "%s", error->str);
    take_count(root, "prompt_eval_count", &c->n_prompt);
    take_count(root, "eval_count", &c->n_output);
    const struct oll_json *usage = oll_json_get(root, "usage");
    take_count(usage, "prompt_tokens", &c->n_prompt);
    take_count(usage, "completion_tokens", &c->n_output);
    const struct oll_json *choices = oll_json_get(root, "choices");
    const struct oll_json *first =
        choices && choices->type == OLL_JSON_ARRAY ? choices->first : NULL;
    const struct oll_json *delta = oll_json_get(first, "delta");
    return has_text(root, "response") || has_text(root, "thinking") || has_text(first, "text") ||
           has_text(delta, "content") || has_text(delta, "reasoning") ||
           has_text(delta, "reasoning_content");
}

/* A piece of text has arrived: a token, as far as a client can tell. */
static void count_piece(struct level *level, struct client *c, uint64_t now)
{
    if (c->n_piece > 0 && level->n_gap < level->cap_gap)
        level->gaps_ms[level->n_gap++] = (double)(now - c->last_ns) * 1e-6;
    if (c->n_piece == 0)
        c->first_ms = (double)(now - c->sent_ns) * 1e-6;
    c->n_piece++;
    c->last_ns = now;
}

/* A line of JSON, or "data: " and JSON (server-sent events). */
static void take_line(struct level *level, struct client *c, const char *line, size_t n,
                      uint64_t now)
{
    static const char data[] = "data:";
    struct oll_json *root;
    if (n >= sizeof data - 1 && memcmp(line, data, sizeof data - 1) == 0) {
        line += sizeof data - 1;
        n -= sizeof data - 1;
    }
    oll_arena_reset(&level->arena);
    if (oll_json_parse(&level->arena, line, n, NULL, &root, NULL) == OLL_OK && read_object(root, c))
        count_piece(level, c, now);
}

static void take_data(void *ctx, uint32_t i, const char *bytes, size_t n)
{
    struct level *level = ctx;
    struct client *c = &level->clients[i];
    const uint64_t now = oll_clock_ns();
    oll_strbuf_add(&c->line, bytes, n);
    for (const char *end; (end = memchr(c->line.data, '\n', c->line.len));) {
        const size_t n_line = (size_t)(end - c->line.data);
        take_line(level, c, c->line.data, n_line, now);
        oll_strbuf_drop(&c->line, n_line + 1);
    }
}

static void finish_request(void *ctx, uint32_t i, long code, const char *failure)
{
    struct level *level = ctx;
    struct client *c = &level->clients[i];
    struct bench_server_result *r = &level->result;
    if (c->line.len > 0)
        take_line(level, c, c->line.data, c->line.len, oll_clock_ns());
    if (!failure && c->failure[0])
        failure = c->failure;
    if (!failure && code == CODE_OK && c->n_piece > 0) {
        level->n_prompt += c->n_prompt;
        level->n_output += c->n_output ? c->n_output : c->n_piece;
        level->first_ms[r->n_done++] = c->first_ms;
        return;
    }
    r->n_failed++;
    if (!r->failure[0] && failure)
        snprintf(r->failure, sizeof r->failure, "code %ld: %.200s", code, failure);
    else if (!r->failure[0])
        snprintf(r->failure, sizeof r->failure, "code %ld: %s", code,
                 code == CODE_OK ? "a reply without text" : "no reply");
}

/* ---- levels ---- */

static void take_times(double *values, uint32_t n, struct bench_times *out)
{
    struct bench_stats stats;
    bench_stats_of(values, n, &stats);
    out->p50 = stats.median;
    out->p95 = bench_percentile(values, n, 0.95);
    out->p99 = bench_percentile(values, n, 0.99);
}

static void level_finish(struct level *level, double seconds)
{
    struct bench_server_result *r = &level->result;
    r->seconds = seconds;
    take_times(level->first_ms, r->n_done, &r->first_token);
    take_times(level->gaps_ms, level->n_gap, &r->between);
    if (r->n_done > 0) {
        r->n_prompt = (double)level->n_prompt / r->n_done;
        r->n_output = (double)level->n_output / r->n_done;
    }
    if (seconds > 0) {
        r->output_s = (double)level->n_output / seconds;
        r->prompt_s = (double)level->n_prompt / seconds;
    }
}

static oll_status level_init(struct level *level, uint32_t n_clients, uint32_t n_request,
                             struct oll_error *err)
{
    const uint64_t n_gap = (uint64_t)n_request * level->params->n_output;
    memset(&level->result, 0, sizeof level->result);
    level->result.n_clients = n_clients;
    level->n_left = n_request;
    level->n_gap = 0;
    level->cap_gap = n_gap < GAPS_MAX ? (uint32_t)n_gap : GAPS_MAX;
    level->n_prompt = level->n_output = 0;
    level->clients = oll_calloc(n_clients, sizeof *level->clients);
    level->first_ms = oll_calloc(n_request, sizeof *level->first_ms);
    level->gaps_ms = oll_calloc(level->cap_gap + 1u, sizeof *level->gaps_ms);
    for (uint32_t i = 0; level->clients && i < n_clients; i++)
        oll_strbuf_init(&level->clients[i].line, LINE_MAX_BYTES);
    if (!level->clients || !level->first_ms || !level->gaps_ms)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    return OLL_OK;
}

static void level_free(struct level *level, uint32_t n_clients)
{
    for (uint32_t i = 0; level->clients && i < n_clients; i++)
        oll_strbuf_free(&level->clients[i].line);
    oll_free(level->clients);
    oll_free(level->first_ms);
    oll_free(level->gaps_ms);
    level->clients = NULL;
    level->first_ms = level->gaps_ms = NULL;
}

/* n_request requests by n_clients; a row unless it is the warm-up. */
static oll_status run_level(struct level *level, uint32_t n_clients, uint32_t n_request,
                            bool is_warm_up, struct oll_error *err)
{
    const struct bench_server_params *p = level->params;
    const struct bench_http_load load = {.n_clients = n_clients,
                                         .watch = p->watch,
                                         .ctx = level,
                                         .next = next_request,
                                         .data = take_data,
                                         .done = finish_request};
    oll_status status = level_init(level, n_clients, n_request, err);
    const uint64_t start = oll_clock_ns();
    if (status == OLL_OK)
        status = bench_http_run(&load, err);
    if (status == OLL_OK || status == OLL_ERR_CANCELED)
        level_finish(level, (double)(oll_clock_ns() - start) * 1e-9);
    bench_watch_show(p->watch, "%s", "");
    if (is_warm_up && status == OLL_OK && level->result.n_done == 0)
        status = OLL_FAIL(err, OLL_ERR_NETWORK, "%s, model %s: %s", level->url, level->model,
                          level->result.failure);
    if (!is_warm_up && (status == OLL_OK || (status == OLL_ERR_CANCELED && level->result.n_done))) {
        const oll_status delivered = p->result(p->ctx, &level->result, err);
        status = delivered != OLL_OK ? delivered : status;
    }
    level_free(level, n_clients);
    return status;
}

oll_status bench_server_run(const struct bench_server_params *params, struct oll_error *err)
{
    struct level *level = oll_calloc(1, sizeof *level);
    if (!level)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    size_t n = strlen(params->url);
    while (n > 0 && params->url[n - 1] == '/')
        n--;
    level->params = params;
    level->api = params->api;
    level->state = params->seed;
    oll_arena_init(&level->arena, ARENA_MAX_BYTES);
    snprintf(level->url, sizeof level->url, "%.*s", (int)(n < 800 ? n : 800), params->url);
    oll_status status =
        bench_server_probe(level->url, &level->api, params->model, level->model, err);
    if (status == OLL_OK)
        status = run_level(level, 1, 1, true, err);
    for (uint32_t i = 0; i < params->clients->n && status == OLL_OK; i++) {
        const uint32_t n_clients = params->clients->values[i];
        const uint32_t n_default = n_clients * 4 > 8 ? n_clients * 4 : 8;
        status = run_level(level, n_clients, params->n_request ? params->n_request : n_default,
                           false, err);
    }
    oll_arena_free(&level->arena);
    oll_free(level);
    return status;
}
