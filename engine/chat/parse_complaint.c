/* What Go's encoding/json says about a text that is not JSON. Clients of the reference see these
 * words when a model writes a broken call, so they are part of the interface. The reader in
 * engine/base decides what is JSON; this only finds words for a text that it refused. */
#include "engine/chat/parse_internal.h"

#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 512 };

struct complaint {
    const char *s;
    size_t n, at;
    char *out;
    size_t out_bytes;
    bool done;
    int depth;
    bool is_object[DEPTH_MAX];
};

/* "invalid character 'x' <where>", or the words for a text that is only cut short. */
static void complain(struct complaint *c, const char *where)
{
    if (c->done)
        return;
    c->done = true;
    if (c->at >= c->n) {
        snprintf(c->out, c->out_bytes, "unexpected end of JSON input");
        return;
    }
    const unsigned char byte = (unsigned char)c->s[c->at];
    const char *named = byte == '\n'   ? "\\n"
                        : byte == '\r' ? "\\r"
                        : byte == '\t' ? "\\t"
                        : byte == '\'' ? "\\'"
                        : byte == '\\' ? "\\\\"
                                       : NULL;
    if (named)
        snprintf(c->out, c->out_bytes, "invalid character '%s' %s", named, where);
    else if (byte < 0x20 || byte == 0x7F)
        snprintf(c->out, c->out_bytes, "invalid character '\\x%02x' %s", byte, where);
    else if (byte < 0x80)
        snprintf(c->out, c->out_bytes, "invalid character '%c' %s", byte, where);
    else /* The scanner works on bytes and shows the byte as a character of its own. */
        snprintf(c->out, c->out_bytes, "invalid character '%c%c' %s", 0xC0 | byte >> 6,
                 0x80 | (byte & 0x3F), where);
}

static void skip_space(struct complaint *c)
{
    while (c->at < c->n && strchr(" \t\r\n", c->s[c->at]) && c->s[c->at] != '\0')
        c->at++;
}

static bool digit(const struct complaint *c)
{
    return c->at < c->n && c->s[c->at] >= '0' && c->s[c->at] <= '9';
}

static void scan_digits(struct complaint *c, const char *where)
{
    if (!digit(c))
        complain(c, where);
    while (digit(c))
        c->at++;
}

static void scan_number(struct complaint *c)
{
    if (c->s[c->at] == '-')
        c->at++;
    if (c->at < c->n && c->s[c->at] == '0')
        c->at++;
    else
        scan_digits(c, "in numeric literal");
    if (!c->done && c->at < c->n && c->s[c->at] == '.') {
        c->at++;
        scan_digits(c, "after decimal point in numeric literal");
    }
    if (!c->done && c->at < c->n && (c->s[c->at] == 'e' || c->s[c->at] == 'E')) {
        c->at++;
        if (c->at < c->n && (c->s[c->at] == '+' || c->s[c->at] == '-'))
            c->at++;
        scan_digits(c, "in exponent of numeric literal");
    }
}

static void scan_escape(struct complaint *c)
{
    c->at++;
    if (c->at >= c->n || !strchr("\"\\/bfnrtu", c->s[c->at]) || c->s[c->at] == '\0') {
        complain(c, "in string escape code");
        return;
    }
    if (c->s[c->at++] != 'u')
        return;
    for (int i = 0; i < 4 && !c->done; i++, c->at++) {
        const char h = c->at < c->n ? c->s[c->at] : '\0';
        if (!((h >= '0' && h <= '9') || (h >= 'a' && h <= 'f') || (h >= 'A' && h <= 'F')))
            complain(c, "in \\u hexadecimal character escape");
    }
}

static void scan_string(struct complaint *c)
{
    c->at++;
    while (!c->done && c->at < c->n && c->s[c->at] != '"') {
        if (c->s[c->at] == '\\')
            scan_escape(c);
        else if ((unsigned char)c->s[c->at] < 0x20)
            complain(c, "in string literal");
        else
            c->at++;
    }
    if (!c->done && c->at >= c->n)
        complain(c, "");
    c->at++;
}

static void scan_word(struct complaint *c, const char *word)
{
    char where[64];
    for (size_t i = 1; word[i] != '\0' && !c->done; i++) {
        c->at++;
        snprintf(where, sizeof where, "in literal %s (expecting '%c')", word, word[i]);
        if (c->at >= c->n || c->s[c->at] != word[i])
            complain(c, where);
    }
    c->at++;
}

static void scan_key(struct complaint *c)
{
    skip_space(c);
    if (c->at >= c->n || c->s[c->at] != '"') {
        complain(c, "looking for beginning of object key string");
        return;
    }
    scan_string(c);
    skip_space(c);
    if (c->at >= c->n || c->s[c->at] != ':')
        complain(c, "after object key");
    c->at++;
}

/* Reads the first bytes of a value; a container is entered. Returns whether the value is whole. */
static bool scan_value(struct complaint *c)
{
    skip_space(c);
    const char first = c->at < c->n ? c->s[c->at] : '\0';
    if (first == '{' || first == '[') {
        if (c->depth == DEPTH_MAX) {
            c->done = true;
            snprintf(c->out, c->out_bytes, "exceeded max depth");
            return true;
        }
        c->is_object[c->depth++] = first == '{';
        c->at++;
        skip_space(c);
        if (c->at < c->n && c->s[c->at] == (first == '{' ? '}' : ']'))
            return true; /* the closing bracket is read where containers end */
        if (first == '{')
            scan_key(c);
        return false;
    }
    if (first == '"')
        scan_string(c);
    else if (first == '-' || (first >= '0' && first <= '9'))
        scan_number(c);
    else if (first == 't' || first == 'f' || first == 'n')
        scan_word(c, first == 't' ? "true" : first == 'f' ? "false" : "null");
    else
        complain(c, "looking for beginning of value");
    return true;
}

/* Behind a whole value: leaves finished containers; true when another value must follow. */
static bool scan_after(struct complaint *c)
{
    while (c->depth > 0 && !c->done) {
        const bool in_object = c->is_object[c->depth - 1];
        skip_space(c);
        const char next = c->at < c->n ? c->s[c->at] : '\0';
        if (next == ',') {
            c->at++;
            if (in_object)
                scan_key(c);
            return true;
        }
        if (next != (in_object ? '}' : ']')) {
            complain(c, in_object ? "after object key:value pair" : "after array element");
            return false;
        }
        c->at++;
        c->depth--;
    }
    return false;
}

void parse_json_complaint(const char *s, size_t n, char *out, size_t out_bytes)
{
    struct complaint c = {.s = s, .n = n, .out = out, .out_bytes = out_bytes};
    out[0] = '\0';
    bool more = true;
    while (more && !c.done)
        more = !scan_value(&c) || (!c.done && scan_after(&c));
    skip_space(&c);
    if (!c.done && c.at < c.n)
        complain(&c, "after top-level value");
}
