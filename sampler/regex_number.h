/* Regular languages of decimal numbers as JSON writes them.
 *
 * Languages of values are closed under the spellings of a value without exponent (1, 1.0, 1.00), so
 * that conjunction and complement within regex_numbers are those of the values. Zero has no minus
 * sign. */
#ifndef OLL_SAMPLER_REGEX_NUMBER_H
#define OLL_SAMPLER_REGEX_NUMBER_H

#include "sampler/regex.h"

enum { REGEX_NUMBER_DIGITS = 400 };

/* A decimal number without exponent; zero has no digits. */
struct regex_decimal {
    bool negative;
    uint16_t n_whole, n_fraction; /* digits; no leading, no trailing zeros */
    char whole[REGEX_NUMBER_DIGITS + 1], fraction[REGEX_NUMBER_DIGITS + 1];
};

/* Reads the text of a JSON number; false when it needs more digits than there is room for. */
bool regex_decimal_read(const char *text, size_t n, struct regex_decimal *out);

/* All numbers; those with a value of whole numbers; those written without fraction. */
uint32_t regex_numbers(struct regex_pool *pool);
uint32_t regex_integers(struct regex_pool *pool);
uint32_t regex_integer_texts(struct regex_pool *pool);
/* Numbers as a model may write them where nothing is asked: 20 digits before and behind the point
 * at most, an exponent of up to three digits that keeps them within a double. */
uint32_t regex_number_texts(struct regex_pool *pool);

/* Values at least (above, when `open`) and at most (below) the bound. */
uint32_t regex_at_least(struct regex_pool *pool, const struct regex_decimal *bound, bool open);
uint32_t regex_at_most(struct regex_pool *pool, const struct regex_decimal *bound, bool open);
/* All spellings of one value, and its shortest. */
uint32_t regex_value(struct regex_pool *pool, const struct regex_decimal *value);
uint32_t regex_spelling(struct regex_pool *pool, const struct regex_decimal *value);

#endif
