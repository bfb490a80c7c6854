/* The regexes that are runs of one class, and the few that fit no family
 * (tokenizer/pretokenize.h). Between matches lies text that is a piece of its own. */
#include "tokenizer/pretokenize.h"
#include "tokenizer/unicode.h"

#include <string.h>

static bool in_ranges(const struct pretok_set *set, uint32_t cp)
{
    unsigned lo = 0, hi = set->n_ranges;
    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        if (cp > set->ranges[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < set->n_ranges && cp >= set->ranges[lo].first;
}

/* Length of the character at p if it is in the set, else 0. */
static inline int set_match(const struct pretok_set *set, const char *p, const char *end)
{
    int len;
    if (p == end)
        return 0;
    bool in = char_at(p, end, &len) & set->mask;
    if (!in && (unsigned char)*p < 0x80) {
        in = *p && set->ascii && strchr(set->ascii, *p);
        if (!in && set->n_ranges && set->ranges[0].first < 0x80)
            in = in_ranges(set, (unsigned char)*p);
    } else if (!in && set->n_ranges) {
        uint32_t cp;
        in = oll_utf8_decode(p, (size_t)(end - p), &cp) && in_ranges(set, cp);
    }
    return in != set->negated ? len : 0;
}

/* Behind body{min,max} at p, NULL when there are fewer. */
static inline const char *body_match(const struct pretok_run *run, const char *p, const char *end)
{
    unsigned n = 0;
    for (int len; (run->max == 0 || n < run->max) && (len = set_match(run->body, p, end)) > 0; n++)
        p += len;
    return n >= run->min ? p : NULL;
}

/* Behind the match at p, NULL when there is none. A leading character that is itself in `body`
 * changes nothing: the run is the same. */
static const char *run_match(const struct pretok_run *run, const char *p, const char *end)
{
    for (; run->body; run++) {
        int lead = run->lead ? set_match(run->lead, p, end) : 0;
        const char *q = lead ? body_match(run, p + lead, end) : NULL;
        if (!q)
            q = body_match(run, p, end);
        if (q)
            return q;
    }
    return NULL;
}

const char *pretok_runs(const void *rule, struct pretok_level *level)
{
    const char *p = level->p, *end = level->end, *q = run_match(rule, p, end);
    if (q)
        return q;
    do {
        int len;
        char_at(p, end, &len);
        p += len;
    } while (p < end && !run_match(rule, p, end));
    return p;
}

const bool pretok_groups_anywhere = false, pretok_groups_at_boundary = true;

static const char *skip_digits(const char *p, const char *end, size_t n)
{
    for (int len; n > 0 && p < end && (char_at(p, end, &len) & CHAR_DIGIT); n--)
        p += len;
    return p;
}

/* The first run of digits in [p, end) that may be cut, as its length in characters and bounds; 0
 * when there is none. */
static size_t find_digits(const char *p, const char *end, bool boundary, const char **first,
                          const char **last)
{
    while (p < end) {
        int len;
        size_t n = 0;
        const char *start = p;
        while (p < end && (char_at(p, end, &len) & CHAR_DIGIT)) {
            p += len;
            n++;
        }
        bool refused = boundary && p < end && (char_at(p, end, &len) & CHAR_WORD);
        if (n > 0 && !refused) {
            *first = start;
            *last = p;
            return n;
        }
        if (p < end) {
            char_at(p, end, &len);
            p += len;
        }
    }
    return 0;
}

/* \d{1,3}(?=(?:\d{3})*(?!\d)), or with \b as the last condition. The memo is the end of a run that
 * is being cut; a run before a letter has no boundary at all. */
const char *pretok_groups(const void *rule, struct pretok_level *level)
{
    const bool *boundary = rule;
    const char *p = level->p, *end = level->end, *first, *last;
    if (level->memo && level->memo > p)
        return skip_digits(p, end, 3);
    size_t n = find_digits(p, end, *boundary, &first, &last);
    if (n == 0)
        return end;
    if (first > p)
        return first;
    level->memo = last;
    return skip_digits(p, end, n % 3 ? n % 3 : 3);
}

/* \s+$ */
const char *pretok_trailing_space(const void *rule, struct pretok_level *level)
{
    const char *run = NULL;
    (void)rule;
    for (const char *q = level->p; q < level->end;) {
        int len;
        if (!(char_at(q, level->end, &len) & CHAR_SPACE))
            run = NULL;
        else if (!run)
            run = q;
        q += len;
    }
    return run && run > level->p ? run : level->end;
}

/* Behind the literal at p, NULL when it is not there. */
static const char *literal(const char *p, const char *end, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(end - p) >= n && memcmp(p, text, n) == 0 ? p + n : NULL;
}

static const char *sentinel_at(const char *p, const char *end)
{
    const char *digits = literal(p, end, "<sentinel:"), *q = digits;
    while (q && q < end && *q >= '0' && *q <= '9')
        q++;
    return q && q > digits && q < end && *q == '>' ? q + 1 : NULL;
}

static const char *image_at(const char *p, const char *end)
{
    const char *letters = literal(p, end, "IMGIMG"), *q = letters;
    while (q && q < end && q - letters < 4 && *q >= 'A' && *q <= 'I')
        q++;
    return q && q > letters && q < end && *q == 'Z' ? q + 1 : NULL;
}

static const char *indent_at(const char *p, const char *end)
{
    if (*p == '\t' || *p == '\n')
        return p + 1;
    const char *four = literal(p, end, "    ");
    return four ? four : literal(p, end, "  ");
}

/* A match at the start of the text, or the text before the next one. */
static const char *match_or_gap(struct pretok_level *level,
                                const char *(*match_at)(const char *p, const char *end))
{
    const char *p = level->p, *q = match_at(p, level->end);
    if (q)
        return q;
    do {
        p++;
    } while (p < level->end && !match_at(p, level->end));
    return p;
}

/* <sentinel:[0-9]+> */
const char *pretok_sentinel(const void *rule, struct pretok_level *level)
{
    (void)rule;
    return match_or_gap(level, sentinel_at);
}

/* (IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z */
const char *pretok_image(const void *rule, struct pretok_level *level)
{
    (void)rule;
    return match_or_gap(level, image_at);
}

/* ([\t\n]|    |  ) */
const char *pretok_indent(const void *rule, struct pretok_level *level)
{
    (void)rule;
    return match_or_gap(level, indent_at);
}

/* ---- the classes ---- */

#define RANGES(list) .ranges = list, .n_ranges = sizeof list / sizeof list[0]
#define END_OF_RUNS  {0}

static const struct pretok_set set_number = {.mask = CHAR_N};
static const struct pretok_set set_ascii_digit = {.mask = CHAR_ASCII_DIGIT};
static const struct pretok_set set_letter = {.mask = CHAR_L};
static const struct pretok_set set_punct = {.mask = CHAR_P};
static const struct pretok_set set_space = {.mask = CHAR_SPACE};
static const struct pretok_set set_not_space = {.mask = CHAR_SPACE, .negated = true};
static const struct pretok_set set_blank = {.mask = CHAR_BLANK};
static const struct pretok_set set_newline = {.mask = CHAR_NEWLINE};
static const struct pretok_set set_lf = {.ascii = "\n"};
static const struct pretok_set set_not_lf = {.ascii = "\n", .negated = true};
static const struct pretok_set set_falcon = {.mask = CHAR_P, .ascii = "$+<=>^~|`"};
static const struct pretok_set set_default = {.mask = CHAR_P, .ascii = "$+<=>^~|"};
static const struct pretok_set set_ascii_punct = {.mask = CHAR_P, .ascii = "$+<=>^`|~"};

const struct pretok_run pretok_run_number1[] = {{NULL, &set_number, 1, 1}, END_OF_RUNS};
const struct pretok_run pretok_run_number3[] = {{NULL, &set_number, 1, 3}, END_OF_RUNS};
const struct pretok_run pretok_run_number[] = {{NULL, &set_number, 1, 0}, END_OF_RUNS};
const struct pretok_run pretok_run_ascii3[] = {{NULL, &set_ascii_digit, 3, 3}, END_OF_RUNS};
const struct pretok_run pretok_run_newline[] = {{NULL, &set_newline, 1, 1}, END_OF_RUNS};
const struct pretok_run pretok_run_lines[] = {
    {NULL, &set_not_lf, 1, 0}, {NULL, &set_lf, 1, 0}, END_OF_RUNS};
const struct pretok_run pretok_run_words[] = {{&set_space, &set_letter, 1, 0}, END_OF_RUNS};
const struct pretok_run pretok_run_punct[] = {{&set_space, &set_punct, 1, 0}, END_OF_RUNS};
const struct pretok_run pretok_run_not_space[] = {{NULL, &set_not_space, 1, 0}, END_OF_RUNS};
const struct pretok_run pretok_run_falcon_punct[] = {{NULL, &set_falcon, 1, 0}, END_OF_RUNS};
const struct pretok_run pretok_run_default_punct[] = {{NULL, &set_default, 1, 0}, END_OF_RUNS};
const struct pretok_run pretok_run_ascii_punct[] = {{NULL, &set_ascii_punct, 1, 1}, END_OF_RUNS};

static const struct pretok_range cjk[] = {{0x0800, 0x9FA5}, {0xAC00, 0xD7FF}};
static const struct pretok_set set_cjk = {RANGES(cjk)};
const struct pretok_run pretok_run_cjk[] = {{NULL, &set_cjk, 1, 0}, END_OF_RUNS};

static const struct pretok_range han_kana[] = {{0x3040, 0x30FF}, {0x4E00, 0x9FA5}};
static const struct pretok_set set_han_kana = {RANGES(han_kana)};
const struct pretok_run pretok_run_deepseek_han[] = {{NULL, &set_han_kana, 1, 0}, END_OF_RUNS};

static const struct pretok_range hangul[] = {{0x3131, 0x318E}, {0xAC00, 0xD7A3}};
static const struct pretok_range wide_punct[] = {
    {0x2014, 0x2014}, {0x2018, 0x2019}, {0x201C, 0x201D}, {0x2026, 0x2026}, {0x3001, 0x303F},
    {0xFE30, 0xFE4F}, {0xFF01, 0xFF01}, {0xFF0C, 0xFF0C}, {0xFF1A, 0xFF1B}};
static const struct pretok_range bopomofo[] = {{0x3105, 0x312F}};
static const struct pretok_set set_hangul = {RANGES(hangul)};
static const struct pretok_set set_wide_punct = {RANGES(wide_punct)};
static const struct pretok_set set_bopomofo = {RANGES(bopomofo)};
const struct pretok_run pretok_run_youtu[] = {{NULL, &set_hangul, 1, 0},
                                              {NULL, &set_wide_punct, 1, 0},
                                              {NULL, &set_bopomofo, 1, 0},
                                              {NULL, &set_han_kana, 1, 0},
                                              END_OF_RUNS};

static const struct pretok_range asian[] = {
    {0x0E40, 0x0EFF}, {0x1000, 0x109F}, {0x1100, 0x11FF}, {0x1780, 0x17FF}, {0x2F00, 0x2FDF},
    {0x3040, 0x30FF}, {0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xA9E0, 0xA9FF}, {0xAA60, 0xAA7F},
    {0xAC00, 0xD7AF}, {0xF900, 0xFAFF}, {0xFF65, 0xFF9F}};
static const struct pretok_set set_asian = {RANGES(asian)};
const struct pretok_run pretok_run_afmoe[] = {{NULL, &set_asian, 1, 0}, END_OF_RUNS};

static const struct pretok_range sentence_marks[] = {{0x060C, 0x060C}, {0x06D4, 0x06D4},
                                                     {0x0964, 0x0964}, {0x2026, 0x2026},
                                                     {0x3001, 0x3002}, {0xFF0C, 0xFF0C}};
static const struct pretok_set set_bloom = {CHAR_SPACE, "(|.,!?)", RANGES(sentence_marks),
                                            .negated = true};
const struct pretok_run pretok_run_bloom[] = {{&set_blank, &set_bloom, 1, 0}, END_OF_RUNS};

/* clang-format off */
static const struct pretok_range cased_letters[] = {
    {0x0041, 0x005A}, {0x0061, 0x007A}, {0x00B5, 0x00B5}, {0x00C0, 0x00D6}, {0x00D8, 0x00F6},
    {0x00F8, 0x01BA}, {0x01BC, 0x01BF}, {0x01C4, 0x0293}, {0x0295, 0x02AF}, {0x0370, 0x0373},
    {0x0376, 0x0376}, {0x0377, 0x0377}, {0x037B, 0x037D}, {0x037F, 0x037F}, {0x0386, 0x0386},
    {0x0388, 0x038A}, {0x038C, 0x038C}, {0x038E, 0x03A1}, {0x03A3, 0x03F5}, {0x03F7, 0x0481},
    {0x048A, 0x052F}, {0x0531, 0x0556}, {0x10A0, 0x10C5}, {0x13A0, 0x13F5}, {0x13F8, 0x13FD},
    {0x1C90, 0x1CBA}, {0x1CBD, 0x1CBF}, {0x1D00, 0x1D2B}, {0x1D6B, 0x1D77}, {0x1D79, 0x1D9A},
    {0x1E00, 0x1F15}, {0x1F18, 0x1F1D}, {0x1F20, 0x1F45}, {0x1F48, 0x1F4D}, {0x1F50, 0x1F57},
    {0x1F59, 0x1F59}, {0x1F5B, 0x1F5B}, {0x1F5D, 0x1F5D}, {0x1F5F, 0x1F7D}, {0x1F80, 0x1FB4},
    {0x1FB6, 0x1FBC}, {0x1FBE, 0x1FBE}, {0x1FC2, 0x1FC4}, {0x1FC6, 0x1FCC}, {0x1FD0, 0x1FD3},
    {0x1FD6, 0x1FDB}, {0x1FE0, 0x1FEC}, {0x1FF2, 0x1FF4}, {0x1FF6, 0x1FFC}, {0x2102, 0x2102},
    {0x2107, 0x2107}, {0x210A, 0x2113}, {0x2115, 0x2115}, {0x2119, 0x211D}, {0x2124, 0x2124},
    {0x2126, 0x2126}, {0x2128, 0x2128}, {0x212A, 0x212D}, {0x212F, 0x2134}, {0x2139, 0x2139},
    {0x213C, 0x213F}, {0x2145, 0x2149}, {0x214E, 0x214E}, {0x2183, 0x2183}, {0x2184, 0x2184},
    {0x2C00, 0x2C7B}, {0x2C7E, 0x2CE4}, {0x2CEB, 0x2CEE}, {0x2CF2, 0x2CF2}, {0x2CF3, 0x2CF3},
    {0xA640, 0xA66D}, {0xA680, 0xA69B}, {0xA722, 0xA76F}, {0xA771, 0xA787}, {0xA78B, 0xA78E},
    {0xAB70, 0xABBF}, {0xFB00, 0xFB06}, {0xFB13, 0xFB17}, {0xFF21, 0xFF3A}, {0xFF41, 0xFF5A},
    {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB}, {0x10C80, 0x10CB2},
    {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
};
/* clang-format on */
static const struct pretok_set set_cased_letters = {RANGES(cased_letters)};
const struct pretok_run pretok_run_deepseek_letters[] = {{&set_space, &set_cased_letters, 1, 0},
                                                         END_OF_RUNS};

static const struct pretok_range marks[] = {{0x21, 0x2F},     {0x3A, 0x7E},     {0x2018, 0x201F},
                                            {0x3000, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E}};
static const struct pretok_set set_marks = {RANGES(marks)};
const struct pretok_run pretok_run_deepseek_punct[] = {{&set_space, &set_marks, 1, 0}, END_OF_RUNS};
