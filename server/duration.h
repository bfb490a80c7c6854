/* Durations as Go writes and reads them ("1m2.5s", "439.038ms"), which users of the command line
 * and of the API know. */
#ifndef OLL_SERVER_DURATION_H
#define OLL_SERVER_DURATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DURATION_TEXT_MAX = 48 };

/* Largest unit first, below a second in ms, us or ns, no trailing zeros; 0 is "0s". */
void duration_format(int64_t ns, char out[DURATION_TEXT_MAX]);

/* Sequence of decimals, each with a unit of h, m, s, ms, us, (micro sign) s, ns; a sign in front;
 * "0" alone. False for anything else and for what does not fit. */
bool duration_parse(const char *text, int64_t *ns);
/* Why a text is no duration, in Go's words: time: missing unit in duration "60". */
void duration_explain(const char *text, char *out, size_t n);

#endif
