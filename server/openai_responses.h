/* POST /v1/responses (rest-api 6.6), without state: openai_responses.c (request and reply),
 * openai_responses_input.c (items as native messages), openai_responses_stream.c (events). */
#ifndef OLL_SERVER_OPENAI_RESPONSES_H
#define OLL_SERVER_OPENAI_RESPONSES_H

#include "server/ollama_chat.h"

void openai_responses(struct http_request *req);

/* ---- between the files ---- */

struct responses_fields {
    const char *model, *instructions, *truncation;
    const struct oll_json *input, *temperature, *top_p, *max_output_tokens, *reasoning, *text;
    const struct oll_json *tools;
    bool stream, background;
};

enum responses_item { RESPONSES_NONE, RESPONSES_REASONING, RESPONSES_TEXT, RESPONSES_CALLS };

struct responses_call {
    struct ollama_chat_call chat; /* first */
    struct ollama_fields fields;
    struct responses_fields asked;
    int64_t created;
    unsigned id; /* of "resp_N"; items are numbered after it */
    /* Of the stream. */
    enum responses_item open;
    bool begun;
    uint32_t sequence, n_items; /* events sent; items begun */
    struct oll_strbuf text;     /* of the open item */
    struct oll_strbuf items;    /* finished ones, as JSON, for the last event */
    struct oll_json_writer items_writer;
};

oll_status responses_read_input(struct oll_arena *arena, const struct responses_fields *f,
                                struct ollama_messages *out, struct oll_error *err) OLL_MUST_USE;

/* The response object. `output` holds elements of its list as JSON; `done` NULL: in progress. */
void responses_write(const struct responses_call *c, struct oll_json_writer *w,
                     const struct oll_strbuf *output, const struct oll_event *done);
/* Items of the output; `i` numbers them within the response. */
void responses_write_reasoning(const struct responses_call *c, struct oll_json_writer *w,
                               const struct oll_strbuf *text);
void responses_write_message(const struct responses_call *c, struct oll_json_writer *w,
                             const struct oll_strbuf *text);
void responses_write_function_call(const struct responses_call *c, struct oll_json_writer *w,
                                   const struct oll_event *call, uint32_t i, bool completed);

/* For struct call_dialect: the events of a stream. */
bool responses_piece(struct ollama_call *call, const struct oll_event *event);

#endif
