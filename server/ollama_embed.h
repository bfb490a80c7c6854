/* Embeddings as every dialect runs them: the native /api/embed (ollama_embed.c), its predecessor
 * /api/embeddings (ollama_embeddings.c) and /v1/embeddings (openai_embeddings.c); and the scores of
 * documents (openai_rerank.c), which are vectors of one number. */
#ifndef OLL_SERVER_OLLAMA_EMBED_H
#define OLL_SERVER_OLLAMA_EMBED_H

#include "server/ollama_call.h"

enum { OLLAMA_EMBED_BYTES_MAX = 1024 * 1024 * 1024 };

struct ollama_embed_fields {
    const char *model;
    const struct oll_json *input, *keep_alive, *options;
    int64_t dimensions;
    bool truncate;
    bool strict; /* options that there are not are an error */
    const char *query,
        *instruction; /* the inputs are ranked (openai_rerank.c); NULL: they are not */
};

struct ollama_embed_call;

struct ollama_embed_dialect {
    void (*fail)(struct http_request *req, int status, const char *text);
    /* Appends one vector to `vectors`. */
    void (*vector)(struct ollama_embed_call *e, const float *v, uint32_t n);
    /* All is done; `n_prompt` tokens of all inputs, 0 without inputs. */
    void (*reply)(struct ollama_embed_call *e, uint32_t n_prompt);
};

struct ollama_embed_call {
    const struct ollama_embed_dialect *dialect;
    struct http_request *req;
    const struct app *app;
    struct ollama_embed_fields fields;
    int limit_status; /* of an input that is too long; 0: 400 */
    struct ollama_keep_alive keep_alive;
    const char **inputs;
    uint32_t n_inputs, n_vectors;
    struct served_model *model;
    struct options options;
    struct generation generation;
    struct oll_strbuf vectors; /* elements of the reply's list */
    struct oll_json_writer writer;
};

/* Runs a call of which dialect, req, app and fields are set (the model is "" when absent), and
 * answers it. The inputs are those of the fields, unless they are set already. */
void ollama_embed_run(struct ollama_embed_call *e);

#endif
