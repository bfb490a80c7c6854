/* The plan of a model, made in a process of its own that ends with it: the file has not been looked
 * at before, and may be anybody's. The calling thread starts the process and watches it. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/runner_process.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOK_MS = 50, FRAME_MAX = 1 << 17, WHY_MAX = 1024 };

/* How it ended. */
enum end {
    END_NONE,
    END_ANSWER, /* a plan, or why there is none */
    END_SOCKET, /* it has ended without one */
    END_WRONG,  /* it sent something else */
    END_MEMORY, /* none for what it sends */
    END_LATE,
    END_GONE /* nobody wants it any more */
};

struct job {
    const struct runner_wish *wish;
    struct runner_process *process;
    struct oll_plan *out;
    oll_status status; /* of the answer */
    struct oll_error err;
    uint64_t until_ns; /* UINT64_MAX: it may take its time */
};

static enum end take(struct job *job, const struct message *m)
{
    const char *text;
    if (m->kind == MESSAGE_PLANNED) {
        job->status = message_get_planned(m, job->out);
        return job->status == OLL_OK ? END_ANSWER : END_WRONG;
    }
    if (m->kind != MESSAGE_ERROR || m->id != 0 ||
        message_get_error(m, &job->status, &text) != OLL_OK || job->status == OLL_OK)
        return END_WRONG;
    oll_error_set(&job->err, job->status, "%s", text);
    return END_ANSWER;
}

static enum end read_answer(struct job *job)
{
    struct message m;
    struct message_reader *reader = &job->process->reader;
    oll_status status = message_reader_fill(reader, job->process->fd);
    if (status == OLL_ERR_TIMEOUT)
        return END_NONE;
    if (status != OLL_OK)
        return status == OLL_ERR_MEMORY ? END_MEMORY : END_SOCKET;
    status = message_reader_next(reader, &m, NULL);
    return status == OLL_OK ? take(job, &m) : status == OLL_ERR_TIMEOUT ? END_NONE : END_WRONG;
}

static void read_log(struct runner_process *p)
{
    if (runner_read_log(p))
        return;
    close(p->log_fd);
    p->log_fd = -1;
}

static enum end watch(struct job *job)
{
    struct runner_process *p = job->process;
    enum end end = END_NONE;
    while (end == END_NONE) {
        struct pollfd fds[] = {{.fd = p->fd, .events = POLLIN},
                               {.fd = p->log_fd, .events = POLLIN}};
        const uint64_t now = oll_clock_ns();
        if (now >= job->until_ns)
            return END_LATE;
        if (job->wish->gone && job->wish->gone(job->wish->arg))
            return END_GONE;
        if (poll(fds, 2, LOOK_MS) <= 0)
            continue;
        if (fds[1].revents)
            read_log(p);
        if (fds[0].revents)
            end = read_answer(job);
    }
    return end;
}

/* The process is told what to plan; a message of this size has room in a new socket. */
static bool ask(const struct job *job)
{
    const struct message_open open = {.params = job->wish->params,
                                      .name = job->wish->name,
                                      .log_level = oll_log_level(),
                                      .alive_ms = 1000};
    struct oll_strbuf frame;
    oll_strbuf_init(&frame, FRAME_MAX);
    message_put_plan(&frame, &open);
    const bool sent = frame.status == OLL_OK && send(job->process->fd, frame.data, frame.len,
                                                     MSG_NOSIGNAL) == (ssize_t)frame.len;
    oll_strbuf_free(&frame);
    return sent;
}

/* What is told of an end without an answer. */
static void say_end(struct job *job, enum end end, bool was_memory, const char *how)
{
    const struct runner_process *p = job->process;
    const char *why = end == END_WRONG ? "ended because it sent what is no plan"
                      : end == END_MEMORY
                          ? "ended because the server has no memory for what it sent"
                      : end == END_LATE ? "ended because it made no progress"
                                        : how;
    oll_log(OLL_LOG_ERROR, "runner", "the process that planned %s was %s", p->name, why);
    runners_note_death(p->runners, job->wish->params.model_path, why);
    if (end == END_LATE)
        oll_error_set(&job->err, OLL_ERR_INTERNAL,
                      "timed out waiting for %s to start - its plan took more than %lld s", p->name,
                      (long long)(runners_silence_ns(p->runners) / 1000000000));
    else
        runner_say_death(was_memory, why, &job->err);
    job->status = job->err.status;
}

static void run(struct job *job)
{
    struct oll_strbuf how;
    bool was_memory = false;
    const enum end end = ask(job) ? watch(job) : END_SOCKET;
    oll_strbuf_init(&how, WHY_MAX);
    runner_reap(job->process, end == END_SOCKET, &how, &was_memory);
    if (end == END_GONE)
        job->status = OLL_FAIL(&job->err, OLL_ERR_CANCELED, "request canceled");
    else if (end != END_ANSWER)
        say_end(job, end, was_memory, how.cap ? how.data : "ended");
    oll_strbuf_free(&how);
}

static void free_process(struct runner_process *p)
{
    if (p->fd >= 0)
        close(p->fd);
    if (p->log_fd >= 0)
        close(p->log_fd);
    message_reader_free(&p->reader);
    oll_free(p->name);
    oll_free(p);
}

oll_status runner_plan_make(struct runners *runners, const struct runner_wish *wish,
                            struct oll_plan *out, struct oll_error *err)
{
    OLL_TRY(runners_may_start(runners, wish->params.model_path, wish->name, err));
    struct runner_process *p = oll_calloc(1, sizeof *p);
    const int64_t limit = runners_silence_ns(runners);
    struct job job = {.wish = wish,
                      .process = p,
                      .out = out,
                      .until_ns = limit > 0 ? oll_clock_ns() + (uint64_t)limit : UINT64_MAX};
    if (!p)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a plan");
    p->runners = runners;
    p->fd = p->log_fd = -1;
    p->name = oll_strdup(wish->name);
    message_reader_init(&p->reader, MESSAGE_FROM_RUNNER);
    if (!p->name)
        job.status = OLL_FAIL(&job.err, OLL_ERR_MEMORY, "out of memory for a plan");
    else
        job.status = runner_spawn(p, &job.err);
    if (job.status == OLL_OK)
        run(&job);
    if (job.status != OLL_OK)
        oll_error_set(err, job.status, "%s", oll_error_text(&job.err));
    free_process(p);
    return job.status;
}
