/* Random forced calls, read by the parsers of their formats, for a script that checks the
 * arguments with another program.
 *
 *     call_lines CALLS SEED < lines, each {"parser": NAME or "tag": TAG, "tools": [...]}
 *
 * For each line one: {"calls": [{"text", "n", "name", "arguments", "content"} ...]}, where n counts
 * the calls that the parser saw and the others describe the last, or {"error": text}. Without input
 * lines, as `call_lines list`, the names of all parsers that have calls. */
#include "engine/base/json.h"
#include "engine/chat/call_constraint.h"
#include "engine/chat/call_shape.h"
#include "engine/chat/parser.h"
#include "tests/golden/random_walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 1 << 20, MAX_TEXT = 20000, ARENA_MAX = 64 << 20 };

struct seen {
    uint32_t n_calls;
    struct oll_strbuf name, arguments, content;
};

static void on_event(void *user, const struct chat_event *event)
{
    struct seen *seen = user;
    if (event->type == CHAT_EVENT_CONTENT)
        oll_strbuf_add(&seen->content, event->text, event->len);
    if (event->type != CHAT_EVENT_CALL)
        return;
    seen->n_calls++;
    oll_strbuf_clear(&seen->name);
    oll_strbuf_clear(&seen->arguments);
    oll_strbuf_adds(&seen->name, event->name);
    oll_strbuf_adds(&seen->arguments, event->arguments);
}

struct line {
    const char *parser, *tag;
    const struct oll_json *tools;
    struct oll_strbuf tools_text;
};

/* What the parser makes of a text that comes in pieces. */
static oll_status parse(struct walk *w, const struct line *line, struct seen *seen,
                        struct oll_error *err)
{
    struct chat_parser *p = NULL;
    const struct chat_parser_config config = {.parser = line->parser,
                                              .tag = line->tag,
                                              .tools = line->tools,
                                              .think = OLL_THINK_OFF,
                                              .on_event = on_event,
                                              .user = seen};
    OLL_TRY(chat_parser_create(&config, &p, err));
    oll_status status = OLL_OK;
    for (size_t at = 0, n; at < w->text.len && status == OLL_OK; at += n) {
        const size_t left = w->text.len - at;
        n = 1 + walk_draw(w, 12);
        n = n < left ? n : left;
        status = chat_parser_feed(p, w->text.data + at, n, err);
    }
    if (status == OLL_OK)
        status = chat_parser_finish(p, err);
    chat_parser_free(p);
    return status;
}

static void put(struct oll_json_writer *w, const char *key, const struct oll_strbuf *text)
{
    oll_json_write_key(w, key);
    oll_json_write_strn(w, text->data, text->len);
}

static void write_call(struct oll_json_writer *json, struct walk *w, const struct line *line)
{
    struct oll_error err = {0};
    struct seen seen = {0};
    oll_strbuf_init(&seen.name, 1 << 20);
    oll_strbuf_init(&seen.arguments, 1 << 20);
    oll_strbuf_init(&seen.content, 1 << 20);
    const oll_status status = parse(w, line, &seen, &err);
    oll_json_write_object_begin(json);
    put(json, "text", &w->text);
    oll_json_write_key(json, "n");
    oll_json_write_int(json, seen.n_calls);
    put(json, "name", &seen.name);
    put(json, "arguments", &seen.arguments);
    put(json, "content", &seen.content);
    if (status != OLL_OK) {
        oll_json_write_key(json, "error");
        oll_json_write_str(json, err.text);
    }
    oll_json_write_object_end(json);
    oll_strbuf_free(&seen.name);
    oll_strbuf_free(&seen.arguments);
    oll_strbuf_free(&seen.content);
}

static bool walk_once(struct walk *w)
{
    oll_strbuf_clear(&w->text);
    w->pending = NULL;
    while (w->text.len < MAX_TEXT) {
        if (oll_constraint_finished(w->c) ||
            (oll_constraint_complete(w->c) && walk_draw(w, 4) == 0))
            return true;
        if (!walk_byte(w, "<\"}]n"))
            return oll_constraint_complete(w->c);
    }
    return false;
}

/* What ends a string of the format: its quote, or the beginning of what stands behind a value; and
 * what ends the text that may come first. */
static void set_markers(struct walk *w, const struct line *line, char *room, size_t n_room)
{
    const struct chat_call_shape *shape = chat_call_shape_of(line->parser, line->tag);
    const struct json_arguments *a = shape ? shape->arguments : NULL;
    const char *text = !a ? NULL : a->style.quote ? a->style.quote : a->value_close;
    snprintf(room, n_room, "%.*s", text ? (int)strcspn(text, "\1") : 0, text ? text : "");
    w->markers[0] = *room ? room : NULL;
    w->markers[1] = shape ? shape->free_close : NULL;
}

static void answer(struct walk *w, const struct line *line, uint32_t n_calls)
{
    char marker[64];
    struct oll_constraint_program *program = NULL;
    struct oll_error err = {0};
    struct oll_strbuf out;
    struct oll_json_writer json;
    set_markers(w, line, marker, sizeof marker);
    oll_strbuf_init(&out, 64 << 20);
    oll_json_write_init(&json, &out);
    oll_json_write_object_begin(&json);
    if (chat_call_constraint(line->parser, line->tag, line->tools_text.data, NULL, NULL, &program,
                             &err) != OLL_OK) {
        oll_json_write_key(&json, "error");
        oll_json_write_str(&json, err.text);
    } else {
        oll_json_write_key(&json, "calls");
        oll_json_write_array_begin(&json);
        for (uint32_t i = 0; i < n_calls; i++) {
            if (oll_constraint_new(program, w->trie, &w->c, &err) != OLL_OK)
                break;
            if (walk_once(w))
                write_call(&json, w, line);
            oll_constraint_free(w->c);
        }
        oll_json_write_array_end(&json);
    }
    oll_json_write_object_end(&json);
    printf("%s\n", out.data);
    oll_constraint_program_release(program);
    oll_strbuf_free(&out);
}

static int list_parsers(void)
{
    const struct chat_parser_facts *facts;
    for (uint32_t i = 0; (facts = chat_parser_info(i)); i++)
        if (facts->has_tools)
            printf("%s\n", facts->name);
    return 0;
}

static bool read_line(struct oll_arena *arena, const char *text, struct line *line)
{
    struct oll_json *root = NULL;
    struct oll_json_writer w;
    if (oll_json_parse(arena, text, strlen(text), NULL, &root, NULL) != OLL_OK)
        return false;
    const struct oll_json *parser = oll_json_get(root, "parser"), *tag = oll_json_get(root, "tag");
    *line = (struct line){.parser = parser ? parser->str : NULL,
                          .tag = tag ? tag->str : NULL,
                          .tools = oll_json_get(root, "tools")};
    oll_strbuf_init(&line->tools_text, MAX_LINE);
    oll_json_write_init(&w, &line->tools_text);
    oll_json_write_node(&w, line->tools, false);
    return true;
}

int main(int argc, char **argv)
{
    static char text[MAX_LINE];
    static struct oll_token_trie nothing = {.n_words = 1};
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list_parsers();
    if (argc < 3)
        return 2;
    struct walk w = {.trie = &nothing, .random = strtoull(argv[2], NULL, 10)};
    oll_strbuf_init(&w.text, 1 << 20);
    while (fgets(text, sizeof text, stdin)) {
        struct oll_arena arena;
        struct line line;
        oll_arena_init(&arena, ARENA_MAX);
        if (!read_line(&arena, text, &line))
            return 2;
        answer(&w, &line, (uint32_t)strtoul(argv[1], NULL, 10));
        oll_strbuf_free(&line.tools_text);
        oll_arena_free(&arena);
    }
    oll_strbuf_free(&w.text);
    return 0;
}
