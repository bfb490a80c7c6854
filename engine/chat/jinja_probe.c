/* What a template can show, found by executing it on small conversations (templates-and-constraints
 * 3.7). A word that no template contains is put where something is to be shown; whether it comes
 * out, or the member that holds it was at least read, is the answer. */
#include "engine/chat/jinja_input.h"

#include <string.h>

#define WORD_USER   "qzuserqz"
#define WORD_SYSTEM "qzsystemqz"
#define WORD_TOOL   "qztoolqz"
#define WORD_OTHER  "qzotherqz"
#define WORD_KEY    "qzkeyqz"
#define WORD_VALUE  "qzvalueqz"
#define WORD_RESULT "qzresultqz"
#define WORD_THINK  "qzthinkqz"

/* Trees of the words, as the JSON reader would make them. */
static const struct oll_json arguments = {
    .type = OLL_JSON_OBJECT,
    .n = 1,
    .first = &(struct oll_json){.type = OLL_JSON_STRING,
                                .key = WORD_KEY,
                                .key_len = sizeof WORD_KEY - 1,
                                .str = WORD_VALUE,
                                .str_len = sizeof WORD_VALUE - 1},
};
static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"" WORD_TOOL "\",\"description\":\"d\","
    "\"parameters\":{\"type\":\"object\",\"required\":[\"" WORD_KEY
    "\"],\"properties\":{\"" WORD_KEY "\":{\"type\":\"string\",\"description\":\"d\"}}}}}]";

static const struct chat_call calls[] = {
    {.id = "qzcallqz1", .name = WORD_TOOL, .index = 0, .arguments = &arguments},
    {.id = "qzcallqz2", .name = WORD_OTHER, .index = 1, .arguments = &arguments},
};

#define PLAIN .thinking = "", .tool_name = "", .tool_call_id = ""
static const struct chat_message system_turn = {.role = "system", .content = WORD_SYSTEM, PLAIN};
static const struct chat_message user_turn = {.role = "user", .content = WORD_USER, PLAIN};
static const struct chat_message call_turn = {
    .role = "assistant", .content = "", PLAIN, .calls = calls, .n_calls = 1};
static const struct chat_message calls_turn = {
    .role = "assistant", .content = "", PLAIN, .calls = calls, .n_calls = 2};
static const struct chat_message think_turn = {.role = "assistant",
                                               .content = "x",
                                               .thinking = WORD_THINK,
                                               .tool_name = "",
                                               .tool_call_id = ""};
static const struct chat_message result_turn = {.role = "tool",
                                                .content = WORD_RESULT,
                                                .thinking = "",
                                                .tool_name = WORD_TOOL,
                                                .tool_call_id = "qzcallqz1"};
static const struct chat_message other_turn = {.role = "tool",
                                               .content = WORD_RESULT,
                                               .thinking = "",
                                               .tool_name = WORD_OTHER,
                                               .tool_call_id = "qzcallqz2"};

struct trial {
    bool ok;
    bool first_read; /* the content of the first message was looked at */
    bool tool_named; /* so was the name of the tool */
    struct oll_strbuf text;
};

static bool was_read(struct jinja_run *run, struct jinja_value d, const char *key)
{
    const struct jinja_value k = jinja_text(run, key);
    const struct jinja_entry *entry =
        d.type == JINJA_DICT && k.type == JINJA_STR ? jinja_dict_find(run, d.d, k) : NULL;
    return entry && entry->was_read;
}

static struct jinja_value member(struct jinja_run *run, struct jinja_value d, const char *key)
{
    const struct jinja_value k = jinja_text(run, key);
    const struct jinja_entry *entry =
        d.type == JINJA_DICT && k.type == JINJA_STR ? jinja_dict_find(run, d.d, k) : NULL;
    return entry ? entry->value : jinja_undefined(NULL);
}

static bool tool_was_named(struct jinja_run *run)
{
    const uint32_t symbol = jinja_symbol(run->page, "tools");
    if (symbol == UINT32_MAX || !run->globals->is_set[symbol])
        return false;
    const struct jinja_value tools = run->globals->table[symbol];
    return tools.type == JINJA_SEQ && tools.q->n == 1 &&
           was_read(run, member(run, tools.q->items[0], "function"), "name");
}

static void try_template(struct jinja_native *native, const struct jinja_needs *needs,
                         const struct chat_conversation *c, struct trial *t)
{
    struct jinja_run run;
    struct jinja_value messages = jinja_undefined(NULL);
    *t = (struct trial){0};
    oll_strbuf_init(&t->text, JINJA_OUTPUT_MAX);
    if (native->trial_status != OLL_OK)
        return;
    jinja_run_init(&run, native->page, 0, NULL);
    jinja_set_common(&run, native, c, native->can_think ? 1 : -1);
    jinja_set_input(&run, native, needs, c, &messages);
    t->ok = jinja_run_finish(&run) == OLL_OK;
    if (run.status == OLL_ERR_LIMIT || run.status == OLL_ERR_MEMORY)
        native->trial_status = run.status;
    if (t->ok) {
        oll_strbuf_add(&t->text, run.out.data, run.out.len);
        t->first_read = messages.q->n > 0 && was_read(&run, messages.q->items[0], "content");
        t->tool_named = tool_was_named(&run) || strstr(run.out.data, WORD_TOOL);
    }
    jinja_run_free(&run);
}

/* Messages, up to a NULL. */
static void try_turns(struct jinja_native *native, const struct jinja_needs *needs,
                      const struct chat_message *const *turns, const struct oll_json *tools,
                      struct trial *t)
{
    struct chat_message list[8];
    struct chat_conversation c = {.messages = list, .tools = tools};
    for (; turns[c.n_messages]; c.n_messages++)
        list[c.n_messages] = *turns[c.n_messages];
    try_template(native, needs, &c, t);
}

static bool shows(struct trial *t, const char *word)
{
    return t->ok && strstr(t->text.data, word) != NULL;
}

static void end(struct trial *t) { oll_strbuf_free(&t->text); }

/* Whether one try shows a word. */
static bool try_shows(struct jinja_native *native, const struct jinja_needs *needs,
                      const struct chat_message *const *turns, const char *word)
{
    struct trial t;
    try_turns(native, needs, turns, NULL, &t);
    const bool found = shows(&t, word);
    end(&t);
    return found;
}

/* Whether content is text or parts; false: the template works on neither. */
static bool probe_content(struct jinja_native *native, struct jinja_needs *needs)
{
    const struct chat_message *const turns[] = {&user_turn, NULL};
    struct jinja_needs parts = *needs;
    struct trial t;
    parts.parts = true;
    try_turns(native, needs, turns, NULL, &t);
    const bool ok = t.ok, shown = shows(&t, WORD_USER);
    end(&t);
    needs->parts = !shown && try_shows(native, &parts, turns, WORD_USER);
    return ok || needs->parts;
}

static void probe_system(struct jinja_native *native, struct jinja_needs *needs)
{
    const struct chat_message *const turns[] = {&system_turn, &user_turn, NULL};
    struct trial t;
    try_turns(native, needs, turns, NULL, &t);
    needs->no_system = !t.ok || !t.first_read;
    end(&t);
}

static void probe_tools(struct jinja_native *native, struct jinja_needs *needs)
{
    const struct chat_message *const alone[] = {&user_turn, NULL};
    const struct chat_message *const with_system[] = {&system_turn, &user_turn, NULL};
    struct oll_arena arena;
    struct oll_json *tools = NULL;
    struct trial t;
    oll_arena_init(&arena, 1 << 20);
    if (oll_json_parse(&arena, tools_text, sizeof tools_text - 1, NULL, &tools, NULL) == OLL_OK) {
        try_turns(native, needs, alone, tools, &t);
        bool known = t.tool_named;
        end(&t);
        if (!known) {
            try_turns(native, needs, with_system, tools, &t);
            known = t.tool_named;
            end(&t);
        }
        needs->no_tools = !known;
    }
    oll_arena_free(&arena);
}

/* Whether calls are shown with these needs. A template may refuse the conversation with a result
 * but know calls, so that is tried as well. *as_python: the arguments came out as Python writes a
 * dict.
 */
static bool shows_call(struct jinja_native *native, const struct jinja_needs *needs,
                       bool *as_python)
{
    static const struct chat_message *const round[] = {&user_turn, &call_turn, &result_turn, NULL};
    static const struct chat_message *const call[] = {&user_turn, &call_turn, &user_turn, NULL};
    struct trial t;
    try_turns(native, needs, round, NULL, &t);
    if (!t.ok) {
        end(&t);
        try_turns(native, needs, call, NULL, &t);
    }
    const bool shown = shows(&t, WORD_TOOL);
    *as_python = shown && strstr(t.text.data, "'" WORD_KEY "': '" WORD_VALUE "'");
    end(&t);
    return shown;
}

/* How calls are shown. Arguments as an object are tried first: they come out as JSON, unless the
 * template prints them as they are. */
static void probe_calls(struct jinja_native *native, struct jinja_needs *needs)
{
    static const struct chat_message *const round[] = {&user_turn, &call_turn, &result_turn, NULL};
    bool as_python = false, shown = false;
    for (int i = 0; i < 4 && !shown; i++) {
        needs->text_arguments = i & 1;
        needs->null_content = i & 2;
        shown = shows_call(native, needs, &as_python);
    }
    if (!shown)
        needs->text_arguments = needs->null_content = false;
    needs->text_arguments |= as_python;
    needs->no_calls = !shown;
    needs->no_results = !try_shows(native, needs, round, WORD_RESULT);
}

static void probe_parallel(struct jinja_native *native, struct jinja_needs *needs)
{
    static const struct chat_message *const turns[] = {&user_turn, &calls_turn, &result_turn,
                                                       &other_turn, NULL};
    needs->one_call = !needs->no_calls && !try_shows(native, needs, turns, WORD_OTHER);
}

static void probe_thinking(struct jinja_native *native, struct jinja_needs *needs)
{
    static const struct chat_message *const turns[] = {&user_turn, &think_turn, &user_turn, NULL};
    needs->keeps_thinking = try_shows(native, needs, turns, WORD_THINK);
}

void jinja_probe(struct jinja_native *native)
{
    struct jinja_needs needs = {0};
    /* Of a template that fails on the simplest conversation nothing can be learned. */
    if (probe_content(native, &needs)) {
        probe_system(native, &needs);
        probe_tools(native, &needs);
        probe_calls(native, &needs);
        probe_parallel(native, &needs);
        probe_thinking(native, &needs);
    }
    /* Nor of one that is cut off by its limits: trials end with the first such. */
    if (native->trial_status == OLL_OK)
        native->needs = needs;
}
