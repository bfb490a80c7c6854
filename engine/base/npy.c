#include "engine/base/npy.h"

#include "engine/base/mem.h"
#include "engine/base/strbuf.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PREFIX_BYTES = 10, HEADER_ALIGNMENT = 64, HEADER_MAX_BYTES = 1024 };

static oll_status fail_errno(const struct oll_npy *npy, const char *what, struct oll_error *err)
{
    const oll_status status = errno == EACCES ? OLL_ERR_DENIED : OLL_ERR_IO;
    return OLL_FAIL(err, status, "%s: cannot %s: %s", npy->path, what, strerror(errno));
}

/* Magic, version, length of the text, and the text: a Python dictionary padded with blanks so that
 * the values begin at a multiple of 64. */
static oll_status write_header(struct oll_npy *npy, const uint64_t *shape, int n_dims,
                               struct oll_error *err)
{
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, HEADER_MAX_BYTES);
    oll_strbuf_add(&sb, "\x93NUMPY\x01\x00\x00\x00", PREFIX_BYTES);
    oll_strbuf_adds(&sb, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    for (int d = 0; d < n_dims; d++)
        oll_strbuf_printf(&sb, "%s%llu", d > 0 ? ", " : "", (unsigned long long)shape[d]);
    oll_strbuf_adds(&sb, n_dims == 1 ? ",), }" : "), }");
    while ((sb.len + 1) % HEADER_ALIGNMENT != 0 && sb.status == OLL_OK)
        oll_strbuf_addc(&sb, ' ');
    oll_strbuf_addc(&sb, '\n');
    oll_status status = sb.status;
    if (status != OLL_OK) {
        OLL_FAIL(err, status, "%s: out of memory", npy->path);
    } else {
        sb.data[8] = (char)((sb.len - PREFIX_BYTES) & 255);
        sb.data[9] = (char)((sb.len - PREFIX_BYTES) >> 8);
        if (fwrite(sb.data, 1, sb.len, npy->file) != sb.len)
            status = fail_errno(npy, "write", err);
    }
    oll_strbuf_free(&sb);
    return status;
}

/* Opens a file beside `path`, or `path` itself when that is a pipe or a device. */
static oll_status open_file(struct oll_npy *npy, struct oll_error *err)
{
    struct stat st;
    if (stat(npy->path, &st) == 0 && !S_ISREG(st.st_mode)) {
        npy->file = fopen(npy->path, "wbe");
        return npy->file ? OLL_OK : fail_errno(npy, "open", err);
    }
    const size_t n = strlen(npy->path) + 32;
    npy->temp_path = oll_alloc(n, 1);
    if (!npy->temp_path)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "%s: out of memory", npy->path);
    snprintf(npy->temp_path, n, "%s.%ld.part", npy->path, (long)getpid());
    npy->file = fopen(npy->temp_path, "wbe");
    return npy->file ? OLL_OK : fail_errno(npy, "create", err);
}

oll_status oll_npy_create(struct oll_npy *npy, const char *path, const uint64_t *shape, int n_dims,
                          struct oll_error *err)
{
    *npy = (struct oll_npy){.n_left = 1};
    OLL_ASSERT(n_dims >= 0 && n_dims <= OLL_NPY_MAX_DIMS);
    for (int d = 0; d < n_dims; d++)
        if (!oll_mul_u64(npy->n_left, shape[d], &npy->n_left))
            return OLL_FAIL(err, OLL_ERR_LIMIT, "%s: an array of more than 2^64 values", path);
    npy->path = oll_strdup(path);
    if (!npy->path)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "%s: out of memory", path);
    oll_status status = open_file(npy, err);
    if (status == OLL_OK)
        status = write_header(npy, shape, n_dims, err);
    if (status != OLL_OK)
        oll_npy_close(npy);
    return status;
}

oll_status oll_npy_write(struct oll_npy *npy, const float *values, size_t n, struct oll_error *err)
{
    if (n > npy->n_left)
        return OLL_FAIL(err, OLL_ERR_ARG, "%s: %zu values for %llu places", npy->path, n,
                        (unsigned long long)npy->n_left);
    if (fwrite(values, sizeof *values, n, npy->file) != n)
        return fail_errno(npy, "write", err);
    npy->n_left -= n;
    return OLL_OK;
}

oll_status oll_npy_finish(struct oll_npy *npy, struct oll_error *err)
{
    oll_status status = OLL_OK;
    if (npy->n_left > 0)
        status = OLL_FAIL(err, OLL_ERR_ARG, "%s: %llu values are missing", npy->path,
                          (unsigned long long)npy->n_left);
    FILE *file = npy->file;
    npy->file = NULL;
    if (fclose(file) != 0 && status == OLL_OK)
        status = fail_errno(npy, "write", err);
    if (status == OLL_OK && npy->temp_path) {
        if (rename(npy->temp_path, npy->path) != 0) {
            status = fail_errno(npy, "rename", err);
        } else {
            oll_free(npy->temp_path);
            npy->temp_path = NULL;
        }
    }
    oll_npy_close(npy);
    return status;
}

void oll_npy_close(struct oll_npy *npy)
{
    if (npy->file)
        fclose(npy->file);
    if (npy->temp_path)
        unlink(npy->temp_path);
    oll_free(npy->temp_path);
    oll_free(npy->path);
    *npy = (struct oll_npy){0};
}
