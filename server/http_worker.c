/* Threads for handlers: made when needed, gone after a while without work, never more than the
 * maximum. When all are busy a request waits for one, in a queue of bounded length and for a
 * bounded time (http_conn_tick): many short requests at once are no reason to turn some away. */
#include "server/http_internal.h"

#include "engine/base/crypto.h"

#include <errno.h>
#include <time.h>

enum { IDLE_SECONDS = 10, STACK_BYTES = 512 * 1024, WAITING_MAX = 1024 };

oll_status http_workers_init(struct http_workers *workers, int max_threads)
{
    pthread_condattr_t attr;
    *workers = (struct http_workers){.max_threads = max_threads};
    if (pthread_condattr_init(&attr) != 0)
        return OLL_ERR_MEMORY;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->work, &attr);
    pthread_cond_init(&workers->ended, NULL);
    pthread_condattr_destroy(&attr);
    return OLL_OK;
}

/* The next connection, NULL when the thread should end. The lock is held. */
static struct http_conn *take(struct http_workers *workers)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SECONDS;
    workers->n_idle++;
    int rc = 0;
    while (!workers->first && !workers->stop && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&workers->work, &workers->lock, &until);
    workers->n_idle--;
    struct http_conn *conn = workers->first;
    if (conn) {
        workers->first = conn->next_queued;
        if (!workers->first)
            workers->last = NULL;
        workers->n_queued--;
        conn->queued = false;
    }
    return conn;
}

static void *worker_main(void *arg)
{
    struct http_workers *workers = arg;
    struct http_conn *conn;
    pthread_mutex_lock(&workers->lock);
    while ((conn = take(workers))) {
        pthread_mutex_unlock(&workers->lock);
        conn->plan.handler(&conn->req);
        http_reply_end(conn);
        http_server_hand_back(conn->server, conn);
        pthread_mutex_lock(&workers->lock);
    }
    oll_crypto_end_thread();
    workers->n_threads--;
    pthread_cond_signal(&workers->ended);
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

/* The lock is held. */
static bool spawn(struct http_workers *workers)
{
    pthread_attr_t attr;
    pthread_t thread;
    if (workers->n_threads >= workers->max_threads || pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    bool made = pthread_create(&thread, &attr, worker_main, workers) == 0;
    pthread_attr_destroy(&attr);
    workers->n_threads += made;
    return made;
}

bool http_workers_submit(struct http_workers *workers, struct http_conn *conn)
{
    pthread_mutex_lock(&workers->lock);
    bool ok = workers->n_idle > workers->n_queued || spawn(workers) ||
              workers->n_queued < workers->n_idle + WAITING_MAX;
    if (ok) {
        conn->next_queued = NULL;
        conn->queued = true;
        if (workers->last)
            workers->last->next_queued = conn;
        else
            workers->first = conn;
        workers->last = conn;
        workers->n_queued++;
        pthread_cond_signal(&workers->work);
    }
    pthread_mutex_unlock(&workers->lock);
    return ok;
}

bool http_workers_withdraw(struct http_workers *workers, struct http_conn *conn)
{
    pthread_mutex_lock(&workers->lock);
    const bool queued = conn->queued;
    if (queued) {
        struct http_conn *before = NULL;
        for (struct http_conn *c = workers->first; c != conn; c = c->next_queued)
            before = c;
        if (before)
            before->next_queued = conn->next_queued;
        else
            workers->first = conn->next_queued;
        if (workers->last == conn)
            workers->last = before;
        workers->n_queued--;
        conn->queued = false;
    }
    pthread_mutex_unlock(&workers->lock);
    return queued;
}

void http_workers_stop(struct http_workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->stop = true;
    pthread_cond_broadcast(&workers->work);
    while (workers->n_threads > 0)
        pthread_cond_wait(&workers->ended, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
    pthread_mutex_destroy(&workers->lock);
    pthread_cond_destroy(&workers->work);
    pthread_cond_destroy(&workers->ended);
}
