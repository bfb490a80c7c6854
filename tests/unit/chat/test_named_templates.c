/* The built-in templates against what a real Ollama rendered from its own of the same names. */
#include "engine/chat/named_templates.h"
#include "tests/unit/chat/recorded.h"

static struct go_template *parse(const char *name)
{
    const struct named_template *named = named_templates_find(name);
    struct go_template *t = NULL;
    struct oll_error err = {0};
    if (!named) {
        CHECK_MSG(false, "no template %s", name);
        return NULL;
    }
    CHECK_MSG(go_template_parse(named->text, strlen(named->text), &t, &err) == OLL_OK, "%s: %s",
              name, err.text);
    return t;
}

static void replay(const struct oll_json *line, void *context)
{
    struct go_template *t = parse(oll_json_get_str(line, "template", ""));
    if (t)
        recorded_render(t, line, context);
    go_template_free(t);
}

TEST(renders_as_recorded)
{
    struct oll_arena arena;
    oll_arena_init(&arena, RECORDED_MAX);
    const struct oll_json *conversations = recorded_json(&arena, "conversations.json");
    if (conversations)
        CHECK_EQ(recorded_lines("render-named.jsonl", replay, (void *)conversations), 420);
    oll_arena_free(&arena);
}

TEST(has_the_recorded_tags)
{
    struct oll_arena arena;
    size_t n;
    const struct named_template *all = named_templates_all(&n);
    oll_arena_init(&arena, RECORDED_MAX);
    const struct oll_json *templates = recorded_json(&arena, "templates.json");
    CHECK_EQ(n, 20);
    for (size_t i = 0; templates && i < n; i++) {
        struct go_template *t = parse(all[i].name);
        if (t)
            recorded_facts(all[i].name, oll_json_get(templates, all[i].name), t, false);
        go_template_free(t);
    }
    oll_arena_free(&arena);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
