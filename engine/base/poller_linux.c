#include "engine/base/poller.h"

#include "engine/base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EVENTS_MAX = 128, WAKE_TRIES = 8 };

struct oll_poller {
    int epoll_fd, wake_fd;
};

static uint32_t to_epoll(uint32_t ready)
{
    return (ready & OLL_POLLER_READ ? EPOLLIN : 0u) | (ready & OLL_POLLER_WRITE ? EPOLLOUT : 0u) |
           (ready & OLL_POLLER_FIN ? EPOLLRDHUP : 0u);
}

static uint32_t from_epoll(uint32_t events)
{
    return (events & EPOLLIN ? OLL_POLLER_READ : 0u) | (events & EPOLLOUT ? OLL_POLLER_WRITE : 0u) |
           (events & EPOLLRDHUP ? OLL_POLLER_FIN : 0u) |
           (events & (EPOLLHUP | EPOLLERR) ? OLL_POLLER_GONE : 0u);
}

oll_status oll_poller_new(struct oll_poller **out, struct oll_error *err)
{
    struct oll_poller *poller = oll_calloc(1, sizeof *poller);
    if (!poller)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the event loop");
    poller->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    poller->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN};
    if (poller->epoll_fd < 0 || poller->wake_fd < 0 ||
        epoll_ctl(poller->epoll_fd, EPOLL_CTL_ADD, poller->wake_fd, &event) != 0) {
        oll_status status = OLL_FAIL(err, OLL_ERR_IO, "cannot set up epoll: %s", strerror(errno));
        oll_poller_free(poller);
        return status;
    }
    *out = poller;
    return OLL_OK;
}

void oll_poller_free(struct oll_poller *poller)
{
    if (!poller)
        return;
    if (poller->epoll_fd >= 0)
        close(poller->epoll_fd);
    if (poller->wake_fd >= 0)
        close(poller->wake_fd);
    oll_free(poller);
}

oll_status oll_poller_watch(struct oll_poller *poller, int fd, uint32_t ready, void *data)
{
    struct epoll_event event = {.events = to_epoll(ready), .data.ptr = data};
    if (epoll_ctl(poller->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
        return OLL_OK;
    if (errno == ENOENT && epoll_ctl(poller->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return OLL_OK;
    return OLL_ERR_IO;
}

void oll_poller_forget(struct oll_poller *poller, int fd)
{
    (void)epoll_ctl(poller->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

int oll_poller_wait(struct oll_poller *poller, struct oll_poller_event *events, int max,
                    int timeout_ms)
{
    struct epoll_event got[EVENTS_MAX];
    int n = epoll_wait(poller->epoll_fd, got, max < EVENTS_MAX ? max : EVENTS_MAX, timeout_ms);
    int n_events = 0;
    for (int i = 0; i < n; i++) {
        if (!got[i].data.ptr) {
            uint64_t count;
            (void)!read(poller->wake_fd, &count, sizeof count);
            continue;
        }
        events[n_events].data = got[i].data.ptr;
        events[n_events++].ready = from_epoll(got[i].events);
    }
    return n_events;
}

void oll_poller_wake(struct oll_poller *poller)
{
    int saved = errno;
    uint64_t one = 1;
    /* Without room another wake is on its way; anything else must not lose this one. */
    for (int i = 0; i < WAKE_TRIES; i++)
        if (write(poller->wake_fd, &one, sizeof one) >= 0 || errno == EAGAIN)
            break;
    errno = saved;
}
