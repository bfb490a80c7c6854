/* Waiting for many sockets at once: epoll on Linux (poller_linux.c), poll elsewhere
 * (poller_posix.c).
 *
 * One thread waits; any thread may change what is watched, and wake the waiting one. Readiness is
 * level-triggered: what is not taken is reported again. */
#ifndef OLL_BASE_POLLER_H
#define OLL_BASE_POLLER_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum oll_poller_ready {
    OLL_POLLER_READ = 1,  /* bytes or the end can be read, or a connection accepted */
    OLL_POLLER_WRITE = 2, /* bytes can be written */
    OLL_POLLER_FIN = 4,   /* the peer sends no more, though it may still read */
    OLL_POLLER_GONE = 8   /* hang-up or error; reported whether asked for or not */
};

struct oll_poller;

struct oll_poller_event {
    void *data;     /* as given to oll_poller_watch */
    uint32_t ready; /* bits of oll_poller_ready */
};

oll_status oll_poller_new(struct oll_poller **out, struct oll_error *err) OLL_MUST_USE;
void oll_poller_free(struct oll_poller *poller); /* NULL is accepted */

/* Watches a descriptor, or changes what is asked of it. */
oll_status oll_poller_watch(struct oll_poller *poller, int fd, uint32_t ready,
                            void *data) OLL_MUST_USE;
/* Before the descriptor is closed. Unknown descriptors are ignored. */
void oll_poller_forget(struct oll_poller *poller, int fd);

/* Waits up to `timeout_ms` (negative: for ever); returns the number of events, 0 also after a wake
 * or an interrupted wait. */
int oll_poller_wait(struct oll_poller *poller, struct oll_poller_event *events, int max,
                    int timeout_ms);
/* Ends the present wait, or the next one. May be called from a signal handler. */
void oll_poller_wake(struct oll_poller *poller);

#endif
