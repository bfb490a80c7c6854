/* POST /api/embeddings (rest-api 4.2), the predecessor of /api/embed: one prompt, never cut, values
 * printed as doubles. */
#include "server/decode.h"
#include "server/ollama.h"
#include "server/ollama_embed.h"
#include "server/ollama_reply.h"

#include <string.h>

struct embeddings_fields {
    const char *model, *prompt;
    const struct oll_json *keep_alive, *options;
};

#define AT(member) offsetof(struct embeddings_fields, member)
static const struct decode_field members[] = {{"model", DECODE_STRING, AT(model), NULL},
                                              {"prompt", DECODE_STRING, AT(prompt), NULL},
                                              {"keep_alive", DECODE_ANY, AT(keep_alive), NULL},
                                              {"options", DECODE_OBJECT, AT(options), NULL},
                                              {NULL, DECODE_ANY, 0, NULL}};

static void add_vector(struct ollama_embed_call *e, const float *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        oll_json_write_double(&e->writer, (double)v[i]);
}

static void reply(struct ollama_embed_call *e, uint32_t n_prompt)
{
    struct oll_strbuf json;
    struct oll_json_writer w;
    (void)n_prompt;
    oll_strbuf_init(&json, OLLAMA_EMBED_BYTES_MAX);
    oll_json_write_init(&w, &json);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "embedding");
    oll_json_write_array_begin(&w);
    if (e->vectors.len > 0)
        oll_json_write_raw(&w, e->vectors.data, e->vectors.len);
    oll_json_write_array_end(&w);
    oll_json_write_object_end(&w);
    if (e->vectors.status != OLL_OK)
        json.status = e->vectors.status;
    ollama_send(e->req, &json);
    oll_strbuf_free(&json);
}

/* Failures of the engine are the server's here (500), as recorded; others keep their status. */
static void fail(struct http_request *req, int status, const char *text)
{
    ollama_error(req, status == 501 ? 500 : status, text);
}

static const struct ollama_embed_dialect dialect = {
    .fail = fail, .vector = add_vector, .reply = reply};

void ollama_embeddings(struct http_request *req)
{
    struct ollama_embed_call *e = oll_arena_alloc(req->arena, 1, sizeof *e);
    struct oll_json *input = oll_arena_alloc(req->arena, 1, sizeof *input);
    struct embeddings_fields fields = {.model = "", .prompt = ""};
    const struct oll_json *root;
    struct oll_error err = {0};
    if (!e || !input) {
        ollama_error(req, 500, "out of memory");
        return;
    }
    oll_status status = decode_body(req, "EmbeddingRequest", &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, members, "EmbeddingRequest.", &fields, &err);
    if (status != OLL_OK) {
        ollama_error(req, 400, err.text);
        return;
    }
    if (!*fields.model) {
        ollama_error(req, 400, "model is required");
        return;
    }
    *input = (struct oll_json){
        .type = OLL_JSON_STRING, .str = fields.prompt, .str_len = strlen(fields.prompt)};
    *e = (struct ollama_embed_call){.dialect = &dialect,
                                    .req = req,
                                    .app = req->app,
                                    .limit_status = 500,
                                    .fields = {.model = fields.model,
                                               .input = input,
                                               .keep_alive = fields.keep_alive,
                                               .options = fields.options}};
    ollama_embed_run(e);
}
