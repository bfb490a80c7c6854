#include "registry/modelfile.h"

#include "engine/base/mem.h"
#include "engine/base/utf8.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

static const char *const words[OLL_MODELFILE_WORD_COUNT] = {
#define X(name, text) text,
    OLL_MODELFILE_WORDS(X)
#undef X
};

static const char *const roles[] = {"system", "user", "assistant"};

static bool is_blank(char c) { return c == ' ' || c == '\t'; }
static bool is_newline(char c) { return c == '\r' || c == '\n'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_name(char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_'; }

/* ---- encoding ---- */

static void add_code_point(struct oll_strbuf *sb, uint32_t cp)
{
    char utf8[4];
    if (cp != 0)
        oll_strbuf_add(sb, utf8, (size_t)oll_utf8_encode(cp, utf8));
}

static uint32_t unit_at(const unsigned char *p, bool big_endian)
{
    return big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

/* UTF-16 behind its byte order mark; lone surrogates and half a unit become U+FFFD. */
static void decode_utf16(struct oll_strbuf *sb, const unsigned char *p, size_t n, bool big_endian)
{
    for (; n >= 2; p += 2, n -= 2) {
        uint32_t cp = unit_at(p, big_endian);
        uint32_t low = n >= 4 ? unit_at(p + 2, big_endian) : 0;
        if (cp >= 0xd800 && cp <= 0xdbff && low >= 0xdc00 && low <= 0xdfff) {
            cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
            p += 2;
            n -= 2;
        } else if (cp >= 0xd800 && cp <= 0xdfff) {
            cp = 0xfffd;
        }
        add_code_point(sb, cp);
    }
    if (n > 0)
        add_code_point(sb, 0xfffd);
}

/* The text as UTF-8 without byte order mark and NULs. */
static void decode(struct oll_strbuf *sb, const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    if (n >= 2 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff))) {
        decode_utf16(sb, p + 2, n - 2, p[0] == 0xfe);
        return;
    }
    if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        n -= 3;
    }
    for (size_t i = 0; i < n;) {
        size_t run = 0;
        while (i + run < n && text[i + run])
            run++;
        oll_strbuf_add(sb, text + i, run);
        i += run + 1;
    }
}

/* ---- reading ---- */

struct reader {
    const char *at, *end;
    int line; /* of `at`, from 1 */
    struct oll_arena *arena;
    struct oll_error *err;
};

/* Steps over a line end, CR LF counting once. */
static void take_newline(struct reader *r)
{
    if (r->at[0] == '\r' && r->at + 1 < r->end && r->at[1] == '\n')
        r->at++;
    r->at++;
    r->line++;
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && is_blank(*r->at))
        r->at++;
}

/* Stands at the next command afterwards; false at the end of the text. */
static bool skip_to_command(struct reader *r)
{
    while (r->at < r->end) {
        if (is_newline(*r->at)) {
            take_newline(r);
        } else if (is_blank(*r->at)) {
            r->at++;
        } else if (*r->at == '#') {
            while (r->at < r->end && !is_newline(*r->at))
                r->at++;
        } else {
            return true;
        }
    }
    return false;
}

static oll_status fail_eof(struct reader *r)
{
    return OLL_FAIL(r->err, OLL_ERR_FORMAT, "unexpected EOF");
}

static oll_status fail_word(struct reader *r)
{
    return OLL_FAIL(r->err, OLL_ERR_FORMAT,
                    "(line %d): command must be one of \"from\", \"license\", \"template\", "
                    "\"system\", \"adapter\", \"draft\", \"renderer\", \"parser\", \"parameter\", "
                    "\"message\", or \"requires\"",
                    r->line);
}

static oll_status read_word(struct reader *r, enum oll_modelfile_word *out)
{
    const char *start = r->at;
    while (r->at < r->end && is_letter(*r->at))
        r->at++;
    size_t n = (size_t)(r->at - start);
    if (r->at == r->end)
        return fail_eof(r);
    if (is_newline(*r->at)) {
        take_newline(r);
        return fail_word(r);
    }
    for (int i = 0; i < OLL_MODELFILE_WORD_COUNT && is_blank(*r->at); i++)
        if (strlen(words[i]) == n && strncasecmp(words[i], start, n) == 0) {
            *out = (enum oll_modelfile_word)i;
            skip_blanks(r);
            return OLL_OK;
        }
    return fail_word(r);
}

/* Name of a parameter or role of a message, and the blanks behind it. */
static oll_status read_name(struct reader *r, bool is_role, const char **out)
{
    const char *start = r->at;
    while (r->at < r->end && (is_role ? is_letter(*r->at) : is_name(*r->at)))
        r->at++;
    int n = (int)(r->at - start);
    if (r->at == r->end)
        return fail_eof(r);
    if (is_newline(*r->at))
        return OLL_FAIL(r->err, OLL_ERR_FORMAT, "unexpected EOF: %.*s", n, start);
    bool valid = n > 0 && is_blank(*r->at);
    if (is_role) {
        bool known = false;
        for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
            known |= strlen(roles[i]) == (size_t)n && memcmp(roles[i], start, (size_t)n) == 0;
        if (!valid || !known)
            return OLL_FAIL(r->err, OLL_ERR_FORMAT,
                            "(line %d): message role must be one of \"system\", \"user\", or "
                            "\"assistant\"",
                            r->line);
    } else if (!valid) {
        return OLL_FAIL(r->err, OLL_ERR_FORMAT,
                        "(line %d): the name of a parameter is made of letters, digits and \"_\"",
                        r->line);
    }
    *out = oll_arena_strndup(r->arena, start, (size_t)n);
    skip_blanks(r);
    return OLL_OK;
}

/* Whether start[0..n), trimmed, is a whole value; then it is given without its quotes. */
static bool unquote(const char *start, size_t n, const char **value, size_t *n_value)
{
    while (n > 0 && is_blank(start[n - 1]))
        n--;
    size_t quotes = n >= 3 && memcmp(start, "\"\"\"", 3) == 0 ? 3 : n >= 1 && *start == '"' ? 1 : 0;
    if (n < 2 * quotes || memcmp(start + n - quotes, "\"\"\"", quotes) != 0)
        return false;
    *value = start + quotes;
    *n_value = n - 2 * quotes;
    return true;
}

/* The value ends at the first line end, or at the end of the text, where it is whole. */
static oll_status read_value(struct reader *r, const char **out)
{
    const char *start = r->at, *value;
    size_t n_value;
    for (;;) {
        while (r->at < r->end && !is_newline(*r->at))
            r->at++;
        bool whole = unquote(start, (size_t)(r->at - start), &value, &n_value);
        if (r->at == r->end && (!whole || value == r->end))
            return fail_eof(r);
        if (whole)
            break;
        take_newline(r);
    }
    *out = oll_arena_strndup(r->arena, value, n_value);
    return OLL_OK;
}

static oll_status read_command(struct reader *r, struct oll_modelfile_command *c)
{
    OLL_TRY(read_word(r, &c->word));
    if (c->word == OLL_MODELFILE_PARAMETER || c->word == OLL_MODELFILE_MESSAGE)
        OLL_TRY(read_name(r, c->word == OLL_MODELFILE_MESSAGE, &c->name));
    return read_value(r, &c->value);
}

static oll_status read_all(struct reader *r, struct oll_modelfile *out)
{
    struct oll_modelfile file = {0};
    size_t cap = 0;
    bool has_from = false;
    while (skip_to_command(r)) {
        struct oll_modelfile_command c = {0};
        OLL_TRY(read_command(r, &c));
        if (file.n_commands == cap) {
            struct oll_modelfile_command *grown =
                oll_arena_alloc(r->arena, cap ? 2 * cap : 16, sizeof *grown);
            if (!grown)
                break;
            if (cap)
                memcpy(grown, file.commands, cap * sizeof *grown);
            file.commands = grown;
            cap = cap ? 2 * cap : 16;
        }
        file.commands[file.n_commands++] = c;
        has_from |= c.word == OLL_MODELFILE_FROM;
    }
    if (r->arena->status != OLL_OK)
        return OLL_FAIL(r->err, r->arena->status, "out of memory for the Modelfile");
    if (!has_from)
        return OLL_FAIL(r->err, OLL_ERR_FORMAT, "no FROM line");
    *out = file;
    return OLL_OK;
}

oll_status oll_modelfile_parse(struct oll_arena *arena, const char *text, size_t n,
                               struct oll_modelfile *out, struct oll_error *err)
{
    struct oll_strbuf utf8;
    if (n > OLL_MODELFILE_BYTES_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "the Modelfile has %zu bytes, at most %d are read", n,
                        OLL_MODELFILE_BYTES_MAX);
    /* UTF-16 grows by half at most. */
    oll_strbuf_init(&utf8, 2 * (size_t)OLL_MODELFILE_BYTES_MAX);
    decode(&utf8, text, n);
    struct reader r = {utf8.data, utf8.data + utf8.len, 1, arena, err};
    oll_status status = utf8.status == OLL_OK
                            ? read_all(&r, out)
                            : OLL_FAIL(err, utf8.status, "out of memory for the Modelfile");
    oll_strbuf_free(&utf8);
    return status;
}

/* ---- printing ---- */

/* Beyond what real Ollama quotes (a line end, a blank at either end) a leading quote and an outer
 * tab need it too, or the value would be read back as another one. */
static const char *quotes_for(const char *value)
{
    size_t n = strlen(value);
    if (n == 0 || !(strpbrk(value, "\r\n") || is_blank(value[0]) || is_blank(value[n - 1]) ||
                    value[0] == '"'))
        return "";
    return strchr(value, '"') ? "\"\"\"" : "\"";
}

void oll_modelfile_print(struct oll_strbuf *sb, enum oll_modelfile_word word, const char *name,
                         const char *value)
{
    const char *quotes = quotes_for(value);
    oll_strbuf_printf(sb, "%s ", words[word]);
    if (name)
        oll_strbuf_printf(sb, "%s ", name);
    oll_strbuf_adds(sb, quotes);
    oll_strbuf_adds(sb, value);
    oll_strbuf_adds(sb, quotes);
    oll_strbuf_addc(sb, '\n');
}
