/* Names that come and go, what is removed with them, and what locks and leases keep. */
#include "engine/base/mem.h"
#include "registry/store_gc.h"
#include "tests/unit/registry/store_fixture.h"

#include <sys/wait.h>

static struct oll_digest a[2], b[2];
static const char absent_blob[] =
    "blobs/sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

TEST(two_models_share_a_blob)
{
    struct oll_reference one = name_of("one"), two = name_of("h.x:5000/ns/two:t");
    open_store();
    CHECK_OK(put_model("one", "weights", "system 1", a, NULL));
    CHECK_OK(put_model("h.x:5000/ns/two:t", "weights", "system 2", b, NULL));
    CHECK(exists("manifests/registry.ollama.ai/library/one/latest"));
    CHECK_OK(oll_catalog_remove(store, &one, NULL));
    CHECK(exists(blob_name(&a[0])) && !exists(blob_name(&a[1])) && exists(blob_name(&b[1])));
    CHECK(!exists("manifests/registry.ollama.ai") && exists("manifests/h.x:5000/ns/two/t"));
    CHECK_STATUS(oll_catalog_remove(store, &one, NULL), OLL_ERR_NOT_FOUND);
    CHECK_OK(oll_catalog_remove(store, &two, NULL));
    CHECK(!exists(blob_name(&a[0])) && !exists(blob_name(&b[1])) && exists("manifests"));
    close_store();
}

TEST(a_copy_shares_everything)
{
    struct oll_reference one = name_of("one"), two = name_of("two"), three = name_of("three");
    char *bytes[2] = {NULL, NULL};
    size_t n[2];
    open_store();
    CHECK_OK(put_model("one", "weights", "system", a, NULL));
    CHECK_STATUS(oll_catalog_copy(store, &three, &two, NULL), OLL_ERR_NOT_FOUND);
    CHECK_OK(oll_catalog_copy(store, &one, &two, NULL));
    CHECK_OK(oll_catalog_copy(store, &one, &one, NULL));
    CHECK_OK(oll_catalog_read(store, &one, &bytes[0], &n[0], NULL));
    CHECK_OK(oll_catalog_read(store, &two, &bytes[1], &n[1], NULL));
    CHECK_STR(bytes[0], bytes[1]);
    CHECK_OK(oll_catalog_remove(store, &one, NULL));
    CHECK(exists(blob_name(&a[0])));
    oll_free(bytes[0]);
    oll_free(bytes[1]);
    close_store();
}

TEST(a_manifest_needs_its_blobs)
{
    struct oll_error err = {0};
    struct oll_reference one = name_of("one");
    open_store();
    CHECK_OK(put_model("one", "weights", "system", a, NULL));
    char *bytes = NULL;
    size_t n;
    CHECK_OK(oll_catalog_read(store, &one, &bytes, &n, NULL));
    CHECK_EQ(unlink(path_of(blob_name(&a[0]))), 0);
    CHECK_STATUS(oll_catalog_write(store, &one, bytes, n, &err), OLL_ERR_NOT_FOUND);
    CHECK(strstr(err.text, "is missing from the model store") != NULL);
    oll_free(bytes);
    close_store();
}

TEST(what_a_replaced_manifest_leaves)
{
    struct oll_reference one = name_of("one");
    struct oll_digest *left = NULL;
    char *old = NULL, *now = NULL;
    size_t n_old, n_now, n = 0;
    open_store();
    CHECK_OK(put_model("one", "weights", "system 1", a, NULL));
    CHECK_OK(oll_catalog_read(store, &one, &old, &n_old, NULL));
    CHECK_OK(put_model("one", "weights", "system 2", b, NULL));
    CHECK_OK(oll_catalog_read(store, &one, &now, &n_now, NULL));
    CHECK_OK(oll_catalog_replaced(old, n_old, now, n_now, &left, &n, NULL));
    CHECK_EQ(n, 1);
    CHECK(n == 1 && memcmp(&left[0], &a[1], sizeof a[1]) == 0);
    CHECK_OK(oll_store_drop_unused(store, left, n, NULL));
    CHECK(!exists(blob_name(&a[1])) && exists(blob_name(&b[1])) && exists(blob_name(&a[0])));
    oll_free(left);
    CHECK_OK(oll_catalog_replaced("{broken", 7, now, n_now, &left, &n, NULL));
    CHECK_EQ(n, 0);
    oll_free(left);
    oll_free(old);
    oll_free(now);
    close_store();
}

TEST(a_lease_keeps_what_it_names)
{
    struct oll_lease *lease;
    struct oll_digest digest;
    open_store();
    CHECK_OK(oll_lease_new(store, &lease, NULL));
    CHECK_OK(oll_blob_put(store, lease, "abc", 3, &digest, NULL, NULL));
    CHECK_OK(oll_store_drop_unused(store, &digest, 1, NULL));
    CHECK(exists(blob_name(&digest)));
    make_old(blob_name(&digest), 7200);
    oll_store_start(store, true);
    CHECK(exists(blob_name(&digest)));
    oll_lease_free(lease);
    oll_store_start(store, true);
    CHECK(!exists(blob_name(&digest)));
    close_store();
}

TEST(the_lease_of_a_dead_process_counts_nothing)
{
    struct oll_digest digest;
    struct oll_lease *lease;
    open_store();
    pid_t child = fork();
    if (child == 0) {
        bool ok = oll_lease_new(store, &lease, NULL) == OLL_OK &&
                  oll_blob_put(store, lease, "abc", 3, &digest, NULL, NULL) == OLL_OK;
        _exit(ok ? 0 : 1);
    }
    int status = 1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_OK(oll_blob_put(store, NULL, "abc", 3, &digest, NULL, NULL));
    CHECK_OK(oll_store_drop_unused(store, &digest, 1, NULL));
    CHECK(!exists(blob_name(&digest)));
    close_store();
}

TEST(a_held_lock_postpones_the_removal)
{
    struct oll_reference one = name_of("one");
    int lock;
    open_store();
    CHECK_OK(put_model("one", "weights", "system", a, NULL));
    CHECK_OK(oll_store_lock_shared(store, &lock, NULL));
    CHECK_OK(oll_catalog_remove(store, &one, NULL));
    CHECK(!exists("manifests/registry.ollama.ai") && exists(blob_name(&a[0])));
    oll_store_unlock(lock);
    make_old(blob_name(&a[0]), 3700);
    oll_store_start(store, true);
    CHECK(!exists(blob_name(&a[0])) && exists(blob_name(&a[1])));
    close_store();
}

TEST(start_removes_old_and_unnamed_only)
{
    open_store();
    CHECK_OK(put_model("one", "weights", "system", a, NULL));
    put_file(absent_blob, "x");
    put_file("blobs/sha256-123", "stray");
    put_file("blobs/sha256-99-partial", "p");
    put_file("blobs/sha256-99-partial-0", "p");
    put_file("blobs/sub/file", "x");
    put_file("oll/tmp/77-1", "x");
    put_file("blobs/sha256:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "y");
    oll_store_start(store, true);
    CHECK(exists(absent_blob) && exists("blobs/sha256-123") && !exists("oll/tmp/77-1"));
    CHECK(exists("blobs/sha256-1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"));
    make_old(absent_blob, 3700);
    make_old("blobs/sha256-123", 3700);
    make_old("blobs/sha256-99-partial", 9999999);
    make_old(blob_name(&a[0]), 9999999);
    oll_store_start(store, false);
    CHECK(exists(absent_blob) && exists("blobs/sha256-123"));
    oll_store_start(store, true);
    CHECK(!exists(absent_blob) && !exists("blobs/sha256-123") && exists("blobs/sub/file"));
    CHECK(exists("blobs/sha256-99-partial") && exists("blobs/sha256-99-partial-0"));
    CHECK(exists(blob_name(&a[0])));
    close_store();
}

TEST(one_unreadable_manifest_stops_the_removal)
{
    static const char *const odd[] = {"manifests/h/n/m/t", "manifests/h/n/m/.dot",
                                      "manifests/h/n/m/-x", "manifests/.h/n/m/t"};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        open_store();
        put_file(absent_blob, "x");
        make_old(absent_blob, 3700);
        put_file(odd[i], i == 0 ? "{half" : "{}");
        put_file("manifests/.DS_Store", "not a folder: nothing to us");
        oll_store_start(store, true);
        CHECK_MSG(exists(absent_blob), "%s", odd[i]);
        CHECK_EQ(unlink(path_of(odd[i])), 0);
        if (i < 3) {
            oll_store_start(store, true);
            CHECK_MSG(!exists(absent_blob), "%s", odd[i]);
        }
        close_store();
    }
}

static void count_item(void *user, const struct oll_prune_item *item)
{
    int *counts = user;
    counts[strcmp(item->kind, "partial download") == 0]++;
    counts[2] += (int)item->size_bytes;
}

TEST(prune_lists_and_removes)
{
    static const char part[] =
        "oll/part/sha256-2123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    char journal[200];
    int counts[3] = {0};
    open_store();
    snprintf(journal, sizeof journal, "%s.journal", part);
    CHECK_OK(put_model("one", "weights", "system", a, NULL));
    put_file(absent_blob, "xyz");
    put_file(part, "data");
    put_file(journal, "state");
    make_old(part, 40 * 86400);
    CHECK_OK(oll_store_prune(store, 0, 30 * 86400, true, count_item, counts, NULL));
    CHECK(counts[0] == 1 && counts[1] == 1 && exists(absent_blob) && exists(part));
    CHECK_OK(oll_store_prune(store, 0, 50 * 86400, false, NULL, NULL, NULL));
    CHECK(!exists(absent_blob) && exists(part));
    CHECK_OK(oll_store_prune(store, 0, 30 * 86400, false, NULL, NULL, NULL));
    CHECK(!exists(part) && !exists(journal) && exists(blob_name(&a[0])));
    close_store();
}

/* Names and removals of four processes at once; afterwards every name has its blobs. */
TEST(processes_do_not_harm_each_other)
{
    enum { PROCESSES = 4, ROUNDS = 60 };
    open_store();
    for (int p = 0; p < PROCESSES; p++) {
        if (fork() != 0)
            continue;
        uint64_t seed = (uint64_t)p + 1;
        bool ok = true;
        for (int i = 0; i < ROUNDS; i++) {
            char name[32], weights[32];
            struct oll_digest d[2];
            snprintf(name, sizeof name, "m%d", (int)(testing_random(&seed) % 5));
            snprintf(weights, sizeof weights, "w%d", (int)(testing_random(&seed) % 3));
            struct oll_reference ref = name_of(name);
            oll_status status = testing_random(&seed) % 3 ? put_model(name, weights, name, d, NULL)
                                                          : oll_catalog_remove(store, &ref, NULL);
            ok &= status == OLL_OK || status == OLL_ERR_NOT_FOUND;
        }
        _exit(ok ? 0 : 1);
    }
    for (int p = 0; p < PROCESSES; p++) {
        int status = 1;
        CHECK(wait(&status) > 0);
        CHECK_EQ(status, 0);
    }
    struct oll_catalog_entry *entries = NULL;
    struct oll_arena arena;
    size_t n = 0;
    oll_arena_init(&arena, 1 << 20);
    CHECK_OK(oll_catalog_list(store, &entries, &n, NULL));
    for (size_t i = 0; i < n; i++) {
        struct oll_manifest m;
        char *bytes = NULL;
        size_t n_bytes;
        CHECK_OK(oll_catalog_read(store, &entries[i].ref, &bytes, &n_bytes, NULL));
        CHECK_OK(oll_manifest_parse(&arena, bytes, n_bytes, &m, NULL));
        CHECK(exists(blob_name(&m.config.digest)) && exists(blob_name(&m.layers[0].digest)));
        oll_free(bytes);
    }
    CHECK(n > 0);
    oll_free(entries);
    oll_arena_free(&arena);
    close_store();
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
