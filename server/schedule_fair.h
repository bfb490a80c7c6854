/* Whose turn it is to use a loaded model: deficit round-robin over tokens between clients, as a
 * state machine without threads and clock.
 *
 * A model serves as many requests at once as it has slots, and a few more are let in so that no
 * slot waits for the network. The others wait here, one queue per client. Clients take turns; a
 * turn gives a client QUANTUM tokens, and whoever has some left lets in its next request. What that
 * is expected to cost is taken off at once, which may leave a debt of several turns, and what it
 * really took is set off afterwards. So a client with a hundred requests, or with long ones, does
 * not make others wait longer than their share, and nobody is judged by how well it guesses.
 * (Shreedhar & Varghese 1996, "Efficient Fair Queuing Using Deficit Round-Robin".)
 *
 * A request of higher priority goes before those of lower ones, of any client; each AGE of waiting
 * counts like one more level, so that nobody waits for ever.
 *
 * Tickets belong to the caller and stay where they are from fair_enter to fair_leave. */
#ifndef OLL_SERVER_SCHEDULE_FAIR_H
#define OLL_SERVER_SCHEDULE_FAIR_H

#include <stdbool.h>
#include <stdint.h>

enum { FAIR_CLIENT_MAX = 72, FAIR_PRIORITY_MAX = 10, FAIR_QUANTUM = 512 };

struct fair_client;

struct fair_ticket {
    char client[FAIR_CLIENT_MAX];
    int priority;  /* -FAIR_PRIORITY_MAX to FAIR_PRIORITY_MAX; 0: usual */
    uint64_t cost; /* tokens it is expected to take */
    /* The queue's own. */
    struct fair_ticket *next;
    struct fair_client *owner; /* NULL: not entered */
    uint64_t since_ns;
    bool running;
};

struct fair {
    int n_max;       /* requests let in at once */
    int max_waiting; /* beyond these new ones are refused */
    int n_running, n_waiting;
    struct fair_client *clients; /* those with requests, in the order of turns */
};

enum fair_answer { FAIR_ENTERED, FAIR_FULL, FAIR_NO_MEMORY };
/* Queues a ticket; fair_next says when it is let in. */
enum fair_answer fair_enter(struct fair *f, struct fair_ticket *t, uint64_t now);
/* The next ticket that is let in, NULL when none is at this time. */
struct fair_ticket *fair_next(struct fair *f, uint64_t now);
/* Ends a ticket, also one that waits; `taken` are the tokens that it took. */
void fair_leave(struct fair *f, struct fair_ticket *t, uint64_t taken);
/* About how many will be let in before a waiting ticket. */
int fair_position(const struct fair *f, const struct fair_ticket *t, uint64_t now);

#endif
