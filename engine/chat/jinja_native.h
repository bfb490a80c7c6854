/* A model's own prompt template (GGUF `tokenizer.chat_template`) for conversations: "native" mode.
 *
 *     oll_jinja_native_open(source, n, &params, &native, &err);       once, when the model is
 * loaded oll_jinja_native_render(native, &conversation, now_s, &prompt, &err);     many times, any
 * thread oll_jinja_native_free(native);
 *
 * Templates differ in what they can show. Opening executes the template on small conversations that
 * were made for the purpose and looks at what it reads and prints (struct jinja_needs); rendering
 * then changes the conversation into a form that the template understands, so that nothing of it is
 * lost: a system message that the template refuses goes before the next message, tools that it does
 * not know are described in the system message, calls and results become text, calls that must come
 * alone are told one after another.
 *
 * The output format that goes with a template is found by chat_parser_for_template, tools and
 * thinking by chat_capabilities_of_jinja. A template whose name is `tool_use` is a native of its
 * own: the caller takes it for requests with tools. */
#ifndef OLL_CHAT_JINJA_NATIVE_H
#define OLL_CHAT_JINJA_NATIVE_H

#include "engine/base/strbuf.h"
#include "engine/chat/conversation.h"

struct jinja_native;

struct jinja_native_params {
    const char *bos, *eos;   /* texts of these tokens; NULL or "": there are none */
    bool adds_bos, adds_eos; /* the tokenizer writes them itself, so the prompt must not */
};

/* What a template wants of a conversation, as found by trying. */
struct jinja_needs {
    bool parts;          /* content comes as [{"type": "text", "text": ...}] */
    bool no_system;      /* a system message is ignored or refused */
    bool no_tools;       /* tools are ignored */
    bool no_calls;       /* tool calls are ignored or refused */
    bool no_results;     /* messages of the role `tool` are ignored or refused */
    bool one_call;       /* of several calls in one message only the first is shown, or none */
    bool null_content;   /* calls are shown only where content is none */
    bool text_arguments; /* arguments of calls are printed as they are, so they come as JSON text */
    bool keeps_thinking; /* thinking of earlier turns is shown */
};

/* The source is copied; empty or the word "chatml" stands for plain ChatML. Errors as of
 * oll_jinja_parse: a template that cannot be parsed is refused, one that fails on every trial is
 * not. */
oll_status oll_jinja_native_open(const char *source, size_t n,
                                 const struct jinja_native_params *params,
                                 struct jinja_native **out, struct oll_error *err) OLL_MUST_USE;
void oll_jinja_native_free(struct jinja_native *native); /* NULL is accepted */

const struct jinja_needs *oll_jinja_native_needs(const struct jinja_native *native);

/* Appends the prompt, up to where the model's turn begins. A last message of the assistant is a
 * beginning that the model continues: it stands at the end of the prompt. Thinking is on when
 * `think` says so, and when it is not set and the template can think (`enable_thinking`,
 * `thinking`, `reasoning_effort` of the template). `now_s`: seconds since 1970, for templates that
 * show the date. OLL_ERR_ARG: the template refuses the conversation, or two messages of the
 * assistant stand at its end; the others as of oll_jinja_render. Nothing is appended on failure. */
oll_status oll_jinja_native_render(const struct jinja_native *native,
                                   const struct chat_conversation *conversation, int64_t now_s,
                                   struct oll_strbuf *out, struct oll_error *err) OLL_MUST_USE;

#endif
