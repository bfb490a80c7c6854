/* Sequences that hold common pages: what a sequence takes over from the tree, what it adds to it,
 * and the one page that it may write to. */
#include "engine/kv_cache.h"

#include "engine/base/mem.h"
#include "engine/kv_keep.h"

static int32_t *row_of(const struct kv_cache *kv, uint32_t seq)
{
    return kv->table + (size_t)seq * kv->groups[0].n_col;
}

static void set_page(struct kv_cache *kv, uint32_t seq, uint32_t col, int32_t page)
{
    struct kv_sequence *s = &kv->seqs[seq];
    row_of(kv, seq)[col] = page;
    if (s->dirty_begin == s->dirty_end)
        s->dirty_begin = s->dirty_end = col;
    s->dirty_begin = col < s->dirty_begin ? col : s->dirty_begin;
    s->dirty_end = col + 1 > s->dirty_end ? col + 1 : s->dirty_end;
}

static oll_status upload_table(struct kv_cache *kv, uint32_t seq, struct oll_error *err)
{
    struct kv_sequence *s = &kv->seqs[seq];
    const struct kv_group *g = &kv->groups[0];
    const size_t size = sizeof(int32_t), n = s->dirty_end - s->dirty_begin;
    for (int d = 0; n > 0 && d < PLACEMENT_MAX_DEVICES; d++)
        if (g->tables[d])
            OLL_TRY(oll_buffer_upload(g->tables[d],
                                      ((size_t)seq * g->n_col + s->dirty_begin) * size,
                                      row_of(kv, seq) + s->dirty_begin, n * size, err));
    s->dirty_begin = s->dirty_end = 0;
    return OLL_OK;
}

oll_status kv_cache_reserve(struct kv_cache *kv, uint32_t seq, uint32_t n, struct oll_error *err)
{
    struct kv_sequence *s = &kv->seqs[seq];
    const uint32_t n_held = (uint32_t)oll_div_up(n, OLL_KV_PAGE);
    OLL_ASSERT(n_held <= kv->groups[0].n_col);
    while (s->n_held < n_held) {
        int32_t page = kv_tree_take(kv->tree);
        OLL_ASSERT(page != KV_NO_PAGE);
        set_page(kv, seq, s->n_held++, page);
    }
    return upload_table(kv, seq, err);
}

/* A page of the sequence's own with what `from` holds; KV_NO_PAGE when there is no room. */
static int32_t take_copy(struct kv_cache *kv, int32_t from)
{
    kv_tree_hold(kv->tree, from); /* else the copy might take its place */
    int32_t page = kv_tree_take(kv->tree);
    if (page != KV_NO_PAGE && !kv_page_copy(kv, 0, page, from)) {
        kv_tree_drop(kv->tree, page);
        page = KV_NO_PAGE;
    }
    kv_tree_drop(kv->tree, from);
    return page;
}

/* ---- sequences ---- */

static void let_go(struct kv_cache *kv, uint32_t seq, uint32_t n_held)
{
    struct kv_sequence *s = &kv->seqs[seq];
    while (s->n_held > n_held)
        kv_tree_drop(kv->tree, row_of(kv, seq)[--s->n_held]);
    if (s->n_known > n_held)
        s->n_known = n_held;
}

bool kv_cache_cut(struct kv_cache *kv, uint32_t seq, uint32_t n)
{
    struct kv_sequence *s = &kv->seqs[seq];
    kv_keep_end(kv, seq);
    if (n > s->n)
        n = s->n;
    const uint32_t col = n / OLL_KV_PAGE;
    let_go(kv, seq, (uint32_t)oll_div_up(n, OLL_KV_PAGE));
    s->n = s->high = n;
    if (n % OLL_KV_PAGE == 0 || kv_tree_is_private(kv->tree, row_of(kv, seq)[col]))
        return true;
    int32_t shared = row_of(kv, seq)[col], own = take_copy(kv, shared);
    let_go(kv, seq, own == KV_NO_PAGE ? 0 : col);
    if (own == KV_NO_PAGE) {
        s->n = s->high = 0;
        return false;
    }
    set_page(kv, seq, s->n_held++, own);
    return true;
}

uint32_t kv_cache_match(const struct kv_cache *kv, struct kv_space space, const int32_t *tokens,
                        uint32_t n)
{
    int32_t page = KV_NO_PAGE;
    uint32_t at = 0;
    while (kv->tree && at + OLL_KV_PAGE <= n &&
           (page = kv_tree_find(kv->tree, space, page, tokens + at)) != KV_NO_PAGE)
        at += OLL_KV_PAGE;
    return at;
}

uint32_t kv_cache_adopt(struct kv_cache *kv, uint32_t seq, struct kv_space space,
                        const int32_t *tokens, uint32_t n)
{
    struct kv_sequence *s = &kv->seqs[seq];
    int32_t page, parent = KV_NO_PAGE;
    uint32_t n_common;
    (void)kv_cache_truncate(kv, seq, 0);
    if (!kv->tree)
        return 0;
    if (n > kv->n_ctx)
        n = kv->n_ctx;
    while (s->n + OLL_KV_PAGE <= n &&
           (page = kv_tree_find(kv->tree, space, parent, tokens + s->n)) != KV_NO_PAGE) {
        kv_tree_hold(kv->tree, page);
        set_page(kv, seq, s->n_held++, page);
        s->n_known++;
        s->n += OLL_KV_PAGE;
        parent = page;
    }
    page = kv_tree_nearest(kv->tree, space, parent, tokens + s->n, n - s->n, &n_common);
    if (page != KV_NO_PAGE && (page = take_copy(kv, page)) != KV_NO_PAGE) {
        set_page(kv, seq, s->n_held++, page);
        s->n += n_common;
    }
    s->high = s->n;
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
            kv_keep_know(kv, space, parent, own, page);
            continue;
        }
        /* Another sequence was first: its page says the same, ours is free. */
        kv_tree_hold(kv->tree, known);
        set_page(kv, seq, col, known);
        kv_tree_drop(kv->tree, page);
    }
}
