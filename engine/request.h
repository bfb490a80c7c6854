/* One request inside the engine: a deep copy of what was asked, and the queue of events on its way
 * to the caller.
 *
 * Everything but the copy is guarded by the engine's mutex. */
#ifndef OLL_ENGINE_REQUEST_H
#define OLL_ENGINE_REQUEST_H

#include "engine/base/arena.h"
#include "engine/eval.h"
#include "engine/oll.h"
#include "sampler/constraint.h"

#include <pthread.h>

/* A request's bytes, and the events that may wait for a slow reader before the request pauses. */
enum { REQUEST_MAX_BYTES = 256 * 1024 * 1024, REQUEST_MAX_EVENTS = 256 };

enum request_state {
    REQUEST_QUEUED,
    REQUEST_RUNNING,
    REQUEST_FINISHED /* its last event is queued or taken; the engine thread has let go of it */
};

struct request_event {
    struct oll_event event;
    struct request_event *next;
};

struct request {
    uint64_t id;
    struct oll_request ask; /* strings live in the arena */
    struct oll_arena arena;
    uint64_t submit_ns;
    struct oll_space space;                 /* of ask.share_with */
    struct oll_constraint_program *program; /* of its format or grammar, NULL: free text */

    enum request_state state;
    bool canceled; /* the caller wants it to end */
    bool released; /* the caller has let go of it */
    bool in_step;  /* a step runs that is given up when this request is canceled */
    bool held;     /* its events are not for oll_engine_next_any now */
    bool ended;    /* oll_engine_next_any has given its last event */
    struct request_event *first, **last;
    uint32_t n_events;
    pthread_cond_t ready; /* an event was queued */
    struct request *next; /* in the engine's list, in order of arrival */
};

/* Copies the request. OLL_ERR_MEMORY, or OLL_ERR_LIMIT beyond REQUEST_MAX_BYTES. */
oll_status request_new(const struct oll_request *ask, struct request **out,
                       struct oll_error *err) OLL_MUST_USE;
void request_free(struct request *r);

/* Appends; the event's memory moves into the queue. When there is no memory for the node the event
 * is dropped and false returned. */
bool request_push_move(struct request *r, struct oll_event *event);
/* Takes the oldest event; false when there is none. */
bool request_pop(struct request *r, struct oll_event *event);

#endif
