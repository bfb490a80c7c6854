/* What the server counts, for Prometheus (GET /metrics) and for the log: requests by route and
 * status, latencies as histograms, tokens, and what the scheduler holds at the moment. No text of a
 * request or a reply is kept. Any thread may count; nothing waits. */
#ifndef OLL_SERVER_METRICS_H
#define OLL_SERVER_METRICS_H

#include "engine/oll.h"
#include "server/http.h"

struct metrics;

oll_status metrics_new(struct metrics **out, struct oll_error *err) OLL_MUST_USE;
void metrics_free(struct metrics *metrics); /* NULL is accepted */

/* For http_config.ended: counts the reply, and writes a line to the log. */
void metrics_ended(const struct http_request *req, int status, uint64_t n_body);
/* A reply's first event came that long after its request. */
void metrics_first_token(struct metrics *metrics, uint64_t ns);
/* A reply's last event, with its counts and times. */
void metrics_generation(struct metrics *metrics, const struct oll_event *done);

/* The handler: text of the exposition format, version 0.0.4. */
void metrics_reply(struct http_request *req);

#endif
