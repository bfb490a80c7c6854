/* Plans of models that were made lately, by file and options.
 *
 * Who wants a plan that somebody else is making waits for it, and shares its failure; failures are
 * not kept. No more than a few are made at once. Any thread may call. */
#ifndef OLL_SERVER_PLAN_CACHE_H
#define OLL_SERVER_PLAN_CACHE_H

#include "server/runner.h"

enum { PLAN_CACHE_MAX = 64, PLAN_CACHE_AT_ONCE = 4 };

struct plan_cache;

typedef oll_status (*plan_cache_make_fn)(struct runners *runners, const struct runner_wish *wish,
                                         struct oll_plan *out, struct oll_error *err);

/* NULL: no memory. `make` makes plans; `runners` is its first argument. */
struct plan_cache *plan_cache_new(plan_cache_make_fn make, struct runners *runners);
/* When nobody is inside; NULL is accepted. */
void plan_cache_free(struct plan_cache *cache);

/* A plan of the caller's own, for oll_plan_free. A file that changed (its identity, size or time)
 * is another one; so is one with another adapter or other parameters. Of a file in several parts
 * the first one counts. Errors are those of `make`; OLL_ERR_CANCELED: the wish's `gone`. */
oll_status plan_cache_get(struct plan_cache *cache, const struct runner_wish *wish,
                          struct oll_plan *out, struct oll_error *err) OLL_MUST_USE;

#endif
