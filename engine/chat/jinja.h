/* Jinja templates as GGUF files carry them in `tokenizer.chat_template`.
 *
 * The engine renders what PyPI's jinja2 renders when set up as the transformers library does
 * (sandboxed and immutable, trim_blocks, lstrip_blocks, loop controls, its own tojson,
 * strftime_now, raise_exception, generation blocks), with two differences that make more templates
 * work: members of undefined values are undefined, and a template may append to and pop from lists
 * and dicts that it made itself. include, import, extends and block are refused.
 *
 * A template is parsed once and can then be rendered any number of times, from any thread at once.
 * Parsing and rendering are bounded: source 1 MiB, output 16 MiB, 128 MiB of memory, 10^7 steps or
 * 80 ms of processor time, calls 64 deep. Nothing but the values given can be reached from a
 * template.
 *
 * Failures:
 *   OLL_ERR_ARG     the template itself refused the conversation (raise_exception): a client's
 *                   error, the text starts with the template's message
 *   OLL_ERR_FORMAT  the template is malformed, or an operation in it is not possible; with the line
 *   OLL_ERR_LIMIT, OLL_ERR_MEMORY, OLL_ERR_DENIED, OLL_ERR_UNSUPPORTED
 *
 * Conversations go through engine/chat/jinja_native.h, which knows what templates expect; this
 * header takes plain variables. */
#ifndef OLL_CHAT_JINJA_H
#define OLL_CHAT_JINJA_H

#include "engine/base/json.h"

struct jinja_template;

/* Parses source[0..n), which is copied. *out is released with oll_jinja_free. */
oll_status oll_jinja_parse(const char *source, size_t n, struct jinja_template **out,
                           struct oll_error *err) OLL_MUST_USE;
void oll_jinja_free(struct jinja_template *page); /* NULL is accepted */

/* Renders with the members of a JSON object as variables (NULL: none) and appends the text. `now_s`
 * is the time of strftime_now, in seconds since 1970; it is shown in local time. Nothing is
 * appended on failure. */
oll_status oll_jinja_render(const struct jinja_template *page, const struct oll_json *variables,
                            int64_t now_s, struct oll_strbuf *out,
                            struct oll_error *err) OLL_MUST_USE;

#endif
