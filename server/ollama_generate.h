/* Generate as every dialect runs it: the native /api/generate (ollama_generate.c) and
 * /v1/completions (openai_completions.c). */
#ifndef OLL_SERVER_OLLAMA_GENERATE_H
#define OLL_SERVER_OLLAMA_GENERATE_H

#include "server/ollama_call.h"

struct ollama_generate_fields {
    struct ollama_fields common;
    const char *prompt, *suffix, *system, *template_text; /* never NULL */
    const struct oll_json *context, *images;
    bool raw;
};
#define OLLAMA_GENERATE_FIELDS_DEFAULT                                                             \
    {.common = OLLAMA_FIELDS_DEFAULT, .prompt = "", .suffix = "", .system = "", .template_text = ""}

struct ollama_generate_call {
    struct ollama_call call; /* first: a dialect's functions find their own struct behind it */
    struct ollama_generate_fields fields;
    const int32_t *context;
    uint32_t n_context;
};

/* Takes over a request whose fields are decoded. False: it has been answered. */
bool ollama_generate_begin(struct ollama_generate_call *g, struct http_request *req,
                           const struct call_dialect *dialect, uint32_t n_images);
/* From the checks of the model to the end of the reply; ollama_call_end follows. */
void ollama_generate_answer(struct ollama_generate_call *g);

#endif
