/* Reads the recorded renderings of ../shared/data/ollama for the tests of Go templates. */
#ifndef OLL_TESTS_UNIT_CHAT_RECORDED_H
#define OLL_TESTS_UNIT_CHAT_RECORDED_H

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/chat/go_template.h"
#include "tests/testing.h"

#include <string.h>

enum { RECORDED_MAX = 256 << 20 };

static inline char *recorded_text(const char *name, size_t *n)
{
    struct oll_error err = {0};
    char *text = NULL;
    uint64_t bytes = 0;
    const char *path = testing_shared("data/ollama/%s", name);
    if (!path[0]) {
        testing_skip("shared data/ollama/%s is absent", name);
        return NULL;
    }
    if (oll_file_read(path, RECORDED_MAX, &text, &bytes, &err) != OLL_OK)
        CHECK_MSG(false, "%s", err.text);
    *n = (size_t)bytes;
    return text;
}

static inline const struct oll_json *recorded_json(struct oll_arena *arena, const char *name)
{
    struct oll_json *root = NULL;
    struct oll_error err = {0};
    size_t n;
    char *text = recorded_text(name, &n);
    if (text && oll_json_parse(arena, text, n, NULL, &root, &err) != OLL_OK)
        CHECK_MSG(false, "%s: %s", name, err.text);
    oll_free(text);
    return root;
}

/* What a rendering must give: the prompt or an error that begins as recorded. */
static inline void recorded_compare(const struct oll_json *line, oll_status status,
                                    const struct oll_strbuf *out, const struct oll_error *err)
{
    const char *id = oll_json_get_str(line, "id", "?");
    const char *error = oll_json_get_str(line, "error", NULL);
    const struct oll_json *expected = oll_json_get(line, "expected");
    if (error) {
        /* Names of Go's types are free. */
        const char *in_type = strstr(error, " in type "), *types = strstr(error, "comparison: ");
        const size_t n = in_type ? (size_t)(in_type - error)
                         : types ? (size_t)(types - error)
                                 : strlen(error) + 1;
        CHECK_MSG(status != OLL_OK && strncmp(err->text, error, n) == 0, "%s: got `%s`, not `%s`",
                  id, status == OLL_OK ? out->data : err->text, error);
        return;
    }
    const bool same = status == OLL_OK && out->len == expected->str_len &&
                      memcmp(out->data, expected->str, out->len) == 0;
    CHECK_MSG(same, "%s:\ngot  `%s`\nwant `%s`", id, status == OLL_OK ? out->data : err->text,
              expected->str);
}

/* Renders a line's conversation, or its prompt and suffix, with `t`. */
static inline void recorded_render(const struct go_template *t, const struct oll_json *line,
                                   const struct oll_json *conversations)
{
    struct oll_arena arena;
    struct oll_strbuf out;
    struct oll_error err = {0};
    struct chat_conversation c;
    struct go_template_input input = {.prompt = oll_json_get_str(line, "prompt", NULL),
                                      .suffix = oll_json_get_str(line, "suffix", NULL)};
    const char *name = oll_json_get_str(line, "conversation", NULL);
    oll_arena_init(&arena, RECORDED_MAX);
    oll_strbuf_init(&out, RECORDED_MAX);
    if (name) {
        const struct oll_json *json = oll_json_get(conversations, name);
        CHECK_OK(chat_conversation_from_json(&arena, json, &c, &err));
        input.conversation = &c;
    }
    const oll_status status = go_template_render(t, &input, &out, &err);
    recorded_compare(line, status, &out, &err);
    oll_strbuf_free(&out);
    oll_arena_free(&arena);
}

/* Calls `each` for every line of a file; returns how many there were. */
static inline int recorded_lines(const char *file, void (*each)(const struct oll_json *, void *),
                                 void *context)
{
    size_t n = 0;
    int lines = 0;
    char *text = recorded_text(file, &n);
    for (char *at = text; at && at < text + n; lines++) {
        char *end = memchr(at, '\n', (size_t)(text + n - at));
        struct oll_arena arena;
        struct oll_json *line = NULL;
        struct oll_error err = {0};
        if (!end)
            end = text + n;
        oll_arena_init(&arena, RECORDED_MAX);
        if (oll_json_parse(&arena, at, (size_t)(end - at), NULL, &line, &err) == OLL_OK)
            each(line, context);
        else
            CHECK_MSG(false, "%s: %s", file, err.text);
        oll_arena_free(&arena);
        at = end + 1;
    }
    oll_free(text);
    return lines;
}

/* Variables, tool-call tag and thinking tags as recorded in templates.json. */
static inline void recorded_facts(const char *name, const struct oll_json *recorded,
                                  const struct go_template *t, bool with_variables)
{
    const struct go_template_facts *facts = go_template_facts(t);
    const struct oll_json *variables = oll_json_get(recorded, "variables");
    uint32_t i = 0;
    CHECK_STR(facts->tool_call_tag, oll_json_get_str(recorded, "tool_call_tag", "?"));
    CHECK_STR(facts->thinking_open, oll_json_get_str(recorded, "thinking_open", "?"));
    CHECK_STR(facts->thinking_close, oll_json_get_str(recorded, "thinking_close", "?"));
    if (!with_variables)
        return;
    CHECK_MSG(facts->n_variables == variables->n, "%s: %u variables, not %zu", name,
              facts->n_variables, variables->n);
    for (const struct oll_json *v = variables->first; v && i < facts->n_variables; v = v->next)
        CHECK_STR(facts->variables[i++], v->str);
}

#endif
