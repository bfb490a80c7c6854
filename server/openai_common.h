/* Parts that the OpenAI-compatible routes share: errors, usage, options, messages
 * (rest-api 6.1, 6.2). Strings lie in the request's arena. */
#ifndef OLL_SERVER_OPENAI_COMMON_H
#define OLL_SERVER_OPENAI_COMMON_H

#include "server/ollama_call.h"

/* {"error": {...}}. An error found while mapping has its own content type; one that a native check
 * found is told apart by it, as recorded. */
enum openai_origin { OPENAI_MAPPING, OPENAI_NATIVE };
void openai_error(struct http_request *req, int status, const char *text,
                  enum openai_origin origin);
/* For struct call_dialect: an error reply, or after the first event the stream's last one. */
void openai_fail(struct ollama_call *call, int status, const char *text, bool stream);
/* A whole JSON reply with a line's end; 500 when the buffer has failed. */
void openai_send(struct http_request *req, struct oll_strbuf *json);

/* As decode_body, with the text that an empty body has on these routes; a body that zstd has
 * compressed (Content-Encoding) is read, too. */
oll_status openai_decode_body(struct http_request *req, const char *type,
                              const struct oll_json **root, struct oll_error *err) OLL_MUST_USE;

/* "usage": tokens of a reply; zeros for NULL. */
void openai_write_usage(struct oll_json_writer *w, const struct oll_event *done);
/* Seconds since 1970. */
int64_t openai_now(void);
/* A number from 0 to 998 for ids. */
unsigned openai_random(void);

/* The native `options` made from members of a request. */
struct openai_options {
    struct oll_strbuf text;
    struct oll_json_writer writer;
};
void openai_options_begin(struct openai_options *o);
/* Copies a number under a native name; `fallback` for an absent one, NAN: none. OLL_ERR_ARG when it
 * is no number; `field` is its name for messages: "ChatCompletionRequest.temperature". */
oll_status openai_options_number(struct openai_options *o, const char *name,
                                 const struct oll_json *v, double fallback, const char *field,
                                 const char *go_type, struct oll_error *err) OLL_MUST_USE;
/* `stop`: a string or a list. With `strict` an element that is no string is an error. */
oll_status openai_options_stop(struct openai_options *o, const struct oll_json *v, bool strict,
                               struct oll_error *err) OLL_MUST_USE;
/* The finished object; gives the buffer back. */
oll_status openai_options_end(struct openai_options *o, struct oll_arena *arena,
                              const struct oll_json **out, struct oll_error *err) OLL_MUST_USE;

/* The native `think` for a reasoning effort, NULL when `effort` is absent or empty. */
oll_status openai_read_effort(const struct oll_json *effort, const struct oll_json **think,
                              struct oll_error *err) OLL_MUST_USE;
/* The native `format` for a `response_format`. */
const struct oll_json *openai_format(const struct oll_json *response_format);

/* `n`: replies to a request, 1 when it is absent. */
oll_status openai_read_count(const struct oll_json *v, const char *name, uint32_t *out,
                             struct oll_error *err) OLL_MUST_USE;
/* `logit_bias`: an object of token ids and values from -100 to 100. */
oll_status openai_read_bias(struct oll_arena *arena, const struct oll_json *v,
                            const struct oll_token_bias **out, uint32_t *n,
                            struct oll_error *err) OLL_MUST_USE;

/* Messages of a chat: content as text or parts, tool calls with their arguments as text. */
oll_status openai_read_messages(struct oll_arena *arena, const struct oll_json *messages,
                                struct ollama_messages *out, struct oll_error *err) OLL_MUST_USE;
/* An image part's URL: only data of an image. */
oll_status openai_check_image(const char *url, struct oll_error *err) OLL_MUST_USE;
/* Arguments of a tool call, given as text: an object. */
oll_status openai_check_arguments(struct oll_arena *arena, const char *text,
                                  struct oll_error *err) OLL_MUST_USE;

#endif
