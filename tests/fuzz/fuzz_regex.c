/* Any text as a pattern: read within limits; its automaton agrees with derivatives taken one by
 * one, and its complement disagrees. The pattern and the text that is matched are divided by a line
 * end. */
#include "sampler/regex_parse.h"

#include "engine/base/utf8.h"
#include "sampler/regex_dfa.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { MAX_SUBJECT = 64 };

static void match(struct regex_pool *pool, uint32_t term, const char *text, size_t n)
{
    struct regex_dfa dfa;
    bool plain = regex_matches(pool, term, text, n);
    bool other = regex_matches(pool, regex_not(pool, term), text, n);
    if (pool->status != OLL_OK || !oll_utf8_valid(text, n))
        return;
    OLL_ASSERT(plain != other);
    if (regex_dfa_init(&dfa, pool, term) != OLL_OK)
        return;
    uint32_t state = REGEX_DFA_START, cp;
    for (size_t at = 0; at < n && state != REGEX_DFA_DEAD;
         at += (size_t)oll_utf8_encode(cp, (char[4]){0})) {
        oll_utf8_decode(text + at, n - at, &cp);
        state = regex_dfa_next(&dfa, state, cp);
    }
    OLL_ASSERT(pool->status != OLL_OK || dfa.states[state].accepts == plain ||
               state == REGEX_DFA_DEAD);
    OLL_ASSERT(pool->status != OLL_OK || state != REGEX_DFA_DEAD || !plain);
    regex_dfa_free(&dfa);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct regex_pool pool;
    struct oll_error err = {0};
    uint32_t term;
    const char *text = (const char *)data, *line = n_bytes ? memchr(text, '\n', n_bytes) : NULL;
    size_t n = line ? (size_t)(line - text) : n_bytes, left = line ? n_bytes - n - 1 : 0;
    if (regex_pool_init(&pool) != OLL_OK)
        return 0;
    if (regex_parse(&pool, text, n, &term, &err) == OLL_OK)
        match(&pool, term, line ? line + 1 : "", left < MAX_SUBJECT ? left : MAX_SUBJECT);
    else
        OLL_ASSERT(err.text[0] != '\0');
    regex_pool_free(&pool);
    return 0;
}
