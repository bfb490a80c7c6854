#include "bench/bench_forge.h"

#include "bench/bench_fill.h"
#include "bench/bench_folder.h"
#include "bench/bench_forge_vocab.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "gguf/gguf.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

enum {
    NAME_MAX_BYTES = 64,
    CHUNK_BYTES = 1 << 20,
    FORMAT = 1, /* part of the file's name: raised when equal parameters give other bytes */
    TRAINED_CTX = 131072
};

/* Spread of the weights: with norms before each branch, activations stay near 1. */
#define WEIGHT_SD 0.02

/* ---- shapes ---- */

static const struct bench_shape shapes[] = {
    {.name = "tiny",
     .n_layer = 2,
     .n_embd = 256,
     .n_ff = 512,
     .n_head = 4,
     .n_head_kv = 2,
     .head_dim = 64,
     .n_vocab = 1024,
     .is_tied = true},
    {.name = "tiny-moe",
     .n_layer = 2,
     .n_embd = 256,
     .n_ff = 256,
     .n_head = 4,
     .n_head_kv = 2,
     .head_dim = 64,
     .n_vocab = 1024,
     .n_expert = 8,
     .n_expert_used = 2},
    {.name = "135m",
     .n_layer = 30,
     .n_embd = 576,
     .n_ff = 1536,
     .n_head = 9,
     .n_head_kv = 3,
     .head_dim = 64,
     .n_vocab = 49152,
     .is_tied = true},
    {.name = "0.5b",
     .n_layer = 24,
     .n_embd = 896,
     .n_ff = 4864,
     .n_head = 14,
     .n_head_kv = 2,
     .head_dim = 64,
     .n_vocab = 151936,
     .is_tied = true},
    {.name = "1b",
     .n_layer = 16,
     .n_embd = 2048,
     .n_ff = 8192,
     .n_head = 32,
     .n_head_kv = 8,
     .head_dim = 64,
     .n_vocab = 128256,
     .is_tied = true},
    {.name = "3b",
     .n_layer = 28,
     .n_embd = 3072,
     .n_ff = 8192,
     .n_head = 24,
     .n_head_kv = 8,
     .head_dim = 128,
     .n_vocab = 128256,
     .is_tied = true},
    {.name = "8b",
     .n_layer = 32,
     .n_embd = 4096,
     .n_ff = 14336,
     .n_head = 32,
     .n_head_kv = 8,
     .head_dim = 128,
     .n_vocab = 128256},
    /* 6.9 billion parameters, of which 1.3 are used per token */
    {.name = "moe",
     .n_layer = 16,
     .n_embd = 2048,
     .n_ff = 1024,
     .n_head = 16,
     .n_head_kv = 16,
     .head_dim = 128,
     .n_vocab = 50304,
     .n_expert = 64,
     .n_expert_used = 8},
};
enum { N_SHAPE = sizeof shapes / sizeof shapes[0] };

/* ---- types ---- */

/* Which layers get more bits in the middle-sized mixtures. */
static bool has_more_bits(uint32_t il, uint32_t n)
{
    return il < n / 8 || il >= 7 * n / 8 || (il - n / 8) % 3 == 2;
}

enum layers { LAYERS_NONE, LAYERS_MORE_BITS, LAYERS_FIRST };

struct bench_mix {
    const char *name;
    uint32_t file_type; /* general.file_type */
    enum oll_dtype base, better;
    enum layers layers; /* whose attn_v and ffn_down have the better type; the head is Q6_K */
};

static const struct bench_mix mixes[] = {
    {"q4_k_m", 15, OLL_Q4_K, OLL_Q6_K, LAYERS_MORE_BITS},
    {"q4_k_s", 14, OLL_Q4_K, OLL_Q5_K, LAYERS_FIRST},
    {"q5_k_m", 17, OLL_Q5_K, OLL_Q6_K, LAYERS_MORE_BITS},
    {"q5_k_s", 16, OLL_Q5_K, OLL_Q5_K, LAYERS_NONE},
};
enum { N_MIX = sizeof mixes / sizeof mixes[0] };

static enum oll_dtype mix_dtype(const struct bench_mix *mix, const char *name, uint32_t il,
                                uint32_t n_layer)
{
    const bool is_v = strcmp(name, "attn_v") == 0;
    const bool is_down = strncmp(name, "ffn_down", 8) == 0;
    bool is_better = false;
    if (mix->layers == LAYERS_MORE_BITS)
        is_better = (is_v || is_down) && has_more_bits(il, n_layer);
    else if (mix->layers == LAYERS_FIRST)
        is_better = (is_v && il < 4) || (is_down && il < n_layer / 8);
    return is_better ? mix->better : mix->base;
}

/* The head of a file of one type: quantisers keep it at six bits or more. */
static enum oll_dtype head_dtype(enum oll_dtype dtype)
{
    switch (dtype) {
    case OLL_F32:
    case OLL_F16:
    case OLL_BF16:
    case OLL_Q8_0: return dtype;
    case OLL_MXFP4:
    case OLL_NVFP4: return OLL_Q8_0;
    default: return OLL_Q6_K;
    }
}

/* Rows that are no multiple of the block take a type of smaller blocks. */
static enum oll_dtype fit_row(enum oll_dtype dtype, uint64_t n_in)
{
    if (n_in % oll_dtype_info((uint32_t)dtype)->block_elements == 0)
        return dtype;
    enum oll_dtype smaller = OLL_IQ4_NL;
    if (dtype == OLL_Q4_K)
        smaller = OLL_Q5_0;
    else if (dtype == OLL_Q5_K)
        smaller = OLL_Q5_1;
    else if (dtype == OLL_Q6_K)
        smaller = OLL_Q8_0;
    return n_in % oll_dtype_info((uint32_t)smaller)->block_elements == 0 ? smaller : OLL_F16;
}

enum oll_dtype bench_forge_dtype(const struct bench_forge *forge, const char *name, uint32_t il,
                                 uint64_t n_in)
{
    const bool is_head = strcmp(name, forge->shape->is_tied ? "token_embd" : "output") == 0;
    if (strstr(name, "norm") || strcmp(name, "ffn_gate_inp") == 0)
        return OLL_F32;
    enum oll_dtype dtype = forge->dtype;
    if (is_head)
        dtype = forge->mix ? OLL_Q6_K : head_dtype(forge->dtype);
    else if (forge->mix)
        dtype = mix_dtype(forge->mix, name, il, forge->shape->n_layer);
    return fit_row(dtype, n_in);
}

/* ---- parameters ---- */

static void lower(const char *text, size_t n, char out[NAME_MAX_BYTES])
{
    if (n >= NAME_MAX_BYTES)
        n = NAME_MAX_BYTES - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
    out[n] = '\0';
}

static oll_status fail_shape(const char *text, struct oll_error *err)
{
    struct oll_strbuf known;
    oll_strbuf_init(&known, OLL_ERROR_TEXT_MAX);
    for (int i = 0; i < N_SHAPE; i++)
        oll_strbuf_printf(&known, "%s%s", i ? ", " : "", shapes[i].name);
    (void)OLL_FAIL(err, OLL_ERR_ARG, "'%s': expected SHAPE:TYPE, e.g. 1b:q4_k_m; the shapes are %s",
                   text, known.data);
    oll_strbuf_free(&known);
    return OLL_ERR_ARG;
}

static oll_status fail_type(const char *type, struct oll_error *err)
{
    struct oll_strbuf known;
    oll_strbuf_init(&known, OLL_ERROR_TEXT_MAX);
    for (int i = 0; i < N_MIX; i++)
        oll_strbuf_printf(&known, "%s%s", i ? ", " : "", mixes[i].name);
    for (int d = 0; d < OLL_DTYPE_COUNT; d++) {
        const char *text = oll_dtype_name((uint32_t)d);
        char name[NAME_MAX_BYTES];
        if (!bench_fill_supported((enum oll_dtype)d))
            continue;
        lower(text, strlen(text), name);
        oll_strbuf_printf(&known, ", %.*s", (int)strlen(name), name);
    }
    (void)OLL_FAIL(err, OLL_ERR_ARG, "no type '%s'; the types are %s", type, known.data);
    oll_strbuf_free(&known);
    return OLL_ERR_ARG;
}

oll_status bench_forge_parse(const char *text, uint64_t seed, struct bench_forge *out,
                             struct oll_error *err)
{
    const char *colon = strchr(text, ':');
    char shape[NAME_MAX_BYTES], type[NAME_MAX_BYTES];
    struct bench_forge forge = {.seed = seed};
    if (!colon)
        return fail_shape(text, err);
    lower(text, (size_t)(colon - text), shape);
    lower(colon + 1, strlen(colon + 1), type);
    for (int i = 0; i < N_SHAPE; i++)
        if (strcmp(shape, shapes[i].name) == 0)
            forge.shape = &shapes[i];
    if (!forge.shape)
        return fail_shape(text, err);
    for (int i = 0; i < N_MIX; i++)
        if (strcmp(type, mixes[i].name) == 0)
            forge.mix = &mixes[i];
    if (forge.mix)
        forge.dtype = forge.mix->base;
    else if (!oll_dtype_from_name(type, &forge.dtype) || !bench_fill_supported(forge.dtype))
        return fail_type(type, err);
    *out = forge;
    return OLL_OK;
}

static void type_name(const struct bench_forge *forge, char out[NAME_MAX_BYTES])
{
    const char *name = forge->mix ? forge->mix->name : oll_dtype_name((uint32_t)forge->dtype);
    lower(name, strlen(name), out);
}

void bench_forge_name(const struct bench_forge *forge, char out[BENCH_FORGE_NAME_MAX])
{
    char type[NAME_MAX_BYTES];
    type_name(forge, type);
    snprintf(out, BENCH_FORGE_NAME_MAX, "%.12s-%.12s-v%d-%llu.gguf", forge->shape->name, type,
             FORMAT, (unsigned long long)forge->seed);
}

/* ---- tensors ---- */

struct tensor {
    char name[NAME_MAX_BYTES];
    enum oll_dtype dtype;
    uint64_t ne[3]; /* innermost first */
    uint32_t n_dims;
};

typedef oll_status (*tensor_fn)(void *ctx, const struct tensor *t);

struct visit {
    const struct bench_forge *forge;
    tensor_fn fn;
    void *ctx;
    uint32_t il;
    oll_status status; /* sticky */
};

/* n_out 0: a vector; n_expert 0: no stack. */
static void visit(struct visit *v, const char *name, uint64_t n_in, uint64_t n_out,
                  uint64_t n_expert)
{
    struct tensor t = {.ne = {n_in, n_out ? n_out : 1, n_expert ? n_expert : 1},
                       .n_dims = n_expert ? 3
                                 : n_out  ? 2
                                          : 1};
    const bool in_block = strncmp(name, "attn_", 5) == 0 || strncmp(name, "ffn_", 4) == 0;
    if (v->status != OLL_OK)
        return;
    if (in_block)
        snprintf(t.name, sizeof t.name, "blk.%u.%s.weight", v->il, name);
    else
        snprintf(t.name, sizeof t.name, "%s.weight", name);
    t.dtype = bench_forge_dtype(v->forge, name, v->il, n_in);
    v->status = v->fn(v->ctx, &t);
}

static void visit_layer(struct visit *v)
{
    const struct bench_shape *s = v->forge->shape;
    const uint64_t n_q = (uint64_t)s->n_head * s->head_dim;
    const uint64_t n_kv = (uint64_t)s->n_head_kv * s->head_dim;
    visit(v, "attn_norm", s->n_embd, 0, 0);
    visit(v, "attn_q", s->n_embd, n_q, 0);
    visit(v, "attn_k", s->n_embd, n_kv, 0);
    visit(v, "attn_v", s->n_embd, n_kv, 0);
    visit(v, "attn_output", n_q, s->n_embd, 0);
    visit(v, "ffn_norm", s->n_embd, 0, 0);
    if (s->n_expert) {
        visit(v, "ffn_gate_inp", s->n_embd, s->n_expert, 0);
        visit(v, "ffn_gate_exps", s->n_embd, s->n_ff, s->n_expert);
        visit(v, "ffn_up_exps", s->n_embd, s->n_ff, s->n_expert);
        visit(v, "ffn_down_exps", s->n_ff, s->n_embd, s->n_expert);
    } else {
        visit(v, "ffn_gate", s->n_embd, s->n_ff, 0);
        visit(v, "ffn_up", s->n_embd, s->n_ff, 0);
        visit(v, "ffn_down", s->n_ff, s->n_embd, 0);
    }
}

/* Every tensor in the order of the file, until fn fails. */
static oll_status visit_all(const struct bench_forge *forge, tensor_fn fn, void *ctx)
{
    struct visit v = {.forge = forge, .fn = fn, .ctx = ctx};
    const struct bench_shape *s = forge->shape;
    visit(&v, "token_embd", s->n_embd, s->n_vocab, 0);
    for (v.il = 0; v.il < s->n_layer; v.il++)
        visit_layer(&v);
    visit(&v, "output_norm", s->n_embd, 0, 0);
    if (!s->is_tied)
        visit(&v, "output", s->n_embd, s->n_vocab, 0);
    return v.status;
}

static uint64_t tensor_bytes(const struct tensor *t)
{
    return oll_dtype_row_bytes(t->dtype, t->ne[0]) * t->ne[1] * t->ne[2];
}

static oll_status add_bytes(void *ctx, const struct tensor *t)
{
    *(uint64_t *)ctx += tensor_bytes(t);
    return OLL_OK;
}

uint64_t bench_forge_bytes(const struct bench_forge *forge)
{
    uint64_t n = 0;
    return visit_all(forge, add_bytes, &n) == OLL_OK ? n : 0;
}

/* ---- writing ---- */

struct writing {
    const struct bench_forge *forge;
    struct oll_gguf_writer *w;
    const struct bench_watch *watch;
    struct oll_error *err;
    uint8_t *chunk;                   /* [CHUNK_BYTES] */
    uint64_t i_tensor, n_done, n_all; /* bytes */
};

static oll_status declare(void *ctx, const struct tensor *t)
{
    struct writing *wr = ctx;
    oll_gguf_add_tensor(wr->w, t->name, t->dtype, t->ne, t->n_dims);
    return OLL_OK;
}

static oll_status write_vector(struct writing *wr, const struct tensor *t)
{
    const float one = 1;
    for (uint64_t i = 0; i < t->ne[0]; i++)
        OLL_TRY(oll_gguf_write_data(wr->w, &one, sizeof one, wr->err));
    return OLL_OK;
}

static oll_status write_tensor(void *ctx, const struct tensor *t)
{
    struct writing *wr = ctx;
    struct bench_fill fill;
    const uint64_t n_bytes = tensor_bytes(t);
    const size_t block_bytes = oll_dtype_info((uint32_t)t->dtype)->block_bytes;
    const size_t step = CHUNK_BYTES / block_bytes;
    uint64_t state = wr->forge->seed;
    state = bench_random(&state) + wr->i_tensor++;
    if (t->n_dims == 1)
        return write_vector(wr, t);
    bench_fill_init(&fill, t->dtype, bench_random(&state), WEIGHT_SD);
    for (uint64_t left = n_bytes / block_bytes; left > 0;) {
        const size_t n = left < step ? (size_t)left : step;
        if (bench_watch_aborted(wr->watch))
            return OLL_FAIL(wr->err, OLL_ERR_CANCELED, "stopped");
        bench_fill_next(&fill, wr->chunk, n);
        OLL_TRY(oll_gguf_write_data(wr->w, wr->chunk, n * block_bytes, wr->err));
        left -= n;
    }
    wr->n_done += n_bytes;
    bench_watch_show(wr->watch, "forging: %.0f of %.0f MB", (double)wr->n_done * 1e-6,
                     (double)wr->n_all * 1e-6);
    return OLL_OK;
}

static void put_keys(const struct bench_forge *forge, struct oll_gguf_writer *w)
{
    const struct bench_shape *s = forge->shape;
    char name[BENCH_FORGE_NAME_MAX + 16], type[NAME_MAX_BYTES];
    type_name(forge, type);
    snprintf(name, sizeof name, "forged %.12s %.12s", s->name, type);
    oll_gguf_put_str(w, "general.architecture", "llama", strlen("llama"));
    oll_gguf_put_str(w, "general.name", name, strlen(name));
    if (forge->mix)
        oll_gguf_put_u32(w, "general.file_type", forge->mix->file_type);
    oll_gguf_put_u32(w, "general.quantization_version", 2);
    oll_gguf_put_u32(w, "llama.vocab_size", s->n_vocab);
    oll_gguf_put_u32(w, "llama.context_length", TRAINED_CTX);
    oll_gguf_put_u32(w, "llama.embedding_length", s->n_embd);
    oll_gguf_put_u32(w, "llama.block_count", s->n_layer);
    oll_gguf_put_u32(w, "llama.feed_forward_length", s->n_ff);
    oll_gguf_put_u32(w, "llama.rope.dimension_count", s->head_dim);
    oll_gguf_put_u32(w, "llama.attention.head_count", s->n_head);
    oll_gguf_put_u32(w, "llama.attention.head_count_kv", s->n_head_kv);
    oll_gguf_put_u32(w, "llama.attention.key_length", s->head_dim);
    oll_gguf_put_u32(w, "llama.attention.value_length", s->head_dim);
    oll_gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    oll_gguf_put_f32(w, "llama.rope.freq_base", 500000);
    if (s->n_expert) {
        oll_gguf_put_u32(w, "llama.expert_count", s->n_expert);
        oll_gguf_put_u32(w, "llama.expert_used_count", s->n_expert_used);
        oll_gguf_put_u32(w, "llama.expert_feed_forward_length", s->n_ff);
    }
}

/* Better before the first gigabyte than after the last but one. */
static oll_status check_disk(const char *path, uint64_t n_bytes, struct oll_error *err)
{
    struct statvfs fs;
    const char *slash = strrchr(path, '/');
    char folder[BENCH_PATH_MAX];
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    if (statvfs(folder, &fs) != 0)
        return OLL_OK; /* the writer will say what is wrong with the path */
    const uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes < n_bytes)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "%s: %.2f GB are needed, the disk has %.2f GB left",
                        folder, (double)n_bytes * 1e-9, (double)free_bytes * 1e-9);
    return OLL_OK;
}

oll_status bench_forge_write(const struct bench_forge *forge, const char *path,
                             const struct bench_watch *watch, struct oll_error *err)
{
    struct writing wr = {
        .forge = forge, .watch = watch, .err = err, .n_all = bench_forge_bytes(forge)};
    oll_status status;
    OLL_TRY(check_disk(path, wr.n_all, err));
    OLL_TRY_DONE(oll_gguf_writer_new(path, &wr.w, err));
    wr.chunk = oll_alloc(CHUNK_BYTES, 1);
    if (!wr.chunk) {
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
        goto done;
    }
    put_keys(forge, wr.w);
    OLL_TRY_DONE(bench_forge_put_vocab(wr.w, forge->shape->n_vocab, err));
    OLL_TRY_DONE(visit_all(forge, declare, &wr));
    OLL_TRY_DONE(oll_gguf_write_header(wr.w, err));
    OLL_TRY_DONE(visit_all(forge, write_tensor, &wr));
    status = oll_gguf_writer_finish(wr.w, err);
done:
    bench_watch_show(watch, "%s", "");
    oll_gguf_writer_free(wr.w);
    oll_free(wr.chunk);
    return status;
}

/* ---- cache ---- */

/* The writer gives a file its name when it is complete; this finds damage of a later date. */
static bool is_whole(const struct bench_forge *forge, const char *path)
{
    struct oll_gguf *gguf;
    if (oll_gguf_open(path, &gguf, NULL) != OLL_OK)
        return false;
    uint64_t n_bytes = 0;
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++)
        n_bytes += oll_gguf_tensor_at(gguf, i)->n_bytes;
    oll_gguf_close(gguf);
    return n_bytes == bench_forge_bytes(forge);
}

oll_status bench_forge_cached(const struct bench_forge *forge, const char *folder, char **path,
                              const struct bench_watch *watch, struct oll_error *err)
{
    char name[BENCH_FORGE_NAME_MAX];
    struct oll_strbuf full;
    bench_forge_name(forge, name);
    OLL_TRY(bench_folder_make(folder, err));
    oll_strbuf_init(&full, BENCH_PATH_MAX);
    oll_strbuf_printf(&full, "%s/%s", folder, name);
    oll_status status = full.status;
    if (status != OLL_OK)
        (void)OLL_FAIL(err, status, "%s: %s", folder, oll_status_text(status));
    else if (!is_whole(forge, full.data))
        status = bench_forge_write(forge, full.data, watch, err);
    if (status == OLL_OK)
        *path = oll_strbuf_take(&full, NULL);
    oll_strbuf_free(&full);
    return status;
}
