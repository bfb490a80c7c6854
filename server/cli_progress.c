#include "server/cli_progress.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "engine/base/utf8.h"
#include "registry/size_text.h"
#include "server/cli_columns.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    LINES_MAX = 256,
    TITLE_MAX = 160,
    KEY_MAX = 80,
    SAMPLES = 10,
    DRAW_NS = 100 * 1000 * 1000,
    WIDTH_DEFAULT = 80,
    HEIGHT_DEFAULT = 24,
    TITLE_CUT_MAX = TITLE_MAX + 8, /* with an ellipsis */
    SUFFIX_REST = 7 + 10 + 8,      /* columns of "/ total", rate and time */
    PERCENT = 6,                   /* columns of " 100% " */
    FRAME = 3                      /* columns of " ⠋ " */
};

struct line {
    char key[KEY_MAX], title[TITLE_MAX];
    bool is_bar, stopped;
    uint64_t total, completed, start_ns;
    int shown_tenth; /* of a bar, where there is no terminal */
    struct {
        uint64_t ns, n;
    } samples[SAMPLES];
    int n_samples;
};

struct cli_progress {
    struct line *lines; /* [LINES_MAX] */
    int n;
    bool terminal;
    int n_drawn; /* lines of the block on the screen */
    int columns; /* of the terminal when it was drawn */
    uint64_t drawn_ns;
    int frame;
};

/* ---- text ---- */

static void time_text(double seconds, char out[16])
{
    uint64_t s = seconds < 360000 ? (uint64_t)seconds : 360000;
    if (s >= 360000)
        snprintf(out, 16, "99h+");
    else if (s >= 3600)
        snprintf(out, 16, "%dh%dm", (int)(s / 3600), (int)(s % 3600 / 60));
    else if (s >= 60)
        snprintf(out, 16, "%dm%ds", (int)(s / 60), (int)(s % 60));
    else
        snprintf(out, 16, "%ds", (int)s);
}

static void suffix_text(const struct cli_progress_numbers *n, char out[128])
{
    char total[OLL_SIZE_TEXT_MAX], now[OLL_SIZE_TEXT_MAX], rate[OLL_SIZE_TEXT_MAX], left[16];
    oll_size_text(n->total, total);
    oll_size_text(n->completed, now);
    if (n->done) {
        snprintf(out, 128, "%6s%*s", total, SUFFIX_REST, "");
        return;
    }
    if (n->rate <= 0) {
        snprintf(out, 128, "%6s/%6s%*s", now, total, SUFFIX_REST - 7, "");
        return;
    }
    oll_size_text((uint64_t)n->rate, rate);
    time_text((double)(n->total - n->completed) / n->rate, left);
    snprintf(out, 128, "%6s/%6s  %6s/s  %6s", now, total, rate, left);
}

void cli_progress_bar_text(const char *title, const struct cli_progress_numbers *n, int width,
                           char out[CLI_PROGRESS_LINE_MAX])
{
    static const char full[] = "█";
    char suffix[128], before[TITLE_CUT_MAX + 16], inside[CLI_PROGRESS_LINE_MAX / 2];
    double part = n->total > 0 ? (double)n->completed / (double)n->total : 0;
    if (part > 1)
        part = 1;
    suffix_text(n, suffix);
    snprintf(before, sizeof before, "%s %3.0f%% ", title, (double)(int)(100 * part));
    int room = width - (int)strlen(before) - (int)strlen(suffix) - 5;
    if (room > 100)
        room = 100;
    int n_full = room > 0 ? (int)(part * room) : 0;
    size_t at = 0;
    for (int i = 0; i < room; i++) {
        const char *cell = i < n_full ? full : " ";
        memcpy(inside + at, cell, strlen(cell));
        at += strlen(cell);
    }
    inside[at] = '\0';
    snprintf(out, CLI_PROGRESS_LINE_MAX, room > 0 ? "%s▕%s▏ %s" : "%s%s%s", before, inside, suffix);
}

void cli_progress_cut(const char *text, int columns, char *out, size_t n_out)
{
    if (cli_columns_width(text) <= columns)
        snprintf(out, n_out, "%s", text);
    else
        snprintf(out, n_out, "%.*s%s", (int)cli_columns_fit(text, columns - 1), text,
                 columns > 0 ? "…" : "");
}

/* Bytes a second over the samples; from the start of the bar while there is but one. */
static double rate_of(const struct line *l)
{
    if (l->n_samples == 0)
        return 0;
    const int last = l->n_samples - 1;
    const uint64_t from_ns = last > 0 ? l->samples[0].ns : l->start_ns;
    const uint64_t from_n = last > 0 ? l->samples[0].n : 0;
    const double seconds = (double)(l->samples[last].ns - from_ns) / 1e9;
    return seconds > 0 ? (double)(l->samples[last].n - from_n) / seconds : 0;
}

static void take_sample(struct line *l)
{
    const uint64_t now = oll_clock_ns();
    const uint64_t before = l->n_samples > 0 ? l->samples[l->n_samples - 1].ns : l->start_ns;
    if (now - before < 1000000000)
        return;
    if (l->n_samples == SAMPLES) {
        memmove(l->samples, l->samples + 1, (SAMPLES - 1) * sizeof l->samples[0]);
        l->n_samples--;
    }
    l->samples[l->n_samples].ns = now;
    l->samples[l->n_samples++].n = l->completed;
}

/* A line for a terminal of `width` columns. The last one stays free: there terminals differ in what
 * erasing behind the cursor erases. Of a long title so much is left out that its numbers fit. */
static void line_text(const struct cli_progress *p, const struct line *l, int width,
                      char out[CLI_PROGRESS_LINE_MAX])
{
    static const char *const frames[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
    char title[TITLE_CUT_MAX];
    const int room = width - 1;
    cli_progress_cut(l->title, room - (l->is_bar ? PERCENT : FRAME), title, sizeof title);
    if (l->is_bar) {
        const struct cli_progress_numbers n = {l->total, l->completed, rate_of(l),
                                               l->completed >= l->total};
        cli_progress_bar_text(title, &n, width, out);
        out[cli_columns_fit(out, room)] = '\0';
        return;
    }
    snprintf(out, CLI_PROGRESS_LINE_MAX, "%s%s%s ", title, title[0] && !l->stopped ? " " : "",
             l->stopped ? "" : frames[p->frame % 10]);
    out[cli_columns_fit(out, room)] = '\0';
}

/* ---- terminal ---- */

static void draw(struct cli_progress *p)
{
    struct winsize size = {0};
    struct oll_strbuf out;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        size = (struct winsize){.ws_col = WIDTH_DEFAULT, .ws_row = HEIGHT_DEFAULT};
    const int height = size.ws_row > 1 ? size.ws_row : HEIGHT_DEFAULT;
    const int first = p->n > height ? p->n - height : 0;
    oll_strbuf_init(&out, 1 << 20);
    oll_strbuf_adds(&out, "\033[?2026h\033[?25l");
    for (int i = 0; i < p->n_drawn - 1; i++)
        oll_strbuf_adds(&out, "\033[A");
    oll_strbuf_adds(&out, "\033[1G");
    for (int i = first; i < p->n; i++) {
        char text[CLI_PROGRESS_LINE_MAX];
        line_text(p, &p->lines[i], size.ws_col, text);
        oll_strbuf_printf(&out, "%s\033[K%s", text, i + 1 < p->n ? "\n" : "");
    }
    /* A terminal that became narrower may have broken the lines that were there. */
    oll_strbuf_adds(&out, size.ws_col < p->columns ? "\033[J" : "");
    oll_strbuf_adds(&out, "\033[?25h\033[?2026l");
    ssize_t written = write(STDERR_FILENO, out.data, out.len);
    (void)written;
    oll_strbuf_free(&out);
    p->n_drawn = p->n - first;
    p->columns = size.ws_col;
    p->drawn_ns = oll_clock_ns();
    p->frame++;
}

void cli_progress_tick(struct cli_progress *p)
{
    if (!p || p->n == 0)
        return;
    for (int i = 0; i < p->n; i++)
        if (p->lines[i].is_bar && p->lines[i].completed < p->lines[i].total)
            take_sample(&p->lines[i]);
    if (p->terminal && oll_clock_ns() - p->drawn_ns >= DRAW_NS)
        draw(p);
}

/* ---- plain lines ---- */

static void print_plain(struct line *l, bool is_new)
{
    if (!l->is_bar) {
        if (is_new && l->title[0])
            fprintf(stderr, "%s\n", l->title);
        return;
    }
    char now[OLL_SIZE_TEXT_MAX], total[OLL_SIZE_TEXT_MAX];
    const int tenth = l->total > 0 ? (int)((double)l->completed / (double)l->total * 10) : 10;
    if (!is_new && tenth <= l->shown_tenth)
        return;
    l->shown_tenth = tenth;
    oll_size_text(l->completed, now);
    oll_size_text(l->total, total);
    fprintf(stderr, "%s %3d%% %s/%s\n", l->title, tenth >= 10 ? 100 : tenth * 10, now, total);
}

/* ---- both ---- */

struct cli_progress *cli_progress_new(void)
{
    struct cli_progress *p = oll_calloc(1, sizeof *p);
    if (p)
        p->lines = oll_calloc(LINES_MAX, sizeof *p->lines);
    if (p && !p->lines) {
        oll_free(p);
        return NULL;
    }
    if (p)
        p->terminal = isatty(STDERR_FILENO);
    return p;
}

static void stop_spinners(struct cli_progress *p)
{
    for (int i = 0; i < p->n; i++)
        p->lines[i].stopped |= !p->lines[i].is_bar;
}

/* Whole characters, as many as there is room for. */
static void set_title(struct line *l, const char *title)
{
    const size_t n = strlen(title);
    size_t at = 0;
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t cp = 0;
        len = (size_t)oll_utf8_decode(title + i, n - i, &cp);
        const bool control = len == 0 || cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
        len = len > 0 ? len : 1;
        if (at + len >= sizeof l->title)
            break;
        memcpy(l->title + at, control ? " " : title + i, control ? 1 : len);
        at += control ? 1 : len;
    }
    l->title[at] = '\0';
}

/* The line of a key, or a new one. */
static struct line *find_line(struct cli_progress *p, const char *key, const char *title,
                              bool is_bar, bool *is_new)
{
    *is_new = false;
    for (int i = p->n - 1; i >= 0; i--)
        if (p->lines[i].is_bar == is_bar && strcmp(p->lines[i].key, key) == 0)
            return &p->lines[i];
    if (p->n == LINES_MAX) {
        memmove(p->lines, p->lines + 1, (LINES_MAX - 1) * sizeof *p->lines);
        p->n--;
    }
    struct line *l = &p->lines[p->n++];
    *l = (struct line){.is_bar = is_bar, .start_ns = oll_clock_ns(), .shown_tenth = -1};
    snprintf(l->key, sizeof l->key, "%s", key);
    set_title(l, title);
    *is_new = true;
    return l;
}

void cli_progress_show(struct cli_progress *p, const char *key, const char *title, uint64_t total,
                       uint64_t completed)
{
    bool is_new;
    if (!p)
        return;
    struct line *l = find_line(p, key ? key : title, title, key != NULL, &is_new);
    if (is_new) {
        stop_spinners(p);
        l->stopped = false;
    }
    l->total = total;
    if (completed > l->completed)
        l->completed = completed;
    if (!p->terminal)
        print_plain(l, is_new);
    else if (is_new)
        draw(p);
    cli_progress_tick(p);
}

void cli_progress_clear(struct cli_progress *p)
{
    if (p && p->terminal && p->n_drawn > 0) {
        for (int i = 0; i < p->n_drawn; i++)
            fprintf(stderr, "%s\033[1G\033[2K", i > 0 ? "\033[A" : "");
        fflush(stderr);
    }
    if (p)
        oll_free(p->lines);
    oll_free(p);
}

void cli_progress_free(struct cli_progress *p)
{
    if (!p)
        return;
    stop_spinners(p);
    if (p->terminal && p->n > 0) {
        draw(p);
        fputc('\n', stderr);
    }
    oll_free(p->lines);
    oll_free(p);
}
