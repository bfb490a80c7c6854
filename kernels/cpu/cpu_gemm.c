#include "kernels/cpu/cpu_gemm.h"

#include <string.h>

/* What a worker keeps close: activations of a block of tokens, and the panels of a chunk. Half of
 * the second-level cache of the smallest machines that matter (512 KiB) each. */
enum { TOKEN_BLOCK_BYTES = 256 << 10, CHUNK_BYTES = 192 << 10 };
/* Chunks per worker, so that a late one costs little. */
enum { CHUNKS_PER_WORKER = 6 };

void cpu_batch_init(struct cpu_batch *batch, const struct cpu_matmul_kernels *k, enum cpu_act kind,
                    uint32_t n_in, uint32_t n_tokens)
{
    const struct cpu_tiling tiling = k->tiling[kind];
    uint32_t width = tiling.narrow;
    if (tiling.wide > 0 && n_tokens >= 4u * (tiling.wide - 1u))
        width = tiling.wide;
    *batch = (struct cpu_batch){
        .token_bytes = cpu_act_bytes(kind, n_in),
        .n_in = n_in,
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

static void store_row(const struct cpu_store *s, const float *c, uint32_t row, uint32_t o,
                      uint32_t n)
{
    float *y = cpu_mat_row(s->y, row) + o;
    if (!s->bias && !s->residual && s->scale == 1) {
        memcpy(y, c, n * sizeof *y);
        return;
    }
    float v[2 * CPU_PANEL_ROWS];
    for (uint32_t i = 0; i < n; i++)
        v[i] = s->scale * (s->bias ? c[i] + s->bias[o + i] : c[i]);
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
    const uint32_t o = panel * CPU_PANEL_ROWS, width = n_panel * CPU_PANEL_ROWS;
    const uint32_t left = g->w->base.n_out - o, n = left < width ? left : width;
    for (uint32_t t = tokens.begin; t < tokens.end; t++, c += width)
        store_row(&g->store, c, g->store.rows ? g->store.rows[t] : t, o, n);
}

static void store_pair(const struct cpu_gemm *g, const float *c, uint32_t panel,
                       struct cpu_range tokens)
{
    const uint32_t o = panel * CPU_PANEL_ROWS, left = g->w->base.n_out - o;
    const uint32_t n = left < CPU_PANEL_ROWS ? left : CPU_PANEL_ROWS;
    for (uint32_t t = tokens.begin; t < tokens.end; t++, c += 2 * CPU_PANEL_ROWS) {
        const uint32_t row = g->store.rows ? g->store.rows[t] : t;
        float *y = cpu_mat_row(g->store.y, row) + o;
        g->k->glu(g->store.act, c, c + CPU_PANEL_ROWS, y, n);
    }
}

/* ---- tiles ---- */

static struct cpu_tile tile_of(const struct cpu_gemm *g, const struct cpu_weight *w,
                               const struct cpu_batch *batch, uint32_t panel,
                               struct cpu_range tokens, float *c)
{
    const uint32_t n_tokens = tokens.end - tokens.begin;
    const uint32_t left = w->base.n_out - panel * CPU_PANEL_ROWS;
    const uint8_t *act = tile_act(batch, tokens.begin);
    return (struct cpu_tile){
        .w = w->data + g->expert * w->expert_stride + panel * w->panel_stride,
        .w_stride = w->panel ? w->panel_stride : w->panel_bytes / CPU_PANEL_ROWS,
        .a = act,
        .words =
            (const union cpu_word *)(const void *)(act + cpu_act_words_at(batch->n_in, n_tokens)),
        .c = c,
        .n_in = batch->n_in,
        .n_rows = left < CPU_PANEL_ROWS ? left : CPU_PANEL_ROWS,
        .n_tokens = n_tokens,
        .dtype = w->base.dtype,
    };
}

/* Two tiles of one panel as one of two: columns 0-15 and 16-31 of c. */
static void run_side_by_side(const struct cpu_matmul_kernels *k, const struct cpu_tile *first,
                             const struct cpu_tile *second)
{
    _Alignas(64) float half[2][CPU_TILE_TOKENS * CPU_PANEL_ROWS];
    struct cpu_tile a = *first, b = *second;
    a.c = half[0];
    b.c = half[1];
    k->row[a.dtype]->narrow[a.n_tokens](&a);
    k->row[b.dtype]->narrow[b.n_tokens](&b);
    for (uint32_t t = 0; t < a.n_tokens; t++)
        for (int h = 0; h < 2; h++)
            memcpy(first->c + (2 * t + (uint32_t)h) * CPU_PANEL_ROWS, half[h] + t * CPU_PANEL_ROWS,
                   CPU_PANEL_ROWS * sizeof(float));
}

static void run_pair(const struct cpu_gemm *g, uint32_t panel, struct cpu_range tokens)
{
    _Alignas(64) float c[CPU_TILE_TOKENS * 2 * CPU_PANEL_ROWS];
    struct cpu_tile gate = tile_of(g, g->w, g->batch, panel, tokens, c);
    const struct cpu_tile up = tile_of(g, g->up, g->up_batch, panel, tokens, c);
    const struct cpu_matmul_row *row = g->k->matmul->row[gate.dtype];
    const bool interleaved = g->w->store && g->w->store == g->up->store && up.w > gate.w;
    if (interleaved && row->wide[gate.n_tokens]) {
        gate.w_stride = (size_t)(up.w - gate.w);
        row->wide[gate.n_tokens](&gate);
    } else {
        run_side_by_side(g->k->matmul, &gate, &up);
    }
    store_pair(g, c, panel, tokens);
}

static void run_tile(const struct cpu_gemm *g, uint32_t panel, uint32_t n_panel,
                     struct cpu_range tokens)
{
    _Alignas(64) float c[CPU_TILE_TOKENS * 2 * CPU_PANEL_ROWS];
    const struct cpu_tile tile = tile_of(g, g->w, g->batch, panel, tokens, c);
    const struct cpu_matmul_row *row = g->k->matmul->row[tile.dtype];
    (n_panel == 2 ? row->wide : row->narrow)[tile.n_tokens](&tile);
    store_tile(g, c, panel, n_panel, tokens);
}

void cpu_gemm_panels(const struct cpu_gemm *g, uint32_t begin, uint32_t end)
{
    const struct cpu_batch *batch = g->batch;
    const struct cpu_matmul_row *row = g->k->matmul->row[g->w->base.dtype];
    /* Two panels at once are two streams: good from the cache, bad from memory. */
    const uint32_t narrowest = batch->n_tokens / batch->n_tiles;
    const uint32_t widest = (batch->n_tokens + batch->n_tiles - 1) / batch->n_tiles;
    const bool wide =
        !g->up && batch->n_tokens > CPU_STREAM_TOKENS && row->wide[narrowest] && row->wide[widest];
    uint32_t block = (uint32_t)(TOKEN_BLOCK_BYTES / batch->token_bytes) * batch->n_tiles /
                     batch->n_tokens; /* tiles whose activations stay in the cache */
    block = block < 1 ? 1 : block;
    for (uint32_t first = 0; first < batch->n_tiles; first += block) {
        const uint32_t stop = first + block < batch->n_tiles ? first + block : batch->n_tiles;
        for (uint32_t panel = begin; panel < end;) {
            const uint32_t n_panel = wide && panel + 1 < end ? 2 : 1;
            for (uint32_t i = first; i < stop; i++) {
                if (g->up)
                    run_pair(g, panel, cpu_batch_tile(batch, i));
                else
                    run_tile(g, panel, n_panel, cpu_batch_tile(batch, i));
            }
            panel += n_panel;
        }
    }
}
