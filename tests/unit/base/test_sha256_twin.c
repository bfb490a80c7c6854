/* Both digests of a stream against those of crypto.c, with the processor's instructions and
 * without. */
#include "engine/base/sha256_twin.h"
#include "tests/testing.h"

#include <string.h>

enum { STREAM_MAX = 5000, PIECES_MAX = 200 };

static uint8_t stream[STREAM_MAX];
static uint8_t pieces[PIECES_MAX][OLL_SHA256_BYTES];
static size_t n_pieces;

static void on_piece(void *user, const uint8_t digest[OLL_SHA256_BYTES])
{
    CHECK(user == stream && n_pieces < PIECES_MAX);
    memcpy(pieces[n_pieces++], digest, OLL_SHA256_BYTES);
}

static void plain(const uint8_t *data, size_t n, uint8_t out[OLL_SHA256_BYTES])
{
    struct oll_sha256 *h = oll_sha256_new();
    OLL_ASSERT(h);
    oll_sha256_update(h, data, n);
    oll_sha256_final(h, out);
    oll_sha256_free(h);
}

/* One stream of `n` bytes in pieces, given in steps of at most `step_max`. */
static void check_stream(size_t n, size_t piece_bytes, size_t step_max, uint64_t *seed)
{
    uint8_t whole[OLL_SHA256_BYTES], want[OLL_SHA256_BYTES];
    struct oll_sha256_twin *t = oll_sha256_twin_new(piece_bytes, on_piece, stream);
    OLL_ASSERT(t);
    n_pieces = 0;
    for (size_t at = 0; at < n;) {
        size_t step = 1 + (size_t)(testing_random(seed) % step_max);
        if (step > n - at)
            step = n - at;
        oll_sha256_twin_update(t, stream + at, step);
        at += step;
    }
    oll_sha256_twin_final(t, whole);
    oll_sha256_twin_free(t);
    plain(stream, n, want);
    CHECK_MSG(memcmp(whole, want, sizeof want) == 0, "whole of %zu bytes", n);
    CHECK_EQ(n_pieces, (n + piece_bytes - 1) / piece_bytes);
    for (size_t i = 0; i < n_pieces; i++) {
        const size_t at = i * piece_bytes, left = n - at;
        plain(stream + at, left < piece_bytes ? left : piece_bytes, want);
        CHECK_MSG(memcmp(pieces[i], want, sizeof want) == 0, "piece %zu of %zu bytes", i, n);
    }
}

static void check_all(void)
{
    static const size_t lengths[] = {0,   1,   54,  55,  56,   57,   63,   64,   65,  119,
                                     120, 127, 128, 129, 1023, 1024, 1025, 4096, 4999};
    uint64_t seed = 20261125;
    for (size_t i = 0; i < STREAM_MAX; i++)
        stream[i] = (uint8_t)testing_random(&seed);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        check_stream(lengths[i], 64, 1, &seed);
        check_stream(lengths[i], 1024, 100, &seed);
        check_stream(lengths[i], 128, STREAM_MAX, &seed);
    }
    for (int i = 0; i < 300; i++)
        check_stream((size_t)(testing_random(&seed) % STREAM_MAX), 64 << testing_random(&seed) % 6,
                     1 + (size_t)(testing_random(&seed) % 500), &seed);
}

TEST(with_the_processors_instructions)
{
    if (sha256_twin_supported())
        check_all();
}

TEST(without_them)
{
    sha256_twin_disable(true);
    check_all();
    sha256_twin_disable(false);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
