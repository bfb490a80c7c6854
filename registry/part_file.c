#include "registry/part_file.h"

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "registry/blob_write.h"
#include "registry/disk.h"
#include "registry/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    JOURNAL_MAX = 64 << 20,
    LINE_MAX_BYTES = 96,
    NAME_MAX_BYTES = OLL_DIGEST_TEXT_MAX + 16,
    ADOPT_PARTS_MAX = 100000,
    ADOPT_QUIET_S = 60
};

/* ---- records ---- */

static uint32_t crc32_of(const char *p, size_t n)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < n; i++) {
        crc ^= (uint8_t)p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xedb88320 & (0 - (crc & 1)));
    }
    return ~crc;
}

static void add_record(struct oll_strbuf *sb, const char *text)
{
    oll_strbuf_printf(sb, "%08" PRIx32 " %s\n", crc32_of(text, strlen(text)), text);
}

/* Reads what a journal says; false when its first record is not that of this size. *end gets the
 * place behind the last good record. */
static bool read_records(const char *text, uint64_t size, struct span_set *have, uint64_t *end)
{
    bool sized = false;
    const char *line = text, *newline;
    for (; (newline = strchr(line, '\n')); line = newline + 1) {
        size_t n = (size_t)(newline - line);
        char copy[LINE_MAX_BYTES];
        uint32_t crc;
        uint64_t a, b;
        if (n < 10 || n >= sizeof copy)
            break;
        memcpy(copy, line, n);
        copy[n] = '\0';
        if (sscanf(copy, "%8" SCNx32 " ", &crc) != 1 || crc != crc32_of(copy + 9, n - 9))
            break;
        if (sscanf(copy + 9, "size %" SCNu64, &a) == 1) {
            if (a != size)
                break;
            sized = true;
        } else if (sscanf(copy + 9, "have %" SCNu64 " %" SCNu64, &a, &b) == 2) {
            if (!sized || a > b || b > size || !span_set_add(have, a, b))
                break;
        } else {
            break;
        }
    }
    *end = (uint64_t)(line - text);
    return sized;
}

static void journal_name(const char *name, char out[NAME_MAX_BYTES])
{
    snprintf(out, NAME_MAX_BYTES, "%s.journal", name);
}

/* ---- opening ---- */

static bool load_journal(int dir, const char *name, uint64_t size, struct span_set *have,
                         uint64_t *end)
{
    char journal[NAME_MAX_BYTES], *text = NULL;
    uint64_t n;
    journal_name(name, journal);
    *end = 0;
    if (oll_file_read_at(dir, journal, JOURNAL_MAX, &text, &n, NULL) != OLL_OK)
        return false;
    bool sized = read_records(text, size, have, end);
    oll_free(text);
    if (!sized)
        span_set_free(have);
    return sized;
}

/* Opens the journal and locks it. A journal that its last holder removed meanwhile is opened anew.
 */
static int lock_journal(int dir, const char *name)
{
    char journal[NAME_MAX_BYTES];
    struct stat st;
    journal_name(name, journal);
    for (;;) {
        int fd = disk_create(dir, journal, 0);
        if (fd < 0)
            return -1;
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int e = errno;
            close(fd);
            errno = e;
            return -1;
        }
        if (fstat(fd, &st) == 0 && st.st_nlink > 0)
            return fd;
        close(fd);
    }
}

static oll_status begin_journal(struct part_file *part, struct oll_error *err)
{
    struct oll_strbuf sb;
    char text[LINE_MAX_BYTES];
    oll_strbuf_init(&sb, 1024);
    snprintf(text, sizeof text, "size %" PRIu64, part->size_bytes);
    add_record(&sb, text);
    oll_status status = OLL_OK;
    if (ftruncate(part->journal, 0) != 0 || disk_pwrite(part->journal, sb.data, sb.len, 0) != 0 ||
        disk_sync(part->journal) != 0 || disk_sync(part->dir) != 0)
        status = disk_fail(err, "journal of a download");
    part->journal_end = sb.len;
    oll_strbuf_free(&sb);
    return status;
}

static oll_status open_locked(struct part_file *part, struct oll_error *err)
{
    struct stat st;
    bool known =
        load_journal(part->dir, part->name, part->size_bytes, &part->have, &part->journal_end);
    part->fd = disk_create(part->dir, part->name, 0);
    if (part->fd < 0 || fstat(part->fd, &st) != 0)
        return disk_fail(err, "part of a blob");
    if (!S_ISREG(st.st_mode))
        return OLL_FAIL(err, OLL_ERR_IO, "part of a blob: not a regular file");
    if ((uint64_t)st.st_size != part->size_bytes) {
        known = false;
        if (ftruncate(part->fd, 0) != 0 || ftruncate(part->fd, (off_t)part->size_bytes) != 0)
            return disk_fail(err, "part of a blob");
    }
    if (known)
        return OLL_OK;
    span_set_free(&part->have);
    return begin_journal(part, err);
}

oll_status part_file_open(const struct oll_store *store, const struct oll_digest *digest,
                          uint64_t size, struct part_file *out, uint64_t *others,
                          struct oll_error *err)
{
    struct part_file part = {.store = store, .digest = *digest, .size_bytes = size, .fd = -1};
    if (size > INT64_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "blob of %" PRIu64 " bytes", size);
    OLL_TRY(store_make_own(store, "part", &part.dir, err));
    blob_file_name(digest, part.name);
    part.journal = lock_journal(part.dir, part.name);
    if (part.journal < 0 && errno == EWOULDBLOCK) {
        struct span_set have = {0};
        uint64_t end;
        load_journal(part.dir, part.name, size, &have, &end);
        *others = span_set_bytes(&have);
        span_set_free(&have);
        close(part.dir);
        return OLL_FAIL(err, OLL_ERR_BUSY, "another process is fetching this blob");
    }
    oll_status status = part.journal < 0 ? disk_fail(err, "journal of a download") : OLL_OK;
    if (status == OLL_OK)
        status = open_locked(&part, err);
    if (status != OLL_OK) {
        part_file_close(&part);
        return status;
    }
    *out = part;
    return OLL_OK;
}

/* ---- the way of a part ---- */

oll_status part_file_record(struct part_file *part, const struct span_set *spans,
                            struct oll_error *err)
{
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, JOURNAL_MAX);
    for (size_t i = 0; i < spans->n; i++) {
        char text[LINE_MAX_BYTES];
        snprintf(text, sizeof text, "have %" PRIu64 " %" PRIu64, spans->items[i].begin,
                 spans->items[i].end);
        add_record(&sb, text);
    }
    oll_status status = sb.status;
    if (status == OLL_OK && disk_sync(part->fd) != 0)
        status = disk_fail(err, "part of a blob");
    if (status == OLL_OK && sb.len > 0 &&
        (disk_pwrite(part->journal, sb.data, sb.len, part->journal_end) != 0 ||
         disk_sync(part->journal) != 0))
        status = disk_fail(err, "journal of a download");
    if (status == OLL_OK)
        part->journal_end += sb.len;
    oll_strbuf_free(&sb);
    return status;
}

oll_status part_file_restart(struct part_file *part, struct oll_error *err)
{
    span_set_free(&part->have);
    return begin_journal(part, err);
}

oll_status part_file_publish(struct part_file *part, struct oll_error *err)
{
    char journal[NAME_MAX_BYTES];
    bool existed;
    oll_status status =
        blob_publish(part->store, part->dir, part->name, part->fd, &part->digest, &existed, err);
    journal_name(part->name, journal);
    if (status == OLL_OK)
        disk_unlink(part->dir, journal);
    part_file_close(part);
    return status;
}

void part_file_discard(struct part_file *part)
{
    char journal[NAME_MAX_BYTES];
    journal_name(part->name, journal);
    disk_unlink(part->dir, part->name);
    disk_unlink(part->dir, journal);
    part_file_close(part);
}

void part_file_close(struct part_file *part)
{
    if (part->fd >= 0)
        close(part->fd);
    if (part->journal >= 0)
        close(part->journal);
    close(part->dir);
    span_set_free(&part->have);
}

uint64_t blob_part_bytes(const struct oll_store *store, const struct oll_digest *digest)
{
    char name[OLL_DIGEST_TEXT_MAX];
    struct stat st;
    int dir = store_open_own(store, "part");
    if (dir < 0)
        return 0;
    blob_file_name(digest, name);
    uint64_t n = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)
                     ? (uint64_t)st.st_blocks * 512
                     : 0;
    close(dir);
    return n;
}

/* ---- what real Ollama left ---- */

static uint64_t number_of(const struct oll_json *object, const char *key)
{
    const struct oll_json *v = oll_json_get(object, key);
    return v && v->type == OLL_JSON_NUMBER && v->is_int && v->i >= 0 ? (uint64_t)v->i : UINT64_MAX;
}

/* One state file; false when there is none of this number or it cannot be used. */
static bool read_state(int blobs, const char *base, int number, uint64_t size,
                       struct span_set *have)
{
    char name[NAME_MAX_BYTES], *text = NULL;
    struct oll_arena arena;
    struct oll_json *root;
    uint64_t n;
    snprintf(name, sizeof name, "%s-partial-%d", base, number);
    if (oll_file_read_at(blobs, name, 4096, &text, &n, NULL) != OLL_OK)
        return false;
    oll_arena_init(&arena, 1 << 20);
    bool ok = oll_json_parse(&arena, text, (size_t)n, NULL, &root, NULL) == OLL_OK;
    if (ok) {
        uint64_t off = number_of(root, "Offset"), done = number_of(root, "Completed");
        ok = off <= size && done <= size - off && span_set_add(have, off, off + done);
    }
    oll_arena_free(&arena);
    oll_free(text);
    return ok;
}

/* The newest change of the set is a minute old. */
static bool is_quiet(int blobs, const char *name)
{
    struct stat st;
    return fstatat(blobs, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           time(NULL) - st.st_mtime >= ADOPT_QUIET_S;
}

static void adopt_locked(const struct oll_store *store, int blobs, int part_dir, const char *base,
                         uint64_t size)
{
    struct span_set have = {0};
    char data[NAME_MAX_BYTES], name[NAME_MAX_BYTES];
    struct stat st;
    int n = 0;
    snprintf(data, sizeof data, "%s-partial", base);
    if (!is_quiet(blobs, data) || fstatat(blobs, data, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        (uint64_t)st.st_size != size || faccessat(part_dir, base, F_OK, 0) == 0)
        return;
    while (n < ADOPT_PARTS_MAX) {
        snprintf(name, sizeof name, "%s-partial-%d", base, n);
        if (faccessat(blobs, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            break;
        if (!is_quiet(blobs, name)) {
            span_set_free(&have);
            return;
        }
        /* A state that cannot be read says nothing; its bytes are fetched again. */
        read_state(blobs, base, n++, size, &have);
    }
    struct part_file part = {.store = store, .size_bytes = size, .dir = part_dir, .fd = -1};
    memcpy(part.name, base, strlen(base) + 1);
    part.journal = lock_journal(part_dir, base);
    if (part.journal >= 0 && disk_rename(blobs, data, part_dir, base) == 0) {
        part.fd = openat(part_dir, base, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        bool kept = part.fd >= 0 && fchmod(part.fd, 0600) == 0 &&
                    begin_journal(&part, NULL) == OLL_OK &&
                    part_file_record(&part, &have, NULL) == OLL_OK;
        for (int i = 0; kept && i < n; i++) {
            snprintf(name, sizeof name, "%s-partial-%d", base, i);
            disk_unlink(blobs, name);
        }
    }
    if (part.fd >= 0)
        close(part.fd);
    if (part.journal >= 0)
        close(part.journal);
    span_set_free(&have);
}

void part_file_adopt(const struct oll_store *store, const struct oll_digest *digest, uint64_t size)
{
    static const char *const parts[] = {"blobs"};
    char base[OLL_DIGEST_TEXT_MAX];
    int blobs, dir;
    if (oll_store_open_dir(store, parts, 1, &blobs, NULL) != OLL_OK)
        return;
    blob_file_name(digest, base);
    if (store_make_own(store, "part", &dir, NULL) == OLL_OK) {
        adopt_locked(store, blobs, dir, base, size);
        close(dir);
    }
    close(blobs);
}
