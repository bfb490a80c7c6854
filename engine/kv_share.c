/* Sequences that hold common pages: what a sequence takes over from the tree, what it adds to it,
 * and the page that it may write to. Nodes of the tree are the pages of the layers without a
 * window; those of windows hang on nodes (kv_window.h). */
#include "engine/base/mem.h"
#include "engine/kv_keep.h"

/* Pages that a sequence keeps beyond what its next token sees, so that it can go back a little
 * (drafted tokens that were wrong). */
enum { WINDOW_SLACK = 2 };

static int32_t *row_of(const struct kv_cache *kv, uint32_t seq)
{
    return kv->table + (size_t)seq * kv->n_col;
}

static uint32_t pages_of(uint32_t n) { return (uint32_t)oll_div_up(n, OLL_KV_PAGE); }

static void set_page(struct kv_cache *kv, uint32_t seq, uint32_t col, int32_t page)
{
    struct kv_sequence *s = &kv->seqs[seq];
    row_of(kv, seq)[col] = page;
    if (s->dirty_begin == s->dirty_end)
        s->dirty_begin = s->dirty_end = col;
    s->dirty_begin = col < s->dirty_begin ? col : s->dirty_begin;
    s->dirty_end = col + 1 > s->dirty_end ? col + 1 : s->dirty_end;
}

/* ---- windows ---- */

static int32_t *ring_of(const struct kv_group *g, uint32_t seq)
{
    return g->rings + (size_t)seq * g->n_col;
}

static void set_ring(struct kv_group *g, uint32_t seq, uint32_t col, int32_t page)
{
    ring_of(g, seq)[col % g->n_col] = page;
    g->spans[seq].dirty = true;
}

uint32_t kv_window_first(const struct kv_group *g, uint32_t n)
{
    return n >= g->window ? (n - g->window + 1) / OLL_KV_PAGE : 0;
}

/* Lets go of the pages outside of [begin, end); none of the rest is added. */
static void narrow(struct kv_group *g, uint32_t seq, uint32_t begin, uint32_t end)
{
    struct kv_span *span = &g->spans[seq];
    while (span->begin < span->end && span->begin < begin)
        kv_window_drop(g->win, ring_of(g, seq)[span->begin++ % g->n_col]);
    while (span->begin < span->end && span->end > end)
        kv_window_drop(g->win, ring_of(g, seq)[--span->end % g->n_col]);
    if (span->begin == span->end)
        span->begin = span->end = end;
}

/* Pages for positions up to n, where the sequence is about to go. What its window has passed goes,
 * unless it would be lost: then only when the ring needs its place. */
static void reserve_ring(struct kv_group *g, const struct kv_sequence *s, uint32_t seq, uint32_t n)
{
    struct kv_span *span = &g->spans[seq];
    const uint32_t end = pages_of(n), first = kv_window_first(g, s->n);
    uint32_t begin = first > WINDOW_SLACK ? first - WINDOW_SLACK : 0;
    begin = begin < s->n_known ? begin : s->n_known;
    if (end > g->n_col && begin < end - g->n_col)
        begin = end - g->n_col;
    narrow(g, seq, begin, UINT32_MAX);
    if (span->begin == span->end) {
        const uint32_t col = s->n / OLL_KV_PAGE;
        span->begin = span->end = col > begin ? col : begin;
    }
    while (span->end < end) {
        const int32_t page = kv_window_take(g->win);
        OLL_ASSERT(page != KV_NO_PAGE);
        set_ring(g, seq, span->end++, page);
    }
}

/* Takes pages back that the window of position n reaches; false when one of them is gone. */
static bool widen(struct kv_cache *kv, struct kv_group *g, uint32_t seq, uint32_t n)
{
    struct kv_span *span = &g->spans[seq];
    const uint32_t first = kv_window_first(g, n);
    while (span->begin > first) {
        const uint32_t col = span->begin - 1;
        const int32_t page =
            col < kv->seqs[seq].n_known ? kv_window_of(g->win, row_of(kv, seq)[col]) : KV_NO_PAGE;
        if (page == KV_NO_PAGE)
            return false;
        kv_window_hold(g->win, page);
        set_ring(g, seq, col, page);
        span->begin--;
    }
    return true;
}

/* The page of a column becomes that of the column's node, or the node's becomes this one. */
static void publish_ring(struct kv_cache *kv, int group, uint32_t seq, uint32_t col, int32_t node)
{
    struct kv_group *g = &kv->groups[group];
    const struct kv_span *span = &g->spans[seq];
    if (col < span->begin || col >= span->end)
        return;
    const int32_t own = ring_of(g, seq)[col % g->n_col], known = kv_window_of(g->win, node);
    if (known == KV_NO_PAGE) {
        kv_window_attach(g->win, node, own);
        kv_keep_know(kv, group, node);
    } else if (known != own) {
        kv_window_hold(g->win, known);
        set_ring(g, seq, col, known);
        kv_window_drop(g->win, own);
    }
}

void kv_cache_forget(void *arg, int32_t node)
{
    struct kv_cache *kv = arg;
    kv_keep_forget(kv, node);
    for (int i = 0; i < kv->n_group; i++)
        if (kv->groups[i].win)
            kv_window_forget(kv->groups[i].win, node);
}

/* ---- tables ---- */

static oll_status upload_row(const struct kv_group *g, uint32_t seq, const int32_t *row,
                             uint32_t begin, uint32_t end, struct oll_error *err)
{
    const size_t size = sizeof *row;
    for (int d = 0; begin < end && d < PLACEMENT_MAX_DEVICES; d++)
        if (g->tables[d])
            OLL_TRY(oll_buffer_upload(g->tables[d], ((size_t)seq * g->n_col + begin) * size,
                                      row + begin, (end - begin) * size, err));
    return OLL_OK;
}

static oll_status upload_tables(struct kv_cache *kv, uint32_t seq, struct oll_error *err)
{
    struct kv_sequence *s = &kv->seqs[seq];
    for (int i = 0; i < kv->n_group; i++) {
        struct kv_group *g = &kv->groups[i];
        if (!g->win)
            OLL_TRY(upload_row(g, seq, row_of(kv, seq), s->dirty_begin, s->dirty_end, err));
        else if (g->spans[seq].dirty)
            OLL_TRY(upload_row(g, seq, ring_of(g, seq), 0, g->n_col, err));
        if (g->win)
            g->spans[seq].dirty = false;
    }
    s->dirty_begin = s->dirty_end = 0;
    return OLL_OK;
}

oll_status kv_cache_reserve(struct kv_cache *kv, uint32_t seq, uint32_t n, struct oll_error *err)
{
    struct kv_sequence *s = &kv->seqs[seq];
    const uint32_t n_held = pages_of(n);
    OLL_ASSERT(n_held <= kv->n_col);
    while (s->n_held < n_held) {
        int32_t page = kv_tree_take(kv->tree);
        OLL_ASSERT(page != KV_NO_PAGE);
        set_page(kv, seq, s->n_held++, page);
    }
    for (int i = 0; i < kv->n_group; i++)
        if (kv->groups[i].win)
            reserve_ring(&kv->groups[i], s, seq, n);
    return upload_tables(kv, seq, err);
}

/* ---- sequences ---- */

/* Keeps pages of the first n positions alone. */
static void let_go(struct kv_cache *kv, uint32_t seq, uint32_t n)
{
    struct kv_sequence *s = &kv->seqs[seq];
    const uint32_t n_held = pages_of(n);
    for (int i = 0; i < kv->n_group; i++)
        if (kv->groups[i].win)
            narrow(&kv->groups[i], seq, 0, n_held);
    while (s->n_held > n_held)
        kv_tree_drop(kv->tree, row_of(kv, seq)[--s->n_held]);
    if (s->n_known > n_held)
        s->n_known = n_held;
    s->n = n;
}

/* Copies of the last pages of a sequence, one of each group. */
struct copies {
    int32_t node, pages[KV_MAX_GROUPS];
};

/* Pages of nobody else with what `from` and its pages of windows hold; false when there is no
 * room. */
static bool take_copies(struct kv_cache *kv, int32_t from, const int32_t *pages, struct copies *out)
{
    kv_tree_hold(kv->tree, from); /* else the copy might take its place */
    for (int i = 0; i < kv->n_group; i++)
        if (kv->groups[i].win)
            kv_window_hold(kv->groups[i].win, pages[i]);
    out->node = kv_tree_take(kv->tree);
    bool ok = out->node != KV_NO_PAGE;
    for (int i = 0; i < kv->n_group; i++) {
        const struct kv_group *g = &kv->groups[i];
        out->pages[i] = ok && g->win ? kv_window_take(g->win) : KV_NO_PAGE;
        ok = ok && (!g->win || out->pages[i] != KV_NO_PAGE) &&
             kv_page_copy(kv, i, g->win ? out->pages[i] : out->node, g->win ? pages[i] : from);
    }
    for (int i = 0; i < kv->n_group; i++) {
        if (kv->groups[i].win)
            kv_window_drop(kv->groups[i].win, pages[i]);
        if (!ok && out->pages[i] != KV_NO_PAGE)
            kv_window_drop(kv->groups[i].win, out->pages[i]);
    }
    if (!ok && out->node != KV_NO_PAGE)
        kv_tree_drop(kv->tree, out->node);
    kv_tree_drop(kv->tree, from);
    return ok;
}

/* Puts copies behind the whole pages that the sequence holds; it has n positions then. */
static void append(struct kv_cache *kv, uint32_t seq, const struct copies *copies, uint32_t n)
{
    struct kv_sequence *s = &kv->seqs[seq];
    set_page(kv, seq, s->n_held++, copies->node);
    for (int i = 0; i < kv->n_group; i++) {
        struct kv_group *g = &kv->groups[i];
        if (g->win)
            set_ring(g, seq, g->spans[seq].end++, copies->pages[i]);
    }
    s->n = n;
}

bool kv_cache_cut(struct kv_cache *kv, uint32_t seq, uint32_t n)
{
    struct kv_sequence *s = &kv->seqs[seq];
    struct copies copies;
    int32_t pages[KV_MAX_GROUPS] = {0};
    kv_keep_end(kv, seq);
    if (n > s->n)
        n = s->n;
    const uint32_t col = n / OLL_KV_PAGE;
    bool ok = true;
    let_go(kv, seq, n);
    for (int i = 0; n > 0 && i < kv->n_group; i++)
        if (kv->groups[i].win)
            ok = ok && widen(kv, &kv->groups[i], seq, n);
    if (ok && n % OLL_KV_PAGE != 0 && !kv_tree_is_private(kv->tree, row_of(kv, seq)[col])) {
        for (int i = 0; i < kv->n_group; i++)
            if (kv->groups[i].win)
                pages[i] = ring_of(&kv->groups[i], seq)[col % kv->groups[i].n_col];
        ok = take_copies(kv, row_of(kv, seq)[col], pages, &copies);
        if (ok) {
            let_go(kv, seq, col * OLL_KV_PAGE);
            append(kv, seq, &copies, n);
        }
    }
    if (!ok)
        let_go(kv, seq, 0);
    return ok;
}

/* Nodes of the longest beginning of `tokens` [n] from which a sequence can go on, in `nodes` where
 * that is not NULL. */
static uint32_t find_beginning(const struct kv_cache *kv, struct kv_space space,
                               const int32_t *tokens, uint32_t n, int32_t *nodes)
{
    uint32_t since[KV_MAX_GROUPS] = {0}, best = 0;
    int32_t node = KV_NO_PAGE;
    for (uint32_t c = 0; (c + 1) * OLL_KV_PAGE <= n; c++) {
        node = kv_tree_find(kv->tree, space, node, tokens + (size_t)c * OLL_KV_PAGE);
        if (node == KV_NO_PAGE)
            break;
        if (nodes)
            nodes[c] = node;
        bool reaches = true;
        for (int i = 0; i < kv->n_group; i++) {
            const struct kv_group *g = &kv->groups[i];
            if (!g->win)
                continue;
            if (kv_window_of(g->win, node) == KV_NO_PAGE)
                since[i] = c + 1;
            reaches = reaches && since[i] <= kv_window_first(g, (c + 1) * OLL_KV_PAGE);
        }
        if (reaches)
            best = c + 1;
    }
    return best;
}

uint32_t kv_cache_match(const struct kv_cache *kv, struct kv_space space, const int32_t *tokens,
                        uint32_t n)
{
    if (n > kv->n_ctx)
        n = kv->n_ctx;
    return kv->tree ? find_beginning(kv, space, tokens, n, NULL) * OLL_KV_PAGE : 0;
}

/* Copies the beginning of the page that goes on most like `tokens` [n]. */
static void adopt_part(struct kv_cache *kv, uint32_t seq, struct kv_space space,
                       const int32_t *tokens, uint32_t n)
{
    struct kv_sequence *s = &kv->seqs[seq];
    struct copies copies;
    int32_t pages[KV_MAX_GROUPS] = {0};
    uint32_t n_common;
    const int32_t parent = s->n_held ? row_of(kv, seq)[s->n_held - 1] : KV_NO_PAGE;
    const int32_t node = kv_tree_nearest(kv->tree, space, parent, tokens, n, &n_common);
    if (node == KV_NO_PAGE)
        return;
    for (int i = 0; i < kv->n_group; i++) {
        if (!kv->groups[i].win)
            continue;
        pages[i] = kv_window_of(kv->groups[i].win, node);
        if (pages[i] == KV_NO_PAGE)
            return;
    }
    if (take_copies(kv, node, pages, &copies))
        append(kv, seq, &copies, s->n + n_common);
}

uint32_t kv_cache_adopt(struct kv_cache *kv, uint32_t seq, struct kv_space space,
                        const int32_t *tokens, uint32_t n)
{
    struct kv_sequence *s = &kv->seqs[seq];
    (void)kv_cache_truncate(kv, seq, 0);
    if (!kv->tree)
        return 0;
    if (n > kv->n_ctx)
        n = kv->n_ctx;
    const uint32_t n_page = find_beginning(kv, space, tokens, n, row_of(kv, seq));
    for (; s->n_held < n_page; s->n_held++) {
        kv_tree_hold(kv->tree, row_of(kv, seq)[s->n_held]);
        set_page(kv, seq, s->n_held, row_of(kv, seq)[s->n_held]);
    }
    s->n_known = n_page;
    s->n = n_page * OLL_KV_PAGE;
    for (int i = 0; i < kv->n_group; i++) {
        struct kv_group *g = &kv->groups[i];
        if (!g->win)
            continue;
        g->spans[seq].begin = g->spans[seq].end = n_page;
        const bool ok = widen(kv, g, seq, s->n);
        OLL_ASSERT(ok);
    }
    adopt_part(kv, seq, space, tokens + s->n, n - s->n);
    return s->n;
}

void kv_cache_publish(struct kv_cache *kv, uint32_t seq, struct kv_space space,
                      const int32_t *tokens, uint32_t n)
{
    struct kv_sequence *s = &kv->seqs[seq];
    if (n > s->n)
        n = s->n;
    for (; kv->tree && (s->n_known + 1) * OLL_KV_PAGE <= n; s->n_known++) {
        const uint32_t col = s->n_known;
        const int32_t *own = tokens + (size_t)col * OLL_KV_PAGE, page = row_of(kv, seq)[col];
        int32_t parent = col ? row_of(kv, seq)[col - 1] : KV_NO_PAGE;
        int32_t known = kv_tree_find(kv->tree, space, parent, own);
        if (known == KV_NO_PAGE) {
            kv_tree_add(kv->tree, space, parent, own, page);
            kv_keep_add(kv, space, parent, own, page);
            known = page;
        } else {
            /* Another sequence was first: its page says the same, ours is free. */
            kv_tree_hold(kv->tree, known);
            set_page(kv, seq, col, known);
            kv_tree_drop(kv->tree, page);
        }
        for (int i = 0; i < kv->n_group; i++)
            if (kv->groups[i].win)
                publish_ring(kv, i, seq, col, known);
    }
}
