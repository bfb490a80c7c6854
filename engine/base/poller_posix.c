/* The same with poll(2): linear in the descriptors, and told of no FIN before it is read. */
#include "engine/base/poller.h"

#include "engine/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { WAKE_TRIES = 8 };

struct watch {
    int fd;
    uint32_t ready;
    void *data;
};

struct oll_poller {
    int wake_fds[2];
    pthread_mutex_t lock; /* watches, n, cap */
    struct watch *watches;
    size_t n, cap;
    struct pollfd *fds; /* waiting thread only; as long as `watches` was at the last wait */
    struct watch *seen;
    size_t fds_cap;
};

oll_status oll_poller_new(struct oll_poller **out, struct oll_error *err)
{
    struct oll_poller *poller = oll_calloc(1, sizeof *poller);
    if (!poller)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the event loop");
    if (pipe(poller->wake_fds) != 0) {
        oll_free(poller);
        return OLL_FAIL(err, OLL_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    }
    for (int i = 0; i < 2; i++) {
        fcntl(poller->wake_fds[i], F_SETFL, O_NONBLOCK);
        fcntl(poller->wake_fds[i], F_SETFD, FD_CLOEXEC);
    }
    pthread_mutex_init(&poller->lock, NULL);
    *out = poller;
    return OLL_OK;
}

void oll_poller_free(struct oll_poller *poller)
{
    if (!poller)
        return;
    close(poller->wake_fds[0]);
    close(poller->wake_fds[1]);
    pthread_mutex_destroy(&poller->lock);
    oll_free(poller->watches);
    oll_free(poller->fds);
    oll_free(poller->seen);
    oll_free(poller);
}

/* The lock is held. */
static struct watch *find_watch(struct oll_poller *poller, int fd)
{
    for (size_t i = 0; i < poller->n; i++)
        if (poller->watches[i].fd == fd)
            return &poller->watches[i];
    return NULL;
}

static struct watch *add_watch(struct oll_poller *poller)
{
    if (poller->n == poller->cap) {
        size_t cap = poller->cap ? poller->cap * 2 : 64;
        struct watch *grown = oll_realloc(poller->watches, cap, sizeof *grown);
        if (!grown)
            return NULL;
        poller->watches = grown;
        poller->cap = cap;
    }
    return &poller->watches[poller->n++];
}

oll_status oll_poller_watch(struct oll_poller *poller, int fd, uint32_t ready, void *data)
{
    pthread_mutex_lock(&poller->lock);
    struct watch *watch = find_watch(poller, fd);
    if (!watch)
        watch = add_watch(poller);
    if (watch)
        *watch = (struct watch){.fd = fd, .ready = ready, .data = data};
    pthread_mutex_unlock(&poller->lock);
    oll_poller_wake(poller);
    return watch ? OLL_OK : OLL_ERR_MEMORY;
}

void oll_poller_forget(struct oll_poller *poller, int fd)
{
    pthread_mutex_lock(&poller->lock);
    struct watch *watch = find_watch(poller, fd);
    if (watch)
        *watch = poller->watches[--poller->n];
    pthread_mutex_unlock(&poller->lock);
}

/* Copies the watches for one wait; the wake pipe stands first. Returns their number, 0 without
 * memory. */
static size_t copy_watches(struct oll_poller *poller)
{
    size_t n = 0;
    pthread_mutex_lock(&poller->lock);
    if (poller->n + 1 > poller->fds_cap) {
        size_t cap = poller->cap + 1;
        struct pollfd *fds = oll_realloc(poller->fds, cap, sizeof *fds);
        if (fds)
            poller->fds = fds;
        struct watch *seen = oll_realloc(poller->seen, cap, sizeof *seen);
        if (seen)
            poller->seen = seen;
        if (fds && seen)
            poller->fds_cap = cap;
    }
    if (poller->n + 1 <= poller->fds_cap) {
        poller->fds[n++] = (struct pollfd){.fd = poller->wake_fds[0], .events = POLLIN};
        for (size_t i = 0; i < poller->n; i++, n++) {
            uint32_t ready = poller->watches[i].ready;
            poller->seen[n] = poller->watches[i];
            poller->fds[n] = (struct pollfd){.fd = poller->watches[i].fd};
            poller->fds[n].events = (short)((ready & OLL_POLLER_READ ? POLLIN : 0) |
                                            (ready & OLL_POLLER_WRITE ? POLLOUT : 0));
        }
    }
    pthread_mutex_unlock(&poller->lock);
    return n;
}

int oll_poller_wait(struct oll_poller *poller, struct oll_poller_event *events, int max,
                    int timeout_ms)
{
    size_t n = copy_watches(poller);
    int n_events = 0;
    if (n == 0 || poll(poller->fds, (nfds_t)n, timeout_ms) <= 0)
        return 0;
    char drained[64];
    if (poller->fds[0].revents)
        while (read(poller->wake_fds[0], drained, sizeof drained) > 0)
            continue;
    for (size_t i = 1; i < n && n_events < max; i++) {
        short got = poller->fds[i].revents;
        uint32_t ready = (got & POLLIN ? OLL_POLLER_READ : 0u) |
                         (got & POLLOUT ? OLL_POLLER_WRITE : 0u) |
                         (got & (POLLHUP | POLLERR | POLLNVAL) ? OLL_POLLER_GONE : 0u);
        if (ready)
            events[n_events++] = (struct oll_poller_event){poller->seen[i].data, ready};
    }
    return n_events;
}

void oll_poller_wake(struct oll_poller *poller)
{
    int saved = errno;
    /* Without room another wake is on its way; anything else must not lose this one. */
    for (int i = 0; i < WAKE_TRIES; i++)
        if (write(poller->wake_fds[1], "w", 1) >= 0 || errno == EAGAIN)
            break;
    errno = saved;
}
