/* Messages between the server and its runners: the structs of engine/oll.h as bytes.
 *
 * A stream of frames in each direction, numbers little-endian:
 *
 *   OFFSET  SIZE  DESCRIPTION
 *        0     4  bytes of the body, at most what the kind allows
 *        4     2  MESSAGE_VERSION
 *        6     2  kind (enum message_kind)
 *        8     8  id of the request or call that it is about, 0 for none
 *       16     n  body
 *
 * Inside a body: bool and small enums 1 byte; 32- and 64-bit integers and f32 as they are; text is
 * u32 length + 1 (0: NULL), the bytes, a NUL; an array is a u32 count and its elements.
 *
 * A reader trusts nothing: version, kind, direction and size before a body is waited for; every
 * count against the bytes that are left; every bool, enum, NUL and the end of the body. Whoever
 * sends a wrong frame is not listened to any more.
 *
 * Server to runner:
 *
 *   OPEN        what to load; the first frame, once
 *   PLAN        what to plan; the first frame in place of OPEN, and the last one
 *   SUBMIT      a request; its id is the server's choice and new. Answered by ACCEPTED or ERROR
 *   CREDIT      so many more events of an accepted request may come (MESSAGE_CREDITS at first)
 *   CANCEL      as oll_engine_cancel; the request's events need no credit any more
 *   RELEASE     as oll_engine_release; the id is not named again
 *   TOKENIZE    a call, answered by TOKENS or ERROR
 *   DETOKENIZE  a call, answered by TEXT or ERROR
 *
 * Runner to server:
 *
 *   READY       facts of the loaded model
 *   PLANNED     answer to PLAN, as is an ERROR about id 0
 *   ALIVE       work goes on, or waits for a slow reader; sent when nothing else was
 *   ACCEPTED    answer to SUBMIT
 *   EVENT       of an accepted request
 *   TOKENS, TEXT, ERROR   answers to calls; an ERROR about id 0 ends the load */
#ifndef OLL_SERVER_MESSAGE_H
#define OLL_SERVER_MESSAGE_H

#include "engine/base/arena.h"
#include "engine/base/log.h"
#include "engine/oll.h"
#include "engine/plan.h"

enum { MESSAGE_VERSION = 1, MESSAGE_HEADER_BYTES = 16 };
/* Events of one request on their way, and bytes of all events that a server keeps for readers. */
enum { MESSAGE_CREDITS = 256, MESSAGE_BACKLOG_BYTES = 256 * 1024 * 1024 };

enum message_kind {
    MESSAGE_OPEN = 1,
    MESSAGE_SUBMIT,
    MESSAGE_CREDIT,
    MESSAGE_CANCEL,
    MESSAGE_RELEASE,
    MESSAGE_TOKENIZE,
    MESSAGE_DETOKENIZE,
    MESSAGE_READY,
    MESSAGE_ALIVE,
    MESSAGE_ACCEPTED,
    MESSAGE_EVENT,
    MESSAGE_TOKENS,
    MESSAGE_TEXT,
    MESSAGE_ERROR,
    MESSAGE_PLAN,
    MESSAGE_PLANNED,
    MESSAGE_KINDS
};

enum message_side { MESSAGE_FROM_SERVER, MESSAGE_FROM_RUNNER };

/* A frame as it was read; the body is borrowed from the reader until its next call. */
struct message {
    enum message_kind kind;
    uint64_t id;
    const unsigned char *body;
    size_t n_body;
};

/* ---- frames ---- */

struct message_reader {
    enum message_side side; /* who sends */
    struct oll_strbuf in;   /* bytes that were read; grows with them alone */
    char *piece;            /* for one read; made at the first one */
    size_t at;              /* of these, taken */
};

void message_reader_init(struct message_reader *reader, enum message_side side);
void message_reader_free(struct message_reader *reader);
/* Appends what one read of a descriptor gives. OLL_ERR_TIMEOUT: nothing now; OLL_ERR_NOT_FOUND: the
 * end; else OLL_ERR_IO, OLL_ERR_MEMORY. */
oll_status message_reader_fill(struct message_reader *reader, int fd) OLL_MUST_USE;
void message_reader_add(struct message_reader *reader, const void *bytes, size_t n);
/* The next whole frame. OLL_ERR_TIMEOUT: more bytes are needed; else the stream is broken. */
oll_status message_reader_next(struct message_reader *reader, struct message *out,
                               struct oll_error *err) OLL_MUST_USE;

/* ---- bodies ---- */

struct message_open {
    struct oll_engine_params params;
    const char *name; /* tag of log lines */
    enum oll_log_level log_level;
    uint32_t alive_ms; /* how often ALIVE is sent, at least 1 */
};

struct message_tokenize {
    const char *text; /* may hold NULs */
    uint32_t n_text;
    bool add_special, parse_special;
};

/* These append one frame; a failure sticks in `out`, which is as before then. */
void message_put_plain(struct oll_strbuf *out, enum message_kind kind, uint64_t id);
void message_put_open(struct oll_strbuf *out, const struct message_open *open);
void message_put_plan(struct oll_strbuf *out, const struct message_open *open);
void message_put_submit(struct oll_strbuf *out, uint64_t id, const struct oll_request *request);
void message_put_credit(struct oll_strbuf *out, uint64_t id, uint32_t n);
void message_put_tokenize(struct oll_strbuf *out, uint64_t id, const struct message_tokenize *ask);
/* DETOKENIZE and TOKENS. */
void message_put_tokens(struct oll_strbuf *out, enum message_kind kind, uint64_t id,
                        const int32_t *tokens, size_t n);
void message_put_ready(struct oll_strbuf *out, const struct oll_model_info *info);
void message_put_planned(struct oll_strbuf *out, const struct oll_plan *plan);
void message_put_event(struct oll_strbuf *out, uint64_t id, const struct oll_event *event);
void message_put_text(struct oll_strbuf *out, uint64_t id, const char *text, size_t n);
void message_put_error(struct oll_strbuf *out, uint64_t id, oll_status status, const char *text);

/* These read the body of one frame of that kind: OLL_ERR_FORMAT for a wrong one. Texts are borrowed
 * from the body, arrays lie in the arena. */
/* OPEN and PLAN. */
oll_status message_get_open(const struct message *m, struct message_open *out) OLL_MUST_USE;
oll_status message_get_submit(const struct message *m, struct oll_arena *arena,
                              struct oll_request *out) OLL_MUST_USE;
oll_status message_get_credit(const struct message *m, uint32_t *n) OLL_MUST_USE;
oll_status message_get_tokenize(const struct message *m, struct message_tokenize *out) OLL_MUST_USE;
oll_status message_get_tokens(const struct message *m, struct oll_arena *arena,
                              const int32_t **tokens, size_t *n) OLL_MUST_USE;
oll_status message_get_ready(const struct message *m, struct oll_model_info *out) OLL_MUST_USE;
/* A plan of its own memory, for oll_plan_free; nothing is left to free after a failure. */
oll_status message_get_planned(const struct message *m, struct oll_plan *out) OLL_MUST_USE;
/* An event of its own memory, released with oll_event_free; nothing is left to release after a
 * failure. */
oll_status message_get_event(const struct message *m, struct oll_event *out) OLL_MUST_USE;
oll_status message_get_text(const struct message *m, const char **text, size_t *n) OLL_MUST_USE;
oll_status message_get_error(const struct message *m, oll_status *status,
                             const char **text) OLL_MUST_USE;

#endif
