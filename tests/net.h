/* A plain TCP client for tests of the server: bytes out, bytes in. */
#ifndef OLL_TESTS_NET_H
#define OLL_TESTS_NET_H

#include "engine/base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>

/* Connects to 127.0.0.1, or to a Unix socket; -1 when that fails. */
int net_connect(int port);
int net_connect_unix(const char *path);
/* Sends everything, false when the peer has closed. */
bool net_send(int fd, const void *data, size_t n);
/* Reads until the text arrives, the peer closes or time is up; true when the text is there. An
 * empty text waits for the end. */
bool net_read_until(int fd, struct oll_strbuf *sb, const char *text, int timeout_ms);
/* One exchange on a connection of its own; false when the peer has not closed in time. */
bool net_exchange(int port, const void *request, size_t n, struct oll_strbuf *reply);
/* Body of a reply read whole, chunks joined; written over the buffer's content. False when there
 * is no well-formed reply. */
bool net_take_body(struct oll_strbuf *reply);
/* Ends with a reset instead of a FIN. */
void net_reset(int fd);

#endif
