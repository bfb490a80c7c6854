/* What the files of the message layer share: message.c (frames), message_body.c (bodies). */
#ifndef OLL_SERVER_MESSAGE_INTERNAL_H
#define OLL_SERVER_MESSAGE_INTERNAL_H

#include "server/message.h"

/* Begins a frame and returns its place; a frame that failed is taken back at its end. */
size_t message_begin(struct oll_strbuf *out, enum message_kind kind, uint64_t id);
void message_end(struct oll_strbuf *out, enum message_kind kind, size_t at);

/* Numbers of `n` bytes, 1 to 8, little-endian. */
void message_put_number(struct oll_strbuf *out, uint64_t v, size_t n);
uint64_t message_get_number(const unsigned char *p, size_t n);

#endif
