/* Pages of the layers with one window: which sequences hold them, and which nodes of the tree they
 * belong to.
 *
 *   tree of all tokens     node 4 ── node 9 ── node 2 ── node 7      what tokens, from the
 * beginning on pages of a window         -        -       page 1    page 3      K and V, as far as
 * they are kept
 *
 * A sequence holds the pages that its newest tokens see, and lets the others go. A page whose node
 * is known stays after its last holder until its room is needed, least recently used first; so a
 * prompt can go on from a node when the pages of its window, the last ones before that node's end,
 * are still there, and else only from an earlier one.
 *
 * Only numbers, as in kv_tree.h. */
#ifndef OLL_ENGINE_KV_WINDOW_H
#define OLL_ENGINE_KV_WINDOW_H

#include "engine/kv_tree.h"

struct kv_window;

oll_status kv_window_new(uint32_t n_page, uint32_t n_node, struct kv_window **out,
                         struct oll_error *err) OLL_MUST_USE;
void kv_window_free(struct kv_window *win); /* NULL is accepted */

/* A page of no node, with one holder; KV_NO_PAGE when all are held. */
int32_t kv_window_take(struct kv_window *win);
void kv_window_hold(struct kv_window *win, int32_t page);
void kv_window_drop(struct kv_window *win, int32_t page);

/* The page of a node, or KV_NO_PAGE. */
int32_t kv_window_of(const struct kv_window *win, int32_t node);
/* Gives a page of no node to a node that has none. */
void kv_window_attach(struct kv_window *win, int32_t node, int32_t page);
/* The node is no longer known. */
void kv_window_forget(struct kv_window *win, int32_t node);

#endif
