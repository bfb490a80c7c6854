/* Loaded before a program (LD_PRELOAD): the n-th call of one kind fails, once.
 *
 * OLL_FAIL_CALL=ROLE:KIND:N in the environment. ROLE is the program's first argument, "serve" or
 * "runner". KIND is "write" (also send), "spawn", "pair" (sockets and pipes), "map", "thread" or
 * "open". Standard error tells that the call was reached. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORD_MAX = 16, LINE_MAX_BYTES = 4096 };

static char kind[WORD_MAX]; /* "": none fails here */
static long number;
static atomic_long count;

/* The function that is stood before. */
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static ssize_t real_write(int fd, const void *data, size_t n)
{
    ssize_t (*call)(int, const void *, size_t);
    *(void **)&call = real("write");
    return call(fd, data, n);
}

/* The first argument of this program, as it was started. */
static void read_role(char role[WORD_MAX])
{
    char line[LINE_MAX_BYTES] = {0};
    FILE *f = fopen("/proc/self/cmdline", "rb");
    const size_t n = f ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f)
        fclose(f);
    const size_t first = strlen(line) + 1;
    snprintf(role, WORD_MAX, "%.*s", WORD_MAX - 1, first < n ? line + first : "");
}

__attribute__((constructor)) static void begin(void)
{
    char role[WORD_MAX], wanted[WORD_MAX] = "", what[WORD_MAX] = "";
    const char *text = getenv("OLL_FAIL_CALL");
    read_role(role);
    if (text && sscanf(text, "%15[a-z]:%15[a-z]:%ld", wanted, what, &number) == 3 &&
        strcmp(role, wanted) == 0)
        memcpy(kind, what, sizeof kind);
}

static bool is_due(const char *what)
{
    static const char line[] = "fault: a call failed on purpose\n";
    if (strcmp(kind, what) != 0 || atomic_fetch_add(&count, 1) + 1 != number)
        return false;
    real_write(STDERR_FILENO, line, sizeof line - 1);
    return true;
}

/* What the interposed functions return when it is their turn. */
static int fail(int code)
{
    errno = code;
    return -1;
}

ssize_t write(int fd, const void *data, size_t n)
{
    return is_due("write") ? fail(EIO) : real_write(fd, data, n);
}

ssize_t send(int fd, const void *data, size_t n, int flags)
{
    ssize_t (*call)(int, const void *, size_t, int);
    *(void **)&call = real("send");
    return is_due("write") ? fail(EIO) : call(fd, data, n, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t (*call)(int, const struct msghdr *, int);
    *(void **)&call = real("sendmsg");
    return is_due("write") ? fail(EIO) : call(fd, message, flags);
}

int posix_spawn(pid_t *restrict pid, const char *restrict path,
                const posix_spawn_file_actions_t *restrict actions,
                const posix_spawnattr_t *restrict attributes, char *const argv[restrict],
                char *const envp[restrict])
{
    int (*call)(pid_t *, const char *, const posix_spawn_file_actions_t *,
                const posix_spawnattr_t *, char *const *, char *const *);
    *(void **)&call = real("posix_spawn");
    return is_due("spawn") ? EAGAIN : call(pid, path, actions, attributes, argv, envp);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
    int (*call)(int, int, int, int *);
    *(void **)&call = real("socketpair");
    return is_due("pair") ? fail(EMFILE) : call(domain, type, protocol, fds);
}

int pipe(int fds[2])
{
    int (*call)(int *);
    *(void **)&call = real("pipe");
    return is_due("pair") ? fail(EMFILE) : call(fds);
}

void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    void *(*call)(void *, size_t, int, int, int, off_t);
    *(void **)&call = real("mmap");
    if (!is_due("map"))
        return call(at, n, protection, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes,
                   void *(*start)(void *), void *restrict arg)
{
    int (*call)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&call = real("pthread_create");
    return is_due("thread") ? EAGAIN : call(thread, attributes, start, arg);
}

int open(const char *path, int flags, ...)
{
    int (*call)(const char *, int, ...);
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    *(void **)&call = real("open");
    return is_due("open") ? fail(EIO) : call(path, flags, mode);
}
