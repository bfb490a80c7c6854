#include "engine/convert/row_pool.h"

#include "engine/base/platform.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS_MAX = 64 };

struct share {
    convert_rows_fn fn;
    void *user;
    uint64_t n_rows, n_piece;
    _Atomic uint64_t next; /* first row that nobody has taken; relaxed, join orders the results */
};

static void *work(void *arg)
{
    struct share *s = arg;
    for (;;) {
        uint64_t first = atomic_fetch_add_explicit(&s->next, s->n_piece, memory_order_relaxed);
        if (first >= s->n_rows)
            return NULL;
        uint64_t last = s->n_rows - first > s->n_piece ? first + s->n_piece : s->n_rows;
        s->fn(s->user, first, last);
    }
}

void convert_rows(convert_rows_fn fn, void *user, uint64_t n_rows, uint64_t n_piece, int n_threads)
{
    struct share share = {.fn = fn, .user = user, .n_rows = n_rows, .n_piece = n_piece};
    pthread_t threads[THREADS_MAX];
    uint64_t n_pieces = (n_rows + n_piece - 1) / n_piece;
    int n = 0, wanted = n_threads < THREADS_MAX ? n_threads - 1 : THREADS_MAX;
    while (n < wanted && (uint64_t)n + 1 < n_pieces &&
           pthread_create(&threads[n], NULL, work, &share) == 0)
        n++;
    work(&share);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

int convert_thread_count(void)
{
    int ids[OLL_CPU_MAX], n_physical = 0;
    (void)oll_platform_cpus(ids, OLL_CPU_MAX, &n_physical);
    return n_physical > 0 ? n_physical : 1;
}
