/* What the files of a runner's process share: runner_child.c (start, end, commands),
 * runner_sender.c (what goes to the server), runner_worker.c (calls that may take long),
 * runner_confine.c (rights that are given up). */
#ifndef OLL_SERVER_RUNNER_CHILD_INTERNAL_H
#define OLL_SERVER_RUNNER_CHILD_INTERNAL_H

#include "server/message.h"

#include <pthread.h>

struct entry {
    struct entry *next;
    uint64_t id, engine_id;
    uint32_t credit;
    bool free_of_credit; /* cancelled: its last event must come through */
    bool held, over;
};

/* A message that may take long. */
struct call {
    struct call *next;
    struct message message; /* its body lies behind */
};

struct child {
    int fd;
    struct message_reader reader;
    unsigned char *open_body; /* strings of `open` lie here */
    struct message_open open;
    bool plans; /* and loads nothing */
    pthread_t sender, worker;

    pthread_mutex_t lock; /* all that follows; taken before the engine's own */
    pthread_cond_t changed;
    struct oll_engine *engine; /* set once, before `loaded` */
    bool loaded, stop;
    struct oll_strbuf out, spare;
    struct entry *entries;
    int n_submitting; /* requests that the engine may know and `entries` not yet */
    struct call *first_call, **last_call;
    int n_calls; /* waiting, or being done */
};

/* Threads; their argument is the child. */
void *runner_sender_main(void *arg);
void *runner_worker_main(void *arg);

/* Sends what has gathered; false when there was nothing, or nobody to take it. The sender's thread,
 * or the only one. */
bool runner_sender_flush(struct child *c);
/* Behind an answer that was put into `out`: an error takes the place of one that did not fit. The
 * lock is held. */
void runner_sender_end_answer(struct child *c, uint64_t id);

/* Rights that are given up: before a model is loaded; when its weights are mapped and its threads
 * run; before it is planned, which has not been looked at yet. */
void runner_confine_early(const struct child *c);
void runner_confine_late(void);
void runner_confine_plan(const struct child *c);

/* Hands a message to the worker. */
oll_status runner_worker_queue(struct child *c, const struct message *m) OLL_MUST_USE;

#endif
