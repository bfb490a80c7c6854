/* One request to a model, from the lease to the last event: what the handlers of every dialect have
 * in common. Belongs to the handler's thread. */
#ifndef OLL_SERVER_GENERATION_H
#define OLL_SERVER_GENERATION_H

#include "engine/oll.h"
#include "server/http.h"
#include "server/models.h"
#include "server/options.h"
#include "server/schedule.h"

struct generation {
    struct http_request *req;
    struct schedule *schedule;
    struct lease *lease; /* NULL until the model is loaded */
    struct schedule_want want;
    uint64_t id;
    bool submitted;
    uint64_t loaded_ns; /* when the model was ready (oll_clock_ns) */
    /* Set by the handler between load and submit. */
    int64_t priority;
    bool has_keys; /* clients are told apart by their API keys, not by their addresses */
    bool told_position;
    bool has_begun; /* an event has come */
};

/* Waits for the model to be loaded as the options want. OLL_ERR_CANCELED when the peer goes.
 * `keep_alive_ns` NULL leaves the model's own. */
oll_status generation_load(struct generation *g, struct http_request *req,
                           struct schedule *schedule, const struct served_model *model,
                           const struct options *options, const int64_t *keep_alive_ns,
                           struct oll_error *err) OLL_MUST_USE;
/* Several one after another: each lets go of the one before it. */
oll_status generation_submit(struct generation *g, const struct oll_request *ask,
                             struct oll_error *err) OLL_MUST_USE;
/* The next event but ERROR, which becomes the returned status with its text. When the peer goes, or
 * the server stops, the request is cancelled: OLL_ERR_CANCELED. */
oll_status generation_next(struct generation *g, struct oll_event *event,
                           struct oll_error *err) OLL_MUST_USE;
/* Gives request and lease back; also half-way and for an untouched zero struct. */
void generation_end(struct generation *g);

/* The HTTP status that an engine's failure is answered with. */
int generation_http_status(oll_status status);

#endif
