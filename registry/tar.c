#include "registry/tar.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Fields of a header. */
enum {
    NAME_AT = 0,
    NAME_BYTES = 100,
    MODE_AT = 100,
    SIZE_AT = 124,
    SIZE_BYTES = 12,
    SUM_AT = 148,
    SUM_BYTES = 8,
    TYPE_AT = 156,
    MAGIC_AT = 257,
    PREFIX_AT = 345,
    PREFIX_BYTES = 155
};

uint64_t tar_padding(uint64_t size) { return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK; }

/* Sum of the bytes of a header, that of its own field counted as blanks. */
static uint32_t sum_of(const char *block)
{
    uint32_t sum = 0;
    for (int i = 0; i < TAR_BLOCK; i++)
        sum += i >= SUM_AT && i < SUM_AT + SUM_BYTES ? ' ' : (uint8_t)block[i];
    return sum;
}

void tar_write_header(const char *name, uint64_t size, char out[TAR_BLOCK])
{
    memset(out, 0, TAR_BLOCK);
    snprintf(out + NAME_AT, NAME_BYTES, "%s", name);
    memcpy(out + MODE_AT, "0000644\0000000000\0000000000", 24);
    if (size < UINT64_C(1) << 33) {
        snprintf(out + SIZE_AT, SIZE_BYTES, "%011" PRIo64, size);
    } else {
        /* A first byte of 0x80, then the number in big endian. */
        out[SIZE_AT] = (char)0x80;
        for (int i = 0; i < 8; i++)
            out[SIZE_AT + SIZE_BYTES - 1 - i] = (char)(size >> 8 * i);
    }
    memcpy(out + 136, "00000000000", 12); /* time: 1970, so that equal models make equal files */
    out[TYPE_AT] = '0';
    memcpy(out + MAGIC_AT, "ustar\00000", 8);
    snprintf(out + SUM_AT, SUM_BYTES, "%06" PRIo32, sum_of(out));
    out[SUM_AT + SUM_BYTES - 1] = ' ';
}

/* An octal field: blanks, digits, then NUL or a blank. */
static bool read_octal(const char *p, size_t n, uint64_t *out)
{
    size_t i = 0;
    uint64_t v = 0;
    while (i < n && p[i] == ' ')
        i++;
    const size_t first = i;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++) {
        if (v > UINT64_MAX >> 3)
            return false;
        v = v << 3 | (uint64_t)(p[i] - '0');
    }
    *out = v;
    return i > first && (i == n || p[i] == '\0' || p[i] == ' ');
}

static bool read_size(const char *p, uint64_t *out)
{
    if (!((uint8_t)p[0] & 0x80))
        return read_octal(p, SIZE_BYTES, out);
    uint64_t v = 0;
    for (int i = 1; i < SIZE_BYTES; i++) {
        if (v >> 56)
            return false;
        v = v << 8 | (uint8_t)p[i];
    }
    *out = v;
    return (uint8_t)p[0] == 0x80;
}

/* Joins what may be parted; "./" at the front says nothing. */
static void set_name(struct tar_entry *entry, const char *prefix, size_t n_prefix, const char *name,
                     size_t n_name)
{
    snprintf(entry->name, sizeof entry->name, "%.*s%s%.*s", (int)n_prefix, prefix,
             n_prefix > 0 ? "/" : "", (int)n_name, name);
    while (entry->name[0] == '.' && entry->name[1] == '/')
        memmove(entry->name, entry->name + 2, strlen(entry->name) - 1);
}

oll_status tar_read_header(const char block[TAR_BLOCK], struct tar_entry *out, bool *end,
                           struct oll_error *err)
{
    static const char zeros[TAR_BLOCK];
    uint64_t sum;
    struct tar_entry entry = {.kind = TAR_OTHER};
    *end = memcmp(block, zeros, TAR_BLOCK) == 0;
    if (*end)
        return OLL_OK;
    if (!read_octal(block + SUM_AT, SUM_BYTES, &sum) || sum != sum_of(block) ||
        !read_size(block + SIZE_AT, &entry.size) || entry.size > INT64_MAX)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "this is no tar archive, or it is damaged");
    const bool ustar = memcmp(block + MAGIC_AT, "ustar\0", 6) == 0;
    set_name(&entry, block + PREFIX_AT, ustar ? strnlen(block + PREFIX_AT, PREFIX_BYTES) : 0,
             block + NAME_AT, strnlen(block + NAME_AT, NAME_BYTES));
    const char type = block[TYPE_AT];
    if (type == '0' || type == '\0' || type == '7')
        entry.kind = TAR_FILE;
    else if (type == 'x')
        entry.kind = TAR_PAX;
    else if (type == '5' || type == '1' || type == '2')
        entry.size = 0; /* folders and links have no content, whatever the field says */
    *out = entry;
    return OLL_OK;
}

static bool read_decimal(const char *p, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9' || v > (INT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(p[i] - '0');
    }
    *out = v;
    return n > 0;
}

/* Records are "<length> <key>=<value>\n", the length counting the whole record. */
oll_status tar_apply_pax(const char *records, size_t n, struct tar_entry *entry,
                         struct oll_error *err)
{
    for (size_t at = 0; at < n;) {
        const char *p = records + at, *blank = memchr(p, ' ', n - at);
        uint64_t length;
        if (!blank || !read_decimal(p, (size_t)(blank - p), &length) || length > n - at ||
            length < (uint64_t)(blank - p) + 3 || p[length - 1] != '\n')
            return OLL_FAIL(err, OLL_ERR_FORMAT, "pax record at byte %zu is damaged", at);
        const char *key = blank + 1, *last = p + length - 1;
        const char *equals = memchr(key, '=', (size_t)(last - key));
        if (!equals)
            return OLL_FAIL(err, OLL_ERR_FORMAT, "pax record at byte %zu has no value", at);
        const size_t n_key = (size_t)(equals - key), n_value = (size_t)(last - equals - 1);
        if (n_key == 4 && memcmp(key, "size", 4) == 0 &&
            !read_decimal(equals + 1, n_value, &entry->size))
            return OLL_FAIL(err, OLL_ERR_FORMAT, "pax record at byte %zu: bad size", at);
        if (n_key == 4 && memcmp(key, "path", 4) == 0)
            set_name(entry, "", 0, equals + 1, n_value < TAR_NAME_MAX ? n_value : 0);
        at += (size_t)length;
    }
    return OLL_OK;
}
