/* The regexes that know words, numbers, punctuation and white space (tokenizer/pretokenize.h).
 *
 * Each family is one inline scanner over a constant rule; the compiler makes one function per rule
 * with the unused branches gone. Regexes are quoted in the notation of PCRE; \s+(?!\S)|\s+ is
 * called the white-space rule: a run before other text leaves its last character to what follows.
 */
#include "tokenizer/pretokenize.h"
#include "tokenizer/unicode.h"

enum {
    SPACE_L_N = CHAR_SPACE | CHAR_L | CHAR_N,
    NEWLINE_L_N = CHAR_NEWLINE | CHAR_L | CHAR_N,
    UPPER = CHAR_LU | CHAR_LT | CHAR_LM | CHAR_LO | CHAR_M, /* may stand before the last capital */
    LOWER = CHAR_LL | CHAR_LM | CHAR_LO | CHAR_M
};

/* Mask of the character at p, 0 at the end. */
static inline uint32_t peek(const char *p, const char *end)
{
    int len;
    return p < end ? char_at(p, end, &len) : 0;
}

/* Behind the run of characters with a bit of `mask`. */
static inline const char *skip(const char *p, const char *end, uint32_t mask)
{
    for (;;) {
        while (p < end && (unicode_ascii[(unsigned char)*p] & mask))
            p++;
        if (p == end || (unsigned char)*p < 0x80)
            return p;
        int len;
        if (!(char_at(p, end, &len) & mask))
            return p;
        p += len;
    }
}

/* At most `max` such characters, 0: any number. */
static inline const char *skip_some(const char *p, const char *end, uint32_t mask, int max)
{
    if (max == 0)
        return skip(p, end, mask);
    for (int len; max > 0 && p < end && (char_at(p, end, &len) & mask); max--)
        p += len;
    return p;
}

static inline const char *skip_punct(const char *p, const char *end, uint32_t not_punct,
                                     uint32_t tail, int max_tail)
{
    /* Every character has one category bit, so the complement is a class like any other. */
    for (;;) {
        uint32_t mask = p < end ? unicode_ascii[(unsigned char)*p] : 0;
        int len = 1;
        if (mask == 0 && p < end)
            mask = char_at(p, end, &len);
        if (mask == 0 || (mask & not_punct))
            break;
        p += len;
    }
    return tail ? skip_some(p, end, tail, max_tail) : p;
}

static inline int lower_ascii(char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/* Length of 's 't 're 've 'm 'll 'd at the apostrophe p, else 0. */
static inline int contraction(const char *p, const char *end, bool any_case)
{
    if (end - p < 2 || *p != '\'')
        return 0;
    int a = any_case ? lower_ascii(p[1]) : p[1];
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if (end - p < 3)
        return 0;
    int b = any_case ? lower_ascii(p[2]) : p[2];
    return (a == 'l' && b == 'l') || ((a == 'r' || a == 'v') && b == 'e') ? 3 : 0;
}

/* A run of white space. */
struct space_run {
    const char *end, *last; /* behind the run; start of its last character */
    const char *line;       /* behind its last CR or LF, NULL when it has none */
};

static inline struct space_run space_run(const char *p, const char *end)
{
    struct space_run run = {p, p, NULL};
    while (run.end < end) {
        int len;
        uint32_t mask = char_at(run.end, end, &len);
        if (!(mask & CHAR_SPACE))
            break;
        run.last = run.end;
        run.end += len;
        if (mask & CHAR_NEWLINE)
            run.line = run.end;
    }
    return run;
}

/* The white-space rule at the start of a run. */
static inline const char *white_space(struct space_run run, const char *p, const char *end)
{
    return run.end < end && run.last > p ? run.last : run.end;
}

/* G2: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
const char *pretok_g2(const void *rule, struct pretok_level *level)
{
    const char *p = level->p, *end = level->end;
    (void)rule;
    int n = contraction(p, end, false);
    if (n)
        return p + n;
    const char *q = *p == ' ' ? p + 1 : p;
    uint32_t mask = peek(q, end);
    if (mask & CHAR_L)
        return skip(q, end, CHAR_L);
    if (mask & CHAR_N)
        return skip(q, end, CHAR_N);
    if (mask == 0 || (mask & CHAR_SPACE))
        return white_space(space_run(p, end), p, end);
    return skip_punct(q, end, SPACE_L_N, 0, 0);
}

/* \p{L}\p{M}*(?: \p{L}\p{M}*)* repeated: words that single blanks join. p is behind a letter. */
static const char *skip_joined(const char *p, const char *end)
{
    for (;;) {
        p = skip(p, end, CHAR_L | CHAR_M);
        if (end - p < 2 || *p != ' ' || !(peek(p + 1, end) & CHAR_L))
            return p;
        p++;
    }
}

/* Behind `k` characters of a run of white space, NULL when it is shorter. */
static const char *skip_count(const char *p, const char *run_end, int k)
{
    for (int len; k > 0 && p < run_end; k--) {
        char_at(p, run_end, &len);
        p += len;
    }
    return k == 0 ? p : NULL;
}

/* \s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|...|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}
 * The memo is the end of a run without newlines, so that a long one is measured once. */
static const char *white_space_powers(struct pretok_level *level)
{
    const char *p = level->p, *end = level->end;
    if (!level->memo || level->memo <= p) {
        struct space_run run = space_run(p, end);
        if (run.line)
            return run.line;
        level->memo = run.end;
    }
    const char *run_end = level->memo;
    for (int k = 512; k >= 1; k /= 2) {
        const char *q = skip_count(p, run_end, k);
        if (q && (q < run_end || run_end == end))
            return q;
    }
    return skip_count(p, run_end, 1);
}

/* One family of regexes; the alternatives are tried in the order of the fields:
 *   C | [^not_prefix]?[body]+ | \p{N}{1,digits} | ?[^not_punct]+[tail]{0,max_tail}
 *     | \s*[\r\n]+ | white space
 * Where the optional first character is itself in `body` (a mark), the extent of the match is the
 * same with and without it. */
struct word_rule {
    uint32_t body, not_prefix, not_punct, tail;
    int max_tail; /* 0: any number */
    int digits;   /* 0: any number */
    bool contractions, joined, powers;
};

static inline const char *scan_words(struct pretok_level *level, struct word_rule r)
{
    const char *p = level->p, *end = level->end;
    int len;
    uint32_t mask = char_at(p, end, &len);
    if (mask & r.body)
        return r.joined ? skip_joined(p, end) : skip(p + len, end, r.body);
    if (r.contractions && (mask & CHAR_APOSTROPHE)) {
        int n = contraction(p, end, true);
        if (n)
            return p + n;
    }
    uint32_t next = peek(p + len, end);
    if (!(mask & r.not_prefix) && (next & r.body))
        return r.joined ? skip_joined(p + len, end) : skip(p + len, end, r.body);
    if (mask & CHAR_N)
        return skip_some(p, end, CHAR_N, r.digits);
    if ((mask & CHAR_BLANK) && next && !(next & r.not_punct))
        return skip_punct(p + 1, end, r.not_punct, r.tail, r.max_tail);
    if (!(mask & CHAR_SPACE))
        return skip_punct(p, end, r.not_punct, r.tail, r.max_tail);
    if (r.powers)
        return white_space_powers(level);
    struct space_run run = space_run(p, end);
    return run.line ? run.line : white_space(run, p, end);
}

/* body, not_prefix, not_punct, tail, max_tail, digits, contractions, joined, powers */
static const struct word_rule rule_l3 = {CHAR_L, NEWLINE_L_N, SPACE_L_N, CHAR_NEWLINE, 0,
                                         3,      true,        false,     false};
static const struct word_rule rule_l3p = {CHAR_L, NEWLINE_L_N, SPACE_L_N, CHAR_NEWLINE, 0,
                                          0,      true,        false,     false};
static const struct word_rule rule_q2 = {CHAR_L, NEWLINE_L_N, SPACE_L_N, CHAR_NEWLINE, 0,
                                         1,      true,        false,     false};
static const struct word_rule rule_q2t = {CHAR_L, NEWLINE_L_N, SPACE_L_N, CHAR_NEWLINE, 0,
                                          1,      false,       false,     false};
static const struct word_rule rule_q35 = {
    CHAR_L | CHAR_M, NEWLINE_L_N, SPACE_L_N | CHAR_M, CHAR_NEWLINE, 0, 1, true, false, false};
static const struct word_rule rule_j2 = {CHAR_L, NEWLINE_L_N, SPACE_L_N, CHAR_NEWLINE, 0,
                                         3,      true,        false,     true};
static const struct word_rule rule_sc = {CHAR_L, NEWLINE_L_N, SPACE_L_N, 0,    0,
                                         1,      true,        false,     false};
static const struct word_rule rule_exm = {
    CHAR_L, NEWLINE_L_N, SPACE_L_N, CHAR_NEWLINE | CHAR_SLASH, 1, 1, true, true, false};

/* Words that also end between a small and a capital letter:
 *   U  [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+
 *   V  the same with + in the middle and * at the end; tried after U. */
struct cased_rule {
    uint32_t not_word; /* characters with a bit of it belong to no word */
    uint32_t tail;
    int digits;
    bool contractions; /* at the end of a word */
};

static inline uint32_t word_mask(uint32_t mask, uint32_t not_word)
{
    return mask & not_word ? 0 : mask;
}

/* The match of U without its first character, else of V, at p; NULL when neither matches. The first
 * class takes all it can and gives back only to the last character that is in both classes. */
static inline const char *cased_word(const char *p, const char *end, uint32_t not_word)
{
    const char *q = p, *behind_both = NULL;
    uint32_t mask = 0;
    while (q < end) {
        int len;
        mask = word_mask(char_at(q, end, &len), not_word);
        if (!(mask & UPPER))
            break;
        q += len;
        if (mask & LOWER)
            behind_both = q;
    }
    if (q < end && (mask & LOWER)) {
        if (!not_word)
            return skip(q, end, LOWER);
        for (int len; q < end && (word_mask(char_at(q, end, &len), not_word) & LOWER);)
            q += len;
        return q;
    }
    return behind_both ? behind_both : q > p ? q : NULL;
}

static inline const char *scan_cased(struct pretok_level *level, struct cased_rule r)
{
    const char *p = level->p, *end = level->end, *word = NULL;
    int len;
    uint32_t mask = char_at(p, end, &len);
    if (mask & r.not_word)
        return skip(p + len, end, r.not_word);
    uint32_t next = 0;
    /* A mark is also allowed as the first character, with the same extent of the match. */
    if (mask & (CHAR_L | CHAR_M)) {
        word = cased_word(p, end, r.not_word);
    } else if (!(mask & NEWLINE_L_N)) {
        next = peek(p + len, end);
        if (word_mask(next, r.not_word) & (CHAR_L | CHAR_M))
            word = cased_word(p + len, end, r.not_word);
    }
    if (word)
        return r.contractions ? word + contraction(word, end, true) : word;
    if (mask & CHAR_N)
        return skip_some(p, end, CHAR_N, r.digits);
    if ((mask & CHAR_BLANK) && next && !(next & SPACE_L_N))
        return skip_punct(p + 1, end, SPACE_L_N, r.tail, 0);
    if (!(mask & CHAR_SPACE))
        return skip_punct(p, end, SPACE_L_N, r.tail, 0);
    struct space_run run = space_run(p, end);
    return run.line ? run.line : white_space(run, p, end);
}

static const struct cased_rule rule_g4o = {0, CHAR_NEWLINE | CHAR_SLASH, 3, true};
static const struct cased_rule rule_tk = {0, CHAR_NEWLINE | CHAR_SLASH, 1, false};
static const struct cased_rule rule_yt2 = {0, CHAR_NEWLINE | CHAR_SLASH, 1, true};
static const struct cased_rule rule_k2 = {CHAR_HAN, CHAR_NEWLINE, 3, true};

#define MATCHER(name, scan, its_rule)                                                              \
    const char *name(const void *rule, struct pretok_level *level)                                 \
    {                                                                                              \
        (void)rule;                                                                                \
        return scan(level, its_rule);                                                              \
    }
MATCHER(pretok_l3, scan_words, rule_l3)
MATCHER(pretok_l3p, scan_words, rule_l3p)
MATCHER(pretok_q2, scan_words, rule_q2)
MATCHER(pretok_q2t, scan_words, rule_q2t)
MATCHER(pretok_q35, scan_words, rule_q35)
MATCHER(pretok_j2, scan_words, rule_j2)
MATCHER(pretok_sc, scan_words, rule_sc)
MATCHER(pretok_exm, scan_words, rule_exm)
MATCHER(pretok_g4o, scan_cased, rule_g4o)
MATCHER(pretok_tk, scan_cased, rule_tk)
MATCHER(pretok_yt2, scan_cased, rule_yt2)
MATCHER(pretok_k2, scan_cased, rule_k2)

static inline bool ascii_letter(const char *p, const char *end)
{
    return p < end && (unicode_ascii[(unsigned char)*p] & CHAR_L);
}

/* Whether one of the alternatives of scan_symbols starts at the character p. */
static bool symbols_match_at(const char *p, const char *end)
{
    int len;
    if (char_at(p, end, &len) & (CHAR_L | CHAR_M | CHAR_P | CHAR_S | CHAR_SPACE))
        return true;
    return peek(p + len, end) & (CHAR_L | CHAR_M);
}

/* [ASCII punctuation][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+, then
 *   DS3   ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|white space
 *   SPK   ?[\p{P}\p{S}]+|[\r\n]|white space
 * Numbers and control characters are left over between matches. */
static inline const char *scan_symbols(struct pretok_level *level, bool ds3)
{
    const char *p = level->p, *end = level->end;
    int len;
    uint32_t mask = char_at(p, end, &len);
    if (mask & (CHAR_L | CHAR_M))
        return skip(p + len, end, CHAR_L | CHAR_M);
    if ((mask & CHAR_ASCII) && (mask & (CHAR_P | CHAR_S)) && ascii_letter(p + 1, end)) {
        for (p++; ascii_letter(p, end);)
            p++;
        return p;
    }
    uint32_t next = peek(p + len, end);
    if (!(mask & (CHAR_NEWLINE | CHAR_P | CHAR_S)) && (next & (CHAR_L | CHAR_M)))
        return skip(p + len, end, CHAR_L | CHAR_M);
    if ((mask & (CHAR_P | CHAR_S)) || ((mask & CHAR_BLANK) && (next & (CHAR_P | CHAR_S)))) {
        p = skip(p + len, end, CHAR_P | CHAR_S);
        return ds3 ? skip(p, end, CHAR_NEWLINE) : p;
    }
    if (mask & CHAR_SPACE) {
        if (!ds3 && (mask & CHAR_NEWLINE))
            return p + 1;
        struct space_run run = space_run(p, end);
        return ds3 && run.line ? run.line : white_space(run, p, end);
    }
    do {
        p += len;
    } while (p < end && !symbols_match_at(p, end) && char_at(p, end, &len));
    return p;
}

MATCHER(pretok_ds3, scan_symbols, true)
MATCHER(pretok_spk, scan_symbols, false)
