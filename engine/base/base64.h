/* Base64 (RFC 4648 section 4): the standard alphabet with padding. */
#ifndef OLL_BASE_BASE64_H
#define OLL_BASE_BASE64_H

#include "engine/base/strbuf.h"

/* Appends the text of bytes[0..n). */
void oll_base64_encode(const void *bytes, size_t n, struct oll_strbuf *out);
/* Appends the bytes of text[0..n). OLL_ERR_FORMAT, with the offset in the message, for anything but
 * whole padded groups whose unused bits are zero; the buffer's failure otherwise. */
oll_status oll_base64_decode(const char *text, size_t n, struct oll_strbuf *out,
                             struct oll_error *err) OLL_MUST_USE;

#endif
