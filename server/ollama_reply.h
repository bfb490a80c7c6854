/* Parts that replies of the native API share (rest-api 0.2, 1.8, 3.13, 3.14). */
#ifndef OLL_SERVER_OLLAMA_REPLY_H
#define OLL_SERVER_OLLAMA_REPLY_H

#include "engine/base/json.h"
#include "server/generation.h"
#include "server/http.h"

/* {"error": text} */
void ollama_error(struct http_request *req, int status, const char *text);
/* The same as an answer to a request that was to be streamed; after the first line, as the stream's
 * last line. */
void ollama_stream_error(struct http_request *req, int status, const char *text);
/* A whole JSON reply; 500 when the buffer has failed. */
void ollama_send(struct http_request *req, const struct oll_strbuf *json);

enum { OLLAMA_TIME_MAX = 48 };
/* RFC 3339 with up to nine decimals: now in UTC, or a file's time with the local offset. */
void ollama_time_now(char out[OLLAMA_TIME_MAX]);
void ollama_time_local(int64_t ns_since_1970, char out[OLLAMA_TIME_MAX]);

/* "total_duration" to "eval_duration", those that are not 0. */
void ollama_write_metrics(struct oll_json_writer *w, const struct generation *g,
                          const struct oll_event *done);
/* Elements of a "logprobs" array; alternatives when they were asked for. */
void ollama_write_logprobs(struct oll_json_writer *w, const struct oll_logprob *logprobs,
                           uint32_t n);
/* One element of "tool_calls". */
void ollama_write_tool_call(struct oll_json_writer *w, const struct oll_event *call, uint32_t index,
                            bool with_id);

#endif
