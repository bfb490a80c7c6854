#include "bench/bench_forge_vocab.h"

#include "engine/base/arena.h"
#include "engine/base/mem.h"

#include <string.h>

enum { N_SPECIAL = 3, N_BYTE = 256, N_LETTER = 26, WORD_MAX = 4, TEXT_MAX_BYTES = 64 << 20 };

/* tokenizer.ggml.token_type */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_BYTE = 6 };

struct vocab {
    struct oll_arena arena;
    struct oll_gguf_str *texts; /* [n] */
    float *scores;              /* [n] */
    int32_t *types;             /* [n] */
};

/* The i-th word over a to z: all of one letter, then all of two, and so on. */
static const char *word_text(struct oll_arena *arena, uint32_t i)
{
    char word[WORD_MAX + 1];
    uint32_t length = 1, count = N_LETTER;
    for (; i >= count && length < WORD_MAX; length++, count *= N_LETTER)
        i -= count;
    word[length] = '\0';
    for (uint32_t k = length; k-- > 0; i /= N_LETTER)
        word[k] = (char)('a' + i % N_LETTER);
    return oll_arena_strdup(arena, word);
}

static const char *token_text(struct oll_arena *arena, uint32_t id)
{
    static const char *const specials[N_SPECIAL] = {"<unk>", "<s>", "</s>"};
    if (id < N_SPECIAL)
        return specials[id];
    if (id < N_SPECIAL + N_BYTE)
        return oll_arena_printf(arena, "<0x%02X>", id - N_SPECIAL);
    if (id == N_SPECIAL + N_BYTE)
        return "\xe2\x96\x81"; /* U+2581, the blank of such vocabularies */
    return word_text(arena, id - N_SPECIAL - N_BYTE - 1);
}

static int32_t token_type(uint32_t id)
{
    return id == 0                   ? TYPE_UNKNOWN
           : id < N_SPECIAL          ? TYPE_CONTROL
           : id < N_SPECIAL + N_BYTE ? TYPE_BYTE
                                     : TYPE_NORMAL;
}

static oll_status make_vocab(struct vocab *v, uint32_t n, struct oll_error *err)
{
    oll_arena_init(&v->arena, TEXT_MAX_BYTES);
    v->texts = oll_arena_alloc(&v->arena, n, sizeof *v->texts);
    v->scores = oll_arena_alloc(&v->arena, n, sizeof *v->scores);
    v->types = oll_arena_alloc(&v->arena, n, sizeof *v->types);
    for (uint32_t id = 0; id < n && v->arena.status == OLL_OK; id++) {
        const char *text = token_text(&v->arena, id);
        v->texts[id] = (struct oll_gguf_str){text, text ? strlen(text) : 0};
        v->types[id] = token_type(id);
        v->scores[id] = v->types[id] == TYPE_NORMAL ? -(float)id : 0;
    }
    if (v->arena.status != OLL_OK)
        return OLL_FAIL(err, v->arena.status, "no memory for a vocabulary of %u tokens", n);
    return OLL_OK;
}

oll_status bench_forge_put_vocab(struct oll_gguf_writer *w, uint32_t n, struct oll_error *err)
{
    struct vocab v;
    oll_status status = make_vocab(&v, n, err);
    if (status == OLL_OK) {
        oll_gguf_put_str(w, "tokenizer.ggml.model", "llama", strlen("llama"));
        oll_gguf_put_strings(w, "tokenizer.ggml.tokens", v.texts, n);
        oll_gguf_put_array(w, "tokenizer.ggml.scores", OLL_GGUF_F32, v.scores, n);
        oll_gguf_put_array(w, "tokenizer.ggml.token_type", OLL_GGUF_I32, v.types, n);
        oll_gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 0);
        oll_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1);
        oll_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 2);
        oll_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
    }
    oll_arena_free(&v.arena);
    return status;
}
