/* The threads around the scheduler's policy: requests, loads, unloadings and the clock at once,
 * with runners that are made up. */
#include "server/schedule.h"
#include "tests/testing.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { MODELS = 4, THREADS = 8, ROUNDS = 60 };

/* What stands for a loaded model; the scheduler only passes the pointer on. */
struct fake {
    struct oll_model_info info;
    int i;
};

static struct schedule *schedule;
static atomic_int n_open[MODELS], n_opens, n_closes, n_loading;
static atomic_int load_ms;
static atomic_bool overlapping, fails;

static void sleep_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000},
              NULL);
}

static oll_status fake_open(struct runners *processes, const struct runner_wish *wish,
                            struct runner_engine **out, struct oll_error *err)
{
    (void)processes;
    if (atomic_fetch_add(&n_loading, 1) > 0)
        atomic_store(&overlapping, true);
    for (int t = 0; t < atomic_load(&load_ms); t++) {
        sleep_ms(1);
        if (wish->gone && wish->gone(wish->arg)) {
            atomic_fetch_sub(&n_loading, 1);
            return OLL_FAIL(err, OLL_ERR_CANCELED, "given up");
        }
    }
    atomic_fetch_sub(&n_loading, 1);
    if (atomic_load(&fails))
        return OLL_FAIL(err, OLL_ERR_FORMAT, "%s: no magic", wish->params.model_path);
    struct fake *f = oll_calloc(1, sizeof *f);
    OLL_ASSERT(f);
    f->i = wish->params.model_path[strlen(wish->params.model_path) - 1] - '0';
    f->info = (struct oll_model_info){.weights_bytes = 1000,
                                      .kv_bytes = 100,
                                      .activation_bytes = 10,
                                      .n_ctx = wish->params.n_ctx};
    atomic_fetch_add(&n_open[f->i], 1);
    atomic_fetch_add(&n_opens, 1);
    *out = (struct runner_engine *)f;
    return OLL_OK;
}

static void fake_close(struct runner_engine *engine)
{
    struct fake *f = (struct fake *)engine;
    atomic_fetch_sub(&n_open[f->i], 1);
    atomic_fetch_add(&n_closes, 1);
    oll_free(f);
}

static const struct oll_model_info *fake_info(const struct runner_engine *engine)
{
    return &((const struct fake *)engine)->info;
}

static const struct schedule_runners fakes = {fake_open, fake_close, fake_info};

static void begin(struct schedule_config config)
{
    config.runners = &fakes;
    atomic_store(&n_opens, 0);
    atomic_store(&n_closes, 0);
    atomic_store(&overlapping, false);
    atomic_store(&fails, false);
    CHECK_OK(schedule_new(&config, &schedule, NULL));
}

/* Every runner that was started has been ended. */
static void end(void)
{
    schedule_free(schedule);
    CHECK_EQ(atomic_load(&n_opens), atomic_load(&n_closes));
}

static struct schedule_want want_of(int i)
{
    static const char *const paths[MODELS] = {"/models/0", "/models/1", "/models/2", "/models/3"};
    static const char *const names[MODELS] = {"m0", "m1", "m2", "m3"};
    return (struct schedule_want){
        .path = paths[i], .name = names[i], .num_gpu = -1, .main_gpu = -1, .use_mmap = -1};
}

static void *client_main(void *arg)
{
    uint64_t random = (uint64_t)(uintptr_t)arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct schedule_want want = want_of((int)(testing_random(&random) % MODELS));
        struct lease *lease = NULL;
        want.set_keep_alive = testing_random(&random) % 4 == 0;
        want.num_ctx = testing_random(&random) % 8 == 0 ? 2048 : 0;
        CHECK_OK(schedule_acquire(schedule, &want, &lease, NULL));
        if (!lease)
            continue;
        const struct fake *f = (const struct fake *)schedule_engine(lease);
        CHECK_EQ(f->i, want.path[strlen(want.path) - 1] - '0');
        CHECK_EQ(f->info.n_ctx, want.num_ctx ? 2048 : 4096);
        CHECK_EQ(atomic_load(&n_open[f->i]), 1);
        if (testing_random(&random) % 8 == 0)
            schedule_expire(schedule, want.path, NULL);
        schedule_release(lease);
    }
    return NULL;
}

TEST(many_threads_share_few_models)
{
    pthread_t threads[THREADS];
    atomic_store(&load_ms, 1);
    begin((struct schedule_config){.max_loaded = 2, .keep_alive_ns = 2000000});
    for (uintptr_t i = 0; i < THREADS; i++)
        OLL_ASSERT(pthread_create(&threads[i], NULL, client_main, (void *)(i + 1)) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_MSG(!atomic_load(&overlapping), "two loads at once on one device");
    end();
}

TEST(an_idle_model_goes_by_itself)
{
    struct schedule_want want = want_of(0);
    struct lease *lease;
    atomic_store(&load_ms, 0);
    begin((struct schedule_config){.keep_alive_ns = 20000000});
    CHECK_OK(schedule_acquire(schedule, &want, &lease, NULL));
    schedule_release(lease);
    uint64_t begin_ns = oll_clock_ns();
    while (atomic_load(&n_closes) == 0 && oll_clock_ns() - begin_ns < 5000000000u)
        sleep_ms(1);
    CHECK_EQ(atomic_load(&n_closes), 1);
    CHECK(oll_clock_ns() - begin_ns >= 19000000);
    end();
}

static atomic_int n_inside, most_inside;

static void *turn_main(void *arg)
{
    const struct schedule_want want = want_of(0);
    struct schedule_turn turn = {.client = (uintptr_t)arg % 2 ? "odd" : "even", .n_tokens = 10};
    for (int i = 0; i < ROUNDS; i++) {
        struct lease *lease = NULL;
        int position;
        CHECK_OK(schedule_acquire(schedule, &want, &lease, NULL));
        CHECK_OK(schedule_enter(lease, &turn, &position, NULL));
        const int n = atomic_fetch_add(&n_inside, 1) + 1;
        if (n > atomic_load(&most_inside))
            atomic_store(&most_inside, n);
        atomic_fetch_sub(&n_inside, 1);
        if (i % 3)
            schedule_leave(lease, 12);
        schedule_release(lease);
    }
    return NULL;
}

TEST(turns_end_and_are_never_too_many)
{
    pthread_t threads[THREADS];
    atomic_store(&load_ms, 0);
    atomic_store(&most_inside, 0);
    begin((struct schedule_config){.n_slots = 2, .keep_alive_ns = SCHEDULE_FOREVER});
    for (uintptr_t i = 0; i < THREADS; i++)
        OLL_ASSERT(pthread_create(&threads[i], NULL, turn_main, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(atomic_load(&most_inside) <= 3);
    end();
}

static bool is_set(void *arg) { return atomic_load((atomic_bool *)arg); }

struct hasty {
    struct schedule_want want;
    oll_status status;
    atomic_bool gone;
};

static void *hasty_main(void *arg)
{
    struct hasty *h = arg;
    struct lease *lease = NULL;
    h->want.gone = is_set;
    h->want.gone_arg = &h->gone;
    h->status = schedule_acquire(schedule, &h->want, &lease, NULL);
    schedule_release(lease);
    return NULL;
}

TEST(a_client_that_goes_ends_its_load)
{
    struct hasty h = {.want = want_of(1)};
    pthread_t thread;
    atomic_store(&load_ms, 60000);
    begin((struct schedule_config){0});
    OLL_ASSERT(pthread_create(&thread, NULL, hasty_main, &h) == 0);
    while (atomic_load(&n_loading) == 0)
        sleep_ms(1);
    atomic_store(&h.gone, true);
    uint64_t begin_ns = oll_clock_ns();
    pthread_join(thread, NULL);
    CHECK_STATUS(h.status, OLL_ERR_CANCELED);
    while (atomic_load(&n_loading) > 0)
        sleep_ms(1);
    CHECK(oll_clock_ns() - begin_ns < 2000000000u);
    end();
}

TEST(a_load_that_stands_still_is_given_up)
{
    struct schedule_want want = want_of(2);
    struct lease *lease = NULL;
    struct oll_error err = {0};
    atomic_store(&load_ms, 60000);
    begin((struct schedule_config){.load_timeout_ns = 50000000});
    CHECK_STATUS(schedule_acquire(schedule, &want, &lease, &err), OLL_ERR_INTERNAL);
    CHECK_STR(err.text, "timed out waiting for m2 to start");
    end();
}

TEST(errors_name_no_path)
{
    struct schedule_want want = want_of(3);
    struct lease *lease = NULL;
    struct oll_error err = {0};
    atomic_store(&load_ms, 0);
    begin((struct schedule_config){0});
    atomic_store(&fails, true);
    CHECK_STATUS(schedule_acquire(schedule, &want, &lease, &err), OLL_ERR_FORMAT);
    CHECK_MSG(strstr(err.text, "no magic") && !strstr(err.text, "/models"), "%s", err.text);
    end();
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
