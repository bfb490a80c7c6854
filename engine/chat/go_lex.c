/* Lexer of Go templates: text, actions, trimming. One token at a time; nothing is looked ahead
 * further than the closing delimiter of a comment. */
#include "engine/base/utf8.h"
#include "engine/chat/go_node.h"

#include <string.h>

enum { END_OF_TEXT = -1, TRIM_BYTES = 2 };

static bool is_space(int c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static const char *rest(const struct go_lexer *lx) { return lx->text + lx->pos; }
static size_t left(const struct go_lexer *lx) { return lx->n - lx->pos; }

static bool starts(const struct go_lexer *lx, size_t skip, const char *with)
{
    const size_t n = strlen(with);
    return left(lx) >= skip + n && memcmp(rest(lx) + skip, with, n) == 0;
}

/* The next character without taking it, and its length. Bad bytes count as U+FFFD, as in Go. */
static int peek_len(const struct go_lexer *lx, int *len)
{
    uint32_t cp;
    *len = 0;
    if (lx->pos >= lx->n)
        return END_OF_TEXT;
    *len = oll_utf8_decode(rest(lx), left(lx), &cp);
    if (*len == 0) {
        *len = 1;
        return 0xFFFD;
    }
    return (int)cp;
}

static int peek(const struct go_lexer *lx)
{
    int len;
    return peek_len(lx, &len);
}

static int take(struct go_lexer *lx)
{
    int len;
    const int c = peek_len(lx, &len);
    lx->pos += (size_t)len;
    if (c == '\n')
        lx->line++;
    return c;
}

/* Letters beyond ASCII are told from punctuation by block: the blocks that keyboards and editors
 * slip into templates (quotes, dashes, blanks, arrows, private use, emoji) are no letters. */
static bool is_letter_beyond_ascii(int c)
{
    if (c < 0xC0)
        return c == 0xAA || c == 0xB5 || c == 0xBA;
    if (c == 0xD7 || c == 0xF7)
        return false;
    if ((c >= 0x2000 && c <= 0x2070) || (c >= 0x20A0 && c <= 0x20FF))
        return false;
    if ((c >= 0x2190 && c <= 0x2BFF) || (c >= 0x2E00 && c <= 0x2E7F))
        return false;
    if ((c >= 0x3000 && c <= 0x3004) || (c >= 0x3008 && c <= 0x3020))
        return false;
    if ((c >= 0xD800 && c <= 0xF8FF) || (c >= 0xFE00 && c <= 0xFE6F) || c >= 0xFFF0)
        return c >= 0x10000 && c < 0x1F000;
    return true;
}

static bool is_word(int c)
{
    if (c < 0x80)
        return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
               (c >= 'A' && c <= 'Z');
    return is_letter_beyond_ascii(c);
}

/* ---- tokens ---- */

static void skip_to_pos(struct go_lexer *lx)
{
    lx->start = lx->pos;
    lx->start_line = lx->line;
}

static struct go_token emit(struct go_lexer *lx, enum go_token_type type)
{
    const struct go_token t = {(uint8_t)type,
                               (uint32_t)lx->start,
                               lx->start_line,
                               {lx->text + lx->start, lx->pos - lx->start}};
    skip_to_pos(lx);
    return t;
}

static struct go_token fail(struct go_lexer *lx, const char *message)
{
    struct go_token t = {GO_TOKEN_ERROR, (uint32_t)lx->start, lx->start_line, {message, 0}};
    t.val.n = strlen(message);
    lx->failed = true;
    return t;
}

/* "<what> U+0041 'A'" as Go's %#U writes a character. */
static struct go_token fail_char(struct go_lexer *lx, const char *what, int c)
{
    char utf8[5] = {0};
    if (c == END_OF_TEXT)
        c = 0xFFFD;
    oll_utf8_encode((uint32_t)c, utf8);
    const bool visible = c >= 0x20 && c != 0x7F && !(c >= 0x80 && c <= 0xA0);
    const char *m = visible ? oll_arena_printf(lx->arena, "%s U+%04X '%s'", what, (unsigned)c, utf8)
                            : oll_arena_printf(lx->arena, "%s U+%04X", what, (unsigned)c);
    return fail(lx, m ? m : what);
}

static struct go_token fail_number(struct go_lexer *lx)
{
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, 4096);
    oll_strbuf_adds(&sb, "bad number syntax: ");
    go_quote(&sb, (struct go_str){lx->text + lx->start, lx->pos - lx->start});
    const char *m = oll_arena_strdup(lx->arena, sb.data);
    oll_strbuf_free(&sb);
    return fail(lx, m ? m : "bad number syntax");
}

void go_lexer_init(struct go_lexer *lx, struct oll_arena *arena, const char *text, size_t n)
{
    *lx = (struct go_lexer){.arena = arena, .text = text, .n = n, .line = 1, .start_line = 1};
}

/* ---- delimiters and comments ---- */

/* Whether an action ends here; *trims when it also eats the white space behind it. */
static bool at_close(const struct go_lexer *lx, bool *trims)
{
    *trims = left(lx) >= TRIM_BYTES && is_space(rest(lx)[0]) && rest(lx)[1] == '-' &&
             starts(lx, TRIM_BYTES, "}}");
    return *trims || starts(lx, 0, "}}");
}

static void eat_spaces(struct go_lexer *lx)
{
    while (lx->pos < lx->n && is_space(rest(lx)[0]))
        take(lx);
}

/* Left of the text of a comment: behind "*" "/" and the delimiter. False: *bad is the message. */
static bool eat_comment(struct go_lexer *lx, const char **bad)
{
    bool trims;
    lx->pos += 2;
    while (lx->pos < lx->n && !starts(lx, 0, "*/"))
        take(lx);
    if (lx->pos >= lx->n) {
        *bad = "unclosed comment";
        return false;
    }
    lx->pos += 2;
    if (!at_close(lx, &trims)) {
        *bad = "comment ends before closing delimiter";
        return false;
    }
    if (trims) {
        take(lx);
        lx->pos++;
    }
    lx->pos += 2;
    if (trims)
        eat_spaces(lx);
    skip_to_pos(lx);
    return true;
}

static bool has_left_trim(const struct go_lexer *lx, size_t skip)
{
    return left(lx) >= skip + TRIM_BYTES && rest(lx)[skip] == '-' && is_space(rest(lx)[skip + 1]);
}

static struct go_token lex_open(struct go_lexer *lx)
{
    lx->pos += 2;
    const struct go_token t = emit(lx, GO_TOKEN_OPEN);
    if (has_left_trim(lx, 0)) {
        take(lx);
        take(lx);
    }
    skip_to_pos(lx);
    lx->inside = true;
    lx->paren_depth = 0;
    return t;
}

static struct go_token lex_close(struct go_lexer *lx)
{
    bool trims;
    at_close(lx, &trims);
    if (trims) {
        take(lx);
        lx->pos++;
        skip_to_pos(lx);
    }
    lx->pos += 2;
    const struct go_token t = emit(lx, GO_TOKEN_CLOSE);
    if (trims) {
        eat_spaces(lx);
        skip_to_pos(lx);
    }
    lx->inside = false;
    return t;
}

/* Literal text up to the next action, without the white space that action trims. */
static struct go_token lex_text(struct go_lexer *lx)
{
    for (;;) {
        for (; lx->pos < lx->n && !starts(lx, 0, "{{"); lx->pos++)
            lx->line += rest(lx)[0] == '\n';
        if (lx->pos >= lx->n) {
            if (lx->pos > lx->start)
                return emit(lx, GO_TOKEN_TEXT);
            return emit(lx, GO_TOKEN_EOF);
        }
        const bool trims = has_left_trim(lx, 2);
        size_t end = lx->pos;
        while (trims && end > lx->start && is_space(lx->text[end - 1]))
            end--;
        if (end > lx->start) {
            struct go_token t = emit(lx, GO_TOKEN_TEXT);
            t.val.n = end - (size_t)(t.val.s - lx->text);
            return t;
        }
        skip_to_pos(lx);
        const size_t mark = 2 + (trims ? TRIM_BYTES : 0);
        if (!starts(lx, mark, "/*"))
            return lex_open(lx);
        for (size_t i = 0; i < mark; i++)
            take(lx);
        skip_to_pos(lx);
        const char *bad = NULL;
        if (!eat_comment(lx, &bad))
            return fail(lx, bad);
    }
}

/* ---- inside an action ---- */

static bool at_terminator(const struct go_lexer *lx)
{
    const int c = peek(lx);
    if (is_space(c) || c == END_OF_TEXT)
        return true;
    return (c < 0x80 && c > 0 && strchr(".,|:)(", c)) || starts(lx, 0, "}}");
}

static struct go_token lex_space(struct go_lexer *lx)
{
    size_t n_spaces = 0;
    bool trims;
    while (is_space(peek(lx))) {
        /* The blank of " -}}" belongs to the delimiter. */
        if (at_close(lx, &trims) && trims)
            break;
        take(lx);
        n_spaces++;
    }
    return n_spaces ? emit(lx, GO_TOKEN_SPACE) : lex_close(lx);
}

static struct go_token lex_quote(struct go_lexer *lx, int quote)
{
    for (;;) {
        int c = take(lx);
        if (c == '\\') {
            c = take(lx);
            if (c != END_OF_TEXT && c != '\n')
                continue;
        }
        if (c == END_OF_TEXT || c == '\n')
            return fail(lx, quote == '"' ? "unterminated quoted string"
                                         : "unterminated character constant");
        if (c == quote)
            return emit(lx, quote == '"' ? GO_TOKEN_STRING : GO_TOKEN_RUNE);
    }
}

static struct go_token lex_raw(struct go_lexer *lx)
{
    for (;;) {
        const int c = take(lx);
        if (c == END_OF_TEXT)
            return fail(lx, "unterminated raw quoted string");
        if (c == '`')
            return emit(lx, GO_TOKEN_RAW);
    }
}

/* A variable or a field: its first character is taken already. */
static struct go_token lex_name(struct go_lexer *lx, enum go_token_type type)
{
    if (at_terminator(lx))
        return emit(lx, type == GO_TOKEN_VARIABLE ? GO_TOKEN_VARIABLE : GO_TOKEN_DOT);
    while (is_word(peek(lx)))
        take(lx);
    if (!at_terminator(lx))
        return fail_char(lx, "bad character", peek(lx));
    return emit(lx, type);
}

static struct go_token lex_ident(struct go_lexer *lx)
{
    static const struct {
        const char *word;
        enum go_token_type type;
    } words[] = {{"block", GO_TOKEN_BLOCK},
                 {"break", GO_TOKEN_BREAK},
                 {"continue", GO_TOKEN_CONTINUE},
                 {"define", GO_TOKEN_DEFINE},
                 {"else", GO_TOKEN_ELSE},
                 {"end", GO_TOKEN_END},
                 {"if", GO_TOKEN_IF},
                 {"nil", GO_TOKEN_NIL},
                 {"range", GO_TOKEN_RANGE},
                 {"template", GO_TOKEN_TEMPLATE},
                 {"with", GO_TOKEN_WITH},
                 {"true", GO_TOKEN_BOOL},
                 {"false", GO_TOKEN_BOOL}};
    while (is_word(peek(lx)))
        take(lx);
    if (!at_terminator(lx))
        return fail_char(lx, "bad character", peek(lx));
    const struct go_str word = {lx->text + lx->start, lx->pos - lx->start};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (go_str_equal(word, words[i].word))
            return emit(lx, words[i].type);
    return emit(lx, GO_TOKEN_IDENT);
}

static bool accept(struct go_lexer *lx, const char *set)
{
    const int c = peek(lx);
    if (c <= 0 || c >= 0x80 || !strchr(set, c))
        return false;
    lx->pos++;
    return true;
}

static void accept_run(struct go_lexer *lx, const char *set)
{
    while (accept(lx, set))
        ;
}

static bool scan_number(struct go_lexer *lx)
{
    const char *digits = "0123456789_";
    bool hex = false, decimal = true;
    accept(lx, "+-");
    if (accept(lx, "0")) {
        hex = accept(lx, "xX");
        decimal = !hex;
        if (hex) {
            digits = "0123456789abcdefABCDEF_";
        } else if (accept(lx, "oO")) {
            digits = "01234567_";
            decimal = false;
        } else if (accept(lx, "bB")) {
            digits = "01_";
            decimal = false;
        }
    }
    accept_run(lx, digits);
    if (accept(lx, "."))
        accept_run(lx, digits);
    if ((decimal && accept(lx, "eE")) || (hex && accept(lx, "pP"))) {
        accept(lx, "+-");
        accept_run(lx, "0123456789_");
    }
    accept(lx, "i");
    if (is_word(peek(lx))) {
        take(lx);
        return false;
    }
    return true;
}

static struct go_token lex_number(struct go_lexer *lx)
{
    if (!scan_number(lx))
        return fail_number(lx);
    const int sign = peek(lx);
    if (sign == '+' || sign == '-') {
        /* A complex constant: the parser refuses it, but its spelling is checked here. */
        if (!scan_number(lx) || lx->text[lx->pos - 1] != 'i')
            return fail_number(lx);
    }
    return emit(lx, GO_TOKEN_NUMBER);
}

static struct go_token lex_paren(struct go_lexer *lx, int c)
{
    lx->paren_depth += c == '(' ? 1 : -1;
    if (lx->paren_depth < 0)
        return fail(lx, "unexpected right paren");
    return emit(lx, c == '(' ? GO_TOKEN_LEFT : GO_TOKEN_RIGHT);
}

static struct go_token lex_dot(struct go_lexer *lx)
{
    const int c = peek(lx);
    if (c != END_OF_TEXT && (c < '0' || c > '9'))
        return lex_name(lx, GO_TOKEN_FIELD);
    lx->pos = lx->start;
    return lex_number(lx);
}

static struct go_token lex_other(struct go_lexer *lx, int c)
{
    if (c == '+' || c == '-' || (c >= '0' && c <= '9')) {
        lx->pos = lx->start;
        return lex_number(lx);
    }
    if (is_word(c)) {
        lx->pos = lx->start;
        return lex_ident(lx);
    }
    if (c >= 0x20 && c < 0x7F)
        return emit(lx, GO_TOKEN_CHAR);
    return fail_char(lx, "unrecognized character in action:", c);
}

static struct go_token lex_inside(struct go_lexer *lx)
{
    bool trims;
    if (at_close(lx, &trims)) {
        if (lx->paren_depth > 0)
            return fail(lx, "unclosed left paren");
        return lex_close(lx);
    }
    if (is_space(peek(lx)))
        return lex_space(lx);
    const int c = take(lx);
    switch (c) {
    case END_OF_TEXT: return fail(lx, "unclosed action");
    case '=': return emit(lx, GO_TOKEN_ASSIGN);
    case ':':
        if (take(lx) != '=')
            return fail(lx, "expected :=");
        return emit(lx, GO_TOKEN_DECLARE);
    case '|': return emit(lx, GO_TOKEN_PIPE);
    case '"': return lex_quote(lx, '"');
    case '\'': return lex_quote(lx, '\'');
    case '`': return lex_raw(lx);
    case '$': return lex_name(lx, GO_TOKEN_VARIABLE);
    case '.': return lex_dot(lx);
    case '(':
    case ')': return lex_paren(lx, c);
    default: return lex_other(lx, c);
    }
}

struct go_token go_lexer_next(struct go_lexer *lx)
{
    if (lx->failed) {
        lx->pos = lx->n;
        skip_to_pos(lx);
        return emit(lx, GO_TOKEN_EOF);
    }
    return lx->inside ? lex_inside(lx) : lex_text(lx);
}
