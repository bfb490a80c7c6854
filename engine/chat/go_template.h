/* Go templates (text/template) as Ollama uses them for prompts.
 *
 *     oll_status go_template_parse(text, n, &template, &err);        once, when the model is loaded
 *     const struct go_template_facts *facts = go_template_facts(template);
 *     oll_status go_template_render(template, &input, &prompt, &err);     many times, any thread
 *     go_template_free(template);
 *
 * The template is never changed after parsing. A rendering has limits (go_exec.h: steps, depth,
 * output, memory of strings): a hostile template ends in OLL_ERR_LIMIT within 100 ms.
 *
 * Which of the three ways of rendering is taken follows from template and input:
 *   suffix    prompt and suffix are both non-empty
 *   messages  the template names .Messages
 *   legacy    all others: the template is run once for each turn, and cut behind .Response for the
 *             last one, which the model continues
 *
 * Source: Go's text/template documentation; Ollama's behaviour as recorded in the test data. */
#ifndef OLL_CHAT_GO_TEMPLATE_H
#define OLL_CHAT_GO_TEMPLATE_H

#include "engine/base/strbuf.h"
#include "engine/chat/conversation.h"

struct go_template;

/* What a template says about its model. Strings belong to the template. */
struct go_template_facts {
    const char *const *variables; /* names of fields and variables, lower case, sorted, unique */
    uint32_t n_variables;
    bool can_use_tools, can_insert, can_think;
    bool has_tool_round_trip;  /* shows calls and their results; decides against a Jinja template */
    bool is_harmony_text;      /* has the turn markers of harmony */
    const char *tool_call_tag; /* what a tool call begins with; "{" when the template has no tag */
    const char *thinking_open, *thinking_close; /* "" unless can_think */
};

/* Parses a copy of text[0..n). OLL_ERR_FORMAT: the error text is exactly Go's, e.g.
 * `template: :1: unclosed action`; OLL_ERR_LIMIT; OLL_ERR_MEMORY. */
oll_status go_template_parse(const char *text, size_t n, struct go_template **out,
                             struct oll_error *err) OLL_MUST_USE;
void go_template_free(struct go_template *t); /* NULL is accepted */
const struct go_template_facts *go_template_facts(const struct go_template *t);
/* The text that was parsed, as given. */
const char *go_template_source(const struct go_template *t, size_t *n);
/* Whether `name` (lower case, as in `variables`) is used. */
bool go_template_uses(const struct go_template *t, const char *name);

struct go_template_input {
    /* Messages, tools and think level as they are to be seen: system text, image tags and cut
     * history are the caller's work. NULL: made of the texts below. */
    const struct chat_conversation *conversation;
    /* With a suffix: fill in the middle. Without conversation: one turn; NULL or "": none. */
    const char *system, *prompt, *suffix, *response;
    enum oll_think think; /* where there is no conversation */
    int64_t now;          /* seconds since 1970 for currentDate; 0: the clock */
};

/* Appends the prompt to `out`. OLL_ERR_FORMAT: the template fails on this input, error text of Go:
 * `template: :1:24: executing "" at <.Nope>: ...`; OLL_ERR_LIMIT; OLL_ERR_MEMORY. After a failure
 * `out` holds a part of the prompt. */
oll_status go_template_render(const struct go_template *t, const struct go_template_input *input,
                              struct oll_strbuf *out, struct oll_error *err) OLL_MUST_USE;

#endif
