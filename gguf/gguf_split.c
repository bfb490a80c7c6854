/* Split models: <prefix>-00001-of-00003.gguf, numbered from 1 in names and from 0 in the files. */
#include "engine/base/mem.h"
#include "gguf/gguf_reader.h"

#include <stdio.h>
#include <string.h>

enum { SUFFIX_BYTES = 20 /* "-00001-of-00003.gguf" */, MAX_PARTS = 65535 };

oll_status gguf_split_position(const struct gguf_part *part, uint32_t *no, uint32_t *count,
                               struct oll_error *err)
{
    uint64_t file_no = 0, file_count = 1;
    oll_status status = gguf_part_u64(part, "split.count", &file_count, err);
    if (status != OLL_OK && status != OLL_ERR_NOT_FOUND)
        return status;
    status = gguf_part_u64(part, "split.no", &file_no, err);
    if (status != OLL_OK && status != OLL_ERR_NOT_FOUND)
        return status;
    if (file_count == 0) /* a writer that split nothing */
        file_count = 1;
    if (file_count > MAX_PARTS || file_no >= file_count)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "%s: key split.no: %llu of split.count %llu parts",
                        part->path, (unsigned long long)file_no, (unsigned long long)file_count);
    *no = (uint32_t)file_no;
    *count = (uint32_t)file_count;
    return OLL_OK;
}

oll_status gguf_split_path(const char *path, uint32_t own_no, uint32_t count, uint32_t no,
                           char **out, struct oll_error *err)
{
    char suffix[2 * SUFFIX_BYTES];
    const size_t len = strlen(path);
    snprintf(suffix, sizeof suffix, "-%05u-of-%05u.gguf", own_no + 1, count);
    if (len <= SUFFIX_BYTES || strcmp(path + len - SUFFIX_BYTES, suffix) != 0)
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "%s: part %u of a model in %u files, whose name must end in %s", path,
                        own_no + 1, count, suffix);
    char *copy = oll_strdup(path);
    if (!copy)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "%s: out of memory", path);
    snprintf(copy + len - SUFFIX_BYTES, SUFFIX_BYTES + 1, "-%05u-of-%05u.gguf", no + 1, count);
    *out = copy;
    return OLL_OK;
}

static oll_status add_part(struct oll_gguf *gguf, uint32_t count, uint32_t no, const char *given,
                           struct oll_error *err)
{
    char *path = NULL;
    uint32_t file_no, file_count;
    if (!given)
        OLL_TRY(gguf_split_path(gguf->parts[0].path, 0, count, no, &path, err));
    oll_status status = gguf_add_file(gguf, given ? given : path, err);
    oll_free(path);
    if (status == OLL_ERR_NOT_FOUND)
        oll_error_prefix(err, "part %u of %u is missing", no + 1, count);
    if (status != OLL_OK)
        return status;
    const struct gguf_part *part = &gguf->parts[no];
    OLL_TRY(gguf_split_position(part, &file_no, &file_count, err));
    if (file_no != no || file_count != count)
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "%s: says that it is part %u of %u, expected part %u of %u", part->path,
                        file_no + 1, file_count, no + 1, count);
    return OLL_OK;
}

oll_status gguf_split_add_rest(struct oll_gguf *gguf, const char *const *paths,
                               struct oll_error *err)
{
    uint32_t no, count;
    uint64_t n_tensors;
    OLL_TRY(gguf_split_position(&gguf->parts[0], &no, &count, err));
    for (uint32_t i = 1; i < count; i++)
        OLL_TRY(add_part(gguf, count, i, paths ? paths[i] : NULL, err));
    const oll_status status =
        gguf_part_u64(&gguf->parts[0], "split.tensors.count", &n_tensors, err);
    if (status == OLL_ERR_NOT_FOUND)
        return OLL_OK;
    OLL_TRY(status);
    if (n_tensors != gguf->n_tensors)
        return OLL_FAIL(
            err, OLL_ERR_FORMAT, "%s: key split.tensors.count: %llu, but %u tensors in %u parts",
            gguf->parts[0].path, (unsigned long long)n_tensors, gguf->n_tensors, gguf->n_parts);
    return OLL_OK;
}
