#include "server/cli_line.h"

#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "server/cli_client.h"
#include "server/cli_editor.h"
#include "server/env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef OLL_LIBEDIT
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <wchar.h>
#endif

enum { PASTE_MAX = 16 << 20 };

struct cli_line {
    const char *prompt, *hint;
    char *plain; /* line of getline */
    size_t cap;
#ifdef OLL_LIBEDIT
    EditLine *editor; /* NULL: lines are read plainly */
    History *history;
    char *edited; /* copy of the last line */
#endif
};

/* ---- plainly ---- */

static enum cli_line_result read_plain(struct cli_line *l, char **text)
{
    printf("%s", l->prompt);
    fflush(stdout);
    errno = 0;
    ssize_t n = getline(&l->plain, &l->cap, stdin);
    if (n < 0 && cli_client_interrupted()) {
        clearerr(stdin);
        return CLI_LINE_INTERRUPT;
    }
    if (n < 0)
        return CLI_LINE_END;
    l->plain[strcspn(l->plain, "\r\n")] = '\0';
    *text = l->plain;
    return CLI_LINE_TEXT;
}

#ifdef OLL_LIBEDIT

/* ---- with libedit ---- */

static char *prompt_of(EditLine *editor)
{
    struct cli_line *l;
    el_get(editor, EL_CLIENTDATA, &l);
    return (char *)(uintptr_t)l->prompt;
}

/* A byte of standard input; 0 at its end, -1 on an interrupt. libedit's own function would read on
 * after a signal. */
static int read_byte(char *c)
{
    ssize_t n;
    do
        n = read(STDIN_FILENO, c, 1);
    while (n < 0 && errno == EINTR && !cli_client_interrupted());
    return (int)n;
}

static int columns(void)
{
    struct winsize size = {0};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* The text for the place under the cursor when nothing stands on its line yet, cut to the width of
 * the terminal; its length. */
static int hint_of(const struct cli_line *l, const char **text)
{
    static const char added[] = "Press Enter to send";
    const LineInfo *line = el_line(l->editor);
    const bool empty = line->lastchar == line->buffer;
    if (line->cursor != line->lastchar || (!empty && line->lastchar[-1] != '\n'))
        return 0;
    *text = empty ? l->hint : added;
    const int room = columns() - 1 - (empty ? (int)strlen(l->prompt) : 0);
    const int n = (int)strlen(*text);
    return n < room ? n : room;
}

/* The first byte of a key. While it is waited for, the hint is on the screen; libedit, which knows
 * nothing of it, finds the screen as it left it. A signal that changes no size is that of going on
 * after a stop: the line is drawn anew below what the shell has written meanwhile. */
static int read_key(const struct cli_line *l, char *c)
{
    for (;;) {
        struct pollfd more = {.fd = STDIN_FILENO, .events = POLLIN};
        const int n_columns = columns();
        const char *text;
        const int n_hint = poll(&more, 1, 0) == 0 ? hint_of(l, &text) : 0;
        if (n_hint > 0) {
            printf("\033[38;5;245m%.*s\033[%dD\033[0m", n_hint, text, n_hint);
            fflush(stdout);
        }
        const ssize_t n = read(STDIN_FILENO, c, 1);
        const bool again = n < 0 && errno == EINTR && !cli_client_interrupted();
        if (n_hint > 0) {
            printf("\033[K");
            fflush(stdout);
        }
        if (!again)
            return (int)n;
        if (columns() == n_columns) {
            printf("\r\033[K");
            el_set(l->editor, EL_REFRESH);
        }
    }
}

static int get_char(EditLine *editor, wchar_t *out)
{
    mbstate_t state = {0};
    const struct cli_line *l;
    el_get(editor, EL_CLIENTDATA, &l);
    for (bool first = true;; first = false) {
        char c;
        int n = first ? read_key(l, &c) : read_byte(&c);
        if (n <= 0)
            return n;
        size_t used = mbrtowc(out, &c, 1, &state);
        if (used == 0 || used == 1)
            return 1;
        if (used == (size_t)-1)
            state = (mbstate_t){0}; /* no character of this locale: left out */
    }
}

/* A bracketed paste: its lines go into the one that is edited. Returns come as newlines and
 * newlines as returns (see set_terminal); both together are one end of a line. */
static unsigned char on_paste(EditLine *editor, int key)
{
    static const char end[] = "\033[201~";
    struct oll_strbuf text;
    char c, before = '\0';
    (void)key;
    oll_strbuf_init(&text, PASTE_MAX);
    while (text.status == OLL_OK && read_byte(&c) == 1) {
        if (c != '\r' || before != '\n')
            oll_strbuf_addc(&text, c == '\r' ? '\n' : c);
        before = c;
        if (text.len >= sizeof end - 1 &&
            memcmp(text.data + text.len - (sizeof end - 1), end, sizeof end - 1) == 0)
            break;
    }
    const size_t n = text.len >= sizeof end - 1 ? text.len - (sizeof end - 1) : 0;
    if (text.status == OLL_OK && n > 0) {
        text.data[n] = '\0';
        el_insertstr(editor, text.data);
    }
    oll_strbuf_free(&text);
    return CC_REFRESH;
}

/* The cursor goes on below, and Enter sends all the lines. */
static unsigned char on_new_line(EditLine *editor, int key)
{
    (void)key;
    return el_insertstr(editor, "\n") == 0 ? CC_REFRESH : CC_ERROR;
}

static unsigned char on_tab(EditLine *editor, int key)
{
    (void)key;
    return el_insertstr(editor, "        ") == 0 ? CC_REFRESH : CC_ERROR;
}

/* Leaves on an empty line; else deletes the character under the cursor. */
static unsigned char on_ctrl_d(EditLine *editor, int key)
{
    const LineInfo *line = el_line(editor);
    (void)key;
    if (line->buffer == line->lastchar)
        return CC_EOF;
    if (line->cursor == line->lastchar)
        return CC_ERROR;
    el_cursor(editor, 1);
    el_deletestr(editor, 1);
    return CC_REFRESH;
}

/* The line goes through an editor and comes back unsent. */
static unsigned char on_editor(EditLine *editor, int key)
{
    const LineInfo *line = el_line(editor);
    const LineInfoW *wide = el_wline(editor);
    struct oll_error err = {0};
    char *text, *edited = NULL;
    (void)key;
    text = oll_strndup(line->buffer, (size_t)(line->lastchar - line->buffer));
    if (!text)
        return CC_ERROR;
    el_set(editor, EL_PREP_TERM, 0);
    if (cli_editor_edit(text, &edited, &err) == OLL_OK) {
        size_t n = strlen(edited);
        while (n > 0 && strchr("\r\n", edited[n - 1]))
            edited[--n] = '\0';
        el_cursor(editor, (int)(wide->lastchar - wide->cursor));
        el_deletestr(editor, (int)(wide->lastchar - wide->buffer));
        if (n > 0)
            el_insertstr(editor, edited);
    } else {
        printf("\n%s\n", oll_error_text(&err));
        fflush(stdout);
    }
    el_set(editor, EL_PREP_TERM, 1);
    oll_free(edited);
    oll_free(text);
    return CC_REDISPLAY;
}

static void bind_keys(EditLine *e)
{
    static const char *const keys[][2] = {
        {"^U", "vi-kill-line-prev"},
        {"^W", "ed-delete-prev-word"},
        {"^I", "oll-tab"},
        {"^J", "ed-newline"},
        {"^M", "oll-new-line"},
        {"^D", "oll-leave"},
        {"^G", "oll-editor"},
        {"\033[200~", "oll-paste"},
        {"\033[3~", "ed-delete-next-char"},
        {"\033[H", "ed-move-to-beg"},
        {"\033[F", "ed-move-to-end"},
        {"\033[1~", "ed-move-to-beg"},
        {"\033[4~", "ed-move-to-end"},
    };
    el_set(e, EL_ADDFN, "oll-tab", "insert eight spaces", on_tab);
    el_set(e, EL_ADDFN, "oll-new-line", "add a line", on_new_line);
    el_set(e, EL_ADDFN, "oll-leave", "leave, or delete forward", on_ctrl_d);
    el_set(e, EL_ADDFN, "oll-editor", "edit the line in an editor", on_editor);
    el_set(e, EL_ADDFN, "oll-paste", "insert what is pasted", on_paste);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        el_set(e, EL_BIND, keys[i][0], keys[i][1], NULL);
}

/* While a line is edited the terminal's driver swaps returns and newlines. So Enter is the newline
 * that it also is when it was typed ahead, before the line was asked for, and Ctrl-J, which sends a
 * newline, can be told from it. */
static void set_terminal(EditLine *e) { el_set(e, EL_SETTY, "-d", "+icrnl", "+inlcr", NULL); }

static bool open_editor(struct cli_line *l)
{
    char term[ENV_TEXT_MAX];
    HistEvent event;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !env_text("TERM", term) ||
        strcmp(term, "dumb") == 0)
        return false;
    setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX < 2)
        setlocale(LC_CTYPE, "C.UTF-8");
    l->editor = el_init("oll", stdin, stdout, stderr);
    l->history = l->editor ? history_init() : NULL;
    if (!l->history)
        return l->editor != NULL;
    history(l->history, &event, H_SETSIZE, 10 * CLI_HISTORY_LINES);
    el_set(l->editor, EL_CLIENTDATA, l);
    el_set(l->editor, EL_PROMPT, prompt_of);
    el_set(l->editor, EL_EDITOR, "emacs");
    el_set(l->editor, EL_SIGNAL, 1);
    el_set(l->editor, EL_GETCFN, get_char);
    el_set(l->editor, EL_HIST, history, l->history);
    bind_keys(l->editor);
    set_terminal(l->editor);
    printf("\033[?2004h"); /* pastes come in brackets */
    fflush(stdout);
    return true;
}

static void close_editor(struct cli_line *l)
{
    if (!l->editor)
        return;
    el_end(l->editor);
    if (l->history)
        history_end(l->history);
    oll_free(l->edited);
    printf("\033[?2004l");
    fflush(stdout);
}

static enum cli_line_result read_edited(struct cli_line *l, char **text)
{
    int n = 0;
    const char *line = el_gets(l->editor, &n);
    if (cli_client_interrupted()) {
        el_reset(l->editor);
        return CLI_LINE_INTERRUPT;
    }
    if (!line || n <= 0)
        return CLI_LINE_END;
    oll_free(l->edited);
    l->edited = oll_strdup(line);
    if (!l->edited)
        return CLI_LINE_END;
    size_t len = strlen(l->edited);
    while (len > 0 && strchr("\r\n", l->edited[len - 1]))
        l->edited[--len] = '\0';
    *text = l->edited;
    return CLI_LINE_TEXT;
}

#endif

/* ---- both ---- */

struct cli_line *cli_line_new(const struct cli_history *history)
{
    struct cli_line *l = oll_calloc(1, sizeof *l);
#ifdef OLL_LIBEDIT
    if (l && open_editor(l))
        for (int i = 0; i < history->n; i++)
            cli_line_remember(l, history->lines[i]);
#else
    (void)history;
#endif
    return l;
}

void cli_line_free(struct cli_line *l)
{
    if (!l)
        return;
#ifdef OLL_LIBEDIT
    close_editor(l);
#endif
    free(l->plain);
    oll_free(l);
}

enum cli_line_result cli_line_read(struct cli_line *l, const char *prompt, const char *hint,
                                   char **text)
{
    l->prompt = prompt;
    l->hint = hint;
    cli_client_catch();
#ifdef OLL_LIBEDIT
    if (l->editor)
        return read_edited(l, text);
#endif
    return read_plain(l, text);
}

void cli_line_remember(struct cli_line *l, const char *text)
{
#ifdef OLL_LIBEDIT
    HistEvent event;
    if (l->history)
        history(l->history, &event, H_ENTER, text);
#else
    (void)l;
    (void)text;
#endif
}
