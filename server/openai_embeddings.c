/* POST /v1/embeddings (rest-api 6.4). */
#include "engine/base/base64.h"
#include "server/decode.h"
#include "server/ollama_embed.h"
#include "server/openai.h"
#include "server/openai_common.h"

#include <string.h>
#include <strings.h>

struct embedding_fields {
    const char *model, *encoding_format;
    const struct oll_json *input;
    int64_t dimensions;
};

#define AT(member) offsetof(struct embedding_fields, member)
static const struct decode_field members[] = {
    {"model", DECODE_STRING, AT(model), NULL},
    {"input", DECODE_ANY, AT(input), NULL},
    {"dimensions", DECODE_INT, AT(dimensions), NULL},
    {"encoding_format", DECODE_STRING, AT(encoding_format), NULL},
    {NULL, DECODE_ANY, 0, NULL}};

struct embedding_call {
    struct ollama_embed_call embed; /* first */
    bool base64;
};

static void fail(struct http_request *req, int status, const char *text)
{
    openai_error(req, status, text, OPENAI_NATIVE);
}

/* The floats as little-endian bytes. */
static void write_base64(struct oll_json_writer *w, const float *v, uint32_t n)
{
    oll_json_write_key(w, "embedding");
    struct oll_strbuf text, bytes;
    oll_strbuf_init(&bytes, OLLAMA_EMBED_BYTES_MAX);
    oll_strbuf_init(&text, OLLAMA_EMBED_BYTES_MAX);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &v[i], sizeof u);
        const uint8_t b[] = {(uint8_t)u, (uint8_t)(u >> 8), (uint8_t)(u >> 16), (uint8_t)(u >> 24)};
        oll_strbuf_add(&bytes, b, sizeof b);
    }
    oll_base64_encode(bytes.data, bytes.len, &text);
    if (text.status != OLL_OK || bytes.status != OLL_OK)
        w->out->status = OLL_ERR_MEMORY;
    oll_json_write_strn(w, text.data, text.len);
    oll_strbuf_free(&text);
    oll_strbuf_free(&bytes);
}

static void add_vector(struct ollama_embed_call *e, const float *v, uint32_t n)
{
    const struct embedding_call *c = (const struct embedding_call *)(const void *)e;
    struct oll_json_writer *w = &e->writer;
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "object");
    oll_json_write_str(w, "embedding");
    if (c->base64) {
        write_base64(w, v, n);
    } else {
        oll_json_write_key(w, "embedding");
        oll_json_write_array_begin(w);
        for (uint32_t i = 0; i < n; i++)
            oll_json_write_float(w, v[i]);
        oll_json_write_array_end(w);
    }
    oll_json_write_key(w, "index");
    oll_json_write_uint(w, e->n_vectors);
    oll_json_write_object_end(w);
}

static void reply(struct ollama_embed_call *e, uint32_t n_prompt)
{
    struct oll_strbuf json;
    struct oll_json_writer w;
    oll_strbuf_init(&json, OLLAMA_EMBED_BYTES_MAX);
    oll_json_write_init(&w, &json);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "object");
    oll_json_write_str(&w, "list");
    oll_json_write_key(&w, "data");
    oll_json_write_array_begin(&w);
    if (e->vectors.len > 0)
        oll_json_write_raw(&w, e->vectors.data, e->vectors.len);
    oll_json_write_array_end(&w);
    oll_json_write_key(&w, "model");
    oll_json_write_str(&w, e->fields.model);
    oll_json_write_key(&w, "usage");
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "prompt_tokens");
    oll_json_write_uint(&w, n_prompt);
    oll_json_write_key(&w, "total_tokens");
    oll_json_write_uint(&w, n_prompt);
    oll_json_write_object_end(&w);
    oll_json_write_object_end(&w);
    if (e->vectors.status != OLL_OK)
        json.status = e->vectors.status;
    openai_send(e->req, &json);
    oll_strbuf_free(&json);
}

static const struct ollama_embed_dialect dialect = {
    .fail = fail, .vector = add_vector, .reply = reply};

static oll_status map(struct embedding_call *c, const struct embedding_fields *f,
                      struct oll_error *err)
{
    /* An empty text is one input here, not none. */
    static struct oll_json empty = {.type = OLL_JSON_STRING, .str = ""};
    static const struct oll_json one_empty = {.type = OLL_JSON_ARRAY, .first = &empty, .n = 1};
    const struct oll_json *input = f->input;
    if (!input || input->type == OLL_JSON_NULL || (input->type == OLL_JSON_ARRAY && input->n == 0))
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid input");
    if (*f->encoding_format && strcasecmp(f->encoding_format, "float") != 0 &&
        strcasecmp(f->encoding_format, "base64") != 0)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "Invalid value for 'encoding_format' = %s. Supported values: ['float', "
                        "'base64'].",
                        f->encoding_format);
    c->base64 = strcasecmp(f->encoding_format, "base64") == 0;
    c->embed.fields = (struct ollama_embed_fields){
        .model = f->model, .input = input, .dimensions = f->dimensions, .truncate = true};
    if (input->type == OLL_JSON_STRING && input->str_len == 0)
        c->embed.fields.input = &one_empty;
    return OLL_OK;
}

void openai_embeddings(struct http_request *req)
{
    struct embedding_call *c = oll_arena_alloc(req->arena, 1, sizeof *c);
    struct embedding_fields fields = {.model = "", .encoding_format = ""};
    const struct oll_json *root;
    struct oll_error err = {0};
    if (!c) {
        openai_error(req, 500, "out of memory", OPENAI_MAPPING);
        return;
    }
    oll_status status = openai_decode_body(req, "EmbedRequest", &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, members, "EmbedRequest.", &fields, &err);
    if (status == OLL_OK)
        status = map(c, &fields, &err);
    if (status != OLL_OK) {
        openai_error(req, 400, err.text, OPENAI_MAPPING);
        return;
    }
    c->embed.dialect = &dialect;
    c->embed.req = req;
    c->embed.app = req->app;
    ollama_embed_run(&c->embed);
}
