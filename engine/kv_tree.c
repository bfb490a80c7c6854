#include "engine/kv_tree.h"

#include "engine/base/mem.h"

#include <string.h>

struct kv_page {
    int32_t parent;
    int32_t next; /* in its bucket when known, in the list of free pages when free */
    uint32_t n_holders, n_children;
    uint64_t used; /* order of use */
    bool is_known;
    struct kv_space space;
    int32_t tokens[OLL_KV_PAGE];
};

struct kv_tree {
    uint32_t n_page, n_bucket; /* a power of two */
    int32_t free;
    uint64_t tick;
    struct kv_page *pages;                   /* [n_page] */
    int32_t *buckets;                        /* [n_bucket] */
    void (*forget)(void *arg, int32_t page); /* NULL: nobody wants to know */
    void *forget_arg;
};

oll_status kv_tree_new(uint32_t n_page, struct kv_tree **out, struct oll_error *err)
{
    struct kv_tree *tree = oll_calloc(1, sizeof *tree);
    if (!tree)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for the tree of kv pages");
    tree->n_page = n_page;
    tree->n_bucket = 1;
    while (tree->n_bucket < n_page)
        tree->n_bucket *= 2;
    tree->pages = oll_calloc(n_page, sizeof *tree->pages);
    tree->buckets = oll_alloc(tree->n_bucket, sizeof *tree->buckets);
    if (!tree->pages || !tree->buckets) {
        kv_tree_free(tree);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a tree of %u kv pages", n_page);
    }
    for (uint32_t i = 0; i < tree->n_bucket; i++)
        tree->buckets[i] = KV_NO_PAGE;
    for (uint32_t i = 0; i < n_page; i++)
        tree->pages[i].next = i + 1 < n_page ? (int32_t)i + 1 : KV_NO_PAGE;
    tree->free = n_page ? 0 : KV_NO_PAGE;
    *out = tree;
    return OLL_OK;
}

void kv_tree_free(struct kv_tree *tree)
{
    if (!tree)
        return;
    oll_free(tree->pages);
    oll_free(tree->buckets);
    oll_free(tree);
}

void kv_tree_watch(struct kv_tree *tree, void (*forget)(void *arg, int32_t page), void *arg)
{
    tree->forget = forget;
    tree->forget_arg = arg;
}

/* ---- finding ---- */

static uint32_t bucket_of(const struct kv_tree *tree, struct kv_space space, int32_t parent,
                          const int32_t *tokens)
{
    uint64_t h = space.words[0] ^ (uint64_t)(uint32_t)parent * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < OLL_KV_PAGE; i++) {
        h = (h ^ (uint32_t)tokens[i]) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return (uint32_t)h & (tree->n_bucket - 1);
}

static bool lies_behind(const struct kv_page *p, struct kv_space space, int32_t parent)
{
    return p->is_known && p->parent == parent && p->space.words[0] == space.words[0] &&
           p->space.words[1] == space.words[1];
}

int32_t kv_tree_find(const struct kv_tree *tree, struct kv_space space, int32_t parent,
                     const int32_t *tokens)
{
    int32_t i = tree->buckets[bucket_of(tree, space, parent, tokens)];
    for (; i != KV_NO_PAGE; i = tree->pages[i].next) {
        const struct kv_page *p = &tree->pages[i];
        if (lies_behind(p, space, parent) && memcmp(p->tokens, tokens, sizeof p->tokens) == 0)
            return i;
    }
    return KV_NO_PAGE;
}

int32_t kv_tree_nearest(const struct kv_tree *tree, struct kv_space space, int32_t parent,
                        const int32_t *tokens, uint32_t n, uint32_t *n_common)
{
    int32_t best = KV_NO_PAGE;
    *n_common = 0;
    if (n > OLL_KV_PAGE - 1)
        n = OLL_KV_PAGE - 1;
    for (uint32_t i = 0; i < tree->n_page; i++) {
        const struct kv_page *p = &tree->pages[i];
        if (!lies_behind(p, space, parent))
            continue;
        uint32_t same = 0;
        while (same < n && p->tokens[same] == tokens[same])
            same++;
        if (same > *n_common) {
            *n_common = same;
            best = (int32_t)i;
        }
    }
    return best;
}

/* ---- pages that come and go ---- */

void kv_tree_add(struct kv_tree *tree, struct kv_space space, int32_t parent, const int32_t *tokens,
                 int32_t page)
{
    struct kv_page *p = &tree->pages[page];
    OLL_ASSERT(kv_tree_is_private(tree, page));
    p->is_known = true;
    p->parent = parent;
    p->space = space;
    memcpy(p->tokens, tokens, sizeof p->tokens);
    int32_t *bucket = &tree->buckets[bucket_of(tree, space, parent, tokens)];
    p->next = *bucket;
    *bucket = page;
    if (parent != KV_NO_PAGE)
        tree->pages[parent].n_children++;
}

/* Takes a leaf out of the tree. */
static void forget(struct kv_tree *tree, int32_t page)
{
    struct kv_page *p = &tree->pages[page];
    int32_t *link = &tree->buckets[bucket_of(tree, p->space, p->parent, p->tokens)];
    while (*link != page)
        link = &tree->pages[*link].next;
    *link = p->next;
    p->is_known = false;
    if (p->parent != KV_NO_PAGE)
        tree->pages[p->parent].n_children--;
}

/* The leaf without holders that has been used least recently. */
static int32_t oldest_leaf(const struct kv_tree *tree)
{
    int32_t best = KV_NO_PAGE;
    for (uint32_t i = 0; i < tree->n_page; i++) {
        const struct kv_page *p = &tree->pages[i];
        if (p->is_known && p->n_holders == 0 && p->n_children == 0 &&
            (best == KV_NO_PAGE || p->used < tree->pages[best].used))
            best = (int32_t)i;
    }
    return best;
}

int32_t kv_tree_take(struct kv_tree *tree)
{
    int32_t page = tree->free;
    if (page != KV_NO_PAGE) {
        tree->free = tree->pages[page].next;
    } else {
        page = oldest_leaf(tree);
        if (page == KV_NO_PAGE)
            return KV_NO_PAGE;
        if (tree->forget)
            tree->forget(tree->forget_arg, page);
        forget(tree, page);
    }
    tree->pages[page].n_holders = 1;
    return page;
}

void kv_tree_hold(struct kv_tree *tree, int32_t page) { tree->pages[page].n_holders++; }

void kv_tree_drop(struct kv_tree *tree, int32_t page)
{
    struct kv_page *p = &tree->pages[page];
    OLL_ASSERT(p->n_holders > 0);
    p->used = ++tree->tick;
    if (--p->n_holders > 0 || p->is_known)
        return;
    p->next = tree->free;
    tree->free = page;
}

bool kv_tree_is_private(const struct kv_tree *tree, int32_t page)
{
    return !tree->pages[page].is_known && tree->pages[page].n_holders == 1;
}
