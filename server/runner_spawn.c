/* The process of a runner: its start, its log, its end and the reason of it. */
#include "engine/base/clock.h"
#include "engine/base/platform.h"
#include "server/runner_child.h"
#include "server/runner_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    LIVE_MS = 2000,
    POLL_MS = 2,
    READS_MAX = 32,        /* of the log at once, before something else has its turn */
    LINES_PER_SECOND = 200 /* that go into the server's log */
};

extern char **environ;

/* ---- start ---- */

/* Moves a descriptor above those that a child gets, which may be free here, and keeps it from other
 * programs. */
static bool is_private(int *fd)
{
    const int above = fcntl(*fd, F_DUPFD_CLOEXEC, RUNNER_CHILD_FD + 1);
    if (above < 0)
        return false;
    close(*fd);
    *fd = above;
    return true;
}

static bool is_prompt(int fd)
{
    const int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

static void close_both(int fds[2])
{
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* Socket and log of the child: input from nowhere, output to the log. */
static int plan_files(posix_spawn_file_actions_t *actions, int socket_fd, int log_fd)
{
    int rc = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, log_fd, STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, log_fd, STDERR_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, socket_fd, RUNNER_CHILD_FD);
    return rc;
}

/* Threads of the server may have signals blocked: not so the child's. */
static int plan_signals(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    int rc = posix_spawnattr_setsigmask(attributes, &none);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault(attributes, &all);
    if (rc == 0)
        rc = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return rc;
}

static int spawn(struct runner_process *p, int socket_fd, int log_fd)
{
    char program[] = "oll", command[] = "runner";
    char *argv[] = {program, command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attributes);
    if (rc == 0) {
        rc = plan_files(&actions, socket_fd, log_fd);
        if (rc == 0)
            rc = plan_signals(&attributes);
        if (rc == 0)
            rc = posix_spawn(&p->pid, runners_executable(p->runners), &actions, &attributes, argv,
                             environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

oll_status runner_spawn(struct runner_process *p, struct oll_error *err)
{
    int pair[2] = {-1, -1}, log[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || pipe(log) != 0 || !is_private(&pair[0]) ||
        !is_private(&pair[1]) || !is_private(&log[0]) || !is_private(&log[1]) ||
        !is_prompt(pair[0]) || !is_prompt(log[0])) {
        OLL_FAIL(err, OLL_ERR_IO, "no socket for the runner of %s: %s", p->name, strerror(errno));
        close_both(pair);
        close_both(log);
        return OLL_ERR_IO;
    }
    p->oom_kills = oll_platform_oom_kills();
    const int rc = spawn(p, pair[1], log[1]);
    close(pair[1]);
    close(log[1]);
    p->fd = pair[0];
    p->log_fd = log[0];
    if (rc == 0)
        return OLL_OK;
    p->pid = 0;
    return OLL_FAIL(err, rc == ENOMEM ? OLL_ERR_MEMORY : OLL_ERR_INTERNAL,
                    "the runner of %s cannot be started: %s", p->name, strerror(rc));
}

/* ---- log ---- */

/* The text of a line of oll's own log, in either of its forms; NULL for another line. */
static const char *message_of(const char *line)
{
    static const char *const forms[][2] = {{"time=", " msg=\""}, {"{\"time\":\"", "\"msg\":\""}};
    for (int i = 0; i < 2; i++) {
        const char *text = strstr(line, forms[i][1]);
        if (strncmp(line, forms[i][0], strlen(forms[i][0])) == 0 && text)
            return text + strlen(forms[i][1]);
    }
    return NULL;
}

bool runner_last_words(const struct runner_process *p, const char *before, struct oll_strbuf *out)
{
    const char *message = message_of(p->last_line), *text = message ? message : p->last_line;
    if (!*text || *text == '/' || strstr(text, " /") || strstr(text, "\"/") || strstr(text, "=/"))
        return false;
    const size_t n = message ? strcspn(text, "\"") : strlen(text);
    oll_strbuf_printf(out, "%s%.*s", before, (int)n, text);
    return true;
}

/* Whether one more line of this second may be written: who floods the log fills a disk. */
static bool may_log(struct runner_process *p)
{
    const uint64_t now = oll_clock_ns();
    if (now - p->log_ns >= 1000000000u) {
        p->log_ns = now;
        p->n_second = 0;
    }
    if (p->n_second++ == LINES_PER_SECOND)
        oll_log_warn("runner", "%s: more than %d lines in a second; the rest of them is left out",
                     p->name, LINES_PER_SECOND);
    return p->n_second <= LINES_PER_SECOND;
}

/* Its own lines go on as they are; what is not one (a message of a library) gets a head. */
static void take_line(struct runner_process *p)
{
    p->line[p->n_line] = '\0';
    if (p->n_line == 0)
        return;
    memcpy(p->last_line, p->line, p->n_line + 1);
    p->n_line = 0;
    if (!may_log(p))
        return;
    if (message_of(p->last_line))
        oll_log_forward(p->last_line);
    else
        oll_log_warn("runner", "%s: %s", p->name, p->last_line);
}

bool runner_read_log(struct runner_process *p)
{
    char bytes[2048];
    ssize_t n = 0;
    for (int k = 0; k < READS_MAX && (n = read(p->log_fd, bytes, sizeof bytes)) > 0; k++)
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] == '\n' || p->n_line == PROCESS_LINE_MAX - 1)
                take_line(p);
            if (bytes[i] != '\n')
                p->line[p->n_line++] = bytes[i] ? bytes[i] : ' ';
        }
    const bool goes_on =
        n > 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
    if (!goes_on)
        take_line(p);
    return goes_on;
}

/* ---- end ---- */

static const char *signal_name(int sig)
{
    static const struct {
        int sig;
        const char *name;
    } names[] = {
        {SIGSEGV, "SIGSEGV, a bad memory access"},
        {SIGBUS, "SIGBUS, a page that could not be read: was the model's file cut?"},
        {SIGILL, "SIGILL, an instruction that the processor does not know"},
        {SIGFPE, "SIGFPE, an arithmetic fault"},
        {SIGABRT, "SIGABRT, an internal error"},
        {SIGKILL, "SIGKILL"},
        {SIGTERM, "SIGTERM"},
        {SIGSYS, "SIGSYS, a system call that it had given up"},
        {SIGTRAP, "SIGTRAP"},
        {SIGXCPU, "SIGXCPU, a limit of processor time"},
        {SIGXFSZ, "SIGXFSZ, a limit of file sizes"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].sig == sig)
            return names[i].name;
    return NULL;
}

static void say_signal(struct runner_process *p, int sig, struct oll_strbuf *why, bool *was_memory)
{
    const char *name = signal_name(sig);
    if (name)
        oll_strbuf_printf(why, "killed by %s", name);
    else
        oll_strbuf_printf(why, "killed by signal %d", sig);
    /* Nobody else sends SIGKILL while the kernel counts one for want of memory. */
    if (sig == SIGKILL && oll_platform_oom_kills() > p->oom_kills) {
        oll_strbuf_adds(why, ": memory ran out");
        *was_memory = true;
    }
}

static void say_end(struct runner_process *p, int code, struct oll_strbuf *why, bool *was_memory)
{
    if (WIFSIGNALED(code)) {
        say_signal(p, WTERMSIG(code), why, was_memory);
        if (WTERMSIG(code) == SIGABRT)
            runner_last_words(p, ": ", why);
    } else {
        oll_strbuf_printf(why, "ended with exit code %d", WEXITSTATUS(code));
        runner_last_words(p, ": ", why);
    }
}

/* Waits for the end; false when it has not come within `ms`. */
static bool wait_end(struct runner_process *p, int ms, int *code)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000 * 1000};
    for (int waited = 0;; waited += POLL_MS) {
        const pid_t pid = waitpid(p->pid, code, WNOHANG);
        if (pid == p->pid || (pid < 0 && errno != EINTR))
            return true;
        if (waited >= ms)
            return false;
        nanosleep(&pause, NULL);
    }
}

void runner_reap(struct runner_process *p, bool may_live, struct oll_strbuf *why, bool *was_memory)
{
    int code = 0;
    *was_memory = false;
    if (!may_live || !wait_end(p, LIVE_MS, &code)) {
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, &code, 0) < 0 && errno == EINTR)
            continue;
    }
    p->pid = 0;
    if (p->log_fd >= 0)
        runner_read_log(p);
    say_end(p, code, why, was_memory);
}
