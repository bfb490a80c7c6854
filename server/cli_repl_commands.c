/* Commands of the chat that begin with a slash, matched by their first letters in this order. */
#include "engine/base/mem.h"
#include "server/cli_images.h"
#include "server/cli_list.h"
#include "server/cli_repl.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { WORDS_MAX = 64 };

struct words {
    char *copy; /* of the line, cut into words */
    const char *list[WORDS_MAX];
    int n;
};

static bool split(const char *line, struct words *w)
{
    *w = (struct words){.copy = oll_strdup(line)};
    for (char *p = w->copy; p && *p && w->n < WORDS_MAX;) {
        while (isspace((unsigned char)*p))
            *p++ = '\0';
        if (*p)
            w->list[w->n++] = p;
        while (*p && !isspace((unsigned char)*p))
            p++;
    }
    return w->copy != NULL;
}

static bool is(const struct words *w, int i, const char *text)
{
    return i < w->n && strcmp(w->list[i], text) == 0;
}

/* What follows the first `n` words of a line. */
static const char *rest_of(const char *line, int n)
{
    for (line += strspn(line, " \t"); n > 0; n--) {
        line += strcspn(line, " \t");
        line += strspn(line, " \t");
    }
    return line;
}

/* ---- /set ---- */

static void set_parameter(struct cli_repl *r, const struct words *w)
{
    struct oll_error err = {0};
    if (w->n < 4) {
        cli_repl_help(r, "parameter");
        return;
    }
    if (cli_session_param(r->session, w->list[2], w->list + 3, w->n - 3, &err) != OLL_OK) {
        printf("Couldn't set parameter: \"%s\"\n", oll_error_text(&err));
        return;
    }
    printf("Set parameter '%s' to '", w->list[2]);
    for (int i = 3; i < w->n; i++)
        printf("%s%s", i > 3 ? ", " : "", w->list[i]);
    printf("'\n");
}

static oll_status set_system(struct cli_repl *r, const char *line, const struct words *w,
                             struct oll_error *err)
{
    const char *text = rest_of(line, 2);
    char *block = NULL;
    if (w->n < 3) {
        cli_repl_help(r, "set");
        return OLL_OK;
    }
    if (strncmp(text, "\"\"\"", 3) == 0 && !cli_repl_block(r, text + 3, &block))
        return OLL_OK;
    oll_status status = cli_session_system(r->session, block ? block : text, err);
    oll_free(block);
    if (status == OLL_OK)
        printf("Set system message.\n");
    return status;
}

static void set_think(struct cli_repl *r, const struct words *w)
{
    struct cli_session *s = r->session;
    const bool on = is(w, 1, "think");
    if (!cli_session_think(s, !on ? "false" : w->n > 2 ? w->list[2] : "true")) {
        printf("Invalid think level '%s': high, medium, low or max\n", w->list[2]);
        return;
    }
    if (!s->thinks) {
        fflush(stdout);
        fprintf(stderr, "warning: model \"%s\" does not support thinking output\n", s->model);
    }
    if (on && w->n > 2)
        printf("Set 'think' mode to '%s'.\n", w->list[2]);
    else
        printf("Set '%s' mode.\n", w->list[1]);
}

static oll_status set_format(struct cli_repl *r, const struct words *w, struct oll_error *err)
{
    if (!is(w, 2, "json")) {
        printf("Invalid or missing format. For 'json' mode use '/set format json'\n");
        return OLL_OK;
    }
    OLL_TRY(cli_session_format(r->session, "json", err));
    printf("Set format to 'json' mode.\n");
    return OLL_OK;
}

static oll_status set_command(struct cli_repl *r, const char *line, const struct words *w,
                              struct oll_error *err)
{
    struct cli_session *s = r->session;
    if (w->n < 2) {
        cli_repl_help(r, "set");
    } else if (is(w, 1, "history") || is(w, 1, "nohistory")) {
        r->history.saving = w->list[1][0] == 'h' && r->history.path;
    } else if (is(w, 1, "wordwrap") || is(w, 1, "nowordwrap")) {
        s->wrap = w->list[1][0] == 'w';
        printf("Set '%s' mode.\n", w->list[1]);
    } else if (is(w, 1, "verbose") || is(w, 1, "quiet")) {
        s->verbose = w->list[1][0] == 'v';
        printf("Set '%s' mode.\n", w->list[1]);
    } else if (is(w, 1, "think") || is(w, 1, "nothink")) {
        set_think(r, w);
    } else if (is(w, 1, "format")) {
        return set_format(r, w, err);
    } else if (is(w, 1, "noformat")) {
        OLL_TRY(cli_session_format(s, NULL, err));
        printf("Disabled format.\n");
    } else if (is(w, 1, "parameter")) {
        set_parameter(r, w);
    } else if (is(w, 1, "system")) {
        return set_system(r, line, w, err);
    } else {
        printf("Unknown command '/set %s'. Type /? for help\n", w->list[1]);
    }
    return OLL_OK;
}

/* ---- models ---- */

/* Another model in the same talk; the old one stays when there is no such model. */
static oll_status load_command(struct cli_repl *r, const struct words *w, struct oll_error *err)
{
    struct cli_session *s = r->session;
    struct oll_error why = {0};
    if (w->n != 2) {
        printf("Usage:\n  /load <modelname>\n");
        return OLL_OK;
    }
    printf("Loading model '%s'\n", w->list[1]);
    oll_status status = cli_session_open(s, w->list[1], false, &why);
    if (status != OLL_OK) {
        if (status == OLL_ERR_NOT_FOUND)
            printf("Couldn't find model '%s'\n", w->list[1]);
        else
            printf("error: %s\n", oll_error_text(&why));
        return OLL_OK;
    }
    oll_free(s->system);
    s->system = NULL;
    OLL_TRY(cli_session_clear(s, err));
    return cli_session_load(s, err);
}

static void save_command(struct cli_repl *r, const struct words *w)
{
    struct oll_error err = {0};
    if (w->n != 2) {
        printf("Usage:\n  /save <modelname>\n");
        return;
    }
    if (cli_session_save(r->session, w->list[1], &err) == OLL_OK)
        printf("Created new model '%s'\n", w->list[1]);
    else
        printf("error: %s\n", oll_error_text(&err));
}

/* ---- all ---- */

/* Whether the line is a message that begins with the path of a picture. */
static bool is_image(const struct cli_repl *r, const char *line)
{
    const char *start, *end;
    char *path;
    if (!r->session->sees || !cli_images_find(line, &start, &end, &path))
        return false;
    oll_free(path);
    return start == line;
}

static oll_status run_words(struct cli_repl *r, const char *line, const struct words *w,
                            bool *taken, struct oll_error *err)
{
    struct oll_error why = {0};
    const char *first = w->list[0], *second = w->n > 1 ? w->list[1] : "";
    *taken = true;
    if (strncmp(first, "/list", 5) == 0) {
        if (cli_list_print(r->session->client, second, &why) != OLL_OK)
            printf("error: %s\n", oll_error_text(&why));
    } else if (strncmp(first, "/load", 5) == 0) {
        return load_command(r, w, err);
    } else if (strncmp(first, "/save", 5) == 0) {
        save_command(r, w);
    } else if (strncmp(first, "/clear", 6) == 0) {
        OLL_TRY(cli_session_clear(r->session, err));
        printf("Cleared session context\n");
    } else if (strncmp(first, "/set", 4) == 0) {
        return set_command(r, line, w, err);
    } else if (strncmp(first, "/show", 5) == 0) {
        return cli_repl_show(r, second, err);
    } else if (strncmp(first, "/help", 5) == 0 || strncmp(first, "/?", 2) == 0) {
        cli_repl_help(r, second);
    } else if (strncmp(first, "/exit", 5) == 0 || strncmp(first, "/bye", 4) == 0) {
        r->over = true;
    } else if (is_image(r, line)) {
        *taken = false;
    } else {
        printf("Unknown command '%s'. Type /? for help\n", first);
    }
    return OLL_OK;
}

oll_status cli_repl_command(struct cli_repl *r, const char *line, bool *taken,
                            struct oll_error *err)
{
    struct words w;
    if (!split(line, &w))
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the command");
    oll_status status = run_words(r, line, &w, taken, err);
    oll_free(w.copy);
    return status;
}
