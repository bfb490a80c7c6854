#include "engine/kv_keep.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"

#include <string.h>

/* A page to be read: of a group, in a column. */
struct wanted {
    uint32_t col;
    int group;
};

/* A prompt whose pages are being read. */
struct restore {
    struct kv_fetch *fetch; /* NULL: none */
    struct kv_space space;
    int32_t *tokens; /* [n_page * OLL_KV_PAGE] */
    int32_t *nodes;  /* [n_page]; n_have of them held on behalf of the sequence */
    uint32_t n_page, n_have;
    struct wanted *items; /* [n_item] in the order of columns; n_taken have come */
    int32_t *pages;       /* [n_item] of windows, held likewise; KV_NO_PAGE: none */
    uint32_t n_item, n_taken;
};

struct kv_keep {
    struct kv_spill *spill;
    struct kv_spill_params params; /* whom to wake */
    struct kv_key base;
    struct oll_sha256 *sha;
    struct kv_key *keys;              /* [n_node] of known nodes */
    bool *is_todo;                    /* [n_group, n_node] known and not yet kept */
    size_t page_bytes[KV_MAX_GROUPS]; /* of a page */
    uint32_t n_todo, cursor, n_unit;  /* of n_group * n_node */
    struct restore *restores;         /* [n_seq] */
};

/* ---- keys ---- */

static struct kv_key node_key(struct kv_keep *keep, struct kv_space space,
                              const struct kv_key *parent, const int32_t *tokens)
{
    struct kv_key key;
    oll_sha256_restart(keep->sha);
    oll_sha256_update(keep->sha, parent ? parent->bytes : keep->base.bytes, sizeof key.bytes);
    if (!parent)
        oll_sha256_update(keep->sha, space.words, sizeof space.words);
    oll_sha256_update(keep->sha, tokens, OLL_KV_PAGE * sizeof *tokens);
    oll_sha256_final(keep->sha, key.bytes);
    return key;
}

/* Of the page that a group has for a node. */
static struct kv_key page_key(const struct kv_cache *kv, int group, const struct kv_key *node)
{
    struct kv_keep *keep = kv->keep;
    struct kv_key key = *node;
    if (!kv->groups[group].win)
        return key;
    oll_sha256_restart(keep->sha);
    oll_sha256_update(keep->sha, node->bytes, sizeof node->bytes);
    oll_sha256_update(keep->sha, &kv->groups[group].window, sizeof kv->groups[group].window);
    oll_sha256_final(keep->sha, key.bytes);
    return key;
}

static bool *todo_of(const struct kv_cache *kv, int group, int32_t node)
{
    return &kv->keep->is_todo[(size_t)group * kv->n_node + (uint32_t)node];
}

void kv_keep_know(struct kv_cache *kv, int group, int32_t node)
{
    if (!kv->keep)
        return;
    bool *todo = todo_of(kv, group, node);
    kv->keep->n_todo += !*todo;
    *todo = true;
}

void kv_keep_add(struct kv_cache *kv, struct kv_space space, int32_t parent, const int32_t *tokens,
                 int32_t node)
{
    struct kv_keep *keep = kv->keep;
    if (!keep)
        return;
    keep->keys[node] =
        node_key(keep, space, parent == KV_NO_PAGE ? NULL : &keep->keys[parent], tokens);
    if (kv->i_full >= 0)
        kv_keep_know(kv, kv->i_full, node);
}

static void settle(struct kv_cache *kv, int group, int32_t node)
{
    bool *todo = todo_of(kv, group, node);
    kv->keep->n_todo -= *todo;
    *todo = false;
}

/* ---- pages that go ---- */

/* Downloads the page and puts it; false when memory is short. */
static bool put_page(struct kv_cache *kv, int group, int32_t node)
{
    struct kv_keep *keep = kv->keep;
    const struct kv_group *g = &kv->groups[group];
    const struct kv_key key = page_key(kv, group, &keep->keys[node]);
    const int32_t page = g->win ? kv_window_of(g->win, node) : node;
    settle(kv, group, node);
    /* A window's page may have been taken since it became known. */
    if (page == KV_NO_PAGE || kv_spill_has(keep->spill, &key, keep->page_bytes[group]))
        return true;
    void *payload = oll_alloc(keep->page_bytes[group], 1);
    if (!payload || kv_page_download(kv, group, page, payload) != OLL_OK) {
        oll_free(payload);
        return false;
    }
    kv_spill_put(keep->spill, &key, payload, keep->page_bytes[group]);
    return true;
}

void kv_keep_forget(struct kv_cache *kv, int32_t node)
{
    struct kv_keep *keep = kv->keep;
    if (!keep)
        return;
    for (int i = 0; i < kv->n_group; i++) {
        /* Never waits. */
        if (*todo_of(kv, i, node) && kv_spill_has_room(keep->spill, keep->page_bytes[i]))
            (void)put_page(kv, i, node);
        settle(kv, i, node);
    }
}

bool kv_keep_step(struct kv_cache *kv)
{
    struct kv_keep *keep = kv->keep;
    if (!keep || keep->n_todo == 0)
        return false;
    while (!keep->is_todo[keep->cursor])
        keep->cursor = (keep->cursor + 1) % keep->n_unit;
    const int group = (int)(keep->cursor / kv->n_node);
    return kv_spill_has_room(keep->spill, keep->page_bytes[group]) &&
           put_page(kv, group, (int32_t)(keep->cursor % kv->n_node));
}

/* ---- pages that come ---- */

/* Whether a page of the node is in the folder. */
static bool is_kept(struct kv_cache *kv, int group, const struct kv_key *node)
{
    const struct kv_key key = page_key(kv, group, node);
    return kv_spill_has(kv->keep->spill, &key, kv->keep->page_bytes[group]);
}

/* Whether memory has the page of a column; nodes[0, n_have) are known. */
static bool is_here(const struct kv_cache *kv, const struct restore *r, int group, uint32_t col)
{
    const struct kv_group *g = &kv->groups[group];
    return col < r->n_have && (!g->win || kv_window_of(g->win, r->nodes[col]) != KV_NO_PAGE);
}

/* Holds the nodes of the prompt that memory has, and finds how far memory and folder together
 * reach: a column whose windows are there, too. keys [n_page] get the keys of nodes. */
static uint32_t find_end(struct kv_cache *kv, struct restore *r, struct kv_key *keys,
                         uint32_t n_page)
{
    uint32_t since[KV_MAX_GROUPS] = {0}, best = 0;
    int32_t node = KV_NO_PAGE;
    for (; r->n_have < n_page; r->n_have++) {
        node = kv_tree_find(kv->tree, r->space, node, r->tokens + (size_t)r->n_have * OLL_KV_PAGE);
        if (node == KV_NO_PAGE)
            break;
        kv_tree_hold(kv->tree, node);
        r->nodes[r->n_have] = node;
    }
    for (uint32_t c = 0; c < n_page; c++) {
        const int32_t *own = r->tokens + (size_t)c * OLL_KV_PAGE;
        bool reaches = true;
        keys[c] = c < r->n_have ? kv->keep->keys[r->nodes[c]]
                                : node_key(kv->keep, r->space, c ? &keys[c - 1] : NULL, own);
        for (int i = 0; i < kv->n_group; i++) {
            const struct kv_group *g = &kv->groups[i];
            if (is_here(kv, r, i, c) || is_kept(kv, i, &keys[c])) {
                reaches =
                    reaches && (!g->win || since[i] <= kv_window_first(g, (c + 1) * OLL_KV_PAGE));
                continue;
            }
            if (!g->win)
                return best;
            since[i] = c + 1;
            reaches = false;
        }
        best = reaches ? c + 1 : best;
    }
    return best;
}

/* Whether a token behind the prompt's pages sees this one. */
static bool is_seen(const struct kv_cache *kv, const struct restore *r, int group, uint32_t col)
{
    const struct kv_group *g = &kv->groups[group];
    return !g->win || col >= kv_window_first(g, r->n_page * OLL_KV_PAGE);
}

static void add_item(struct restore *r, int group, uint32_t col, int32_t page)
{
    r->items[r->n_item] = (struct wanted){.col = col, .group = group};
    r->pages[r->n_item++] = page;
}

/* Holds the pages of windows that memory has: items that have come already. */
static void hold_windows(struct kv_cache *kv, struct restore *r)
{
    for (int i = 0; i < kv->n_group; i++)
        for (uint32_t c = 0; kv->groups[i].win && c < r->n_have; c++)
            if (is_seen(kv, r, i, c) && is_here(kv, r, i, c)) {
                const int32_t page = kv_window_of(kv->groups[i].win, r->nodes[c]);
                kv_window_hold(kv->groups[i].win, page);
                add_item(r, i, c, page);
            }
    r->n_taken = r->n_item;
}

/* Lists what is in the folder alone, in the order of columns, pages without a window first: their
 * nodes must be there for others; how many pages that is. */
static uint32_t list_wanted(struct kv_cache *kv, struct restore *r, const struct kv_key *keys,
                            struct kv_fetch_item *fetch)
{
    uint32_t n = 0;
    for (uint32_t c = 0; c < r->n_page; c++)
        for (int k = 0; k < 2 * kv->n_group; k++) {
            const int i = k % kv->n_group;
            const bool has_window = kv->groups[i].win != NULL;
            if (has_window != (k >= kv->n_group) || !is_seen(kv, r, i, c) || is_here(kv, r, i, c))
                continue;
            add_item(r, i, c, KV_NO_PAGE);
            fetch[n++] = (struct kv_fetch_item){.key = page_key(kv, i, &keys[c]),
                                                .n_bytes = kv->keep->page_bytes[i]};
        }
    return n;
}

static void begin_restore(struct kv_cache *kv, struct restore *r, const int32_t *tokens,
                          uint32_t n_page, uint32_t held)
{
    const size_t n_item = (size_t)n_page * (size_t)kv->n_group;
    struct kv_key *keys = oll_calloc(n_page, sizeof *keys);
    struct kv_fetch_item *fetch = oll_calloc(n_item, sizeof *fetch);
    r->tokens = oll_alloc((size_t)n_page * OLL_KV_PAGE, sizeof *r->tokens);
    r->nodes = oll_alloc(n_page, sizeof *r->nodes);
    r->items = oll_alloc(n_item, sizeof *r->items);
    r->pages = oll_alloc(n_item, sizeof *r->pages);
    if (keys && fetch && r->tokens && r->nodes && r->items && r->pages) {
        memcpy(r->tokens, tokens, (size_t)n_page * OLL_KV_PAGE * sizeof *tokens);
        r->n_page = find_end(kv, r, keys, n_page);
        while (r->n_have > r->n_page)
            kv_tree_drop(kv->tree, r->nodes[--r->n_have]);
        if ((uint64_t)r->n_page * OLL_KV_PAGE > held) {
            hold_windows(kv, r);
            r->fetch = kv_spill_fetch(kv->keep->spill, fetch, list_wanted(kv, r, keys, fetch));
        }
    }
    oll_free(keys);
    oll_free(fetch);
}

bool kv_keep_fetch(struct kv_cache *kv, uint32_t seq, struct kv_space space, const int32_t *tokens,
                   uint32_t n, uint32_t held)
{
    const uint32_t n_page = (n < kv->n_ctx ? n : kv->n_ctx) / OLL_KV_PAGE;
    if (!kv->keep || (uint64_t)n_page * OLL_KV_PAGE <= held)
        return false;
    kv_keep_end(kv, seq);
    struct restore *r = &kv->keep->restores[seq];
    r->space = space;
    begin_restore(kv, r, tokens, n_page, held);
    if (!r->fetch) {
        kv_keep_end(kv, seq);
        return false;
    }
    /* What the sequence held is held by the restore as far as it is of use: together they never
     * hold more pages than a sequence may. */
    const struct restore own = *r;
    *r = (struct restore){0};
    (void)kv_cache_truncate(kv, seq, 0);
    *r = own;
    return true;
}

/* Makes the next node of the prompt known, held on behalf of the sequence; `payload` is its page,
 * NULL where all layers have windows. */
static bool take_node(struct kv_cache *kv, struct restore *r, const void *payload)
{
    const int32_t parent = r->n_have ? r->nodes[r->n_have - 1] : KV_NO_PAGE;
    const int32_t *tokens = r->tokens + (size_t)r->n_have * OLL_KV_PAGE;
    int32_t node = kv_tree_find(kv->tree, r->space, parent, tokens);
    if (node != KV_NO_PAGE) { /* somebody else has computed it meanwhile */
        kv_tree_hold(kv->tree, node);
    } else {
        node = kv_tree_take(kv->tree);
        if (node == KV_NO_PAGE)
            return false;
        if (payload && kv_page_upload(kv, kv->i_full, node, payload) != OLL_OK) {
            kv_tree_drop(kv->tree, node);
            return false;
        }
        kv_tree_add(kv->tree, r->space, parent, tokens, node);
        kv_keep_add(kv, r->space, parent, tokens, node);
        if (kv->i_full >= 0)
            settle(kv, kv->i_full, node);
    }
    r->nodes[r->n_have++] = node;
    return true;
}

static bool take_window(struct kv_cache *kv, struct restore *r, const void *payload)
{
    const struct wanted *item = &r->items[r->n_taken];
    const struct kv_group *g = &kv->groups[item->group];
    while (r->n_have <= item->col)
        if (kv->i_full >= 0 || !take_node(kv, r, NULL))
            return false;
    const int32_t node = r->nodes[item->col];
    int32_t page = kv_window_of(g->win, node);
    if (page != KV_NO_PAGE) {
        kv_window_hold(g->win, page);
    } else {
        page = kv_window_take(g->win);
        if (page == KV_NO_PAGE)
            return false;
        if (kv_page_upload(kv, item->group, page, payload) != OLL_OK) {
            kv_window_drop(g->win, page);
            return false;
        }
        kv_window_attach(g->win, node, page);
    }
    r->pages[r->n_taken] = page;
    return true;
}

bool kv_keep_poll(struct kv_cache *kv, uint32_t seq, uint64_t deadline_ns)
{
    struct kv_keep *keep = kv->keep;
    struct restore *r = keep ? &keep->restores[seq] : NULL;
    void *payload;
    while (r && r->fetch && r->n_taken < r->n_item) {
        oll_status status = kv_fetch_next(keep->spill, r->fetch, &payload);
        if (status == OLL_ERR_TIMEOUT)
            return true;
        if (status != OLL_OK)
            return false;
        const bool ok = kv->groups[r->items[r->n_taken].group].win ? take_window(kv, r, payload)
                                                                   : take_node(kv, r, payload);
        oll_free(payload);
        if (!ok)
            return false;
        r->n_taken++;
        if (oll_clock_ns() >= deadline_ns && r->n_taken < r->n_item) {
            keep->params.wake(keep->params.arg); /* the next may be there already */
            return true;
        }
    }
    return false;
}

void kv_keep_end(struct kv_cache *kv, uint32_t seq)
{
    struct restore *r = kv->keep ? &kv->keep->restores[seq] : NULL;
    if (!r)
        return;
    kv_fetch_end(kv->keep->spill, r->fetch);
    for (uint32_t i = 0; i < r->n_taken; i++)
        if (r->pages[i] != KV_NO_PAGE)
            kv_window_drop(kv->groups[r->items[i].group].win, r->pages[i]);
    while (r->n_have > 0)
        kv_tree_drop(kv->tree, r->nodes[--r->n_have]);
    oll_free(r->tokens);
    oll_free(r->nodes);
    oll_free(r->items);
    oll_free(r->pages);
    *r = (struct restore){0};
}

/* ---- begin and end ---- */

oll_status kv_keep_open(struct kv_cache *kv, const struct kv_keep_params *params,
                        struct oll_error *err)
{
    if (!kv->tree)
        return OLL_OK;
    struct kv_keep *keep = oll_calloc(1, sizeof *keep);
    if (!keep)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the prefix cache");
    kv->keep = keep;
    keep->base = params->base;
    keep->params = params->spill;
    keep->n_unit = (uint32_t)kv->n_group * kv->n_node;
    for (int i = 0; i < kv->n_group; i++)
        keep->page_bytes[i] = kv_page_bytes(kv, i);
    keep->sha = oll_sha256_new();
    keep->keys = oll_calloc(kv->n_node, sizeof *keep->keys);
    keep->is_todo = oll_calloc(keep->n_unit, sizeof *keep->is_todo);
    keep->restores = oll_calloc(kv->n_seq, sizeof *keep->restores);
    oll_status status = OLL_OK;
    if (!keep->sha || !keep->keys || !keep->is_todo || !keep->restores)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the prefix cache");
    else
        status = kv_spill_open(&params->spill, &keep->spill, err);
    if (status != OLL_OK)
        kv_keep_close(kv);
    return status;
}

void kv_keep_close(struct kv_cache *kv)
{
    struct kv_keep *keep = kv->keep;
    if (!keep)
        return;
    const uint64_t deadline = oll_clock_ns() + KV_KEEP_CLOSE_MS * UINT64_C(1000000);
    size_t most = 0;
    for (int i = 0; i < kv->n_group; i++)
        most = keep->page_bytes[i] > most ? keep->page_bytes[i] : most;
    for (uint32_t s = 0; keep->spill && s < kv->n_seq; s++)
        kv_keep_end(kv, s);
    while (keep->spill && keep->n_todo > 0 && kv_spill_wait(keep->spill, most, deadline) &&
           kv_keep_step(kv))
        ;
    kv_spill_close(keep->spill, deadline);
    oll_sha256_free(keep->sha);
    oll_free(keep->keys);
    oll_free(keep->is_todo);
    oll_free(keep->restores);
    oll_free(keep);
    kv->keep = NULL;
}
