/* Parts that requests of the native API share, from JSON to the engine's structs
 * (rest-api 2.1, 2.2, 3.2, 3.3, 3.8, 3.9, 3.11). Strings lie in the request's arena. A failure's
 * status says how to answer: OLL_ERR_ARG and OLL_ERR_LIMIT 400, OLL_ERR_FORMAT 500. */
#ifndef OLL_SERVER_OLLAMA_REQUEST_H
#define OLL_SERVER_OLLAMA_REQUEST_H

#include "engine/base/json.h"
#include "engine/oll.h"
#include "server/http.h"

enum { OLLAMA_MESSAGES_MAX = 4096, OLLAMA_TOOLS_MAX = 256, OLLAMA_SCHEMA_BYTES_MAX = 1024 * 1024 };

struct ollama_keep_alive {
    bool set;
    int64_t ns; /* SCHEDULE_FOREVER: without end */
};

/* Number of seconds or a duration; absent and null leave it unset. */
oll_status ollama_read_keep_alive(const struct oll_json *v, struct ollama_keep_alive *out,
                                  struct oll_error *err) OLL_MUST_USE;
oll_status ollama_read_think(const struct oll_json *v, enum oll_think *out,
                             struct oll_error *err) OLL_MUST_USE;
/* "json" or a schema as text; NULL for free text. */
oll_status ollama_read_format(struct oll_arena *arena, const struct oll_json *v, const char **out,
                              struct oll_error *err) OLL_MUST_USE;
/* Checks that a list holds base64 (standard, padded) and counts it. */
oll_status ollama_check_images(const struct oll_json *images, const char *prefix, uint32_t *n,
                               struct oll_error *err) OLL_MUST_USE;
/* Puts the markers [img-N] of `n` images, numbered from *next, into a text: for "[img]" in it, and
 * before it when there are more. NULL when memory is short. */
const char *ollama_place_images(struct oll_arena *arena, const char *content, uint32_t n,
                                uint32_t *next);

/* A role in lower case; NULL when memory is short. */
const char *ollama_lower(struct oll_arena *arena, const char *role);

struct ollama_messages {
    struct oll_message *list;
    uint32_t n;
    uint32_t n_images;
};

/* Messages of a request, or of a model's history. `prefix` for errors: "ChatRequest.messages.". */
oll_status ollama_read_messages(struct oll_arena *arena, const struct oll_json *messages,
                                const char *prefix, struct ollama_messages *out,
                                struct oll_error *err) OLL_MUST_USE;
/* Tools as JSON text, checked for their outer shape; NULL when there are none. */
oll_status ollama_read_tools(struct oll_arena *arena, const struct oll_json *tools,
                             const char **out, struct oll_error *err) OLL_MUST_USE;
/* Whole numbers of a list into *out. */
oll_status ollama_read_tokens(struct oll_arena *arena, const struct oll_json *list,
                              const int32_t **out, uint32_t *n, struct oll_error *err) OLL_MUST_USE;

#endif
