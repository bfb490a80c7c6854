/* From a conversation to the variables of a template; internal to native mode. */
#ifndef OLL_CHAT_JINJA_INPUT_H
#define OLL_CHAT_JINJA_INPUT_H

#include "engine/chat/jinja_eval.h"
#include "engine/chat/jinja_native.h"

struct jinja_native {
    struct jinja_template *page;
    struct jinja_needs needs;
    char *bos, *eos; /* never NULL */
    bool adds_bos, adds_eos;
    bool can_think;
    oll_status trial_status; /* of the trial that ended all: out of memory, or beyond a limit */
    /* Signs in the source, for what no trial can find. */
    bool has_channels;  /* harmony: <|channel|> */
    bool wants_turns;   /* roles must alternate */
    bool wants_nine;    /* ids of calls are nine letters or digits */
    bool numbers_calls; /* ids of calls are functions.NAME:INDEX */
    bool folds_results; /* results belong into the assistant's message: tool_responses */
};

/* Sets `messages` and `tools` (undefined when there are none) in the run, adapted to `needs`. *out
 * receives the list of messages. */
void jinja_set_input(struct jinja_run *run, const struct jinja_native *native,
                     const struct jinja_needs *needs, const struct chat_conversation *c,
                     struct jinja_value *out);
/* Sets the variables that do not depend on messages. `thinks`: the value of enable_thinking; -1: it
 * stays undefined. */
void jinja_set_common(struct jinja_run *run, const struct jinja_native *native,
                      const struct chat_conversation *c, int thinks);

/* Tools in the form and with the order of keys of the chat API (templates-and-constraints 1.10):
 * what that form does not know is dropped. */
struct jinja_value jinja_tools_value(struct jinja_run *run, const struct oll_json *tools);
/* A JSON tree whose numbers are printed as the API prints them: 3.0 is 3. */
struct jinja_value jinja_any_value(struct jinja_run *run, const struct oll_json *json,
                                   bool sort_keys);
/* JSON text in the arena of the run, "" after a failure. `indent` NULL: compact. */
const char *jinja_json_text(struct jinja_run *run, struct jinja_value v, const char *indent);

/* Fills native->needs by trials. */
void jinja_probe(struct jinja_native *native);

#endif
