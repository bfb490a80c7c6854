#include "server/cli_wrap.h"

#include "engine/base/utf8.h"
#include "server/cli_columns.h"

#include <stdint.h>
#include <string.h>

enum { MARGIN = 5 /* columns that stay free */, LONG_WORD = 10 /* a word this near the width */ };

void cli_wrap_init(struct cli_wrap *w, FILE *out, int width)
{
    *w = (struct cli_wrap){.out = out, .width = width};
}

static void forget_word(struct cli_wrap *w)
{
    w->n_word = 0;
    w->word_width = 0;
}

/* Makes room for a character of `columns`: the word that it belongs to moves to the next line,
 * unless it is too long for that. */
static void break_line(struct cli_wrap *w)
{
    if (w->word_width > w->width - LONG_WORD) {
        forget_word(w);
        w->line = 0;
        return;
    }
    if (w->word_width > 0)
        fprintf(w->out, "\033[%dD", w->word_width);
    fputs("\033[K\n", w->out);
    fwrite(w->word, 1, w->n_word, w->out);
    w->line = w->word_width;
}

static void put_char(struct cli_wrap *w, const char *c, size_t n)
{
    char text[5] = {0};
    memcpy(text, c, n);
    if (*c == '\n') {
        w->line = 0;
        forget_word(w);
    } else {
        const int columns = cli_columns_width(text);
        if (w->line + 1 > w->width - MARGIN)
            break_line(w);
        w->line += columns;
        if (*c == ' ' || *c == '\t' || columns > 1 || w->n_word + n > sizeof w->word) {
            forget_word(w);
        } else {
            memcpy(w->word + w->n_word, c, n);
            w->n_word += n;
            w->word_width += columns;
        }
    }
    fwrite(c, 1, n, w->out);
}

void cli_wrap_put(struct cli_wrap *w, const char *text, size_t n)
{
    if (w->width <= 0) {
        fwrite(text, 1, n, w->out);
        return;
    }
    while (n > 0) {
        uint32_t cp;
        const int len = oll_utf8_decode(text, n, &cp);
        const size_t step = len > 0 ? (size_t)len : 1;
        put_char(w, text, step);
        text += step;
        n -= step;
    }
}
