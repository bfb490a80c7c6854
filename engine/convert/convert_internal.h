/* Shared by the files of the conversion.
 *
 *   convert.c          files, order of things, writing
 *   convert_names.c    names and treatment of tensors, by family
 *   convert_config.c   config.json to hyper-parameters
 *   convert_vocab.c    vocabularies: BPE and WordPiece from tokenizer.json, ids of special tokens
 *   convert_spm.c      tokenizer.model (SentencePiece)
 *   convert_pre.c      which pre-tokenizer a tokenizer.json asks for */
#ifndef OLL_CONVERT_CONVERT_INTERNAL_H
#define OLL_CONVERT_CONVERT_INTERNAL_H

#include "engine/base/json.h"
#include "engine/convert/convert.h"
#include "engine/convert/safetensors.h"

enum { CONVERT_KEYS_MAX = 128, CONVERT_VOCAB_MAX = 4 << 20 };

enum convert_family { CONVERT_LLAMA, CONVERT_QWEN2, CONVERT_QWEN3, CONVERT_GEMMA3, CONVERT_BERT };

/* One metadata pair, kept until all are known and sorted. */
struct convert_kv {
    const char *key;
    enum oll_gguf_type type, elem_type; /* U32, F32, BOOL, STRING, ARRAY */
    union {
        uint32_t u32;
        float f32;
        bool truth;
        struct oll_gguf_str str;
        struct {
            const void *items; /* i32, f32, u32 or struct oll_gguf_str */
            uint64_t n_items;
        };
    };
};

enum convert_treatment {
    CONVERT_COPY,
    CONVERT_PERMUTE_Q, /* rows of each head from halves to pairs */
    CONVERT_PERMUTE_K,
    CONVERT_ADD_ONE,
    CONVERT_COMPUTED /* values are given, there is no source */
};

struct convert_tensor {
    char name[OLL_GGUF_MAX_NAME + 1];
    enum convert_treatment treatment;
    enum oll_dtype dtype;                    /* of the result */
    const struct safetensors_tensor *source; /* NULL when computed */
    const float *values;                     /* computed ones */
    uint64_t ne[OLL_GGUF_MAX_DIMS];
    uint32_t n_dims;
};

struct convert {
    const struct oll_convert_file *files;
    size_t n_files;
    const struct oll_convert_options *options;
    struct oll_arena arena;
    struct safetensors **sources;
    size_t n_sources;
    const struct oll_json *config; /* config.json; of gemma3 its text part */
    enum convert_family family;
    const char *arch; /* "llama" */
    bool ties_embeddings;
    uint64_t n_head, n_head_kv, head_dim, n_layer;
    uint64_t n_vocab; /* rows of the embedding */
    uint64_t n_pos;   /* rows of bert's position table */
    struct convert_kv kvs[CONVERT_KEYS_MAX];
    uint32_t n_kvs;
    struct convert_tensor *tensors;
    uint64_t n_tensors, cap_tensors;
    struct oll_error *err;
};

/* ---- convert.c ---- */

/* A file by its exact name; NULL when it was not given. */
const struct oll_convert_file *convert_find(const struct convert *c, const char *name);
/* A JSON file as a tree; *out is NULL when it was not given. */
oll_status convert_read_json(struct convert *c, const char *name,
                             const struct oll_json **out) OLL_MUST_USE;
/* Bytes in the arena; *out is NULL when it was not given. */
oll_status convert_read_text(struct convert *c, const char *name, uint64_t max_bytes,
                             const char **out, size_t *n) OLL_MUST_USE;

/* Metadata; `key` lies in the arena or is constant. */
void convert_put_u32(struct convert *c, const char *key, uint64_t v);
void convert_put_f32(struct convert *c, const char *key, double v);
void convert_put_bool(struct convert *c, const char *key, bool v);
void convert_put_str(struct convert *c, const char *key, const char *s, size_t n);
void convert_put_array(struct convert *c, const char *key, enum oll_gguf_type elem_type,
                       const void *items, uint64_t n);
/* "<arch>.<key>" */
const char *convert_key(struct convert *c, const char *key);

/* ---- convert_names.c ---- */

/* Adds all tensors of the sources under their new names. */
oll_status convert_add_tensors(struct convert *c) OLL_MUST_USE;
struct convert_tensor *convert_new_tensor(struct convert *c);

/* ---- convert_config.c ---- */

/* Architecture and sizes that the names need. */
oll_status convert_read_config(struct convert *c) OLL_MUST_USE;
/* The same of a tree, NULL: there is no config.json. */
oll_status convert_take_config(struct convert *c, const struct oll_json *root) OLL_MUST_USE;
/* Hyper-parameters, after the tensors are known. */
oll_status convert_put_config(struct convert *c) OLL_MUST_USE;

/* ---- convert_vocab.c, convert_spm.c, convert_pre.c ---- */

struct convert_vocab {
    struct oll_gguf_str *tokens; /* [n] */
    int32_t *types;
    float *scores; /* NULL: none */
    uint64_t n;
};

oll_status convert_put_vocab(struct convert *c) OLL_MUST_USE;
/* Arrays for `n` tokens, texts empty, types 0. */
oll_status convert_vocab_new(struct convert *c, uint64_t n, struct convert_vocab *out) OLL_MUST_USE;
/* Pieces of a SentencePiece model. *space_prefix: whether text gets a space in front. */
oll_status convert_read_spm(struct convert *c, const void *data, size_t n, uint64_t n_extra,
                            struct convert_vocab *out, bool *space_prefix) OLL_MUST_USE;
/* Name for tokenizer.ggml.pre. `cleans_up`: clean_up_tokenization_spaces. */
oll_status convert_pre_name(struct convert *c, const struct oll_json *tokenizer, bool cleans_up,
                            const char **out) OLL_MUST_USE;

#endif
