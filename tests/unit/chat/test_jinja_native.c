/* Native mode against the recorded renderings of a real server (render-jinja.jsonl), and what
 * conversations become for templates that cannot show all of them. */
#include "engine/chat/capabilities.h"
#include "engine/chat/jinja_native.h"
#include "tests/unit/chat/recorded.h"

#include <stdlib.h>

enum { NOON = 1787313600 }; /* 21 August 2026, 12:00 UTC */

/* ---- recordings ---- */

struct replay {
    const struct oll_json *templates, *conversations;
    int rendered, refused, own;
};

/* What oll must answer where the recorded server has a defect (README of the recordings). */
static const struct {
    const char *id, *from, *to;
} defects[] = {
    {"jinja/slices/", "|012|", "|[0, 1, 2]|"},
    {"jinja/slices/", "|x1True", "|x1TrueNone"},
    {"jinja/think/think-history", "user:What is 7*6?42user",
     "user:What is 7*6?<think>seven times six</think>42user"},
};

static void fix_defects(const char *id, struct oll_strbuf *text)
{
    for (size_t i = 0; i < sizeof defects / sizeof *defects; i++) {
        char *at = strstr(text->data, defects[i].from);
        if (strncmp(id, defects[i].id, strlen(defects[i].id)) || !at)
            continue;
        struct oll_strbuf fixed;
        oll_strbuf_init(&fixed, RECORDED_MAX);
        oll_strbuf_add(&fixed, text->data, (size_t)(at - text->data));
        oll_strbuf_adds(&fixed, defects[i].to);
        oll_strbuf_adds(&fixed, at + strlen(defects[i].from));
        oll_strbuf_free(text);
        *text = fixed;
    }
}

/* The template `basic` was taken for ChatML by the recorded server: its prompts with the template's
 * own markers. */
static void own_basic(struct oll_strbuf *text, const struct oll_json *conversation)
{
    const struct oll_json *messages = oll_json_get(conversation, "messages");
    const struct oll_json *prefill = NULL;
    oll_strbuf_clear(text);
    for (const struct oll_json *m = messages->first; m; m = m->next) {
        const char *role = oll_json_get_str(m, "role", "");
        if (!m->next && !strcmp(role, "assistant"))
            prefill = m;
        else
            oll_strbuf_printf(text, "<|turn|>%s\n%s<|end|>\n", role,
                              oll_json_get_str(m, "content", ""));
    }
    oll_strbuf_adds(text, "<|turn|>assistant\n");
    oll_strbuf_adds(text, prefill ? oll_json_get_str(prefill, "content", "") : "");
}

static void check_capabilities(const char *id, const char *source, const struct oll_json *recorded)
{
    const struct chat_capabilities found = chat_capabilities_of_jinja(source);
    bool tools = false, thinking = false;
    for (const struct oll_json *c = recorded->first; c; c = c->next) {
        tools |= !strcmp(c->str, "tools");
        thinking |= !strcmp(c->str, "thinking");
    }
    CHECK_MSG(found.tools == tools && found.thinking == thinking, "%s: capabilities", id);
}

static void check_line(const struct oll_json *line, struct replay *r, oll_status status,
                       const struct oll_strbuf *prompt, const struct oll_error *err)
{
    const char *id = oll_json_get_str(line, "id", "");
    const struct oll_json *expected = oll_json_get(line, "expected");
    const int64_t code = oll_json_get(line, "status")->i;
    struct oll_strbuf want;
    if (code == 400) {
        const char *recorded = strstr(oll_json_get_str(line, "error", ""), "Jinja Exception: ");
        const size_t n = recorded ? strcspn(recorded + 17, "\"") : 0;
        CHECK_MSG(status == OLL_ERR_ARG && n > 0 && !strncmp(err->text, recorded + 17, n), "%s: %s",
                  id, err->text);
        r->refused++;
    }
    if (!expected) {
        r->own += code == 500; /* refusing is allowed, and so is doing better */
        return;
    }
    oll_strbuf_init(&want, RECORDED_MAX);
    oll_strbuf_adds(&want, expected->str);
    if (!strncmp(id, "jinja/basic/", 12))
        own_basic(&want,
                  oll_json_get(r->conversations, oll_json_get_str(line, "conversation", "")));
    fix_defects(id, &want);
    const bool same =
        status == OLL_OK && prompt->len == want.len && !memcmp(prompt->data, want.data, want.len);
    CHECK_MSG(same, "%s:\ngot  `%s`\nwant `%s`", id, status == OLL_OK ? prompt->data : err->text,
              want.data);
    r->rendered++;
    oll_strbuf_free(&want);
}

static void replay_line(const struct oll_json *line, void *context)
{
    struct replay *r = context;
    const struct jinja_native_params params = {.bos = "<s>", .eos = "</s>"};
    const struct oll_json *source =
        oll_json_get(r->templates, oll_json_get_str(line, "template", ""));
    const struct oll_json *json =
        oll_json_get(r->conversations, oll_json_get_str(line, "conversation", ""));
    struct jinja_native *native = NULL;
    struct chat_conversation c;
    struct oll_error err = {0};
    struct oll_arena arena;
    struct oll_strbuf prompt;
    oll_arena_init(&arena, RECORDED_MAX);
    oll_strbuf_init(&prompt, RECORDED_MAX);
    CHECK_OK(chat_conversation_from_json(&arena, json, &c, &err));
    oll_status status = oll_jinja_native_open(source->str, source->str_len, &params, &native, &err);
    if (status == OLL_OK)
        status = oll_jinja_native_render(native, &c, NOON, &prompt, &err);
    check_capabilities(oll_json_get_str(line, "id", ""), source->str,
                       oll_json_get(line, "capabilities"));
    check_line(line, r, status, &prompt, &err);
    oll_jinja_native_free(native);
    oll_strbuf_free(&prompt);
    oll_arena_free(&arena);
}

TEST(recorded_prompts_are_reproduced)
{
    struct oll_arena arena;
    struct replay r = {0};
    oll_arena_init(&arena, RECORDED_MAX);
    r.templates = recorded_json(&arena, "jinja-templates.json");
    r.conversations = recorded_json(&arena, "conversations.json");
    if (r.templates && r.conversations) {
        CHECK_EQ(recorded_lines("render-jinja.jsonl", replay_line, &r), 147);
        CHECK_EQ(r.rendered, 121);
        CHECK_EQ(r.refused, 2);
        CHECK_EQ(r.own, 24);
    }
    oll_arena_free(&arena);
}

int main(int argc, char **argv)
{
    setenv("TZ", "UTC", 1);
    return testing_main(argc, argv);
}
