/* Bodies of requests that come compressed (zstd, RFC 8878); the only file that knows libzstd. Where
 * the build lacks it such bodies are refused. */
#ifndef OLL_SERVER_BODY_ZSTD_H
#define OLL_SERVER_BODY_ZSTD_H

#include "engine/base/strbuf.h"

#include <stddef.h>

enum {
    BODY_ZSTD_BYTES_MAX = 20 * 1024 * 1024, /* of the text, rest-api 1.8 */
    BODY_ZSTD_WINDOW_LOG_MAX = 23           /* 8 MiB of past that a frame may ask for */
};

/* Appends the text of data[0..n), one frame or several, to *out, which the caller has initialised
 * with that limit. Memory grows with the text, never with what a frame claims. OLL_ERR_LIMIT beyond
 * the limit, OLL_ERR_FORMAT for what is no zstd or ends early, OLL_ERR_UNSUPPORTED without libzstd;
 * *out is then to be thrown away. */
oll_status body_zstd_read(const void *data, size_t n, struct oll_strbuf *out,
                          struct oll_error *err) OLL_MUST_USE;

#endif
