/* KV cache: what the sequences of a context have seen, layer by layer.
 *
 * Layers with the same window form a group and share a page table:
 *
 *   group 0, no window         seq 0 | page 0 | page 1 | page 2 | ...  ceil(n_ctx / 32) columns
 *                              seq 1 | page 0 | page 7 | ...
 *   group 1, window W (ring)   seq 0 | 9 | 1 | 2 |     position p lies in column (p / 32) % n_col;
 *                              seq 1 | 3 | 8 | 5 |     n_col holds W and one ubatch
 *
 * and every layer of a group has a buffer of its own, K pages first, then V pages:
 *
 *   layer il   | K page 0 | K page 1 | ... | V page 0 | V page 1 | ... |
 *
 * so that memory is touched only where a sequence has been.
 *
 * Pages belong to nobody for good: a tree (kv_tree.h) knows what the whole ones hold, sequences
 * with a common beginning hold the same pages, and pages stay after their sequences until their
 * room is needed. Pages of a window hang on the nodes of the tree (kv_window.h), as far as there is
 * room for them. An encoder sees its input at once and keeps nothing: all its layers work in one
 * buffer, always f32, without a tree.
 *
 * State of a sequence that is no list of positions (recurrent layers) does not belong here; it
 * will be a sibling with the same verbs, and a sequence goes back only as far as all of them can.
 *
 * Owned by a context, used by its thread. */
#ifndef OLL_ENGINE_KV_CACHE_H
#define OLL_ENGINE_KV_CACHE_H

#include "engine/kv_tree.h"
#include "engine/kv_window.h"
#include "engine/model.h"

enum { KV_MAX_GROUPS = 8 };

/* Columns [begin, end) of a window that a sequence holds. */
struct kv_span {
    uint32_t begin, end;
    bool dirty; /* the devices' tables lack some of them */
};

/* Layers with one window. */
struct kv_group {
    uint32_t window;                                  /* 0: the whole context */
    uint32_t n_col;                                   /* pages of one sequence */
    uint64_t n_page;                                  /* of all sequences */
    struct oll_buffer *tables[PLACEMENT_MAX_DEVICES]; /* [n_seq, n_col] i32 where layers need it */
    /* of a window */
    struct kv_window *win;
    int32_t *rings;        /* [n_seq, n_col] */
    struct kv_span *spans; /* [n_seq] */
};

struct kv_sequence {
    uint32_t n;                      /* positions held, 0..n - 1 */
    uint32_t n_held, n_known;        /* nodes held; of them known to the tree */
    uint32_t dirty_begin, dirty_end; /* columns that the devices' tables lack */
};

struct kv_keep;

struct kv_cache {
    uint32_t n_ctx, n_seq, n_ubatch;
    enum oll_dtype dtype;
    int n_group;
    struct kv_group groups[KV_MAX_GROUPS];
    int i_full; /* the group without a window, -1: none */
    uint32_t n_layer;
    uint8_t *layer_group;        /* [n_layer] */
    struct oll_kv *layers;       /* [n_layer], as ops take them */
    struct oll_buffer **buffers; /* [n_layer], an encoder's first alone */
    struct kv_sequence *seqs;    /* [n_seq] */
    struct kv_tree *tree;        /* NULL: an encoder */
    uint32_t n_col, n_node;      /* nodes of one sequence, of the tree */
    int32_t *table;              /* [n_seq, n_col] nodes: pages of the group without a window */
    struct kv_keep *keep;        /* NULL: pages live no longer than the cache (kv_keep.h) */
};

struct kv_params {
    uint32_t n_ctx, n_seq, n_ubatch;
    enum oll_dtype dtype; /* falls back to f16 where heads are no whole blocks */
};

static inline bool kv_cache_can_be(enum oll_dtype dtype)
{
    return dtype == OLL_F16 || dtype == OLL_F32 || dtype == OLL_Q8_0 || dtype == OLL_Q4_0;
}
/* Fills the plan with what kv_cache_new will allocate. */
oll_status kv_cache_plan(const struct oll_model *model, const struct kv_params *params,
                         struct plan *plan, struct oll_error *err) OLL_MUST_USE;
oll_status kv_cache_new(const struct oll_model *model, const struct kv_params *params,
                        struct kv_cache **out, struct oll_error *err) OLL_MUST_USE;
void kv_cache_free(struct kv_cache *kv); /* NULL is accepted */

/* Sequence `seq` goes on by n positions that a pass is about to store (kv_cache_store), or that one
 * has stored for good (kv_cache_commit). */
oll_status kv_cache_store(struct kv_cache *kv, uint32_t seq, uint32_t n,
                          struct oll_error *err) OLL_MUST_USE;
void kv_cache_commit(struct kv_cache *kv, uint32_t seq, uint32_t n);
/* Keeps the first n positions. False, and the sequence empty, when what position n needs to see of
 * a window is gone. */
bool kv_cache_truncate(struct kv_cache *kv, uint32_t seq, uint32_t n);

/* ---- contents of pages (kv_page.c) ---- */

/* All layers of the group, one after another. Between passes alone. */
size_t kv_page_bytes(const struct kv_cache *kv, int group);
oll_status kv_page_download(const struct kv_cache *kv, int group, int32_t page,
                            void *to) OLL_MUST_USE;
oll_status kv_page_upload(struct kv_cache *kv, int group, int32_t page,
                          const void *from) OLL_MUST_USE;
/* False when memory is short. */
bool kv_page_copy(struct kv_cache *kv, int group, int32_t to, int32_t from);

/* ---- common beginnings (kv_share.c) ---- */

/* Positions of `tokens` [n] that kv_cache_adopt would find in whole pages. */
uint32_t kv_cache_match(const struct kv_cache *kv, struct kv_space space, const int32_t *tokens,
                        uint32_t n);
/* The sequence becomes the longest known beginning of `tokens` [n]; its new length. */
uint32_t kv_cache_adopt(struct kv_cache *kv, uint32_t seq, struct kv_space space,
                        const int32_t *tokens, uint32_t n);
/* Makes the whole pages of the sequence known, of which `tokens` [n] are the first ones. */
void kv_cache_publish(struct kv_cache *kv, uint32_t seq, struct kv_space space,
                      const int32_t *tokens, uint32_t n);
/* For kv_cache.c: pages for positions up to n, and the devices' tables; and letting go of all
 * behind the first n positions, of which the last page becomes the sequence's own. */
oll_status kv_cache_reserve(struct kv_cache *kv, uint32_t seq, uint32_t n,
                            struct oll_error *err) OLL_MUST_USE;
bool kv_cache_cut(struct kv_cache *kv, uint32_t seq, uint32_t n);
/* The tree is about to give a node away (kv_tree_watch; `arg` is the cache). */
void kv_cache_forget(void *arg, int32_t node);
/* First column of a window that a token at position n sees. */
uint32_t kv_window_first(const struct kv_group *g, uint32_t n);

#endif
