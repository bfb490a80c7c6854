/* Tree of KV pages: which pages are whole, what tokens they hold, and who holds them.
 *
 *   root ── "You are a help..." ─┬─ "...ful poet. Wri" ── ...
 *           page 7, 2 holders    └─ "...ful cook. Tel"            a node is one page of OLL_KV_PAGE
 * tokens page 3, no holder: stays until its room is needed
 *
 * A page becomes known (part of the tree) when all its positions are stored; from then on nobody
 * writes to it. What a page holds depends on all tokens before it, so it is found by its parent's
 * page and its own tokens, which are compared in full. Trees of different spaces (kv_space) share
 * nothing.
 *
 * Who holds a page holds its parents. So a page without holders has none below it either, and room
 * is made leaf by leaf, least recently used first. With as many pages as all sequences together can
 * hold, kv_tree_take always finds one for a sequence that may grow.
 *
 * Only numbers: contents lie in the caches of the layers. (After RadixAttention: Zheng et al. 2024,
 * arXiv:2312.07104; by whole pages.) */
#ifndef OLL_ENGINE_KV_TREE_H
#define OLL_ENGINE_KV_TREE_H

#include "engine/base/status.h"
#include "kernels/device.h"

#include <stdbool.h>
#include <stdint.h>

enum { KV_NO_PAGE = -1 };

/* Who may share: a digest of a name. */
struct kv_space {
    uint64_t words[2];
};

struct kv_tree;

oll_status kv_tree_new(uint32_t n_page, struct kv_tree **out, struct oll_error *err) OLL_MUST_USE;
void kv_tree_free(struct kv_tree *tree); /* NULL is accepted */

/* `forget` is called with each known page that is about to be taken, while it still holds what it
 * held; it must not call the tree. */
void kv_tree_watch(struct kv_tree *tree, void (*forget)(void *arg, int32_t page), void *arg);

/* A page that holds nothing, with one holder; KV_NO_PAGE when all are held. */
int32_t kv_tree_take(struct kv_tree *tree);
void kv_tree_hold(struct kv_tree *tree, int32_t page);
void kv_tree_drop(struct kv_tree *tree, int32_t page);
/* Whether its only holder may write to it. */
bool kv_tree_is_private(const struct kv_tree *tree, int32_t page);

/* The page of `tokens` [OLL_KV_PAGE] behind `parent` (KV_NO_PAGE: at the beginning), or KV_NO_PAGE.
 */
int32_t kv_tree_find(const struct kv_tree *tree, struct kv_space space, int32_t parent,
                     const int32_t *tokens);
/* The page behind `parent` with the longest common beginning with tokens [n]; *n_common tokens are
 * equal, fewer than OLL_KV_PAGE. KV_NO_PAGE when none begins so. */
int32_t kv_tree_nearest(const struct kv_tree *tree, struct kv_space space, int32_t parent,
                        const int32_t *tokens, uint32_t n, uint32_t *n_common);
/* Makes a private page known. */
void kv_tree_add(struct kv_tree *tree, struct kv_space space, int32_t parent, const int32_t *tokens,
                 int32_t page);

#endif
