/* Pages of a cache that are kept in a folder, beyond their room in memory and the life of the
 * process (OLL_PREFIX_CACHE_DIR).
 *
 * Each known page of the tree has a key: a digest of the model and the form of its cache, of the
 * space that may see it, and of all tokens up to its end. A page goes to the folder when nobody
 * computes, at the latest when its room is taken or the cache is freed. A prompt that begins
 * as pages of the folder do gets them read beside the work of others; they come into the tree page
 * by page and are then taken over as any known beginning is. Pages of windows are kept where they
 * are there in an idle moment, and read as far as the window at the end of the beginning sees.
 *
 * Owned by a cache, used by its thread. */
#ifndef OLL_ENGINE_KV_KEEP_H
#define OLL_ENGINE_KV_KEEP_H

#include "engine/kv_cache.h"
#include "engine/kv_spill.h"

struct kv_keep_params {
    struct kv_spill_params spill;
    struct kv_key base; /* of all that makes pages of one cache useless to another */
};

/* From now on pages are kept. Only with a tree; before the first sequence. */
oll_status kv_keep_open(struct kv_cache *kv, const struct kv_keep_params *params,
                        struct oll_error *err) OLL_MUST_USE;
/* Writes what is not yet kept, for as long as KV_KEEP_CLOSE_MS allows. */
void kv_keep_close(struct kv_cache *kv);
enum { KV_KEEP_CLOSE_MS = 2000 };

/* For kv_share.c: a node has become known, with its page; one of its pages of a window has; a node
 * is about to be given away. */
void kv_keep_add(struct kv_cache *kv, struct kv_space space, int32_t parent, const int32_t *tokens,
                 int32_t node);
void kv_keep_know(struct kv_cache *kv, int group, int32_t node);
void kv_keep_forget(struct kv_cache *kv, int32_t node);

/* Puts one page that is not yet kept; false when there is none, or no room in the queue: then
 * spill.wake is called. */
bool kv_keep_step(struct kv_cache *kv);

/* Begins to read what the folder has of the beginning of `tokens` [n] beyond the positions that
 * the sequence would get without it, `held`. On true the sequence is empty and waits. */
bool kv_keep_fetch(struct kv_cache *kv, uint32_t seq, struct kv_space space, const int32_t *tokens,
                   uint32_t n, uint32_t held);
/* Takes in pages that have come, until about `deadline_ns`; true while more are to come. At false
 * the sequence is still empty; kv_cache_adopt finds the pages. They may be forgotten after
 * kv_keep_end, which any change of the sequence also calls. */
bool kv_keep_poll(struct kv_cache *kv, uint32_t seq, uint64_t deadline_ns);
void kv_keep_end(struct kv_cache *kv, uint32_t seq);

#endif
