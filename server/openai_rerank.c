/* POST /v1/rerank, also /v1/reranking and /rerank: documents by how well they answer a query, in
 * the shape of Jina's and Cohere's API.
 *
 * {"model", "query", "documents": [text or {"text"}], "top_n"?, "return_documents"?,
 *  "instruction"?, "raw_scores"?, "truncate"?, "keep_alive"?, "options"?, "strict"?} gives
 * {"model", "object": "list", "results": [{"index", "relevance_score", "document"?}], "usage"},
 * best first. A score is the probability that the document answers, with raw_scores its logit. */
#include "server/decode.h"
#include "server/ollama_embed.h"
#include "server/openai.h"
#include "server/openai_common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DOCUMENTS_MAX = 10000 };

struct rerank_fields {
    struct ollama_embed_fields embed; /* first */
    const struct oll_json *query, *documents, *top_n;
    bool return_documents, raw_scores;
};

#define AT(member) offsetof(struct rerank_fields, member)
static const struct decode_field members[] = {
    {"model", DECODE_STRING, offsetof(struct ollama_embed_fields, model), NULL},
    {"query", DECODE_ANY, AT(query), NULL},
    {"documents", DECODE_ANY, AT(documents), NULL},
    {"top_n", DECODE_ANY, AT(top_n), NULL},
    {"return_documents", DECODE_BOOL, AT(return_documents), NULL},
    {"instruction", DECODE_STRING, offsetof(struct ollama_embed_fields, instruction), NULL},
    {"raw_scores", DECODE_BOOL, AT(raw_scores), NULL},
    {"truncate", DECODE_BOOL, offsetof(struct ollama_embed_fields, truncate), NULL},
    {"keep_alive", DECODE_ANY, offsetof(struct ollama_embed_fields, keep_alive), NULL},
    {"options", DECODE_OBJECT, offsetof(struct ollama_embed_fields, options), NULL},
    {"strict", DECODE_BOOL, offsetof(struct ollama_embed_fields, strict), NULL},
    {NULL, DECODE_ANY, 0, NULL}};

struct ranked {
    uint32_t index;
    float logit;
};

struct rerank_call {
    struct ollama_embed_call embed; /* first */
    struct ranked *ranked;          /* [n_vectors] */
    uint32_t top_n;
    bool return_documents, raw_scores;
};

/* A model that cannot rank is the request's mistake. */
static void fail(struct http_request *req, int status, const char *text)
{
    openai_error(req, status == 501 ? 400 : status, text, OPENAI_NATIVE);
}

static void add_score(struct ollama_embed_call *e, const float *v, uint32_t n)
{
    struct rerank_call *c = (struct rerank_call *)(void *)e;
    if (n == 1)
        c->ranked[e->n_vectors] = (struct ranked){e->n_vectors, v[0]};
}

static int by_score(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void write_result(struct oll_json_writer *w, const struct rerank_call *c,
                         const struct ranked *r)
{
    const double logit = (double)r->logit;
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "index");
    oll_json_write_uint(w, r->index);
    oll_json_write_key(w, "relevance_score");
    oll_json_write_double(w, c->raw_scores ? logit : 1 / (1 + exp(-logit)));
    if (c->return_documents) {
        oll_json_write_key(w, "document");
        oll_json_write_object_begin(w);
        oll_json_write_key(w, "text");
        oll_json_write_str(w, c->embed.inputs[r->index]);
        oll_json_write_object_end(w);
    }
    oll_json_write_object_end(w);
}

static void reply(struct ollama_embed_call *e, uint32_t n_prompt)
{
    const struct rerank_call *c = (const struct rerank_call *)(const void *)e;
    struct oll_strbuf json;
    struct oll_json_writer w;
    oll_strbuf_init(&json, OLLAMA_EMBED_BYTES_MAX);
    oll_json_write_init(&w, &json);
    qsort(c->ranked, e->n_vectors, sizeof *c->ranked, by_score);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "model");
    oll_json_write_str(&w, e->fields.model);
    oll_json_write_key(&w, "object");
    oll_json_write_str(&w, "list");
    oll_json_write_key(&w, "results");
    oll_json_write_array_begin(&w);
    for (uint32_t i = 0; i < e->n_vectors && i < c->top_n; i++)
        write_result(&w, c, &c->ranked[i]);
    oll_json_write_array_end(&w);
    oll_json_write_key(&w, "usage");
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "prompt_tokens");
    oll_json_write_uint(&w, n_prompt);
    oll_json_write_key(&w, "total_tokens");
    oll_json_write_uint(&w, n_prompt);
    oll_json_write_object_end(&w);
    oll_json_write_object_end(&w);
    openai_send(e->req, &json);
    oll_strbuf_free(&json);
}

static const struct ollama_embed_dialect dialect = {
    .fail = fail, .vector = add_score, .reply = reply};

/* A text, or an object that has one under "text"; NULL: neither. */
static const struct oll_json *text_of(const struct oll_json *v)
{
    const struct oll_json *text = v->type == OLL_JSON_OBJECT ? oll_json_get(v, "text") : v;
    return text && text->type == OLL_JSON_STRING ? text : NULL;
}

static oll_status read_documents(struct rerank_call *c, const struct oll_json *list,
                                 struct oll_error *err)
{
    if (!list || list->type != OLL_JSON_ARRAY || list->n == 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "documents must be a list of at least one text");
    if (list->n > DOCUMENTS_MAX)
        return OLL_FAIL(err, OLL_ERR_ARG, "documents has %u entries, at most %d are ranked at once",
                        (unsigned)list->n, DOCUMENTS_MAX);
    c->embed.inputs = oll_arena_alloc(c->embed.req->arena, list->n, sizeof *c->embed.inputs);
    c->ranked = oll_arena_alloc(c->embed.req->arena, list->n, sizeof *c->ranked);
    if (!c->embed.inputs || !c->ranked)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "the request needs more memory than allowed");
    for (const struct oll_json *v = list->first; v; v = v->next) {
        const uint32_t i = c->embed.n_inputs;
        const struct oll_json *text = text_of(v);
        if (!text)
            return OLL_FAIL(err, OLL_ERR_ARG,
                            "documents[%u] must be a text or an object with a text under \"text\"",
                            i);
        if (strlen(text->str) != text->str_len)
            return OLL_FAIL(err, OLL_ERR_ARG, "documents[%u] must not hold U+0000", i);
        c->embed.inputs[c->embed.n_inputs++] = text->str;
    }
    return OLL_OK;
}

static oll_status read_top_n(struct rerank_call *c, const struct oll_json *v, struct oll_error *err)
{
    c->top_n = UINT32_MAX;
    if (!v || v->type == OLL_JSON_NULL)
        return OLL_OK;
    if (v->type != OLL_JSON_NUMBER || !(v->real >= 1) || v->real != floor(v->real))
        return OLL_FAIL(err, OLL_ERR_ARG, "top_n must be a whole number of at least 1");
    c->top_n = v->real < UINT32_MAX ? (uint32_t)v->real : UINT32_MAX;
    return OLL_OK;
}

static oll_status map(struct rerank_call *c, const struct rerank_fields *f, struct oll_error *err)
{
    const struct oll_json *query = f->query ? text_of(f->query) : NULL;
    struct options options;
    if (!query || query->str_len == 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "query must be a text that is not empty");
    if (strlen(query->str) != query->str_len)
        return OLL_FAIL(err, OLL_ERR_ARG, "query must not hold U+0000");
    /* Told before the model's own options are looked at, which would be the server's fault. */
    options_default(&options);
    OLL_TRY(options_merge(&options, f->embed.options, err));
    OLL_TRY(read_documents(c, f->documents, err));
    OLL_TRY(read_top_n(c, f->top_n, err));
    c->return_documents = f->return_documents;
    c->raw_scores = f->raw_scores;
    c->embed.fields = f->embed;
    c->embed.fields.query = query->str;
    return OLL_OK;
}

void openai_rerank(struct http_request *req)
{
    struct rerank_call *c = oll_arena_alloc(req->arena, 1, sizeof *c);
    struct rerank_fields fields = {.embed = {.model = "", .truncate = true}};
    const struct oll_json *root;
    struct oll_error err = {0};
    if (!c) {
        openai_error(req, 500, "out of memory", OPENAI_MAPPING);
        return;
    }
    *c = (struct rerank_call){.embed = {.dialect = &dialect, .req = req, .app = req->app}};
    oll_status status = openai_decode_body(req, "RerankRequest", &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, members, "RerankRequest.", &fields, &err);
    if (status == OLL_OK)
        status = map(c, &fields, &err);
    if (status == OLL_OK)
        ollama_embed_run(&c->embed);
    else
        openai_error(req, 400, err.text, OPENAI_MAPPING);
}
