/* A server with a store of its own, for tests of the API. The models:
 *
 *   m      plain completion, PARAMETER stop
 *   ms     m with SYSTEM            msgs   m with a history
 *   fim    template with .Suffix    tl     template with .Tools     th   with .Thinking
 *   emb    embedding model          cloud  a name without weights
 *   bad    its config is missing    slow, broken, huge: files named at start (fake_engine.h)
 */
#ifndef OLL_TESTS_API_FIXTURE_H
#define OLL_TESTS_API_FIXTURE_H

#include "server/http.h"
#include "server/schedule.h"

struct fixture {
    char root[256]; /* the store */
    int port;
};

/* Starts a server on a free port. `http` and `schedule` may be NULL. */
void fixture_start(struct fixture *f, const struct http_config *http,
                   const struct schedule_config *schedule);
/* Ends it and checks that nothing is left: engines, requests. */
void fixture_stop(struct fixture *f);
/* Asks the server to stop, without waiting. */
void fixture_signal_stop(void);

#endif
