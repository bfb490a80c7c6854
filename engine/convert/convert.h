/* Turns a published model (safetensors, config.json, tokenizer files) into one GGUF file.
 * (store-and-registry 10.6)
 *
 * Families: llama and mistral, qwen2, qwen3, gemma3 (text part), bert. Matrices become F16 (BF16
 * stays), vectors F32. Equal files give equal bytes. Any thread. */
#ifndef OLL_CONVERT_CONVERT_H
#define OLL_CONVERT_CONVERT_H

#include "gguf/gguf.h"

struct oll_convert_file {
    const char
        *name; /* "config.json", "1_Pooling/config.json", "model-00001-of-00002.safetensors" */
    const char *path; /* where its bytes are; never shown */
};

struct oll_convert_options {
    int n_threads; /* 0: one per physical core */
    /* As in oll_quantize_options; may be NULL. */
    bool (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);
    void *user;
};

/* Reads the files and writes the model to the sink. OLL_ERR_UNSUPPORTED: an architecture, tokenizer
 * or tensor that is not known; OLL_ERR_FORMAT: a file that is wrong. Both name file and place. */
oll_status oll_convert_model(const struct oll_convert_file *files, size_t n_files,
                             const struct oll_gguf_sink *sink,
                             const struct oll_convert_options *options,
                             struct oll_error *err) OLL_MUST_USE;

#endif
