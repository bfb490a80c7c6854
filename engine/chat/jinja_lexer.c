#include "engine/chat/jinja_lexer.h"

#include "engine/base/utf8.h"
#include "engine/chat/jinja_value.h"

#include <stdlib.h>
#include <string.h>

oll_status jinja_lex_init(struct jinja_lexer *lexer, struct oll_arena *arena, const char *source,
                          size_t n, struct oll_error *err)
{
    char *copy = oll_arena_alloc(arena, n + 1, 1);
    size_t len = 0;
    if (!copy)
        return OLL_FAIL(err, arena->status, "no memory for a template of %zu bytes", n);
    for (size_t i = 0; i < n; i++) {
        if (source[i] == '\r' && i + 1 < n && source[i + 1] == '\n')
            continue;
        copy[len++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (len > 0 && copy[len - 1] == '\n')
        len--;
    *lexer = (struct jinja_lexer){.arena = arena, .s = copy, .n = len, .line = 1, .err = err};
    return OLL_OK;
}

static oll_status lex_fail(struct jinja_lexer *l, const char *what)
{
    return l->status =
               OLL_FAIL(l->err, OLL_ERR_FORMAT, "%s (chat template, line %u)", what, l->line);
}

static void move_to(struct jinja_lexer *l, size_t at)
{
    for (; l->at < at; l->at++)
        l->line += l->s[l->at] == '\n';
}

static bool starts(const struct jinja_lexer *l, size_t at, const char *what)
{
    const size_t n = strlen(what);
    return at + n <= l->n && !memcmp(l->s + at, what, n);
}

/* The end of a tag at `at`, e.g. "-%}" with what it trims: the place behind it, or 0 when none
 * stands there. `close` is "%}", "}}" or "#}". */
static size_t tag_end(const struct jinja_lexer *l, size_t at, const char *close)
{
    const bool print = close[0] == '}';
    if (at < l->n && l->s[at] == '-' && starts(l, at + 1, close))
        return at + 3 + jinja_space_before(l->s + at + 3, l->n - at - 3);
    if (!print && at < l->n && l->s[at] == '+' && starts(l, at + 1, close))
        return at + 3;
    if (!starts(l, at, close))
        return 0;
    at += 2;
    return !print && at < l->n && l->s[at] == '\n' ? at + 1 : at;
}

/* Where text [from, tag) ends when a tag with this sign follows it. */
static size_t trimmed_end(const struct jinja_lexer *l, size_t from, size_t tag, char sign,
                          bool print)
{
    if (sign == '-')
        return tag - jinja_space_after(l->s + from, tag - from);
    if (sign == '+' || print)
        return tag;
    size_t line = tag;
    while (line > from && l->s[line - 1] != '\n')
        line--;
    const bool at_line_start = line > from || from == 0 || l->s[from - 1] == '\n';
    return at_line_start && jinja_space_before(l->s + line, tag - line) == tag - line ? line : tag;
}

static size_t find_tag(const struct jinja_lexer *l, size_t at)
{
    for (; at + 1 < l->n; at++) {
        const char *p = memchr(l->s + at, '{', l->n - 1 - at);
        if (!p)
            return l->n;
        at = (size_t)(p - l->s);
        if (p[1] == '{' || p[1] == '%' || p[1] == '#')
            return at;
    }
    return l->n;
}

static char sign_at(const struct jinja_lexer *l, size_t at)
{
    return at < l->n && (l->s[at] == '-' || l->s[at] == '+') ? l->s[at] : 0;
}

/* Whether "{% word" stands at `tag`; the place behind the word, or 0. */
static size_t block_word(const struct jinja_lexer *l, size_t tag, const char *word)
{
    size_t at = tag + 2;
    if (!starts(l, tag, "{%"))
        return 0;
    at += sign_at(l, at) != 0;
    at += jinja_space_before(l->s + at, l->n - at);
    if (!starts(l, at, word))
        return 0;
    at += strlen(word);
    return at + jinja_space_before(l->s + at, l->n - at);
}

/* {% raw %} opens differently from other tags: no line end is trimmed behind it, and + is unknown.
 */
static size_t raw_begin(const struct jinja_lexer *l, size_t tag)
{
    const size_t at = block_word(l, tag, "raw");
    if (at == 0)
        return 0;
    if (starts(l, at, "-%}"))
        return at + 3 + jinja_space_before(l->s + at + 3, l->n - at - 3);
    return starts(l, at, "%}") ? at + 2 : 0;
}

/* Reads the text of a raw section that begins at `from`. */
static oll_status lex_raw(struct jinja_lexer *l, size_t from, struct jinja_token *token)
{
    for (size_t at = from; (at = jinja_find(l->s, l->n, at, "{%", 2)) != SIZE_MAX; at++) {
        const size_t word = block_word(l, at, "endraw");
        const size_t end = word ? tag_end(l, word, "%}") : 0;
        if (end) {
            token->text = l->s + from;
            token->n = trimmed_end(l, from, at, sign_at(l, at + 2), false) - from;
            move_to(l, end);
            return OLL_OK;
        }
    }
    return lex_fail(l, "{% raw %} is not closed");
}

static oll_status skip_comment(struct jinja_lexer *l, size_t at)
{
    for (; at < l->n; at++) {
        const size_t end = tag_end(l, at, "#}");
        if (end) {
            move_to(l, end);
            return OLL_OK;
        }
    }
    return lex_fail(l, "a comment is not closed");
}

/* Literal text up to the next tag, which is entered. Text may be empty. */
static oll_status lex_text(struct jinja_lexer *l, struct jinja_token *token)
{
    const size_t from = l->at, tag = find_tag(l, from);
    token->text = l->s + from;
    token->n = l->n - from;
    if (tag == l->n) {
        move_to(l, l->n);
        return OLL_OK;
    }
    const char kind = l->s[tag + 1], sign = sign_at(l, tag + 2);
    const size_t raw = raw_begin(l, tag);
    token->n = trimmed_end(l, from, tag, sign, kind == '{') - from;
    if (raw && token->n > 0) {
        /* The text first; what comes now is a raw section that begins with its tag. */
        move_to(l, tag);
        return OLL_OK;
    }
    if (raw) {
        move_to(l, raw);
        return lex_raw(l, raw, token);
    }
    move_to(l, tag + 2 + (sign != 0));
    if (kind == '#')
        return skip_comment(l, l->at);
    l->inside = l->pending = kind == '{' ? JINJA_TOK_PRINT : JINJA_TOK_BLOCK;
    return OLL_OK;
}

/* ---- inside tags ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

/* Digits with single underscores between them; the place behind. */
static size_t skip_digits(const struct jinja_lexer *l, size_t at)
{
    while (at < l->n &&
           (is_digit(l->s[at]) || (l->s[at] == '_' && at + 1 < l->n && is_digit(l->s[at + 1]))))
        at++;
    return at;
}

/* Copies the number without underscores. */
static oll_status number_text(struct jinja_lexer *l, size_t end, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = l->at; i < end; i++) {
        if (l->s[i] == '_')
            continue;
        if (n + 1 >= size)
            return lex_fail(l, "a number is too long");
        out[n++] = l->s[i];
    }
    out[n] = '\0';
    return OLL_OK;
}

static size_t exponent_end(const struct jinja_lexer *l, size_t at)
{
    if (at >= l->n || (l->s[at] != 'e' && l->s[at] != 'E'))
        return at;
    size_t p = at + 1;
    p += p < l->n && (l->s[p] == '+' || l->s[p] == '-');
    return p < l->n && is_digit(l->s[p]) ? skip_digits(l, p) : at;
}

static oll_status lex_number(struct jinja_lexer *l, struct jinja_token *token)
{
    char text[64];
    size_t end = skip_digits(l, l->at);
    const size_t whole = end;
    const char second = l->at + 1 < l->n ? (char)(l->s[l->at + 1] | 0x20) : 0;
    int base = 10;
    token->type = JINJA_TOK_INT;
    if (l->s[l->at] == '0' && (second == 'x' || second == 'o' || second == 'b')) {
        base = second == 'x' ? 16 : second == 'o' ? 8 : 2;
        move_to(l, l->at + 2);
        for (end = l->at; end < l->n && (is_name_start(l->s[end]) || is_digit(l->s[end]));)
            end++;
    } else {
        if (end + 1 < l->n && l->s[end] == '.' && is_digit(l->s[end + 1]))
            end = skip_digits(l, end + 1);
        end = exponent_end(l, end);
        token->type = end > whole ? JINJA_TOK_FLOAT : JINJA_TOK_INT;
    }
    OLL_TRY(number_text(l, end, text, sizeof text));
    char *stop = text;
    if (token->type == JINJA_TOK_FLOAT) {
        token->f = strtod(text, &stop);
    } else {
        token->i = strtoll(text, &stop, base);
        if (token->i == INT64_MAX)
            return lex_fail(l, "an integer is too large");
    }
    if (*stop || stop == text)
        return lex_fail(l, "a number is malformed");
    move_to(l, end);
    return OLL_OK;
}

/* \xHH, \uHHHH, \UHHHHHHHH: the code point, and how many digits it took; 0 digits: malformed. */
static int hex_escape(const char *s, const char *end, uint32_t *cp)
{
    const int want = *s == 'x' ? 2 : *s == 'u' ? 4 : *s == 'U' ? 8 : 0;
    char digits[9] = "";
    for (int i = 0; i < want; i++) {
        if (s + 1 + i >= end || !strchr("0123456789abcdefABCDEF", s[1 + i]) || !s[1 + i])
            return 0;
        digits[i] = s[1 + i];
    }
    *cp = (uint32_t)strtoul(digits, NULL, 16);
    return want;
}

static int octal_escape(const char *s, const char *end, uint32_t *cp)
{
    int n = 0;
    *cp = 0;
    while (n < 3 && s + n < end && s[n] >= '0' && s[n] <= '7')
        *cp = *cp * 8 + (uint32_t)(s[n++] - '0');
    return n;
}

/* One escape behind a backslash: writes what it means, returns how much of the source it took.
 * Unknown escapes keep their backslash, as in Python. */
static size_t unescape(const char *s, const char *end, char *out, size_t *n_out)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    uint32_t cp;
    int digits;
    const char *known = *s ? strchr(from, *s) : NULL;
    if (known) {
        out[(*n_out)++] = to[known - from];
        return 1;
    }
    if (*s == '\n')
        return 1;
    if ((digits = octal_escape(s, end, &cp)) > 0 || (digits = hex_escape(s, end, &cp)) > 0) {
        if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
            cp = 0xfffd;
        *n_out += (size_t)oll_utf8_encode(cp, out + *n_out);
        return (size_t)digits + (*s == 'x' || *s == 'u' || *s == 'U');
    }
    out[(*n_out)++] = '\\';
    return 0;
}

static oll_status lex_string(struct jinja_lexer *l, struct jinja_token *token)
{
    const char quote = l->s[l->at];
    size_t end = l->at + 1, n = 0;
    while (end < l->n && l->s[end] != quote)
        end += l->s[end] == '\\' && end + 1 < l->n ? 2 : 1;
    if (end >= l->n)
        return lex_fail(l, "a string is not closed");
    /* An escape never gets longer by being decoded. */
    char *out = oll_arena_alloc(l->arena, end - l->at, 1);
    if (!out)
        return l->status = OLL_FAIL(l->err, l->arena->status, "no memory for the chat template");
    const char *p = l->s + l->at + 1, *stop = l->s + end;
    while (p < stop) {
        if (*p != '\\')
            out[n++] = *p++;
        else
            p += 1 + unescape(p + 1, stop, out, &n);
    }
    token->type = JINJA_TOK_STRING;
    token->text = out;
    token->n = n;
    move_to(l, end + 1);
    return OLL_OK;
}

static oll_status check_bracket(struct jinja_lexer *l, char c)
{
    static const char opening[] = "([{", closing[] = ")]}";
    const char *open = strchr(opening, c);
    if (open) {
        if (l->n_brackets == JINJA_BRACKETS_MAX)
            return lex_fail(l, "brackets nest too deep");
        l->brackets[l->n_brackets++] = closing[open - opening];
        return OLL_OK;
    }
    if (c != ')' && c != ']' && c != '}')
        return OLL_OK;
    if (l->n_brackets == 0 || l->brackets[l->n_brackets - 1] != c)
        return lex_fail(l, "a bracket is closed that was not opened");
    l->n_brackets--;
    return OLL_OK;
}

static oll_status lex_operator(struct jinja_lexer *l, struct jinja_token *token)
{
    static const char pairs[][3] = {"//", "**", "==", "!=", ">=", "<="};
    const char c = l->s[l->at];
    token->type = JINJA_TOK_OP;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (starts(l, l->at, pairs[i])) {
            token->op = JINJA_OP(pairs[i][0], pairs[i][1]);
            move_to(l, l->at + 2);
            return OLL_OK;
        }
    if (c == '\0' || !strchr("+-/*%~[](){}><=.:|,;", c))
        return lex_fail(l, "unexpected character");
    OLL_TRY(check_bracket(l, c));
    token->op = JINJA_OP(c, 0);
    move_to(l, l->at + 1);
    return OLL_OK;
}

static oll_status lex_tag(struct jinja_lexer *l, struct jinja_token *token)
{
    const bool print = l->inside == JINJA_TOK_PRINT;
    move_to(l, l->at + jinja_space_before(l->s + l->at, l->n - l->at));
    token->line = l->line;
    if (l->at >= l->n)
        return lex_fail(l, print ? "{{ is not closed" : "{% is not closed");
    const size_t end = l->n_brackets == 0 ? tag_end(l, l->at, print ? "}}" : "%}") : 0;
    if (end) {
        token->type = print ? JINJA_TOK_PRINT_END : JINJA_TOK_BLOCK_END;
        l->inside = JINJA_TOK_END;
        move_to(l, end);
        return OLL_OK;
    }
    const char c = l->s[l->at];
    if (c == '\'' || c == '"')
        return lex_string(l, token);
    if (is_digit(c))
        return lex_number(l, token);
    if (!is_name_start(c))
        return lex_operator(l, token);
    size_t stop = l->at;
    while (stop < l->n && (is_name_start(l->s[stop]) || is_digit(l->s[stop])))
        stop++;
    token->type = JINJA_TOK_NAME;
    token->text = l->s + l->at;
    token->n = stop - l->at;
    move_to(l, stop);
    return OLL_OK;
}

oll_status jinja_lex(struct jinja_lexer *l, struct jinja_token *token)
{
    OLL_TRY(l->status);
    for (;;) {
        *token = (struct jinja_token){.type = JINJA_TOK_END, .line = l->line};
        if (l->pending != JINJA_TOK_END) {
            token->type = l->pending;
            l->pending = JINJA_TOK_END;
            return OLL_OK;
        }
        if (l->inside != JINJA_TOK_END)
            return lex_tag(l, token);
        if (l->at >= l->n)
            return OLL_OK;
        token->type = JINJA_TOK_TEXT;
        OLL_TRY(lex_text(l, token));
        if (token->n > 0)
            return OLL_OK;
    }
}
