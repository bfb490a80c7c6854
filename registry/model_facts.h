/* What a model file says about itself without being loaded: for lists and for the checks that come
 * before a load. Facts of a file are read once and kept while its size and time stay the same. */
#ifndef OLL_REGISTRY_MODEL_FACTS_H
#define OLL_REGISTRY_MODEL_FACTS_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct oll_model_facts {
    char architecture[64]; /* "llama" */
    char quantization[16]; /* "Q4_K_M"; "unknown" */
    uint64_t n_params;     /* elements of all tensors */
    uint64_t file_bytes;
    uint64_t context_length, embedding_length; /* 0: not said */
    bool pools;                                /* has a pooling type: an embedding model */
    bool vision, audio;
    bool has_template; /* a chat template of its own */
    /* What that template can do, by whoever made the cache. */
    bool template_tools, template_thinking, template_tool_round_trip;
};

struct oll_model_facts_cache;

/* Fills the members template_* from the text of a chat template: this folder knows no templates. */
typedef void (*oll_template_facts_fn)(const char *text, struct oll_model_facts *facts);

/* `read_template` NULL: the members template_* stay false. */
oll_status oll_model_facts_cache_new(oll_template_facts_fn read_template,
                                     struct oll_model_facts_cache **out,
                                     struct oll_error *err) OLL_MUST_USE;
void oll_model_facts_cache_free(struct oll_model_facts_cache *cache); /* NULL is accepted */

/* Any thread. The error names no path. */
oll_status oll_model_facts_read(struct oll_model_facts_cache *cache, const char *path,
                                struct oll_model_facts *out, struct oll_error *err) OLL_MUST_USE;

enum { OLL_MODEL_FACTS_TEXT_MAX = 24 };
/* Parameter count for display: "8.0B", "7B", "134.52M", "999K". */
void oll_model_facts_count_text(uint64_t n, char out[OLL_MODEL_FACTS_TEXT_MAX]);

#endif
