/* Pages on their way to and from a folder (kv_disk.h), without making anybody wait.
 *
 *   engine thread ── kv_spill_put ──► queue ──► writer, which gives way to all other threads
 *                 ◄─ kv_fetch_next ── list  ◄── reader, a few pages ahead of who takes them
 *
 * What does not fit into the queue is not put, and what cannot be written is dropped: a page that
 * is lost is computed again. All functions are for one thread, that which owns the cache. */
#ifndef OLL_ENGINE_KV_SPILL_H
#define OLL_ENGINE_KV_SPILL_H

#include "engine/kv_disk.h"

struct kv_spill;

struct kv_spill_params {
    const char *folder;
    uint64_t max_bytes;
    /* Called by the threads of the spill when a page has come, or when there is room again after
     * kv_spill_has_room said that there was none. */
    void (*wake)(void *arg);
    void *arg;
};

oll_status kv_spill_open(const struct kv_spill_params *params, struct kv_spill **out,
                         struct oll_error *err) OLL_MUST_USE;
/* Waits for what is queued, at most until the deadline (oll_clock_ns). NULL is accepted. */
void kv_spill_close(struct kv_spill *spill, uint64_t deadline_ns);

bool kv_spill_has(const struct kv_spill *spill, const struct kv_key *key, size_t n);
/* Whether a page of n bytes may be put now. */
bool kv_spill_has_room(struct kv_spill *spill, size_t n);
/* Takes over the payload (engine/base/mem.h). */
void kv_spill_put(struct kv_spill *spill, const struct kv_key *key, void *payload, size_t n);
/* Waits until kv_spill_has_room would say yes; false when the deadline has passed. */
bool kv_spill_wait(struct kv_spill *spill, size_t n, uint64_t deadline_ns);

/* Pages that are being read, in order. */
struct kv_fetch;
struct kv_fetch_item {
    struct kv_key key;
    size_t n_bytes;
};
/* Copies the items; NULL when memory is short. */
struct kv_fetch *kv_spill_fetch(struct kv_spill *spill, const struct kv_fetch_item *items,
                                uint32_t n);
/* The next page, for the caller to free. OLL_ERR_TIMEOUT: not there yet; OLL_ERR_NOT_FOUND: there
 * are no more, or the next one was damaged. */
oll_status kv_fetch_next(struct kv_spill *spill, struct kv_fetch *fetch, void **payload);
void kv_fetch_end(struct kv_spill *spill, struct kv_fetch *fetch); /* NULL is accepted */

#endif
