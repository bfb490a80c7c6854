/* Parser: splits the text that a model writes into thinking, content and tool calls.
 *
 * One interface for all formats; the caller says which one in the config: a built-in parser by name
 * ("qwen3-coder", "harmony"; chat_parser_info lists them), or the generic way: thinking tags, a
 * tool-call tag, both or neither. Text goes in as it is generated, in pieces of any size; events
 * come out as early as they are certain. For any way of cutting one text the joined events are the
 * same. What a format drops (markers, white space next to them, unfinished calls) is in
 * docs/templates.md; everything else comes out exactly once.
 *
 *     chat_parser_create(&config, &parser, err)
 *     chat_parser_feed(parser, text, n, err)     for each piece
 *     chat_parser_finish(parser, err)            once, when generation ended
 *     chat_parser_free(parser)
 *
 * Memory: at most CHAT_PARSER_PENDING_MAX bytes wait for a decision, in a tool call or a header
 * that does not end; work is linear in the text. A parser belongs to one reply and one thread. */
#ifndef OLL_CHAT_PARSER_H
#define OLL_CHAT_PARSER_H

#include "engine/base/json.h"
#include "engine/oll.h"

struct chat_parser;

enum { CHAT_PARSER_PENDING_MAX = 8 << 20 };

enum chat_event_type { CHAT_EVENT_CONTENT, CHAT_EVENT_THINKING, CHAT_EVENT_CALL };

/* Valid during the callback only. */
struct chat_event {
    enum chat_event_type type;
    const char *text; /* content, thinking: whole characters, at least one; not terminated */
    size_t len;
    const char *id;        /* call: "call_" and eight of [a-z0-9] */
    const char *name;      /* call: of the tool; may be one that was not declared */
    const char *arguments; /* call: JSON text of an object, keys in the model's order, written as
                            * Go's encoding/json does (< > & escaped) */
    uint32_t index;        /* call: counts from 0 */
};

typedef void (*chat_event_fn)(void *user, const struct chat_event *event);

/* Strings are copied; `tools` is borrowed until the parser is freed. */
struct chat_parser_config {
    const char *parser; /* built-in parser; NULL: the generic way by the three below */
    const char *tag; /* generic tool-call tag, looked for when `tools` has functions; NULL: none */
    const char *think_open, *think_close; /* both or none; not looked for when `think` is off */
    bool starts_thinking; /* the prompt ends, right-trimmed, with the opening tag (generic way and
                           * formats of native models) */
    const struct oll_json *tools; /* array as in the API; NULL: none */
    enum oll_think think;
    /* Last message of the prompt, NULL: none. An assistant's is continued (prefill). */
    const char *last_role, *last_content, *last_thinking;
    uint64_t id_seed; /* call ids come from it alone */
    chat_event_fn on_event;
    void *user;
};

/* OLL_ERR_NOT_FOUND: there is no such built-in parser; OLL_ERR_ARG, OLL_ERR_MEMORY. */
oll_status chat_parser_create(const struct chat_parser_config *config, struct chat_parser **out,
                              struct oll_error *err) OLL_MUST_USE;
void chat_parser_free(struct chat_parser *parser);

/* Takes the next piece. OLL_ERR_FORMAT: the model broke its format in a way that ends the request;
 * the text of `err` is the one for the client, and what came before it was delivered.
 * OLL_ERR_LIMIT: a call longer than CHAT_PARSER_PENDING_MAX. OLL_ERR_MEMORY. After an error nothing
 * more is delivered, and the error repeats. */
oll_status chat_parser_feed(struct chat_parser *parser, const char *text, size_t n,
                            struct oll_error *err) OLL_MUST_USE;
/* Delivers what the end decides: held text, calls that are complete without their closing tag. */
oll_status chat_parser_finish(struct chat_parser *parser, struct oll_error *err) OLL_MUST_USE;

/* Where the model is, after the last piece. A grammar is switched on when the phase becomes
 * CONTENT; while it is UNDECIDED the next text may be chat_parser_think_open or content.
 * `think_budget`: when the phase is THINKING after N tokens, feed (and evaluate)
 * chat_parser_think_close. */
enum chat_phase { CHAT_PHASE_UNDECIDED, CHAT_PHASE_THINKING, CHAT_PHASE_CONTENT, CHAT_PHASE_CALL };
enum chat_phase chat_parser_phase(const struct chat_parser *parser);
bool chat_parser_is_thinking(const struct chat_parser *parser);
/* Text that opens and that ends thinking and leads to content, markers included; NULL: the format
 * has no thinking. */
const char *chat_parser_think_open(const struct chat_parser *parser);
const char *chat_parser_think_close(const struct chat_parser *parser);

/* Facts of a built-in parser. */
struct chat_parser_facts {
    const char *name;
    bool has_tools, has_thinking;
    /* Markers that must stay visible as text though they are special tokens; ends with NULL. */
    const char *const *preserved;
};
/* NULL: there is none of that name (an unknown name in a model is to be ignored). */
const struct chat_parser_facts *chat_parser_find(const char *name);
/* All of them by index; NULL behind the last. */
const struct chat_parser_facts *chat_parser_info(uint32_t index);

/* Output format of a model that is prompted with its own Jinja template (spec 3.8), by signatures
 * in the template's source: the name of a built-in parser, or NULL when none fits. */
const char *chat_parser_for_template(const char *source);
/* What remains for the generic way: tool-call tag and thinking tags that the source mentions. A
 * member is NULL when there is none. */
struct chat_parser_tags {
    const char *tag, *think_open, *think_close;
};
struct chat_parser_tags chat_parser_tags_for_template(const char *source);

#endif
