/* A store in a temporary folder, for tests that write to one. */
#ifndef OLL_TESTS_STORE_FIXTURE_H
#define OLL_TESTS_STORE_FIXTURE_H

#include "registry/blob_write.h"
#include "registry/catalog_write.h"
#include "tests/testing.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static char root[256];
static struct oll_store *store;

static inline void open_store(void)
{
    snprintf(root, sizeof root, "%s/oll-store-XXXXXX", P_tmpdir);
    OLL_ASSERT(mkdtemp(root));
    OLL_ASSERT(oll_store_new(root, &store, NULL) == OLL_OK);
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void close_store(void)
{
    oll_store_free(store);
    nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* A path in the store, valid until the fourth next call. */
static inline const char *path_of(const char *name)
{
    static char paths[4][1024];
    static int turn;
    char *out = paths[turn++ % 4];
    snprintf(out, sizeof paths[0], "%s/%s", root, name);
    return out;
}

static inline bool exists(const char *name) { return access(path_of(name), F_OK) == 0; }

static inline void put_file(const char *name, const char *text)
{
    char full[1024];
    snprintf(full, sizeof full, "%s", path_of(name));
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = '\0';
        mkdir(full, 0755);
    }
    FILE *f = fopen(full, "wb");
    OLL_ASSERT(f && fwrite(text, 1, strlen(text), f) == strlen(text) && fclose(f) == 0);
}

/* Makes a file look `seconds` old. */
static inline void make_old(const char *name, long seconds)
{
    struct timeval now, times[2];
    gettimeofday(&now, NULL);
    times[0] = times[1] = (struct timeval){.tv_sec = now.tv_sec - seconds};
    OLL_ASSERT(utimes(path_of(name), times) == 0);
}

static inline const char *blob_name(const struct oll_digest *digest)
{
    static char names[4][96];
    static int turn;
    char *out = names[turn++ % 4], text[OLL_DIGEST_TEXT_MAX];
    oll_digest_text(digest, text);
    snprintf(out, sizeof names[0], "blobs/sha256-%s", text + 7);
    return out;
}

/* Stores a model of two layers under a name; both digests are told. */
static inline oll_status put_model(const char *name, const char *weights, const char *system,
                                   struct oll_digest digests[2], struct oll_error *err)
{
    struct oll_lease *lease;
    struct oll_reference ref;
    char a[OLL_DIGEST_TEXT_MAX], b[OLL_DIGEST_TEXT_MAX], text[1024];
    OLL_TRY(oll_lease_new(store, &lease, err));
    oll_status status =
        oll_blob_put(store, lease, weights, strlen(weights), &digests[0], NULL, err);
    if (status == OLL_OK)
        status = oll_blob_put(store, lease, system, strlen(system), &digests[1], NULL, err);
    if (status == OLL_OK)
        status = oll_reference_parse(name, &ref, err);
    if (status == OLL_OK) {
        oll_digest_text(&digests[0], a);
        oll_digest_text(&digests[1], b);
        int n = snprintf(text, sizeof text,
                         "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"c\",\"digest\":\"%s\","
                         "\"size\":1},\"layers\":[{\"mediaType\":\"m\",\"digest\":\"%s\"}]}",
                         b, a);
        status = oll_catalog_write(store, &ref, text, (size_t)n, err);
    }
    oll_lease_free(lease);
    return status;
}

static inline struct oll_reference name_of(const char *text)
{
    struct oll_reference ref;
    OLL_ASSERT(oll_reference_parse(text, &ref, NULL) == OLL_OK);
    return ref;
}

#endif
