#include "server/cli_repl.h"

#include "engine/base/mem.h"
#include "server/cli_answer.h"
#include "server/cli_images.h"
#include "server/cli_plain.h"

#include <stdio.h>
#include <string.h>

enum { ARENA_BYTES = 1 << 30, BLOCK_MAX = 64 << 20 };

/* ---- several lines ---- */

static bool ends_block(const char *line, size_t *n)
{
    *n = strlen(line);
    if (*n < 3 || strcmp(line + *n - 3, "\"\"\"") != 0)
        return false;
    *n -= 3;
    return true;
}

bool cli_repl_block(struct cli_repl *r, const char *first, char **text)
{
    struct oll_strbuf block;
    const char *line = first;
    size_t n;
    bool done = false;
    *text = NULL;
    oll_strbuf_init(&block, BLOCK_MAX);
    while (!done) {
        char *next;
        done = ends_block(line, &n);
        oll_strbuf_add(&block, line, n);
        if (done)
            break;
        oll_strbuf_addc(&block, '\n');
        if (cli_line_read(r->line, "... ", "End with \"\"\"", &next) != CLI_LINE_TEXT) {
            printf("\n");
            break;
        }
        line = next;
    }
    if (done)
        *text = block.len > 0 ? oll_strbuf_take(&block, NULL) : oll_strdup("");
    oll_strbuf_free(&block);
    return *text != NULL;
}

/* ---- messages ---- */

/* What a model cannot do keeps the talk; anything else ends it. */
static oll_status judge(oll_status status, const struct oll_error *why, struct oll_error *err)
{
    const char *text = oll_error_text(why);
    if (status == OLL_OK || status == OLL_ERR_CANCELED)
        return OLL_OK;
    if (!strstr(text, "does not support thinking") && !strstr(text, "invalid think value"))
        return OLL_FAIL(err, status, "%s", text);
    printf("error: %s\n", text);
    return OLL_OK;
}

static oll_status send_text(struct cli_repl *r, const char *text, struct oll_error *err)
{
    struct cli_session *s = r->session;
    struct oll_error why = {0};
    const char *start, *end;
    char *path, *words = NULL, *images = NULL;
    if (!s->sees) {
        if (cli_images_find(text, &start, &end, &path)) {
            printf(
                "error: \"%s\" cannot see images: leave out '%s', or /load a model with vision\n",
                s->model, path);
            oll_free(path);
            return OLL_OK;
        }
        return judge(cli_session_chat(s, text, NULL, &why), &why, err);
    }
    OLL_TRY(cli_images_take(text, &words, &images, err));
    oll_status status = judge(cli_session_chat(s, words, images, &why), &why, err);
    oll_free(words);
    oll_free(images);
    return status;
}

static oll_status take_line(struct cli_repl *r, const char *line, struct oll_error *err)
{
    bool taken = false;
    char *block;
    if (strncmp(line, "\"\"\"", 3) == 0) {
        if (!cli_repl_block(r, line + 3, &block))
            return OLL_OK;
        cli_history_add(&r->history, block);
        cli_line_remember(r->line, block);
        oll_status status = block[0] ? send_text(r, block, err) : OLL_OK;
        oll_free(block);
        return status;
    }
    if (line[strspn(line, " \t")] == '\0')
        return OLL_OK;
    cli_history_add(&r->history, line);
    cli_line_remember(r->line, line);
    if (line[0] == '/')
        OLL_TRY(cli_repl_command(r, line, &taken, err));
    return taken ? OLL_OK : send_text(r, line, err);
}

/* ---- the talk ---- */

static void show_text(const char *before, const char *text, const char *after)
{
    printf("%s", before);
    cli_plain_print(stdout, text);
    printf("%s", after);
}

/* Messages that the model was made with. */
static oll_status show_messages(struct cli_session *s, struct oll_error *err)
{
    struct oll_arena arena;
    struct oll_json *root = NULL;
    oll_arena_init(&arena, ARENA_BYTES);
    oll_status status = cli_session_show(s, s->model, &arena, &root, err);
    const struct oll_json *list = oll_json_get(root, "messages");
    for (const struct oll_json *m = list && list->type == OLL_JSON_ARRAY ? list->first : NULL; m;
         m = m->next) {
        const char *role = oll_json_get_str(m, "role", "");
        const char *content = oll_json_get_str(m, "content", "");
        if (strcmp(role, "user") == 0)
            show_text(">>> ", content, "\n");
        else if (strcmp(role, "assistant") == 0)
            show_text("", content, "\n\n");
    }
    oll_arena_free(&arena);
    return status;
}

static oll_status read_lines(struct cli_repl *r, struct oll_error *err)
{
    while (!r->over) {
        char *line;
        switch (cli_line_read(r->line, ">>> ", "Send a message (/? for help)", &line)) {
        case CLI_LINE_END:
            printf("\n");
            r->over = true;
            break;
        case CLI_LINE_INTERRUPT: printf("\nUse Ctrl + d or /bye to exit.\n"); break;
        case CLI_LINE_TEXT: OLL_TRY(take_line(r, line, err));
        }
    }
    return OLL_OK;
}

oll_status cli_repl_run(struct cli_session *session, struct oll_error *err)
{
    struct cli_repl r = {.session = session};
    OLL_TRY(cli_session_load(session, err));
    OLL_TRY(show_messages(session, err));
    cli_history_open(&r.history);
    r.line = cli_line_new(&r.history);
    oll_status status = r.line ? read_lines(&r, err)
                               : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the prompt");
    cli_line_free(r.line);
    cli_history_close(&r.history);
    return status;
}
