#include "engine/kv_keep.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"

#include <string.h>

/* A prompt whose pages are being read. */
struct restore {
    struct kv_fetch *fetch; /* NULL: none */
    struct kv_space space;
    int32_t *tokens; /* [n_page * OLL_KV_PAGE] */
    int32_t *pages;  /* [n_page] held on behalf of the sequence */
    uint32_t n_page, n_have;
};

struct kv_keep {
    struct kv_spill *spill;
    struct kv_spill_params params; /* whom to wake */
    struct kv_key base;
    struct oll_sha256 *sha;
    struct kv_key *keys; /* [n_page] of known pages */
    bool *is_todo;       /* [n_page] known and not yet kept */
    uint32_t n_page, n_todo, cursor;
    size_t page_bytes;
    struct restore *restores; /* [n_seq] */
};

/* ---- keys ---- */

static struct kv_key key_of(struct kv_keep *keep, struct kv_space space,
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

void kv_keep_know(struct kv_cache *kv, struct kv_space space, int32_t parent, const int32_t *tokens,
                  int32_t page)
{
    struct kv_keep *keep = kv->keep;
    if (!keep)
        return;
    keep->keys[page] =
        key_of(keep, space, parent == KV_NO_PAGE ? NULL : &keep->keys[parent], tokens);
    keep->is_todo[page] = true;
    keep->n_todo++;
}

static void settle(struct kv_keep *keep, int32_t page)
{
    OLL_ASSERT(keep->is_todo[page] && keep->n_todo > 0);
    keep->is_todo[page] = false;
    keep->n_todo--;
}

/* ---- pages that go ---- */

/* Downloads the page and puts it; false when memory is short. */
static bool put_page(struct kv_cache *kv, int32_t page)
{
    struct kv_keep *keep = kv->keep;
    settle(keep, page);
    if (kv_spill_has(keep->spill, &keep->keys[page], keep->page_bytes))
        return true;
    void *payload = oll_alloc(keep->page_bytes, 1);
    if (!payload || kv_page_download(kv, kv->i_full, page, payload) != OLL_OK) {
        oll_free(payload);
        return false;
    }
    kv_spill_put(keep->spill, &keep->keys[page], payload, keep->page_bytes);
    return true;
}

/* The tree is about to give the page to somebody else. Never waits. */
static void forget_page(void *arg, int32_t page)
{
    struct kv_cache *kv = arg;
    struct kv_keep *keep = kv->keep;
    if (!keep->is_todo[page])
        return;
    if (kv_spill_has_room(keep->spill, keep->page_bytes))
        (void)put_page(kv, page);
    else
        settle(keep, page);
}

static int32_t next_todo(struct kv_keep *keep)
{
    for (uint32_t i = 0; keep->n_todo > 0 && i < keep->n_page; i++) {
        const uint32_t page = (keep->cursor + i) % keep->n_page;
        if (keep->is_todo[page]) {
            keep->cursor = page;
            return (int32_t)page;
        }
    }
    return KV_NO_PAGE;
}

bool kv_keep_step(struct kv_cache *kv)
{
    struct kv_keep *keep = kv->keep;
    const int32_t page = keep ? next_todo(keep) : KV_NO_PAGE;
    return page != KV_NO_PAGE && kv_spill_has_room(keep->spill, keep->page_bytes) &&
           put_page(kv, page);
}

/* ---- pages that come ---- */

/* Keys of the pages of `tokens` that are in memory or in the folder; *n_memory gets how many of
 * them the tree has. */
static uint32_t find_chain(struct kv_cache *kv, struct restore *r, struct kv_fetch_item *items,
                           uint32_t n_page)
{
    struct kv_keep *keep = kv->keep;
    int32_t page = KV_NO_PAGE;
    uint32_t n = 0;
    for (; n < n_page; n++) {
        const int32_t *own = r->tokens + (size_t)n * OLL_KV_PAGE;
        page = kv_tree_find(kv->tree, r->space, page, own);
        if (page == KV_NO_PAGE)
            break;
        kv_tree_hold(kv->tree, page);
        r->pages[r->n_have++] = page;
        items[n].key = keep->keys[page];
    }
    for (; n < n_page; n++) {
        const int32_t *own = r->tokens + (size_t)n * OLL_KV_PAGE;
        items[n].key = key_of(keep, r->space, n ? &items[n - 1].key : NULL, own);
        items[n].n_bytes = keep->page_bytes;
        if (!kv_spill_has(keep->spill, &items[n].key, keep->page_bytes))
            break;
    }
    return n;
}

bool kv_keep_fetch(struct kv_cache *kv, uint32_t seq, struct kv_space space, const int32_t *tokens,
                   uint32_t n, uint32_t held)
{
    struct kv_keep *keep = kv->keep;
    const uint32_t n_page = (n < kv->n_ctx ? n : kv->n_ctx) / OLL_KV_PAGE;
    if (!keep || (uint64_t)n_page * OLL_KV_PAGE <= held)
        return false;
    kv_keep_end(kv, seq);
    struct restore *r = &keep->restores[seq];
    struct kv_fetch_item *items = oll_calloc(n_page, sizeof *items);
    *r = (struct restore){.space = space};
    r->tokens = oll_alloc((size_t)n_page * OLL_KV_PAGE, sizeof *r->tokens);
    r->pages = oll_alloc(n_page, sizeof *r->pages);
    if (items && r->tokens && r->pages) {
        memcpy(r->tokens, tokens, (size_t)n_page * OLL_KV_PAGE * sizeof *tokens);
        r->n_page = find_chain(kv, r, items, n_page);
        if ((uint64_t)r->n_page * OLL_KV_PAGE > held)
            r->fetch = kv_spill_fetch(keep->spill, items + r->n_have, r->n_page - r->n_have);
    }
    oll_free(items);
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

/* Brings a page into the tree, held on behalf of the sequence. */
static bool take_in(struct kv_cache *kv, struct restore *r, const void *payload)
{
    struct kv_keep *keep = kv->keep;
    const int32_t parent = r->n_have ? r->pages[r->n_have - 1] : KV_NO_PAGE;
    const int32_t *tokens = r->tokens + (size_t)r->n_have * OLL_KV_PAGE;
    int32_t page = kv_tree_find(kv->tree, r->space, parent, tokens);
    if (page != KV_NO_PAGE) { /* somebody else has computed it meanwhile */
        kv_tree_hold(kv->tree, page);
    } else {
        page = kv_tree_take(kv->tree);
        if (page == KV_NO_PAGE)
            return false;
        if (kv_page_upload(kv, kv->i_full, page, payload) != OLL_OK) {
            kv_tree_drop(kv->tree, page);
            return false;
        }
        kv_keep_know(kv, r->space, parent, tokens, page);
        kv_tree_add(kv->tree, r->space, parent, tokens, page);
        settle(keep, page);
    }
    r->pages[r->n_have++] = page;
    return true;
}

bool kv_keep_poll(struct kv_cache *kv, uint32_t seq, uint64_t deadline_ns)
{
    struct kv_keep *keep = kv->keep;
    struct restore *r = keep ? &keep->restores[seq] : NULL;
    void *payload;
    while (r && r->fetch && r->n_have < r->n_page) {
        oll_status status = kv_fetch_next(keep->spill, r->fetch, &payload);
        if (status == OLL_ERR_TIMEOUT)
            return true;
        if (status != OLL_OK)
            return false;
        const bool ok = take_in(kv, r, payload);
        oll_free(payload);
        if (!ok)
            return false;
        if (oll_clock_ns() >= deadline_ns && r->n_have < r->n_page) {
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
    while (r->n_have > 0)
        kv_tree_drop(kv->tree, r->pages[--r->n_have]);
    oll_free(r->tokens);
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
    keep->n_page = kv->n_seq * kv->groups[kv->i_full].n_col;
    keep->page_bytes = kv_page_bytes(kv, kv->i_full);
    keep->sha = oll_sha256_new();
    keep->keys = oll_calloc(keep->n_page, sizeof *keep->keys);
    keep->is_todo = oll_calloc(keep->n_page, sizeof *keep->is_todo);
    keep->restores = oll_calloc(kv->n_seq, sizeof *keep->restores);
    oll_status status = OLL_OK;
    if (!keep->sha || !keep->keys || !keep->is_todo || !keep->restores)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the prefix cache");
    else
        status = kv_spill_open(&params->spill, &keep->spill, err);
    if (status == OLL_OK)
        kv_tree_watch(kv->tree, forget_page, kv);
    else
        kv_keep_close(kv);
    return status;
}

void kv_keep_close(struct kv_cache *kv)
{
    struct kv_keep *keep = kv->keep;
    if (!keep)
        return;
    const uint64_t deadline = oll_clock_ns() + KV_KEEP_CLOSE_MS * UINT64_C(1000000);
    for (uint32_t s = 0; keep->spill && s < kv->n_seq; s++)
        kv_keep_end(kv, s);
    while (keep->spill && keep->n_todo > 0 &&
           kv_spill_wait(keep->spill, keep->page_bytes, deadline) && kv_keep_step(kv))
        ;
    kv_spill_close(keep->spill, deadline);
    oll_sha256_free(keep->sha);
    oll_free(keep->keys);
    oll_free(keep->is_todo);
    oll_free(keep->restores);
    oll_free(keep);
    kv->keep = NULL;
}
