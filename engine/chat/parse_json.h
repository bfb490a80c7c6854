/* Parsers over JSON: one recorded reply in, what it splits into out. Behind `oll template parse`.
 */
#ifndef OLL_CHAT_PARSE_JSON_H
#define OLL_CHAT_PARSE_JSON_H

#include "engine/chat/parser.h"

/* Reads the members of
 *     {"chunks": [text...], "parser": name | "tag": text | "open": text, "close": text,
 *      "tools"?: [...], "think"?: bool | level, "last_message"?: {"role", "content"?, "thinking"?}}
 * that choose the parser (all but `chunks`) into a config, which borrows the strings of `line`;
 * tag, open and close may come together. OLL_ERR_ARG names a member of a wrong type. */
oll_status chat_parse_config(const struct oll_json *line, struct chat_parser_config *config,
                             struct oll_error *err) OLL_MUST_USE;

/* Feeds the strings of the array `chunks` and finishes; appends
 *     {"content", "thinking", "tool_calls": [{"function": {"index", "name", "arguments"}}],
 *      "error"?, "steps": [{"content"?, "thinking"?, "tool_calls"?}...]}
 * to *out: one step for each chunk and one for the end (with a built-in parser always, with a tag
 * when there was no call, else when it gave something); none behind the step that failed. `error`
 * is what ended the reply. The callback, `user` and the id seed of the config are not used. Fails
 * when chunks are no strings or no parser comes of config. */
oll_status chat_parse_chunks(const struct chat_parser_config *config, const struct oll_json *chunks,
                             struct oll_strbuf *out, struct oll_error *err) OLL_MUST_USE;

/* Both: the answer to one line, {"error": text} when the line itself is wrong. No newline is added.
 */
oll_status chat_parse_line(const struct oll_json *line, struct oll_strbuf *out) OLL_MUST_USE;

#endif
