/* Speed of a tokenizer on one core: the same text encoded again and again, and its ids decoded.
 *
 * Times are those that the thread ran, so neighbours on a shared machine do not count. Nothing is
 * kept from one round to the next but the tokenizer itself. */
#ifndef OLL_BENCH_BENCH_TOKENIZE_H
#define OLL_BENCH_BENCH_TOKENIZE_H

#include "tokenizer/tokenizer.h"

enum { BENCH_TOKENIZE_MAX_ROUNDS = 1000 };

struct bench_tokenize_result {
    size_t n_bytes, n_tokens;     /* of one round */
    double median, slowest, best; /* of encoding, in MB/s (a million bytes a second) */
    double decode_median;         /* million tokens a second into a buffer */
};

/* Encodes text[0..n) `rounds` times (after one to warm up) as a prompt is: special tokens are added
 * and parsed. OLL_ERR_MEMORY, or OLL_ERR_ARG for a number of rounds out of range. */
oll_status bench_tokenize(const struct oll_tokenizer *tok, const char *text, size_t n, int rounds,
                          struct bench_tokenize_result *out) OLL_MUST_USE;

/* Repeats part[0..n) up to exactly n_bytes, cut at a character. The text is released with
 * oll_free; NULL when out of memory or when the part is empty. */
char *bench_tokenize_repeat(const char *part, size_t n, size_t n_bytes, size_t *n_text);

/* The text measured when the user names none: prose in several scripts, numbers, code. */
extern const char bench_tokenize_sample[];

#endif
