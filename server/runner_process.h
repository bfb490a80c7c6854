/* A model in a process of its own, seen from the server: what runner.c calls.
 *
 * One thread per process (runner_pump.c) starts it, reads what it sends, writes what the socket did
 * not take at once, and sees it end. Callers encode messages, and wait for answers and events in
 * records of their own. The thread lives as long as its process: the kernel ends a child with the
 * thread that started it. */
#ifndef OLL_SERVER_RUNNER_PROCESS_H
#define OLL_SERVER_RUNNER_PROCESS_H

#include "engine/base/poller.h"
#include "server/message.h"
#include "server/runner.h"

#include <pthread.h>
#include <sys/types.h>

enum {
    PROCESS_OUTBOX_MAX = 512 * 1024 * 1024,
    PROCESS_LINE_MAX = 1024, /* of the log; the rest of a longer line is another one */
};

struct event_node {
    struct event_node *next;
    struct oll_event event;
    size_t n_bytes; /* of its message */
};

/* A request or a call that a thread of the server has made; guarded by the process' lock. */
struct waiting {
    struct waiting *next;
    uint64_t id;
    bool is_request; /* else a call */
    bool answered;   /* accepted, refused, or the call's answer is there */
    bool over;       /* no more comes: a call's answer, a request's last event */
    bool canceled;
    oll_status status; /* of the answer */
    struct oll_error err;
    pthread_cond_t changed;

    struct event_node *first, **last;
    uint32_t n_unpaid; /* events that were taken since credit was given last */
    uint32_t credit;   /* events that may still come */

    int32_t *tokens; /* of calls */
    char *text;
    size_t n;
};

enum process_state { PROCESS_STARTING, PROCESS_READY, PROCESS_FAILED, PROCESS_DEAD };

struct runner_process {
    struct runners *runners;
    char *name, *path;
    struct oll_poller *poller;
    pthread_t pump;
    void (*lost)(void *arg); /* NULL: nobody wants to know */
    void *lost_arg;
    /* The pump's own. */
    int fd, log_fd; /* -1: none */
    pid_t pid;      /* 0: none */
    uint64_t oom_kills;
    struct message_reader reader;
    char line[PROCESS_LINE_MAX], last_line[PROCESS_LINE_MAX]; /* of its log */
    size_t n_line;
    uint64_t log_ns;   /* when the present second of the log began */
    uint32_t n_second; /* lines of it */
    bool retired;      /* its device failed: it is of no more use */

    pthread_mutex_t lock; /* all that follows */
    pthread_cond_t changed;
    enum process_state state;
    bool closing, aborted;  /* to end: in order; at once */
    struct oll_error error; /* why it failed or died */
    struct oll_strbuf outbox;
    struct waiting *waiting;
    int n_open; /* of `waiting`, not over */
    uint64_t next_id;
    uint64_t heard_ns; /* when it last showed a sign of life, or work began */
    uint64_t close_ns; /* when closing began */
    size_t backlog_bytes;
    struct oll_model_info info;
    unsigned char *info_body; /* its strings */
};

oll_status runner_process_open(struct runners *runners, const struct runner_wish *wish,
                               struct runner_process **out, struct oll_error *err) OLL_MUST_USE;
void runner_process_close(struct runner_process *p);
bool runner_process_is_lost(struct runner_process *p);
oll_status runner_process_submit(struct runner_process *p, const struct oll_request *request,
                                 uint64_t *id, struct oll_error *err) OLL_MUST_USE;
void runner_process_cancel(struct runner_process *p, uint64_t id);
void runner_process_release(struct runner_process *p, uint64_t id);
oll_status runner_process_next(struct runner_process *p, uint64_t id, int timeout_ms,
                               struct oll_event *event) OLL_MUST_USE;
oll_status runner_process_tokenize(struct runner_process *p, const struct message_tokenize *ask,
                                   int32_t **tokens, size_t *n_tokens,
                                   struct oll_error *err) OLL_MUST_USE;
oll_status runner_process_detokenize(struct runner_process *p, const int32_t *ids, size_t n,
                                     struct oll_strbuf *out, struct oll_error *err) OLL_MUST_USE;

/* A plan that is known, or is made in a process of its own (runner_plan.c). */
oll_status runners_plan(struct runners *runners, const struct runner_wish *wish,
                        struct oll_plan *out, struct oll_error *err) OLL_MUST_USE;

/* ---- between runner_process.c, runner_plan.c, runner_pump.c, runner_spawn.c and runners.c ---- */

/* Makes a plan in a new process. */
oll_status runner_plan_make(struct runners *runners, const struct runner_wish *wish,
                            struct oll_plan *out, struct oll_error *err) OLL_MUST_USE;
/* What those are told who wanted something of a process that died. */
void runner_say_death(bool was_memory, const char *why, struct oll_error *err);

/* Sends whole frames, now or as soon as the socket takes them. The lock is held. */
void runner_pump_send(struct runner_process *p, const struct oll_strbuf *frames);
struct waiting *runner_process_find(struct runner_process *p,
                                    uint64_t id); /* lock held; NULL: none */

/* The thread of a process; `arg` is the process. Its first message lies in the outbox. */
void *runner_pump_main(void *arg);

/* Starts the program; fills pid, fd and log_fd. */
oll_status runner_spawn(struct runner_process *p, struct oll_error *err) OLL_MUST_USE;
/* Reads what the process has written to its log; false at its end. */
bool runner_read_log(struct runner_process *p);
/* Appends `before` and the last line of the log, which helps who may read it; false when there is
 * none, or it has paths of this machine in it (R9). */
bool runner_last_words(const struct runner_process *p, const char *before, struct oll_strbuf *out);
/* Waits for the end of the process, which it makes come unless `may_live` (then it has half a
 * second), and writes why it ended, as people say it. */
void runner_reap(struct runner_process *p, bool may_live, struct oll_strbuf *why, bool *was_memory);

const char *runners_executable(const struct runners *runners);
int64_t runners_load_timeout_ns(const struct runners *runners);
int64_t runners_silence_ns(const struct runners *runners);
/* Whether the model of a file may be tried now. OLL_ERR_BUSY: not yet. */
oll_status runners_may_start(struct runners *runners, const char *path, const char *name,
                             struct oll_error *err) OLL_MUST_USE;
void runners_note_death(struct runners *runners, const char *path, const char *why);
void runners_note_success(struct runners *runners, const char *path); /* it has answered */

#endif
