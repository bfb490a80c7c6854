#include "tests/net.h"

#include "engine/base/clock.h"
#include "server/http_parse.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int net_connect(int port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

int net_connect_unix(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof sa.sun_path)
        return -1;
    memcpy(sa.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

bool net_send(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

bool net_read_until(int fd, struct oll_strbuf *sb, const char *text, int timeout_ms)
{
    char buf[4096];
    uint64_t until = oll_clock_ns() + (uint64_t)timeout_ms * 1000000;
    while (!*text || !strstr(sb->data, text)) {
        uint64_t now = oll_clock_ns();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (now >= until || poll(&p, 1, (int)((until - now) / 1000000) + 1) <= 0)
            return false;
        ssize_t k = recv(fd, buf, sizeof buf, 0);
        if (k <= 0)
            return !*text;
        oll_strbuf_add(sb, buf, (size_t)k);
    }
    return true;
}

bool net_exchange(int port, const void *request, size_t n, struct oll_strbuf *reply)
{
    int fd = net_connect(port);
    if (fd < 0)
        return false;
    /* A refusal may come before everything is sent. */
    (void)net_send(fd, request, n);
    bool ended = net_read_until(fd, reply, "", 10000);
    close(fd);
    return ended;
}

bool net_take_body(struct oll_strbuf *reply)
{
    const char *end = strstr(reply->data, "\r\n\r\n");
    if (!end || strncmp(reply->data, "HTTP/1.1 ", 9) != 0)
        return false;
    struct http_head head = {.chunked =
                                 strstr(reply->data, "Transfer-Encoding: chunked\r\n") != NULL};
    oll_strbuf_drop(reply, (size_t)(end - reply->data) + 4);
    if (!head.chunked)
        return true;
    struct http_body body;
    size_t off = 0, n_out = 0;
    (void)http_body_begin(&body, &head, SIZE_MAX / 2);
    while (off < reply->len && !body.done) {
        size_t used, n_data;
        const char *data;
        if (http_body_feed(&body, reply->data + off, reply->len - off, &used, &data, &n_data) != 0)
            return false;
        off += used;
        memmove(reply->data + n_out, data, n_data);
        n_out += n_data;
    }
    reply->len = n_out;
    reply->data[n_out] = '\0';
    return body.done;
}

void net_reset(int fd)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}
