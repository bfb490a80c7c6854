/* bench_op [level] [part of a type's name]: speed of the matrix tiles.
 *
 * prefill: GMAC/s of one core, 64 rows x 48 tokens x 2048, operands in the second-level cache, for
 * the shape the driver picks for many tokens. decode: GB/s of one token over 192 MiB of weights, as
 * a share of a plain read loop timed in the same round. quantise: Gelement/s of the activations.
 * All are medians of interleaved rounds. */
#include "engine/base/mem.h"
#include "kernels/cpu/cpu_expand.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/cpu_matmul.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { K = 2048, ROWS = 64, TOKENS = 48, ROUNDS = 9, MAX_TYPES = OLL_DTYPE_COUNT };
#define DECODE_BYTES ((size_t)192 << 20)

struct work {
    const struct cpu_matmul_row *row;
    enum oll_dtype dtype;
    enum cpu_act act;
    uint32_t width; /* tokens of a tile */
    bool wide;
    size_t panel_bytes, w_stride;
    double gmacs[ROUNDS], wide_gmacs[ROUNDS], gbs[ROUNDS], read[ROUNDS];
};

static uint8_t *weights, *acts;
static float out[CPU_TILE_TOKENS * 2 * CPU_PANEL_ROWS];

/* Time that this thread ran: neighbours on a shared machine do not count. */
static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double best(const double *v)
{
    double max = 0;
    for (int r = 0; r < ROUNDS; r++)
        max = v[r] > max ? v[r] : max;
    return max;
}

static struct cpu_tile tile_at(const struct work *w, uint32_t panel, uint32_t token, uint32_t n)
{
    const uint8_t *a = acts + cpu_act_bytes(w->act, K) * token;
    return (struct cpu_tile){
        .w = weights + panel * w->panel_bytes,
        .w_stride = w->w_stride,
        .a = a,
        .words = (const union cpu_word *)(const void *)(a + cpu_act_words_at(K, n)),
        .c = out,
        .n_in = K,
        .n_rows = CPU_PANEL_ROWS,
        .n_tokens = n,
        .dtype = w->dtype,
    };
}

static double prefill(const struct work *w, cpu_tile_fn fn, uint32_t n_panel, uint32_t n_token)
{
    const double start = seconds();
    double macs = 0, now;
    do {
        for (uint32_t p = 0; p + n_panel <= ROWS / CPU_PANEL_ROWS; p += n_panel) {
            for (uint32_t t = 0; t + n_token <= TOKENS; t += n_token) {
                const struct cpu_tile tile = tile_at(w, p, t, n_token);
                fn(&tile);
                macs += (double)K * n_panel * CPU_PANEL_ROWS * n_token;
            }
        }
        now = seconds();
    } while (now - start < 0.01);
    return macs / (now - start) * 1e-9;
}

static double decode(const struct work *w)
{
    const uint32_t n = (uint32_t)(DECODE_BYTES / w->panel_bytes);
    const double start = seconds();
    for (uint32_t p = 0; p < n; p++) {
        const struct cpu_tile tile = tile_at(w, p, 0, 1);
        w->row->narrow[1](&tile);
    }
    return (double)(n * w->panel_bytes) / (seconds() - start) * 1e-9;
}

static double read_loop(void)
{
    const double start = seconds();
    uint64_t sum[32] = {0};
    for (size_t i = 0; i + sizeof sum <= DECODE_BYTES; i += sizeof sum) {
        const uint64_t *p = (const uint64_t *)(const void *)(weights + i);
        for (int j = 0; j < 32; j++)
            sum[j] ^= p[j];
    }
    uint64_t all = 0;
    for (int j = 0; j < 32; j++)
        all ^= sum[j];
    out[0] = (float)(all & 1); /* so that the loop has a result */
    return (double)DECODE_BYTES / (seconds() - start) * 1e-9;
}

static double quantise(const struct cpu_matmul_kernels *k, enum cpu_act act, uint32_t n_token)
{
    static float x[CPU_TILE_TOKENS][K];
    const float *rows[CPU_TILE_TOKENS];
    for (uint32_t t = 0; t < n_token; t++) {
        rows[t] = x[t];
        for (uint32_t i = 0; i < K; i++)
            x[t][i] = (float)((i * 7919 + t * 31) % 1000) - 500;
    }
    const double start = seconds();
    double n = 0, now;
    do {
        k->quantize[act](rows, n_token, K, acts);
        n += (double)K * n_token;
        now = seconds();
    } while (now - start < 0.01);
    return n / (now - start) * 1e-9;
}

static uint32_t find_work(const struct cpu_matmul_kernels *k, const char *filter,
                          struct work *works)
{
    uint32_t n = 0;
    for (int d = 0; d < OLL_DTYPE_COUNT; d++) {
        const struct cpu_panel *p = cpu_panel_of((enum oll_dtype)d);
        const struct cpu_expand *e = cpu_expand_of((enum oll_dtype)d);
        const struct cpu_matmul_row *row = k->row[d];
        if (!row)
            row = e->block32 ? k->bytes32 : e->block256 || e->row256 ? k->bytes256 : NULL;
        if (!row || (filter && !strstr(oll_dtype_name((uint32_t)d), filter)))
            continue;
        const enum cpu_act act = cpu_act_of(k, (enum oll_dtype)d);
        const size_t row_bytes = oll_dtype_row_bytes((enum oll_dtype)d, K);
        const bool expanded = !k->row[d];
        const size_t bytes = p          ? cpu_panel_bytes(p, K)
                             : expanded ? cpu_expanded_bytes(e, K)
                                        : 16 * row_bytes;
        works[n++] = (struct work){
            .row = row,
            .dtype = (enum oll_dtype)d,
            .act = act,
            .width = k->tiling[act].narrow,
            .panel_bytes = bytes,
            .w_stride = p || expanded ? bytes : row_bytes,
        };
    }
    return n;
}

static void report(const struct cpu_matmul_kernels *k, struct work *works, uint32_t n)
{
    printf("%-24s %8s %8s %8s %8s\n", k->name, "narrow", "wide", "GB/s", "share");
    for (uint32_t i = 0; i < n; i++) {
        struct work *w = &works[i];
        printf("%-24s %8.1f %8.1f %8.1f %7.0f%%\n", w->row->name, best(w->gmacs),
               best(w->wide_gmacs), best(w->gbs), 100 * best(w->gbs) / best(w->read));
    }
    for (int act = 0; act < CPU_ACT_COUNT; act++) {
        if (!k->quantize[act])
            continue;
        printf("quantise form %d: %.2f Gelement/s alone, %.2f by %d\n", act,
               quantise(k, (enum cpu_act)act, 1),
               quantise(k, (enum cpu_act)act, k->tiling[act].narrow), k->tiling[act].narrow);
    }
}

int main(int argc, char **argv)
{
    struct cpu_words words;
    cpu_words_read(&words);
    uint32_t features = cpu_features_of(&words);
    if (argc > 1 && !cpu_features_cut(argv[1], &features)) {
        fprintf(stderr, "bench_op: unknown level %s\n", argv[1]);
        return 1;
    }
    const struct cpu_matmul_kernels *k = cpu_matmul_kernels_of(features);
    static struct work works[MAX_TYPES];
    const uint32_t n = find_work(k, argc > 2 ? argv[2] : NULL, works);
    weights = oll_alloc_aligned(DECODE_BYTES + K * 64);
    acts = oll_alloc_aligned(TOKENS * cpu_act_bytes(CPU_ACT_F32, K));
    if (!weights || !acts) {
        fprintf(stderr, "bench_op: no memory\n");
        return 1;
    }
    memset(weights, 0x11, DECODE_BYTES + K * 64);
    memset(acts, 0, TOKENS * cpu_act_bytes(CPU_ACT_F32, K));
    for (int r = 0; r < ROUNDS; r++) {
        for (uint32_t i = 0; i < n; i++) {
            struct work *w = &works[i];
            const uint32_t wide = k->tiling[w->act].wide;
            w->gmacs[r] = prefill(w, w->row->narrow[w->width], 1, w->width);
            w->wide_gmacs[r] = w->row->wide[wide] ? prefill(w, w->row->wide[wide], 2, wide) : 0;
            w->read[r] = read_loop();
            w->gbs[r] = decode(w);
        }
    }
    report(k, works, n);
    oll_free_aligned(weights);
    oll_free_aligned(acts);
    return 0;
}
