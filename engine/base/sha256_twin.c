#include "engine/base/sha256_twin.h"

#include "engine/base/mem.h"

#include <string.h>

/* FIPS 180-4, 5.3.3. */
static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static bool disabled;

struct oll_sha256_twin {
    uint64_t piece_bytes, n_bytes; /* of a piece; of the stream so far */
    uint64_t n_open;               /* bytes of the piece that is open */
    void (*on_piece)(void *user, const uint8_t digest[OLL_SHA256_BYTES]);
    void *user;
    /* With the instructions: two states and the bytes that make no block yet. */
    bool fast;
    uint32_t whole[8], piece[8];
    uint8_t rest[SHA256_TWIN_BLOCK];
    size_t n_rest;
    /* Without. */
    struct oll_sha256 *plain_whole, *plain_piece;
};

void sha256_twin_disable(bool disable) { disabled = disable; }

struct oll_sha256_twin *oll_sha256_twin_new(
    uint64_t piece_bytes, void (*on_piece)(void *user, const uint8_t digest[OLL_SHA256_BYTES]),
    void *user)
{
    struct oll_sha256_twin *t = oll_calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->piece_bytes = piece_bytes;
    t->on_piece = on_piece;
    t->user = user;
    t->fast = !disabled && sha256_twin_supported();
    memcpy(t->whole, initial, sizeof initial);
    memcpy(t->piece, initial, sizeof initial);
    if (!t->fast) {
        t->plain_whole = oll_sha256_new();
        t->plain_piece = oll_sha256_new();
    }
    if (!t->fast && (!t->plain_whole || !t->plain_piece)) {
        oll_sha256_twin_free(t);
        return NULL;
    }
    return t;
}

void oll_sha256_twin_free(struct oll_sha256_twin *t)
{
    if (!t)
        return;
    oll_sha256_free(t->plain_whole);
    oll_sha256_free(t->plain_piece);
    oll_free(t);
}

/* Ends a state over n_bytes, of which the last n_rest are in `rest`: a one bit, zeros, the length.
 */
static void finish(const uint32_t state[8], const uint8_t *rest, size_t n_rest, uint64_t n_bytes,
                   uint8_t out[OLL_SHA256_BYTES])
{
    uint8_t pad[2 * SHA256_TWIN_BLOCK] = {0};
    uint32_t s[8], twin[8] = {0};
    const size_t n = n_rest < SHA256_TWIN_BLOCK - 8 ? 1 : 2;
    memcpy(s, state, sizeof s);
    memcpy(pad, rest, n_rest);
    pad[n_rest] = 0x80;
    for (int i = 0; i < 8; i++)
        pad[n * SHA256_TWIN_BLOCK - 1 - (size_t)i] = (uint8_t)(n_bytes * 8 >> 8 * i);
    sha256_twin_blocks(s, twin, pad, n);
    for (int i = 0; i < OLL_SHA256_BYTES; i++)
        out[i] = (uint8_t)(s[i / 4] >> (24 - 8 * (i % 4)));
}

static void end_piece(struct oll_sha256_twin *t)
{
    uint8_t digest[OLL_SHA256_BYTES];
    if (t->fast) {
        finish(t->piece, t->rest, t->n_rest, t->n_open, digest);
        memcpy(t->piece, initial, sizeof initial);
    } else {
        oll_sha256_final(t->plain_piece, digest);
        oll_sha256_restart(t->plain_piece);
    }
    t->n_open = 0;
    t->on_piece(t->user, digest);
}

/* Bytes that do not go beyond the piece that is open. */
static void add(struct oll_sha256_twin *t, const uint8_t *p, size_t n)
{
    t->n_bytes += n;
    t->n_open += n;
    if (!t->fast) {
        oll_sha256_update(t->plain_whole, p, n);
        oll_sha256_update(t->plain_piece, p, n);
        return;
    }
    if (t->n_rest > 0) {
        const size_t room = SHA256_TWIN_BLOCK - t->n_rest, take = n < room ? n : room;
        memcpy(t->rest + t->n_rest, p, take);
        t->n_rest += take;
        p += take;
        n -= take;
        if (t->n_rest < SHA256_TWIN_BLOCK)
            return;
        sha256_twin_blocks(t->whole, t->piece, t->rest, 1);
        t->n_rest = 0;
    }
    const size_t blocks = n / SHA256_TWIN_BLOCK;
    sha256_twin_blocks(t->whole, t->piece, p, blocks);
    t->n_rest = n % SHA256_TWIN_BLOCK;
    memcpy(t->rest, p + blocks * SHA256_TWIN_BLOCK, t->n_rest);
}

void oll_sha256_twin_update(struct oll_sha256_twin *t, const void *data, size_t n)
{
    for (const uint8_t *p = data; n > 0;) {
        const uint64_t room = t->piece_bytes - t->n_open;
        const size_t take = n < room ? n : (size_t)room;
        add(t, p, take);
        p += take;
        n -= take;
        if (t->n_open == t->piece_bytes)
            end_piece(t);
    }
}

void oll_sha256_twin_final(struct oll_sha256_twin *t, uint8_t out[OLL_SHA256_BYTES])
{
    if (t->n_open > 0)
        end_piece(t);
    if (t->fast)
        finish(t->whole, t->rest, t->n_rest, t->n_bytes, out);
    else
        oll_sha256_final(t->plain_whole, out);
}
