#include "server/body_zstd.h"

#ifdef OLL_ZSTD

#include "engine/base/mem.h"

#include <zstd.h>

static oll_status read_frames(ZSTD_DCtx *ctx, const void *data, size_t n, char *piece,
                              size_t n_piece, struct oll_strbuf *out, struct oll_error *err)
{
    ZSTD_inBuffer in = {.src = data, .size = n};
    size_t left = 1;
    bool is_full = false; /* the last piece was: more may wait inside of the decoder */
    while (in.pos < in.size || is_full) {
        ZSTD_outBuffer to = {.dst = piece, .size = n_piece};
        left = ZSTD_decompressStream(ctx, &to, &in);
        if (ZSTD_isError(left))
            return OLL_FAIL(err, OLL_ERR_FORMAT, "the body's zstd cannot be read: %s",
                            ZSTD_getErrorName(left));
        oll_strbuf_add(out, piece, to.pos);
        if (out->status == OLL_ERR_LIMIT)
            return OLL_FAIL(err, OLL_ERR_LIMIT, "the body takes more than %d MiB when decompressed",
                            BODY_ZSTD_BYTES_MAX / (1024 * 1024));
        if (out->status != OLL_OK)
            return OLL_FAIL(err, out->status, "out of memory for a body");
        is_full = to.pos == to.size && left != 0;
    }
    if (left != 0)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "the body's zstd ends early");
    return OLL_OK;
}

oll_status body_zstd_read(const void *data, size_t n, struct oll_strbuf *out, struct oll_error *err)
{
    const size_t n_piece = ZSTD_DStreamOutSize();
    char *piece = oll_alloc(n_piece, 1);
    ZSTD_DCtx *ctx = ZSTD_createDCtx();
    oll_status status;
    if (!piece || !ctx ||
        ZSTD_isError(ZSTD_DCtx_setParameter(ctx, ZSTD_d_windowLogMax, BODY_ZSTD_WINDOW_LOG_MAX)))
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a body");
    else
        status = read_frames(ctx, data, n, piece, n_piece, out, err);
    ZSTD_freeDCtx(ctx);
    oll_free(piece);
    return status;
}

#else

oll_status body_zstd_read(const void *data, size_t n, struct oll_strbuf *out, struct oll_error *err)
{
    (void)data;
    (void)n;
    (void)out;
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                    "this server was built without zstd: send the body as it is, without "
                    "Content-Encoding");
}

#endif
