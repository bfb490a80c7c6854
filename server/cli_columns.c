#include "server/cli_columns.h"

#include "engine/base/utf8.h"
#include "server/cli_plain.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { COLUMNS_MAX = 64, WORDS_MAX = 4096 };

void cli_columns_init(struct cli_columns *t, struct oll_arena *arena, int limit)
{
    *t = (struct cli_columns){.arena = arena, .limit = limit};
}

void cli_columns_add(struct cli_columns *t, const char *const *cells, int n)
{
    if (t->n_rows == t->cap_rows) {
        const size_t cap = t->cap_rows ? 2 * t->cap_rows : 32;
        struct cli_columns_row *grown = oll_arena_alloc(t->arena, cap, sizeof *grown);
        if (!grown)
            return;
        if (t->n_rows)
            memcpy(grown, t->rows, t->n_rows * sizeof *grown);
        t->rows = grown;
        t->cap_rows = cap;
    }
    n = n < COLUMNS_MAX ? n : COLUMNS_MAX;
    const char **copy = oll_arena_alloc(t->arena, (size_t)n, sizeof *copy);
    if (!copy)
        return;
    for (int i = 0; i < n; i++)
        if (!(copy[i] = oll_arena_strdup(t->arena, cells[i])))
            return;
    t->rows[t->n_rows++] = (struct cli_columns_row){copy, n};
}

/* ---- widths ---- */

static int width_of_char(uint32_t cp)
{
    if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || (cp >= 0x300 && cp <= 0x36f) || cp == 0x200b ||
        cp == 0x200d || (cp >= 0xfe00 && cp <= 0xfe0f))
        return 0;
    const bool wide = (cp >= 0x1100 && cp <= 0x115f) || (cp >= 0x2e80 && cp <= 0xa4cf) ||
                      (cp >= 0xac00 && cp <= 0xd7a3) || (cp >= 0xf900 && cp <= 0xfaff) ||
                      (cp >= 0xfe30 && cp <= 0xfe6f) || (cp >= 0xff00 && cp <= 0xff60) ||
                      (cp >= 0xffe0 && cp <= 0xffe6) || (cp >= 0x1f300 && cp <= 0x1faff) ||
                      (cp >= 0x20000 && cp <= 0x3fffd);
    return wide ? 2 : 1;
}

/* Length of the first character, of which there is one, and its columns; a byte that is none
 * takes one. */
static size_t next_char(const char *text, size_t n, int *columns)
{
    uint32_t cp;
    const int len = oll_utf8_decode(text, n, &cp);
    *columns = len ? width_of_char(cp) : 1;
    return len ? (size_t)len : 1;
}

static int width_of(const char *text, size_t n)
{
    int width = 0, columns;
    for (size_t i = 0; i < n; width += columns)
        i += next_char(text + i, n - i, &columns);
    return width;
}

int cli_columns_width(const char *text) { return width_of(text, strlen(text)); }

size_t cli_columns_fit(const char *text, int columns)
{
    const size_t n = strlen(text);
    size_t at = 0;
    while (at < n) {
        int width;
        const size_t len = next_char(text + at, n - at, &width);
        if (width > columns)
            break;
        columns -= width;
        at += len;
    }
    return at;
}

/* ---- wrapping ---- */

struct words {
    const char *start[WORDS_MAX];
    size_t len[WORDS_MAX];
    int width[WORDS_MAX];
    int next[WORDS_MAX]; /* first word of the line after the one that begins with this word */
    long cost[WORDS_MAX + 1];
    int n;
};

static void split(struct words *w, const char *text)
{
    w->n = 0;
    while (*text && w->n < WORDS_MAX) {
        text += strspn(text, " \t\r\n");
        const size_t len = strcspn(text, " \t\r\n");
        if (len == 0)
            break;
        w->start[w->n] = text;
        w->len[w->n] = len;
        w->width[w->n++] = width_of(text, len);
        text += len;
    }
}

/* Line breaks with the least sum of squared gaps; the last line's gap is free. */
static void choose_breaks(struct words *w, int limit)
{
    w->cost[w->n] = 0;
    for (int i = w->n - 1; i >= 0; i--) {
        int width = -1;
        w->cost[i] = -1;
        for (int j = i; j < w->n; j++) {
            width += 1 + w->width[j];
            if (width > limit && j > i)
                break;
            const long gap = width < limit && j + 1 < w->n ? limit - width : 0;
            const long cost = gap * gap + w->cost[j + 1];
            if (w->cost[i] < 0 || cost < w->cost[i]) {
                w->cost[i] = cost;
                w->next[i] = j + 1;
            }
        }
    }
}

/* Lines of a cell, in the arena; a cell that fits is its own line, with its blanks. */
static const char **wrap(struct oll_arena *arena, const char *text, int limit, int *n_lines)
{
    *n_lines = 1;
    if (cli_columns_width(text) <= limit && !strchr(text, '\n')) {
        const char **one = oll_arena_alloc(arena, 1, sizeof *one);
        if (one)
            *one = text;
        return one;
    }
    struct words *w = oll_arena_alloc(arena, 1, sizeof *w);
    if (!w)
        return NULL;
    split(w, text);
    choose_breaks(w, limit);
    const char **lines = oll_arena_alloc(arena, (size_t)w->n + 1, sizeof *lines);
    int n = 0;
    for (int i = 0; lines && i < w->n; i = w->next[i]) {
        const char *end = w->start[w->next[i] - 1] + w->len[w->next[i] - 1];
        lines[n++] = oll_arena_strndup(arena, w->start[i], (size_t)(end - w->start[i]));
    }
    if (lines && n == 0)
        lines[n++] = "";
    *n_lines = n;
    return lines;
}

/* ---- printing ---- */

struct wrapped_row {
    const char **lines[COLUMNS_MAX];
    int n_lines[COLUMNS_MAX], n, height;
};

static void print_row(const struct wrapped_row *row, const int *widths)
{
    for (int k = 0; k < row->height; k++) {
        printf("    ");
        for (int c = 0; c < row->n; c++) {
            const char *line = row->lines[c] && k < row->n_lines[c] ? row->lines[c][k] : "";
            line = line ? line : "";
            cli_plain_print(stdout, line);
            printf("%*s", widths[c] - cli_columns_width(line) + 4, "");
        }
        printf("\n");
    }
}

void cli_columns_print(const struct cli_columns *t, const char *title)
{
    int widths[COLUMNS_MAX] = {0};
    struct wrapped_row *rows = oll_arena_alloc(t->arena, t->n_rows, sizeof *rows);
    if (t->n_rows == 0 || !rows)
        return;
    for (size_t r = 0; r < t->n_rows; r++) {
        rows[r].n = t->rows[r].n;
        for (int c = 0; c < rows[r].n; c++) {
            rows[r].lines[c] = wrap(t->arena, t->rows[r].cells[c], t->limit, &rows[r].n_lines[c]);
            for (int k = 0; rows[r].lines[c] && k < rows[r].n_lines[c]; k++) {
                const int width = cli_columns_width(rows[r].lines[c][k] ? rows[r].lines[c][k] : "");
                widths[c] = width > widths[c] ? width : widths[c];
            }
            rows[r].height =
                rows[r].n_lines[c] > rows[r].height ? rows[r].n_lines[c] : rows[r].height;
        }
    }
    printf("  %s\n", title);
    for (size_t r = 0; r < t->n_rows; r++)
        print_row(&rows[r], widths);
    printf("\n");
}
