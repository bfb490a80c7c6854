/* Plans that are kept: made once per file and options, shared by who waits, never too many at once.
 */
#include "server/plan_cache.h"

#include "engine/base/mem.h"
#include "tests/testing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 12 };

static atomic_int n_made, n_at_once, n_most, next_status;
static char folder[64];

static void sleep_ms(long ms)
{
    const struct timespec t = {0, ms * 1000000};
    nanosleep(&t, NULL);
}

static oll_status make(struct runners *runners, const struct runner_wish *wish,
                       struct oll_plan *out, struct oll_error *err)
{
    (void)runners;
    const int n = atomic_fetch_add(&n_at_once, 1) + 1;
    if (n > atomic_load(&n_most))
        atomic_store(&n_most, n);
    atomic_fetch_add(&n_made, 1);
    for (int i = 0; i < 5 && !(wish->gone && wish->gone(wish->arg)); i++)
        sleep_ms(10);
    atomic_fetch_sub(&n_at_once, 1);
    if (wish->gone && wish->gone(wish->arg))
        return OLL_FAIL(err, OLL_ERR_CANCELED, "request canceled");
    const oll_status status = (oll_status)atomic_load(&next_status);
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "no plan");
    *out = (struct oll_plan){.n_ctx = wish->params.n_ctx,
                             .n_layer = 1,
                             .layer_bytes = oll_calloc(2, sizeof *out->layer_bytes),
                             .layer_kv_bytes = oll_calloc(1, sizeof *out->layer_kv_bytes)};
    out->layer_bytes[1] = 7;
    return OLL_OK;
}

static const char *file(const char *name, const char *content)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    OLL_ASSERT(f);
    fputs(content, f);
    fclose(f);
    return path;
}

static void set_up(void)
{
    snprintf(folder, sizeof folder, "plans-XXXXXX");
    OLL_ASSERT(mkdtemp(folder));
    atomic_store(&n_made, 0);
    atomic_store(&n_most, 0);
    atomic_store(&next_status, OLL_OK);
}

static void tear_down(const char *const *names)
{
    char path[128];
    for (; *names; names++) {
        snprintf(path, sizeof path, "%s/%s", folder, *names);
        unlink(path);
    }
    rmdir(folder);
}

static int plans_made(struct plan_cache *cache, const struct oll_engine_params *params)
{
    const struct runner_wish wish = {.params = *params, .name = "m"};
    struct oll_plan plan = {0};
    const int before = atomic_load(&n_made);
    CHECK_OK(plan_cache_get(cache, &wish, &plan, NULL));
    CHECK_EQ(plan.n_ctx, params->n_ctx);
    CHECK_EQ(plan.layer_bytes[1], 7);
    oll_plan_free(&plan);
    return atomic_load(&n_made) - before;
}

TEST(made_once_per_file_and_options)
{
    set_up();
    struct plan_cache *cache = plan_cache_new(make, NULL);
    struct oll_engine_params params = {.model_path = file("a", "1"), .n_ctx = 64};
    CHECK_EQ(plans_made(cache, &params), 1);
    CHECK_EQ(plans_made(cache, &params), 0);
    params.n_ctx = 128;
    CHECK_EQ(plans_made(cache, &params), 1);
    params.devices = "ref";
    CHECK_EQ(plans_made(cache, &params), 1);
    CHECK_EQ(plans_made(cache, &params), 0);
    file("a", "12"); /* the same name, another file */
    CHECK_EQ(plans_made(cache, &params), 1);
    params.model_path = "nowhere"; /* not to be told from others: nothing is kept */
    CHECK_EQ(plans_made(cache, &params), 1);
    CHECK_EQ(plans_made(cache, &params), 1);
    plan_cache_free(cache);
    tear_down((const char *const[]){"a", NULL});
}

struct asker {
    struct plan_cache *cache;
    struct oll_engine_params params;
    bool (*gone)(void *arg);
    oll_status status;
    pthread_t thread;
};

static void *ask(void *arg)
{
    struct asker *a = arg;
    struct oll_plan plan = {0};
    struct oll_error err = {0};
    const struct runner_wish wish = {.params = a->params, .name = "m", .gone = a->gone};
    a->status = plan_cache_get(a->cache, &wish, &plan, &err);
    CHECK(a->status == OLL_OK || err.text[0]);
    oll_plan_free(&plan);
    return NULL;
}

static void ask_all(struct asker *askers, int n)
{
    for (int i = 0; i < n; i++)
        OLL_ASSERT(pthread_create(&askers[i].thread, NULL, ask, &askers[i]) == 0);
    for (int i = 0; i < n; i++)
        pthread_join(askers[i].thread, NULL);
}

TEST(who_waits_shares_plan_and_failure)
{
    set_up();
    struct plan_cache *cache = plan_cache_new(make, NULL);
    const struct oll_engine_params params = {.model_path = file("a", "1"), .n_ctx = 64};
    for (int k = 0; k < 2; k++) {
        const oll_status status = k == 0 ? OLL_ERR_FORMAT : OLL_OK;
        struct asker askers[THREADS];
        atomic_store(&next_status, (int)status);
        for (int i = 0; i < THREADS; i++)
            askers[i] = (struct asker){.cache = cache, .params = params};
        ask_all(askers, THREADS);
        for (int i = 0; i < THREADS; i++)
            CHECK_STATUS(askers[i].status, status);
    }
    CHECK(atomic_load(&n_made) < THREADS); /* failures are not kept: a late one tries again */
    plan_cache_free(cache);
    tear_down((const char *const[]){"a", NULL});
}

TEST(few_at_once_whatever_is_asked)
{
    set_up();
    struct plan_cache *cache = plan_cache_new(make, NULL);
    const char *path = file("a", "1");
    struct asker askers[THREADS];
    for (int i = 0; i < THREADS; i++)
        askers[i] = (struct asker){.cache = cache,
                                   .params = {.model_path = path, .n_ctx = 64 + (uint32_t)i}};
    ask_all(askers, THREADS);
    CHECK_EQ(atomic_load(&n_made), THREADS);
    CHECK(atomic_load(&n_most) <= PLAN_CACHE_AT_ONCE);
    CHECK(atomic_load(&n_most) > 1);
    plan_cache_free(cache);
    tear_down((const char *const[]){"a", NULL});
}

static bool at_once(void *arg)
{
    (void)arg;
    return true;
}

TEST(one_that_goes_takes_nobody_along)
{
    set_up();
    struct plan_cache *cache = plan_cache_new(make, NULL);
    const struct oll_engine_params params = {.model_path = file("a", "1"), .n_ctx = 64};
    struct asker askers[THREADS];
    for (int i = 0; i < THREADS; i++)
        askers[i] =
            (struct asker){.cache = cache, .params = params, .gone = i % 2 ? NULL : at_once};
    ask_all(askers, THREADS);
    for (int i = 1; i < THREADS; i += 2)
        CHECK_OK(askers[i].status);
    plan_cache_free(cache);
    tear_down((const char *const[]){"a", NULL});
}

TEST(the_oldest_goes_first)
{
    set_up();
    struct plan_cache *cache = plan_cache_new(make, NULL);
    const char *path = file("a", "1");
    struct oll_engine_params first = {.model_path = path, .n_ctx = 1000};
    CHECK_EQ(plans_made(cache, &first), 1);
    for (int k = 0; k < PLAN_CACHE_MAX; k += THREADS) {
        struct asker askers[THREADS];
        for (int i = 0; i < THREADS; i++)
            askers[i] = (struct asker){.cache = cache,
                                       .params = {.model_path = path, .n_ctx = (uint32_t)(k + i)}};
        ask_all(askers, THREADS);
    }
    CHECK_EQ(plans_made(cache, &first), 1);
    plan_cache_free(cache);
    tear_down((const char *const[]){"a", NULL});
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
