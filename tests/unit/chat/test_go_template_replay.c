/* Templates of our own against what a real Ollama rendered from them and read off them. */
#include "tests/unit/chat/recorded.h"

struct corpus {
    const struct oll_json *conversations, *templates;
};

static void replay(const struct oll_json *line, void *context)
{
    const struct corpus *corpus = context;
    const char *name = oll_json_get_str(line, "template", "");
    const struct oll_json *text = oll_json_get(line, "template_text");
    struct go_template *t = NULL;
    struct oll_error err = {0};
    if (!text)
        text = oll_json_get(oll_json_get(corpus->templates, name), "text");
    if (!text) {
        CHECK_MSG(false, "template %s has no text", name);
        return;
    }
    const oll_status status = go_template_parse(text->str, text->str_len, &t, &err);
    if (status == OLL_OK)
        recorded_render(t, line, corpus->conversations);
    else
        recorded_compare(line, status, NULL, &err);
    go_template_free(t);
}

TEST(renders_as_recorded)
{
    struct oll_arena arena;
    struct corpus corpus;
    oll_arena_init(&arena, RECORDED_MAX);
    corpus.conversations = recorded_json(&arena, "conversations.json");
    corpus.templates = recorded_json(&arena, "templates.json");
    if (corpus.conversations && corpus.templates)
        CHECK_EQ(recorded_lines("render-own.jsonl", replay, &corpus), 341);
    oll_arena_free(&arena);
}

TEST(reads_variables_and_tags_as_recorded)
{
    struct oll_arena arena;
    int n = 0;
    oll_arena_init(&arena, RECORDED_MAX);
    const struct oll_json *templates = recorded_json(&arena, "templates.json");
    for (const struct oll_json *t = templates ? templates->first : NULL; t; t = t->next) {
        const struct oll_json *text = oll_json_get(t, "text");
        struct go_template *parsed = NULL;
        struct oll_error err = {0};
        if (!text)
            continue;
        n++;
        if (CHECK_OK(go_template_parse(text->str, text->str_len, &parsed, &err)))
            recorded_facts(t->key, t, parsed, true);
        go_template_free(parsed);
    }
    CHECK_EQ(n, templates ? 15 : 0);
    oll_arena_free(&arena);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
