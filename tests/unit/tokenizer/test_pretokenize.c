/* The matchers written by hand against the regexes they stand for: a small backtracking matcher
 * runs the patterns as published, and both must cut the same pieces from random texts. */
#include "tests/testing.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a backtracking matcher for the patterns below ---- */

enum { MAX_OPS = 4096, MAX_SETS = 256, MAX_ITEMS = 160 };

enum op_kind { OP_SET, OP_SPLIT, OP_JUMP, OP_AHEAD, OP_NOT_AHEAD, OP_BOUNDARY, OP_END, OP_MATCH };

struct op {
    enum op_kind kind;
    int a, b; /* set; targets of a split in order of preference; end of a look-ahead */
};

struct set_item {
    uint32_t mask, first, last; /* mask, or a range when it is 0 */
};

struct set {
    struct set_item items[MAX_ITEMS];
    int n;
    bool negated;
};

struct regex {
    struct op ops[MAX_OPS];
    struct set sets[MAX_SETS];
    int n_ops, n_sets;
    const char *pattern, *at;
};

static int emit(struct regex *re, enum op_kind kind, int a, int b)
{
    OLL_ASSERT(re->n_ops < MAX_OPS);
    re->ops[re->n_ops] = (struct op){kind, a, b};
    return re->n_ops++;
}

static void set_add(struct set *set, uint32_t mask, uint32_t first, uint32_t last)
{
    OLL_ASSERT(set->n < MAX_ITEMS);
    set->items[set->n++] = (struct set_item){mask, first, last};
}

static uint32_t property(const char *name, size_t n)
{
    static const struct {
        const char *name;
        uint32_t mask;
    } known[] = {{"L", CHAR_L},   {"N", CHAR_N},   {"M", CHAR_M},    {"P", CHAR_P},
                 {"S", CHAR_S},   {"Lu", CHAR_LU}, {"Ll", CHAR_LL},  {"Lt", CHAR_LT},
                 {"Lm", CHAR_LM}, {"Lo", CHAR_LO}, {"Han", CHAR_HAN}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strlen(known[i].name) == n && memcmp(known[i].name, name, n) == 0)
            return known[i].mask;
    OLL_ASSERT(!"unknown property");
    return 0;
}

/* Reads one element of a class or one character: a mask, else a code point. */
static uint32_t read_element(struct regex *re, uint32_t *mask)
{
    const char *p = re->at;
    uint32_t cp = 0;
    *mask = 0;
    if (*p != '\\') {
        re->at += oll_utf8_decode(p, strlen(p), &cp);
        return cp;
    }
    p += 2;
    switch (p[-1]) {
    case 'p': *mask = property(p + 1, strcspn(p + 1, "}")); break;
    case 'x': cp = (uint32_t)strtoul(p + 1, NULL, 16); break;
    case 's': *mask = CHAR_SPACE; break;
    case 'S': *mask = CHAR_SPACE; break; /* parse_set negates */
    case 'd': *mask = CHAR_DIGIT; break;
    case 'r': cp = '\r'; break;
    case 'n': cp = '\n'; break;
    case 't': cp = '\t'; break;
    default: cp = (unsigned char)p[-1]; break;
    }
    bool braces = p[-1] == 'p' || p[-1] == 'x';
    re->at = braces ? p + strcspn(p, "}") + 1 : p;
    return cp;
}

static int parse_set(struct regex *re)
{
    OLL_ASSERT(re->n_sets < MAX_SETS);
    struct set *set = &re->sets[re->n_sets];
    uint32_t mask;
    memset(set, 0, sizeof *set);
    if (*re->at != '[') {
        bool not_space = re->at[0] == '\\' && re->at[1] == 'S';
        uint32_t cp = read_element(re, &mask);
        set->negated = not_space;
        set_add(set, mask, cp, cp);
        return re->n_sets++;
    }
    re->at++;
    set->negated = *re->at == '^';
    re->at += set->negated;
    while (*re->at != ']') {
        uint32_t first = read_element(re, &mask), last = first, unused;
        if (!mask && re->at[0] == '-' && re->at[1] != ']') {
            re->at++;
            last = read_element(re, &unused);
        }
        set_add(set, mask, first, last);
    }
    re->at++;
    return re->n_sets++;
}

static void parse_alternatives(struct regex *re);

static void parse_atom(struct regex *re)
{
    if (strncmp(re->at, "(?:", 3) == 0 || (re->at[0] == '(' && re->at[1] != '?')) {
        re->at += re->at[1] == '?' ? 3 : 1;
        parse_alternatives(re);
        OLL_ASSERT(*re->at == ')');
        re->at++;
    } else if (strncmp(re->at, "(?!", 3) == 0 || strncmp(re->at, "(?=", 3) == 0) {
        int op = emit(re, re->at[2] == '!' ? OP_NOT_AHEAD : OP_AHEAD, 0, 0);
        re->at += 3;
        parse_alternatives(re);
        OLL_ASSERT(*re->at == ')');
        re->at++;
        emit(re, OP_MATCH, 0, 0);
        re->ops[op].a = re->n_ops;
    } else if (strncmp(re->at, "\\b", 2) == 0) {
        re->at += 2;
        emit(re, OP_BOUNDARY, 0, 0);
    } else if (*re->at == '$') {
        re->at++;
        emit(re, OP_END, 0, 0);
    } else {
        emit(re, OP_SET, parse_set(re), 0);
    }
}

/* Appends a copy of ops [from, to); jumps inside it move along. */
static void copy_ops(struct regex *re, int from, int to)
{
    int shift = re->n_ops - from;
    for (int i = from; i < to; i++) {
        struct op op = re->ops[i];
        bool targets = op.kind != OP_SET;
        emit(re, op.kind, op.a + (targets ? shift : 0), op.b + (targets ? shift : 0));
    }
}

static void parse_repeat(struct regex *re)
{
    int from = re->n_ops, min = 1, max = 1;
    parse_atom(re);
    char c = *re->at;
    if (c == '?' || c == '*' || c == '+') {
        min = c == '+';
        max = c == '?' ? 1 : -1;
        re->at++;
    } else if (c == '{') {
        char *end;
        min = max = (int)strtol(re->at + 1, &end, 10);
        if (*end == ',')
            max = (int)strtol(end + 1, &end, 10);
        re->at = end + 1;
    } else {
        return;
    }
    int n = re->n_ops - from;
    struct op *body = oll_alloc((size_t)n, sizeof *body);
    OLL_ASSERT(body);
    memcpy(body, re->ops + from, (size_t)n * sizeof *body);
    /* The first copy stays where it is and serves as the source of the others. */
    int source = from;
    for (int i = 1; i < min; i++)
        copy_ops(re, source, source + n);
    if (min == 0) {
        /* Moves the body behind a split. */
        re->n_ops = from;
        emit(re, OP_SPLIT, from + 1, 0);
        for (int i = 0; i < n; i++) {
            bool targets = body[i].kind != OP_SET;
            emit(re, body[i].kind, body[i].a + targets, body[i].b + targets);
        }
        source = from + 1;
        if (max < 0)
            emit(re, OP_JUMP, from, 0);
        re->ops[from].b = re->n_ops;
        min = 1;
    } else if (max < 0) {
        int last = re->n_ops - n;
        int split = emit(re, OP_SPLIT, last, 0);
        re->ops[split].b = re->n_ops;
    }
    int splits[16], n_splits = 0;
    for (int i = min; i < max; i++) {
        splits[n_splits++] = emit(re, OP_SPLIT, re->n_ops + 1, 0);
        copy_ops(re, source, source + n);
    }
    while (n_splits > 0)
        re->ops[splits[--n_splits]].b = re->n_ops;
    oll_free(body);
}

static void parse_alternatives(struct regex *re)
{
    int ends[64], n_ends = 0;
    for (;;) {
        int split = emit(re, OP_SPLIT, re->n_ops + 1, -1);
        while (*re->at && *re->at != '|' && *re->at != ')')
            parse_repeat(re);
        if (*re->at != '|') {
            re->ops[split] = (struct op){OP_JUMP, split + 1, 0};
            break;
        }
        re->at++;
        ends[n_ends++] = emit(re, OP_JUMP, 0, 0);
        re->ops[split].b = re->n_ops;
    }
    while (n_ends > 0)
        re->ops[ends[--n_ends]].a = re->n_ops;
}

static struct regex *regex_new(const char *pattern)
{
    struct regex *re = oll_calloc(1, sizeof *re);
    OLL_ASSERT(re);
    re->pattern = re->at = pattern;
    parse_alternatives(re);
    OLL_ASSERT(*re->at == '\0');
    emit(re, OP_MATCH, 0, 0);
    return re;
}

static bool in_set(const struct set *set, uint32_t mask, uint32_t cp)
{
    for (int i = 0; i < set->n; i++)
        if (set->items[i].mask ? (mask & set->items[i].mask) != 0
                               : cp >= set->items[i].first && cp <= set->items[i].last)
            return !set->negated;
    return set->negated;
}

static bool is_word(const char *p, const char *end)
{
    int len;
    return p < end && (char_at(p, end, &len) & CHAR_WORD);
}

static bool ends_in_word(const char *start, const char *p, const char *end)
{
    const char *q = p - 1;
    while (q > start && ((unsigned char)*q & 0xC0) == 0x80)
        q--;
    return p > start && is_word(q, end);
}

static const char *run_ops(const struct regex *re, int pc, const char *start, const char *p,
                           const char *end)
{
    for (;;) {
        const struct op *op = &re->ops[pc++];
        uint32_t cp = UINT32_MAX;
        int len;
        const char *q;
        switch (op->kind) {
        case OP_SET:
            if (p == end)
                return NULL;
            uint32_t mask = char_at(p, end, &len);
            oll_utf8_decode(p, (size_t)(end - p), &cp);
            if (!in_set(&re->sets[op->a], mask, cp))
                return NULL;
            p += len;
            break;
        case OP_SPLIT:
            q = run_ops(re, op->a, start, p, end);
            if (q)
                return q;
            pc = op->b;
            break;
        case OP_JUMP: pc = op->a; break;
        case OP_AHEAD:
        case OP_NOT_AHEAD:
            q = run_ops(re, pc, start, p, end);
            if ((q != NULL) != (op->kind == OP_AHEAD))
                return NULL;
            pc = op->a;
            break;
        case OP_BOUNDARY:
            if (ends_in_word(start, p, end) == is_word(p, end))
                return NULL;
            break;
        case OP_END:
            if (p != end)
                return NULL;
            break;
        case OP_MATCH: return p;
        }
    }
}

/* ---- the patterns, as published ---- */

#define P_C     "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define P_WS    "\\s+(?!\\S)|\\s+"
#define P_NWS   "\\s*[\\r\\n]+|" P_WS
#define P_G2    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" P_WS
#define P_WORD  "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define P_PUNCT " ?[^\\s\\p{L}\\p{N}]+"
#define P_L3    P_C "|" P_WORD "|\\p{N}{1,3}|" P_PUNCT "[\\r\\n]*|" P_NWS
#define P_L3P   P_C "|" P_WORD "|\\p{N}+|" P_PUNCT "[\\r\\n]*|" P_NWS
#define P_Q2T   P_WORD "|\\p{N}|" P_PUNCT "[\\r\\n]*|" P_NWS
#define P_Q2    P_C "|" P_Q2T
#define P_Q35                                                                                      \
    P_C "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "                                          \
        "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" P_NWS
#define P_J2                                                                                       \
    P_C "|" P_WORD "|\\p{N}{1,3}|" P_PUNCT "[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|"              \
        "\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|"            \
        "\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"
#define P_U                                                                                        \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
#define P_V                                                                                        \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
#define P_NOT_HAN(x) "(?:(?!\\p{Han})" x ")"
#define P_KU                                                                                       \
    P_NOT_HAN("[^\\r\\n\\p{L}\\p{N}]")                                                             \
    "?" P_NOT_HAN("[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]") "*" P_NOT_HAN(                           \
        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]") "+"
#define P_KV                                                                                       \
    P_NOT_HAN("[^\\r\\n\\p{L}\\p{N}]")                                                             \
    "?" P_NOT_HAN("[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]") "+" P_NOT_HAN(                           \
        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]") "*"
#define P_G4O P_U "(" P_C ")?|" P_V "(" P_C ")?|\\p{N}{1,3}|" P_PUNCT "[\\r\\n/]*|" P_NWS
#define P_TK  P_U "|" P_V "|\\p{N}|" P_PUNCT "[\\r\\n/]*|" P_NWS
#define P_YT2 P_U "(" P_C ")?|" P_V "(" P_C ")?|\\p{N}|" P_PUNCT "[\\r\\n/]*|" P_NWS
#define P_YT1                                                                                      \
    "[\\x{AC00}-\\x{D7A3}\\x{3131}-\\x{318E}]+|[\\x{FF01}\\x{2026}\\x{201C}\\x{201D}\\x{2018}"     \
    "\\x{2019}\\x{2014}\\x{FF1A}\\x{FF1B}\\x{FF0C}\\x{3001}-\\x{303F}\\x{FE30}-\\x{FE4F}]+|"       \
    "[\\x{3105}-\\x{312F}]+|[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
#define P_K2                                                                                       \
    "[\\p{Han}]+|" P_KU "(" P_C ")?|" P_KV "(" P_C ")?|\\p{N}{1,3}|" P_PUNCT "[\\r\\n]*|" P_NWS
#define P_DSC "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
#define P_DSX                                                                                      \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"                                       \
    "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+"
#define P_DS3 P_DSX "[\\r\\n]*|" P_NWS
#define P_SPK P_DSX "|[\\r\\n]|" P_WS
#define P_CJK "[\\x{4E00}-\\x{9FA5}\\x{0800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
#define P_BLM " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{0964}\\x{06D4}\\x{060C})]+"
#define P_BL                                                                                       \
    "'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|" P_WORD "|\\p{N}|" P_PUNCT                        \
    "[\\r\\n]*|\\s*[\\r\\n]|" P_WS
#define P_SC P_C "|" P_WORD "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" P_NWS
#define P_EXM                                                                                      \
    P_C "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|" P_PUNCT             \
        "[\\r\\n/]?|\\s*[\\r\\n]|" P_WS
#define P_R3     "\\d{1,3}(?=(?:\\d{3})*\\b)"
#define P_GROUPS "\\d{1,3}(?=(?:\\d{3})*(?!\\d))"
#define P_AFC                                                                                      \
    "[\\x{4E00}-\\x{9FFF}\\x{3400}-\\x{4DBF}\\x{F900}-\\x{FAFF}\\x{3040}-\\x{309F}\\x{30A0}-"      \
    "\\x{30FF}\\x{FF65}-\\x{FF9F}\\x{2F00}-\\x{2FDF}\\x{0E40}-\\x{0E7F}\\x{0E80}-\\x{0EFF}"        \
    "\\x{1780}-\\x{17FF}\\x{1000}-\\x{109F}\\x{AA60}-\\x{AA7F}\\x{A9E0}-\\x{A9FF}\\x{AC00}-"       \
    "\\x{D7AF}\\x{1100}-\\x{11FF}]+"
#define P_DSP                                                                                      \
    "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+"
/* The part of the letter class that the alphabet of the test can tell apart. */
#define P_DSL "\\s?[A-Za-z\\x{00B5}\\x{00C0}-\\x{00D6}\\x{00D8}-\\x{00F6}\\x{01C4}-\\x{0293}]+"

static const struct {
    const char *names;
    const char *patterns[PRETOK_MAX_PASSES];
} expected[] = {
    {"default", {"[\\p{P}\\$\\+<=>\\^~\\|]+", P_G2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"llama-bpe", {P_L3}},
    {"qwen2", {P_Q2}},
    {"qwen35", {P_Q35}},
    {"gpt-4o", {P_G4O}},
    {"granite-embed-multi-97m", {P_G4O}},
    {"tekken", {P_TK}},
    {"gemma4", {"[^\\n]+|[\\n]+"}},
    {"whitespace", {"\\S+"}},
    {"gpt-2", {P_G2}},
    {"roberta-bpe", {P_G2}},
    {"starcoder", {"\\p{N}", P_G2}},
    {"deepseek-v3", {"\\p{N}{1,3}", P_DSC, P_DS3}},
    {"spark2_5", {"\\p{N}{1,3}", P_DSC, P_SPK, "\\p{N}"}},
    {"deepseek-llm", {"[\\r\\n]", P_DSL, P_DSP, "\\s+$", P_CJK, "\\p{N}+"}},
    {"deepseek-coder", {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", P_CJK, "\\p{N}"}},
    {"glm4", {P_L3}},
    {"dbrx", {P_L3}},
    {"falcon", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", P_G2, "[0-9][0-9][0-9]"}},
    {"kimi-k2", {P_K2}},
    {"tiny_aya", {P_R3, P_G4O}},
    {"minicpm5", {"\\p{N}{1,3}", P_L3P}},
    {"laguna", {"[^\\n]+|[\\n]+", P_Q2}},
    {"youtu", {P_YT1, P_YT2}},
    {"bloom", {P_BLM}},
    {"viking", {P_BLM, "\\p{N}"}},
    {"chameleon",
     {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", "\\p{N}",
      "[\\p{P}!-/:-@\\[-`{-~]", P_G2}},
    {"superbpe", {"\\p{N}+", P_GROUPS}},
    {"bailingmoe", {P_BL}},
    {"seed-coder", {P_SC}},
    {"afmoe", {P_GROUPS, P_AFC, P_DS3}},
    {"exaone-moe", {P_EXM}},
    {"jais-2", {P_J2}},
    {"ufakzeka", {P_Q2T}},
};

enum { N_EXPECTED = sizeof expected / sizeof expected[0], MAX_TEXT = 4096 };

/* Marks in `cuts` where pieces end. */
static void cut(struct regex *const *passes, const char *text, const char *p, const char *end,
                unsigned char *cuts)
{
    if (!passes[0] || p == end) {
        cuts[end - text] = 1;
        return;
    }
    const char *start = p, *gap = p;
    while (p < end) {
        const char *q = run_ops(passes[0], 0, start, p, end);
        int len;
        if (!q || q == p) {
            char_at(p, end, &len);
            p += len;
            continue;
        }
        if (gap < p)
            cut(passes + 1, text, gap, p, cuts);
        cut(passes + 1, text, p, q, cuts);
        gap = p = q;
    }
    if (gap < end)
        cut(passes + 1, text, gap, end, cuts);
}

static void cut_by_hand(const struct pretok_scheme *scheme, const char *text, size_t n,
                        unsigned char *cuts)
{
    struct pretok_iter it;
    const char *piece, *at = text;
    size_t len;
    pretok_begin(&it, scheme, text, n);
    while (pretok_next(&it, &piece, &len)) {
        CHECK(piece == at && len > 0);
        at = piece + len;
        cuts[at - text] = 1;
    }
    CHECK(at == text + n);
}

static void print_cuts(const char *title, const char *text, size_t n, const unsigned char *cuts)
{
    printf("  %s: ", title);
    for (size_t i = 0; i < n; i++)
        printf((unsigned char)text[i] < 0x20 ? "\\x%02x%s" : "%c%s", (unsigned char)text[i],
               cuts[i + 1] ? "|" : "");
    printf("\n");
}

static void compare(const char *name, struct regex *const *passes, const char *text, size_t n)
{
    unsigned char a[MAX_TEXT + 1] = {0}, b[MAX_TEXT + 1] = {0};
    const struct pretok_scheme *scheme = pretok_find(name, strlen(name));
    if (!CHECK(scheme))
        return;
    cut(passes, text, text, text + n, a);
    cut_by_hand(scheme, text, n, b);
    if (!CHECK_MSG(memcmp(a, b, n + 1) == 0, "%s cuts differently", name)) {
        print_cuts("expected", text, n, a);
        print_cuts("got", text, n, b);
    }
}

static const char *const alphabet[] = {"a",
                                       "A",
                                       "\u00e9",
                                       "\u00c9",
                                       "1",
                                       "\u00b2",
                                       " ",
                                       "\t",
                                       "\n",
                                       "\r",
                                       "'",
                                       "s",
                                       "/",
                                       ".",
                                       "\u4e2d",
                                       "\u0301",
                                       "\U0001f600",
                                       " ",
                                       "l",
                                       "L",
                                       "re",
                                       "VE",
                                       "\u00a0",
                                       "\u3000",
                                       "(",
                                       "$",
                                       "`",
                                       "\u01c5",
                                       "\u02b0",
                                       "\u00aa",
                                       "\u3007",
                                       "\u3005",
                                       "\u2e80",
                                       "\x01",
                                       "\u0663",
                                       "0",
                                       "<sentinel:12>",
                                       "<sentinel:",
                                       "IMGIMG",
                                       "ABZ",
                                       "  ",
                                       "\xff",
                                       "\xe4\xb8",
                                       "\u2026",
                                       "\uff0c",
                                       "\uac00",
                                       "\u3105",
                                       "\u0e40",
                                       "_",
                                       "-",
                                       "123",
                                       "4567",
                                       "\u2028",
                                       "\u200b"};

enum { N_ALPHABET = sizeof alphabet / sizeof alphabet[0] };

static size_t random_text(uint64_t *seed, char *text, int n_parts, int n_symbols)
{
    const char *few[8];
    size_t n = 0;
    for (int i = 0; i < n_symbols; i++)
        few[i] = alphabet[testing_random(seed) % N_ALPHABET];
    for (int i = 0; i < n_parts; i++) {
        const char *s = few[testing_random(seed) % (uint64_t)n_symbols];
        memcpy(text + n, s, strlen(s));
        n += strlen(s);
    }
    return n;
}

TEST(every_scheme_cuts_like_its_regexes)
{
    uint64_t seed = 1;
    for (int s = 0; s < N_EXPECTED; s++) {
        struct regex *passes[PRETOK_MAX_PASSES + 1] = {0};
        for (int i = 0; i < PRETOK_MAX_PASSES && expected[s].patterns[i]; i++)
            passes[i] = regex_new(expected[s].patterns[i]);
        for (int i = 0; i < 6000; i++) {
            char text[512];
            int n_parts = 1 + (int)(testing_random(&seed) % 14);
            int n_symbols = 1 + (int)(testing_random(&seed) % 8);
            size_t n = random_text(&seed, text, n_parts, n_symbols);
            compare(expected[s].names, passes, text, n);
        }
        for (int i = 0; i < PRETOK_MAX_PASSES; i++)
            oll_free(passes[i]);
    }
}

TEST(long_white_space_falls_into_powers_of_two)
{
    struct regex *passes[2] = {regex_new(P_J2), NULL};
    char text[MAX_TEXT];
    for (int n = 1; n <= 1300; n += n < 40 ? 1 : 37) {
        memset(text, ' ', (size_t)n);
        compare("jais-2", passes, text, (size_t)n);
        text[n] = 'x';
        compare("jais-2", passes, text, (size_t)n + 1);
        text[n / 2] = '\n';
        compare("jais-2", passes, text, (size_t)n + 1);
    }
    oll_free(passes[0]);
}

TEST(every_scheme_is_compared)
{
    for (const struct pretok_scheme *s = pretok_schemes; s->names; s++) {
        int found = 0;
        for (int i = 0; i < N_EXPECTED; i++)
            found += pretok_find(expected[i].names, strlen(expected[i].names)) == s;
        CHECK_MSG(found == 1, "%s is compared %d times", s->names, found);
    }
}

TEST(names_are_whole_words)
{
    CHECK(pretok_find("gpt-2", 5) != NULL);
    CHECK(pretok_find("gpt", 3) == NULL);
    CHECK(pretok_find("gpt-2 phi-2", 11) == NULL);
    CHECK(pretok_find("", 0) == NULL);
    CHECK(pretok_find("unheard-of", 10) == NULL);
    CHECK(pretok_find("llama3", 6) == pretok_find("llama-bpe", 9));
}

/* A run of any one character must cost linear time: quadratic matching of these would take minutes,
 * so the bound holds on any machine and with sanitizers. */
TEST(long_runs_take_linear_time)
{
    enum { N = 1 << 17 };
    static const char *const tails[] = {"", "a", " ", "\n", "1", "A", "."};
    char *text = oll_alloc(N + 64, 1);
    OLL_ASSERT(text);
    for (const struct pretok_scheme *s = pretok_schemes; s->names; s++)
        for (int i = 0; i < N_ALPHABET; i++) {
            size_t len = strlen(alphabet[i]), n = 0, n_tail = strlen(tails[i % 7]);
            for (; n + len <= N; n += len)
                memcpy(text + n, alphabet[i], len);
            memcpy(text + n, tails[i % 7], n_tail);
            n += n_tail;
            struct pretok_iter it;
            const char *piece;
            size_t n_piece, total = 0;
            const uint64_t start = oll_clock_thread_ns();
            pretok_begin(&it, s, text, n);
            while (pretok_next(&it, &piece, &n_piece))
                total += n_piece;
            const double ms = (double)(oll_clock_thread_ns() - start) * 1e-6;
            CHECK_EQ(total, n);
            CHECK_MSG(ms < 5000, "%.10s on symbol %d: %.0f ms", s->names, i, ms);
        }
    oll_free(text);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
