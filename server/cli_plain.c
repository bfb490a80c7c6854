#include "server/cli_plain.h"

#include "engine/base/utf8.h"

#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { SIGNS = 0x2400 /* Unicode's pictures of the control characters */, LOST = 0xfffd };

/* What stands for the first character of text[0..n): *n_out bytes, which may be none. Returns its
 * length. A byte that is no character is lost, since some terminals take it for a control. */
static size_t take_char(const char *text, size_t n, char out[4], size_t *n_out)
{
    uint32_t cp = 0;
    const int len = oll_utf8_decode(text, n, &cp);
    *n_out = 0;
    if (len > 0 && (cp >= 0xa0 || (cp >= 0x20 && cp < 0x7f) || cp == '\n' || cp == '\t'))
        *n_out = (size_t)oll_utf8_encode(cp, out);
    else if (len > 0 && cp < 0x20 && cp != '\r')
        *n_out = (size_t)oll_utf8_encode(SIGNS + cp, out);
    else if (len > 0 && cp == 0x7f)
        *n_out = (size_t)oll_utf8_encode(SIGNS + 0x21, out);
    else if (len == 0 || cp != '\r')
        *n_out = (size_t)oll_utf8_encode(LOST, out);
    return len > 0 ? (size_t)len : 1;
}

void cli_plain_add(struct oll_strbuf *out, const char *text)
{
    const size_t n = strlen(text);
    for (size_t i = 0; i < n;) {
        char shown[4];
        size_t n_shown;
        i += take_char(text + i, n - i, shown, &n_shown);
        oll_strbuf_add(out, shown, n_shown);
    }
}

void cli_plain_print(FILE *out, const char *text)
{
    const size_t n = strlen(text);
    const bool terminal = isatty(fileno(out));
    if (!terminal)
        fputs(text, out);
    for (size_t i = 0; terminal && i < n;) {
        char shown[4];
        size_t n_shown;
        i += take_char(text + i, n - i, shown, &n_shown);
        fwrite(shown, 1, n_shown, out);
    }
}
