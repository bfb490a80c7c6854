#include "engine/chat/go_template.h"

#include "engine/base/mem.h"
#include "engine/chat/collate.h"
#include "engine/chat/go_exec.h"
#include "engine/chat/go_infer.h"

#include <string.h>
#include <time.h>

enum {
    TREE_BYTES_MAX = 192 << 20, /* GO_SOURCE_MAX of the shortest actions */
    COLLATE_SLACK = 4096
};

struct go_template {
    struct oll_arena arena;
    struct go_tree tree;
    struct go_node *cut; /* of the main template */
    struct go_template_facts facts;
};

/* ---- parsing ---- */

static struct go_node *main_list(const struct go_template *t) { return t->tree.defines[0].root; }

/* {{ .Response }} at the end, for templates that show neither messages nor the reply. */
static oll_status append_response(struct go_template *t, struct oll_error *err)
{
    static const struct go_str name = {"Response", 8};
    struct go_node **tail = &main_list(t)->first;
    struct go_node *n = oll_arena_alloc(&t->arena, 4, sizeof *n);
    if (!n)
        return OLL_FAIL(err, t->arena.status, "no memory for the tree of the template");
    for (int i = 0; i < 4; i++)
        n[i].pos = (uint32_t)t->tree.source_len;
    n[0].type = GO_NODE_ACTION;
    n[0].pipe = &n[1];
    n[1].type = GO_NODE_PIPE;
    n[1].first = &n[2];
    n[2].type = GO_NODE_COMMAND;
    n[2].first = &n[3];
    n[3].type = GO_NODE_FIELD;
    n[3].names = &name;
    n[3].n_names = 1;
    while (*tail)
        tail = &(*tail)->next;
    *tail = &n[0];
    return OLL_OK;
}

static bool contains(const struct go_template *t, const char *what)
{
    const size_t n = strlen(what);
    const char *s = t->tree.source, *end = s + t->tree.source_len;
    while (s && (size_t)(end - s) >= n) {
        if (memcmp(s, what, n) == 0)
            return true;
        s = memchr(s + 1, what[0], (size_t)(end - s) - 1);
    }
    return false;
}

bool go_template_uses(const struct go_template *t, const char *name)
{
    for (uint32_t i = 0; i < t->facts.n_variables; i++)
        if (strcmp(t->facts.variables[i], name) == 0)
            return true;
    return false;
}

static oll_status infer(struct go_template *t, struct oll_error *err)
{
    struct go_template_facts *f = &t->facts;
    struct oll_arena *arena = &t->arena;
    OLL_TRY(go_infer_variables(arena, &t->tree, &f->variables, &f->n_variables, err));
    if (!go_template_uses(t, "messages") && !go_template_uses(t, "response")) {
        OLL_TRY(append_response(t, err));
        OLL_TRY(go_infer_variables(arena, &t->tree, &f->variables, &f->n_variables, err));
    }
    OLL_TRY(go_infer_thinking(arena, main_list(t), &f->thinking_open, &f->thinking_close, err));
    OLL_TRY(go_cut(arena, main_list(t), &t->cut, err));
    f->tool_call_tag = go_infer_tool_call_tag(arena, main_list(t));
    if (!f->tool_call_tag)
        return OLL_FAIL(err, arena->status, "no memory for the tool-call tag of the template");
    f->can_use_tools = go_template_uses(t, "tools");
    f->can_insert = go_template_uses(t, "suffix");
    f->can_think = f->thinking_open[0] != '\0';
    f->has_tool_round_trip = f->can_use_tools && go_template_uses(t, "toolcalls") &&
                             (contains(t, "eq .Role \"tool\"") || contains(t, "tool_response") ||
                              contains(t, "TOOL_RESULTS"));
    f->is_harmony_text = contains(t, "<|start|>") && contains(t, "<|end|>");
    return OLL_OK;
}

oll_status go_template_parse(const char *text, size_t n, struct go_template **out,
                             struct oll_error *err)
{
    struct go_template *t = oll_calloc(1, sizeof *t);
    if (!t)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a template");
    oll_arena_init(&t->arena, TREE_BYTES_MAX);
    oll_status status = go_tree_parse(&t->arena, text, n, &t->tree, err);
    if (status == OLL_OK)
        status = infer(t, err);
    if (status == OLL_OK)
        *out = t;
    else
        go_template_free(t);
    return status;
}

void go_template_free(struct go_template *t)
{
    if (!t)
        return;
    oll_arena_free(&t->arena);
    oll_free(t);
}

const struct go_template_facts *go_template_facts(const struct go_template *t) { return &t->facts; }

const char *go_template_source(const struct go_template *t, size_t *n)
{
    *n = t->tree.source_len;
    return t->tree.source;
}

/* ---- rendering ---- */

struct rendering {
    const struct go_template *t;
    struct go_run run;
    enum oll_think think;
};

static const char *think_level(enum oll_think think)
{
    switch (think) {
    case OLL_THINK_LOW: return "low";
    case OLL_THINK_ON:
    case OLL_THINK_MEDIUM: return "medium";
    case OLL_THINK_HIGH: return "high";
    case OLL_THINK_MAX: return "max";
    default: return "";
    }
}

static void set_think(struct go_root *root, enum oll_think think)
{
    go_root_set(root, "Think", go_bool(think > OLL_THINK_OFF));
    go_root_set(root, "ThinkLevel", go_text(think_level(think)));
    go_root_set(root, "IsThinkSet", go_bool(think != OLL_THINK_UNSET));
}

static oll_status run_suffix(struct rendering *r, const struct go_template_input *input)
{
    struct go_root root = {.n = 0};
    go_root_set(&root, "Prompt", go_text(input->prompt));
    go_root_set(&root, "Suffix", go_text(input->suffix));
    go_root_set(&root, "Response", go_text(""));
    set_think(&root, r->think);
    return go_run_list(&r->run, main_list(r->t), &root);
}

static oll_status run_messages(struct rendering *r, const struct chat_collated *list,
                               const struct oll_json *tools)
{
    struct go_root root = {.n = 0};
    go_root_set(&root, "System", go_text(list->system));
    go_root_set(&root, "Messages", go_messages(list->messages, list->n_messages));
    go_root_set(&root, "Tools", go_tools(tools));
    go_root_set(&root, "Response", go_text(""));
    set_think(&root, r->think);
    return go_run_list(&r->run, main_list(r->t), &root);
}

struct turn {
    const char *system, *prompt, *response;
};

static oll_status run_turn(struct rendering *r, const struct go_node *list, struct turn *turn)
{
    struct go_root root = {.n = 0};
    go_root_set(&root, "System", go_text(turn->system));
    go_root_set(&root, "Prompt", go_text(turn->prompt));
    go_root_set(&root, "Response", go_text(turn->response));
    set_think(&root, r->think);
    *turn = (struct turn){"", "", ""};
    return go_run_list(&r->run, list, &root);
}

static oll_status run_legacy(struct rendering *r, const struct chat_collated *list)
{
    struct turn turn = {"", "", ""};
    for (uint32_t i = 0; i < list->n_messages; i++) {
        const struct chat_message *m = &list->messages[i];
        const bool system = strcmp(m->role, "system") == 0, user = strcmp(m->role, "user") == 0;
        if ((system && turn.prompt[0]) || ((system || user) && turn.response[0]))
            OLL_TRY(run_turn(r, main_list(r->t), &turn));
        if (system)
            turn.system = m->content;
        else if (user)
            turn.prompt = m->content;
        else if (strcmp(m->role, "assistant") == 0)
            turn.response = m->content;
    }
    return run_turn(r, r->t->cut, &turn);
}

static bool filled(const char *s) { return s && s[0]; }

/* One turn of the texts that were given. */
static struct chat_conversation as_conversation(const struct go_template_input *input,
                                                struct chat_message messages[3])
{
    struct chat_conversation c = {.messages = messages, .think = input->think};
    const char *const roles[] = {"system", "user", "assistant"};
    const char *const texts[] = {input->system, input->prompt, input->response};
    for (int i = 0; i < 3; i++)
        if (filled(texts[i]))
            messages[c.n_messages++] = (struct chat_message){.role = roles[i],
                                                             .content = texts[i],
                                                             .thinking = "",
                                                             .tool_name = "",
                                                             .tool_call_id = ""};
    return c;
}

static size_t text_bytes(const struct chat_conversation *c)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < c->n_messages; i++)
        bytes += strlen(c->messages[i].content) + 2 + sizeof c->messages[i];
    return bytes;
}

static oll_status run_conversation(struct rendering *r, const struct chat_conversation *c,
                                   struct oll_error *err)
{
    struct oll_arena arena;
    struct chat_collated list;
    /* The system texts are copied, and so are merged contents. */
    oll_arena_init(&arena, 3 * text_bytes(c) + COLLATE_SLACK);
    oll_status status = chat_collate(&arena, c->messages, c->n_messages, &list, err);
    if (status == OLL_OK)
        status = go_template_uses(r->t, "messages") ? run_messages(r, &list, c->tools)
                                                    : run_legacy(r, &list);
    oll_arena_free(&arena);
    return status;
}

oll_status go_template_render(const struct go_template *t, const struct go_template_input *input,
                              struct oll_strbuf *out, struct oll_error *err)
{
    struct chat_message messages[3];
    struct chat_conversation made;
    const struct chat_conversation *c = input->conversation;
    if (!c) {
        made = as_conversation(input, messages);
        c = &made;
    }
    struct rendering r = {.t = t, .think = c->think};
    const int64_t now = input->now ? input->now : (int64_t)time(NULL);
    oll_status status = go_run_open(&r.run, &t->tree, now, out, err);
    if (status == OLL_OK)
        status = filled(input->prompt) && filled(input->suffix) ? run_suffix(&r, input)
                                                                : run_conversation(&r, c, err);
    go_run_close(&r.run);
    return status;
}
