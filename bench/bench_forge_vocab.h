/* A vocabulary of any size for forged models: bytes, letters and their combinations, with the
 * scores of a unigram-free sentence-piece model (larger pieces come later and merge later). */
#ifndef OLL_BENCH_BENCH_FORGE_VOCAB_H
#define OLL_BENCH_BENCH_FORGE_VOCAB_H

#include "gguf/gguf.h"

enum { BENCH_FORGE_VOCAB_MIN = 512, BENCH_FORGE_VOCAB_MAX = 300000 };

/* Puts the keys tokenizer.ggml.* of `n` tokens. */
oll_status bench_forge_put_vocab(struct oll_gguf_writer *w, uint32_t n,
                                 struct oll_error *err) OLL_MUST_USE;

#endif
