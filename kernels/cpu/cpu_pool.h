/* Thread pool of one CPU device: workers created once and pinned, woken once per command list.
 *
 * The caller of cpu_pool_run is worker 0; the others sleep between lists, after spinning a while in
 * the hope of the next one. Inside a run they meet at spin barriers. One thread at a time calls
 * cpu_pool_run.
 *
 * When the machine is shared, a worker that was preempted makes all others wait a time slice. The
 * pool notices (two waits beyond a millisecond), gives up pinning and one worker for a while,
 * sleeps instead of spinning, and tries the full number again later. So the number of workers may
 * change from run to run: results must not depend on it. */
#ifndef OLL_KERNELS_CPU_POOL_H
#define OLL_KERNELS_CPU_POOL_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct cpu_pool;

/* Called by each worker of a run: ith of nth. */
typedef void (*cpu_pool_fn)(void *ctx, uint32_t ith, uint32_t nth);

/* `n_threads` 0: one per physical core within quota and affinity. */
oll_status cpu_pool_new(int n_threads, bool pin, struct cpu_pool **out,
                        struct oll_error *err) OLL_MUST_USE;
void cpu_pool_free(struct cpu_pool *pool); /* NULL is accepted */

uint32_t cpu_pool_size(const struct cpu_pool *pool);

/* Runs fn on at most `max_workers` workers (0: as many as there are) and returns when all are done.
 */
void cpu_pool_run(struct cpu_pool *pool, uint32_t max_workers, cpu_pool_fn fn, void *ctx);

/* Inside a run: all of its workers meet. Everything written before is visible after. */
void cpu_pool_barrier(struct cpu_pool *pool, uint32_t ith);

#endif
