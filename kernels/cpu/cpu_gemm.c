#include "kernels/cpu/cpu_gemm.h"
#include "kernels/cpu/cpu_expand.h"

#include <string.h>

/* What a worker keeps close: activations of a block of tokens, and the panels of a chunk. Half of
 * the second-level cache of the smallest machines that matter (512 KiB) each. */
enum { TOKEN_BLOCK_BYTES = 256 << 10, CHUNK_BYTES = 192 << 10 };
/* Chunks per worker, so that a late one costs little. */
enum { CHUNKS_PER_WORKER = 6 };

void cpu_batch_init(struct cpu_batch *batch, const struct cpu_matmul_kernels *k, enum cpu_act kind,
                    uint32_t n_in, uint32_t n_rows, bool is_fine)
{
    const struct cpu_tiling tiling = k->tiling[kind];
    const uint32_t n_tokens = is_fine ? 2 * n_rows : n_rows;
    uint32_t width = tiling.narrow;
    if (tiling.wide > 0 && n_tokens >= 4u * (tiling.wide - 1u))
        width = tiling.wide;
    *batch = (struct cpu_batch){
        .token_bytes = cpu_act_bytes(kind, n_in),
        .n_in = n_in,
        .n_rows = n_rows,
        .n_tokens = n_tokens,
        .n_tiles = (n_tokens + width - 1) / width,
        .kind = kind,
    };
}

static uint8_t *tile_act(const struct cpu_batch *batch, uint32_t first_token)
{
    return batch->act + batch->token_bytes * first_token;
}

void cpu_batch_fill(const struct cpu_batch *batch, const struct cpu_matmul_kernels *k, uint32_t i,
                    const float *const *rows)
{
    const struct cpu_range tokens = cpu_batch_tile(batch, i);
    k->quantize[batch->kind](rows, tokens.end - tokens.begin, batch->n_in,
                             tile_act(batch, tokens.begin));
}

uint32_t cpu_gemm_chunk(const struct cpu_gemm *g, uint32_t nth)
{
    const uint32_t n_panel = cpu_weight_panels(g->w);
    const uint32_t fit = (uint32_t)(CHUNK_BYTES / g->w->panel_bytes);
    const uint32_t fair = n_panel / (nth * CHUNKS_PER_WORKER);
    const uint32_t chunk = (fit < fair ? fit : fair) & ~1u; /* kernels take panels by twos */
    return chunk < 2 ? 2 : chunk;
}

/* ---- storing ---- */

/* n results of one token, from output o on; with `more` they add to those that are there. Inlined
 * with n a constant for whole panels. */
static inline __attribute__((always_inline)) void store_row(const struct cpu_store *s,
                                                            const float *c, uint32_t row, bool more,
                                                            uint32_t o, const uint32_t n)
{
    float *y = cpu_mat_row(s->y, row) + o;
    if (more) {
        for (uint32_t i = 0; i < n; i++)
            y[i] += s->scale * c[i];
        return;
    }
    if (!s->bias && !s->residual && s->scale == 1) {
        memcpy(y, c, n * sizeof *y);
        return;
    }
    float v[2 * CPU_PANEL_ROWS];
    for (uint32_t i = 0; i < n; i++)
        v[i] = s->bias ? c[i] + s->bias[o + i] : c[i];
    for (uint32_t i = 0; i < n; i++)
        v[i] *= s->scale;
    if (s->residual) {
        const float *r = cpu_mat_row(s->residual, row) + o;
        for (uint32_t i = 0; i < n; i++)
            v[i] += r[i];
    }
    memcpy(y, v, n * sizeof *y);
}

static void store_tile(const struct cpu_gemm *g, const float *c, uint32_t panel, uint32_t n_panel,
                       struct cpu_range tokens)
{
    const struct cpu_store *s = &g->store;
    const uint32_t o = panel * CPU_PANEL_ROWS, width = n_panel * CPU_PANEL_ROWS;
    const uint32_t left = g->w->base.n_out - o;
    for (uint32_t t = tokens.begin; t < tokens.end; t++, c += width) {
        /* Tiles of a panel run in order: the first part of a row is there before the second. */
        const bool more = t >= g->batch->n_rows;
        const uint32_t i = more ? t - g->batch->n_rows : t;
        const uint32_t row = s->rows ? s->rows[i] : i;
        if (left < width)
            store_row(s, c, row, more, o, left);
        else if (n_panel == 2)
            store_row(s, c, row, more, o, 2 * CPU_PANEL_ROWS);
        else
            store_row(s, c, row, more, o, CPU_PANEL_ROWS);
    }
}

/* gate and up [tokens][16]: the activation of all at once, then row by row. */
static void store_pair(const struct cpu_gemm *g, const float *gate, const float *up, uint32_t panel,
                       struct cpu_range tokens)
{
    _Alignas(64) float v[CPU_TILE_TOKENS * CPU_PANEL_ROWS];
    const uint32_t o = panel * CPU_PANEL_ROWS, left = g->w->base.n_out - o;
    const float *from = v;
    g->k->glu(g->store.act, gate, up, v, (tokens.end - tokens.begin) * CPU_PANEL_ROWS);
    for (uint32_t t = tokens.begin; t < tokens.end; t++, from += CPU_PANEL_ROWS) {
        float *y = cpu_mat_row(g->store.y, g->store.rows ? g->store.rows[t] : t) + o;
        if (left < CPU_PANEL_ROWS)
            memcpy(y, from, left * sizeof *y);
        else
            memcpy(y, from, CPU_PANEL_ROWS * sizeof *y);
    }
}

/* ---- tiles ---- */

/* One panel of a weight as its kernels read it: in place, or expanded to bytes. */
struct operand {
    const struct cpu_matmul_row *row;
    const uint8_t *w;
    size_t stride;
    uint32_t n_rows;
    enum oll_dtype dtype;
};

static size_t expanded_bytes(const struct cpu_matmul_kernels *k, const struct cpu_weight *w)
{
    if (!w || k->row[w->base.dtype])
        return 0;
    return cpu_expanded_bytes(cpu_expand_of(w->base.dtype), w->base.n_in);
}

size_t cpu_gemm_scratch(const struct cpu_kernels *k, const struct cpu_weight *w,
                        const struct cpu_weight *up)
{
    return expanded_bytes(k->matmul, w) + expanded_bytes(k->matmul, up);
}

static struct operand operand_of(const struct cpu_gemm *g, const struct cpu_weight *w,
                                 uint32_t panel, uint8_t *expanded)
{
    /* Tiles of one token read the rows as often as an expansion would. */
    const bool direct = g->batch->n_tiles == g->batch->n_tokens;
    const struct cpu_matmul_kernels *k = g->k->matmul;
    const uint32_t left = w->base.n_out - panel * CPU_PANEL_ROWS;
    struct operand o = {
        .row = k->row[w->base.dtype],
        .w = w->data + g->expert * w->expert_stride + panel * w->panel_stride,
        .stride = w->panel ? w->panel_stride : w->panel_bytes / CPU_PANEL_ROWS,
        .n_rows = left < CPU_PANEL_ROWS ? left : CPU_PANEL_ROWS,
        .dtype = w->base.dtype,
    };
    if (!o.row && direct && k->rows[o.dtype]) {
        o.row = &k->rows[o.dtype]->direct;
    } else if (!o.row) {
        const struct cpu_tile rows = {.w = o.w,
                                      .w_stride = o.stride,
                                      .n_in = w->base.n_in,
                                      .n_rows = o.n_rows,
                                      .dtype = o.dtype};
        cpu_expand_panel(&rows, k, expanded);
        o.row = cpu_act_of(k, o.dtype) == CPU_ACT_A32 ? k->bytes32 : k->bytes256;
        o.w = expanded;
    }
    return o;
}

static struct cpu_tile tile_of(const struct operand *o, const struct cpu_batch *batch,
                               struct cpu_range tokens, float *c)
{
    const uint32_t n_tokens = tokens.end - tokens.begin;
    const uint8_t *act = tile_act(batch, tokens.begin);
    const size_t words_at = cpu_act_words_at(batch->n_in, n_tokens);
    return (struct cpu_tile){
        .w = o->w,
        .w_stride = o->stride,
        .a = act,
        .words = (const union cpu_word *)(const void *)(act + words_at),
        .c = c,
        .n_in = batch->n_in,
        .n_rows = o->n_rows,
        .n_tokens = n_tokens,
        .dtype = o->dtype,
    };
}

static void run_pair(const struct cpu_gemm *g, const struct operand *gate, const struct operand *up,
                     uint32_t panel, struct cpu_range tokens)
{
    _Alignas(64) float half[2][CPU_TILE_TOKENS * CPU_PANEL_ROWS];
    _Alignas(64) float both[CPU_TILE_TOKENS * 2 * CPU_PANEL_ROWS];
    struct cpu_tile a = tile_of(gate, g->batch, tokens, half[0]);
    const struct cpu_tile b = tile_of(up, g->up_batch, tokens, half[1]);
    const bool interleaved = g->w->store && g->w->store == g->up->store && up->w > gate->w;
    if (interleaved && gate->row->wide[a.n_tokens]) {
        a.w_stride = (size_t)(up->w - gate->w);
        a.c = both;
        gate->row->wide[a.n_tokens](&a);
        for (uint32_t i = 0; i < 2 * a.n_tokens; i++)
            memcpy(half[i % 2] + i / 2 * CPU_PANEL_ROWS, both + i * CPU_PANEL_ROWS,
                   CPU_PANEL_ROWS * sizeof(float));
    } else {
        gate->row->narrow[a.n_tokens](&a);
        up->row->narrow[b.n_tokens](&b);
    }
    store_pair(g, half[0], half[1], panel, tokens);
}

static void run_tile(const struct cpu_gemm *g, const struct operand *o, uint32_t panel,
                     uint32_t n_panel, struct cpu_range tokens)
{
    _Alignas(64) float c[CPU_TILE_TOKENS * 2 * CPU_PANEL_ROWS];
    const struct cpu_tile tile = tile_of(o, g->batch, tokens, c);
    (n_panel == 2 ? o->row->wide : o->row->narrow)[tile.n_tokens](&tile);
    store_tile(g, c, panel, n_panel, tokens);
}

/* One panel, or two, times tiles begin .. end - 1. */
static void run_panel(const struct cpu_gemm *g, uint32_t panel, uint32_t n_panel,
                      struct cpu_range tiles)
{
    const struct operand o = operand_of(g, g->w, panel, g->expanded);
    struct operand up = o;
    if (g->up)
        up = operand_of(g, g->up, panel, g->expanded + expanded_bytes(g->k->matmul, g->w));
    for (uint32_t i = tiles.begin; i < tiles.end; i++) {
        const struct cpu_range tokens = cpu_batch_tile(g->batch, i);
        if (g->up)
            run_pair(g, &o, &up, panel, tokens);
        else
            run_tile(g, &o, panel, n_panel, tokens);
    }
}

/* Tiles whose activations stay in the cache; all of them where every pass over a panel would expand
 * it again. */
static uint32_t tile_block(const struct cpu_gemm *g)
{
    const struct cpu_batch *batch = g->batch;
    const uint32_t tokens = (uint32_t)(TOKEN_BLOCK_BYTES / batch->token_bytes);
    const uint32_t tiles = (uint32_t)((uint64_t)tokens * batch->n_tiles / batch->n_tokens);
    if (cpu_gemm_scratch(g->k, g->w, g->up) > 0)
        return batch->n_tiles;
    return tiles < 1 ? 1 : tiles;
}

void cpu_gemm_panels(const struct cpu_gemm *g, uint32_t begin, uint32_t end)
{
    const struct cpu_batch *batch = g->batch;
    const struct cpu_matmul_row *row = g->k->matmul->row[g->w->base.dtype];
    /* Two panels at once are two streams: good from the cache, bad from memory. */
    const uint32_t narrowest = batch->n_tokens / batch->n_tiles;
    const uint32_t widest = (batch->n_tokens + batch->n_tiles - 1) / batch->n_tiles;
    const bool wide = !g->up && batch->n_tokens > CPU_STREAM_TOKENS && row &&
                      row->wide[narrowest] && row->wide[widest];
    const uint32_t block = tile_block(g);
    for (uint32_t first = 0; first < batch->n_tiles; first += block) {
        const uint32_t stop = first + block < batch->n_tiles ? first + block : batch->n_tiles;
        for (uint32_t panel = begin; panel < end;) {
            const uint32_t n_panel = wide && panel + 1 < end ? 2 : 1;
            run_panel(g, panel, n_panel, (struct cpu_range){first, stop});
            panel += n_panel;
        }
    }
}
