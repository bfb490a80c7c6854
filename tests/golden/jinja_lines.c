/* Renders Jinja templates from JSON lines, for comparing with other engines: {"jinja": TEXT} sets
 * the template, {"vars": OBJECT} renders it; one line of answer each, {"text": ...} or {"error":
 * ..., "status": ...}. `now` in a line is the time of strftime_now, in seconds since 1970. */
#include "engine/chat/jinja.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORY_MAX = 256 << 20 };

static void answer(oll_status status, const struct oll_error *err, const struct oll_strbuf *text)
{
    struct oll_strbuf line;
    struct oll_json_writer w;
    oll_strbuf_init(&line, MEMORY_MAX);
    oll_json_write_init(&w, &line);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, status == OLL_OK ? "text" : "error");
    if (status == OLL_OK)
        oll_json_write_strn(&w, text->data, text->len);
    else
        oll_json_write_str(&w, oll_error_text(err));
    oll_json_write_key(&w, "status");
    oll_json_write_str(&w, oll_status_text(status));
    oll_json_write_object_end(&w);
    printf("%s\n", line.data);
    fflush(stdout);
    oll_strbuf_free(&line);
}

static void do_line(const struct oll_json *line, struct jinja_template **page)
{
    const struct oll_json *source = oll_json_get(line, "jinja"), *now = oll_json_get(line, "now");
    struct oll_error err = {0};
    struct oll_strbuf text;
    oll_status status = OLL_OK;
    oll_strbuf_init(&text, MEMORY_MAX);
    if (source) {
        oll_jinja_free(*page);
        *page = NULL;
        status = oll_jinja_parse(source->str, source->str_len, page, &err);
    } else if (*page) {
        status = oll_jinja_render(*page, oll_json_get(line, "vars"), now ? now->i : 0, &text, &err);
    } else {
        status = OLL_FAIL(&err, OLL_ERR_ARG, "no template");
    }
    answer(status, &err, &text);
    oll_strbuf_free(&text);
}

int main(void)
{
    struct jinja_template *page = NULL;
    struct oll_arena arena;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    oll_arena_init(&arena, MEMORY_MAX);
    while ((n = getline(&line, &cap, stdin)) > 0) {
        struct oll_error err = {0};
        struct oll_json *root = NULL;
        oll_status status = oll_json_parse(&arena, line, (size_t)n, NULL, &root, &err);
        if (status == OLL_OK)
            do_line(root, &page);
        else
            answer(status, &err, NULL);
        oll_arena_reset(&arena);
    }
    free(line);
    oll_jinja_free(page);
    oll_arena_free(&arena);
    return 0;
}
