/* Messages between the server and its runners: the first byte says which side reads the rest. */
#include "server/message.h"

static void read_body(const struct message *m, struct oll_arena *arena)
{
    union {
        struct message_open open;
        struct message_tokenize tokenize;
        struct oll_request request;
        struct oll_model_info info;
        struct oll_plan plan;
    } read;
    struct oll_event event;
    const int32_t *ids;
    const char *text;
    oll_status status = OLL_OK;
    size_t n;
    uint32_t credit;
    switch (m->kind) {
    case MESSAGE_OPEN:
    case MESSAGE_PLAN: status = message_get_open(m, &read.open); break;
    case MESSAGE_SUBMIT: status = message_get_submit(m, arena, &read.request); break;
    case MESSAGE_CREDIT: status = message_get_credit(m, &credit); break;
    case MESSAGE_TOKENIZE: status = message_get_tokenize(m, &read.tokenize); break;
    case MESSAGE_DETOKENIZE:
    case MESSAGE_TOKENS: status = message_get_tokens(m, arena, &ids, &n); break;
    case MESSAGE_READY: status = message_get_ready(m, &read.info); break;
    case MESSAGE_TEXT: status = message_get_text(m, &text, &n); break;
    case MESSAGE_ERROR: status = message_get_error(m, &status, &text); break;
    case MESSAGE_PLANNED:
        status = message_get_planned(m, &read.plan);
        if (status == OLL_OK)
            oll_plan_free(&read.plan);
        break;
    case MESSAGE_EVENT:
        status = message_get_event(m, &event);
        if (status == OLL_OK)
            oll_event_free(&event);
        break;
    default: break;
    }
    (void)status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message_reader reader;
    struct message m;
    if (size == 0)
        return 0;
    message_reader_init(&reader, data[0] & 1 ? MESSAGE_FROM_RUNNER : MESSAGE_FROM_SERVER);
    message_reader_add(&reader, data + 1, size - 1);
    while (message_reader_next(&reader, &m, NULL) == OLL_OK) {
        struct oll_arena arena;
        oll_arena_init(&arena, 1 << 24);
        read_body(&m, &arena);
        oll_arena_free(&arena);
    }
    message_reader_free(&reader);
    return 0;
}
