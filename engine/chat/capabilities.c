#include "engine/chat/capabilities.h"

#include <string.h>

static bool has(const char *text, const char *what) { return strstr(text, what) != NULL; }

static bool has_any(const char *text, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (has(text, list[i]))
            return true;
    return false;
}

struct chat_capabilities chat_capabilities_of_go(const struct go_template *t)
{
    const struct go_template_facts *f = go_template_facts(t);
    return (struct chat_capabilities){.tools = f->can_use_tools,
                                      .insert = f->can_insert,
                                      .thinking = f->can_think,
                                      .tool_round_trip = f->has_tool_round_trip};
}

static bool jinja_thinks(const char *text)
{
    if (has(text, "<think>") && has(text, "</think>"))
        return true;
    const bool splits =
        has(text, "content.split('</think>')") || has(text, "content.split(\"</think>\")");
    return splits && !has(text, "reasoning_content") && !has(text, "<SPECIAL_12>");
}

static bool jinja_shows_results(const char *text)
{
    static const char *const signs[] = {
        "tool_response",       "tool_results",           "ipython",
        "role'] == 'tool'",    "role'] == \"tool\"",     "role\"] == 'tool'",
        "role\"] == \"tool\"", "message.role == 'tool'", "message.role == \"tool\"",
    };
    return has_any(text, signs, sizeof signs / sizeof *signs);
}

struct chat_capabilities chat_capabilities_of_jinja(const char *text)
{
    struct chat_capabilities c = {.tools = has(text, "tools") || has(text, "tool_call"),
                                  .thinking = jinja_thinks(text)};
    c.tool_round_trip = c.tools && (has(text, "tool_calls") || has(text, "assistant_tool_call")) &&
                        jinja_shows_results(text);
    return c;
}

bool chat_prefers_jinja(const struct chat_capabilities *jinja, const struct chat_capabilities *go)
{
    const int n_jinja = jinja->tools + jinja->insert + jinja->thinking;
    const int n_go = go->tools + go->insert + go->thinking;
    if (n_jinja > n_go)
        return !go->tool_round_trip || jinja->tool_round_trip;
    const bool same =
        jinja->tools == go->tools && jinja->insert == go->insert && jinja->thinking == go->thinking;
    return same && go->tools && jinja->tool_round_trip && !go->tool_round_trip;
}
