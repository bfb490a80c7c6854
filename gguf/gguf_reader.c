/* Opens, owns and closes a model; looks up keys and tensors. */
#include "gguf/gguf_reader.h"

#include "engine/base/mem.h"

#include <string.h>

static oll_status gguf_new(struct oll_gguf **out, struct oll_error *err)
{
    struct oll_gguf *gguf = oll_calloc(1, sizeof *gguf);
    if (!gguf)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    if (pthread_mutex_init(&gguf->lock, NULL) != 0) {
        oll_free(gguf);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "cannot create a lock");
    }
    *out = gguf;
    return OLL_OK;
}

static void part_free(struct gguf_part *part)
{
    gguf_index_free(&part->kv_index);
    oll_free(part->kvs);
    oll_file_unmap(&part->map);
    oll_free(part->path);
}

void oll_gguf_close(struct oll_gguf *gguf)
{
    if (!gguf)
        return;
    for (uint32_t i = 0; gguf->converted && i < gguf->n_tensors; i++)
        oll_free_aligned(gguf->converted[i]);
    oll_free(gguf->converted);
    gguf_index_free(&gguf->tensor_index);
    oll_free(gguf->tensors);
    for (uint32_t i = 0; i < gguf->n_parts; i++)
        part_free(&gguf->parts[i]);
    oll_free(gguf->parts);
    pthread_mutex_destroy(&gguf->lock);
    oll_free(gguf);
}

/* Appends an empty part; its path is set. */
static oll_status add_part(struct oll_gguf *gguf, const char *path, struct gguf_part **out,
                           struct oll_error *err)
{
    struct gguf_part *parts = oll_realloc(gguf->parts, (size_t)gguf->n_parts + 1, sizeof *parts);
    if (!parts)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "%s: out of memory", path);
    gguf->parts = parts;
    struct gguf_part *part = &parts[gguf->n_parts++];
    *part = (struct gguf_part){.path = oll_strdup(path)};
    if (!part->path)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "%s: out of memory", path);
    *out = part;
    return OLL_OK;
}

oll_status gguf_add_file(struct oll_gguf *gguf, const char *path, struct oll_error *err)
{
    struct gguf_part *part;
    OLL_TRY(add_part(gguf, path, &part, err));
    OLL_TRY(oll_file_map(path, &part->map, err));
    part->data = part->map.data;
    part->n_bytes = part->map.size_bytes;
    return gguf_parse_part(gguf, gguf->n_parts - 1, err);
}

static oll_status index_tensors(struct oll_gguf *gguf, struct oll_error *err)
{
    uint32_t duplicate = 0;
    const oll_status status = gguf_index_build(&gguf->tensor_index, gguf->tensors,
                                               sizeof *gguf->tensors, gguf->n_tensors, &duplicate);
    if (status == OLL_ERR_EXISTS) {
        const struct oll_gguf_tensor *t = &gguf->tensors[duplicate];
        const struct gguf_part *part = &gguf->parts[t->i_part];
        char name[OLL_GGUF_MAX_NAME + 1];
        return gguf_fail_at(part, (uint64_t)((const unsigned char *)t->name.data - part->data), err,
                            OLL_ERR_FORMAT, "tensor %s occurs twice",
                            oll_gguf_printable(t->name, name, sizeof name));
    }
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "%s: out of memory", gguf->parts[0].path);
    return OLL_OK;
}

/* What follows once all parts are there. */
static oll_status finish_open(struct oll_gguf *gguf, struct oll_error *err)
{
    bool interleaved = false;
    OLL_TRY(index_tensors(gguf, err));
    for (uint32_t i = 0; i < gguf->n_tensors; i++)
        interleaved |= gguf->tensors[i].interleaved;
    if (interleaved) {
        gguf->converted = oll_calloc(gguf->n_tensors, sizeof *gguf->converted);
        if (!gguf->converted)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "%s: out of memory", gguf->parts[0].path);
    }
    return gguf_check_model(gguf, err);
}

/* Opens `path`. When it is a later part of a split model, *first_path is set instead, for another
 * try. */
static oll_status open_from(const char *path, struct oll_gguf **out, char **first_path,
                            struct oll_error *err)
{
    struct oll_gguf *gguf = NULL;
    uint32_t no, count;
    OLL_TRY(gguf_new(&gguf, err));
    oll_status status = gguf_add_file(gguf, path, err);
    if (status == OLL_OK)
        status = gguf_split_position(&gguf->parts[0], &no, &count, err);
    if (status == OLL_OK && no > 0)
        status = gguf_split_path(path, no, count, 0, first_path, err);
    else if (status == OLL_OK && (status = gguf_split_add_rest(gguf, NULL, err)) == OLL_OK)
        status = finish_open(gguf, err);
    if (status != OLL_OK || *first_path) {
        oll_gguf_close(gguf);
        return status;
    }
    *out = gguf;
    return OLL_OK;
}

oll_status oll_gguf_open(const char *path, struct oll_gguf **out, struct oll_error *err)
{
    char *first_path = NULL, *again = NULL;
    OLL_TRY(open_from(path, out, &first_path, err));
    if (!first_path)
        return OLL_OK;
    oll_status status = open_from(first_path, out, &again, err);
    if (status != OLL_OK)
        oll_error_prefix(err, "%s is part of a split model", path);
    if (status == OLL_OK && again)
        status = OLL_FAIL(err, OLL_ERR_FORMAT, "%s: is not the first part, as its name says",
                          first_path);
    oll_free(first_path);
    oll_free(again);
    return status;
}

oll_status oll_gguf_open_parts(const char *const *paths, uint32_t n, struct oll_gguf **out,
                               struct oll_error *err)
{
    struct oll_gguf *gguf = NULL;
    uint32_t no = 0, count = 0;
    if (n == 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "a model of no parts");
    OLL_TRY(gguf_new(&gguf, err));
    oll_status status = gguf_add_file(gguf, paths[0], err);
    if (status == OLL_OK)
        status = gguf_split_position(&gguf->parts[0], &no, &count, err);
    if (status == OLL_OK && (no != 0 || count != n))
        status = OLL_FAIL(err, OLL_ERR_FORMAT, "%s: part %u of %u, expected part 1 of %u", paths[0],
                          no + 1, count, n);
    if (status == OLL_OK)
        status = gguf_split_add_rest(gguf, paths, err);
    if (status == OLL_OK)
        status = finish_open(gguf, err);
    if (status != OLL_OK) {
        oll_gguf_close(gguf);
        return status;
    }
    *out = gguf;
    return OLL_OK;
}

oll_status oll_gguf_open_memory(const void *data, uint64_t n_bytes, const char *name,
                                struct oll_gguf **out, struct oll_error *err)
{
    struct oll_gguf *gguf = NULL;
    struct gguf_part *part;
    uint32_t no, count;
    OLL_TRY(gguf_new(&gguf, err));
    oll_status status = add_part(gguf, name, &part, err);
    OLL_TRY_DONE(status);
    part->data = data;
    part->n_bytes = n_bytes;
    OLL_TRY_DONE(gguf_parse_part(gguf, 0, err));
    OLL_TRY_DONE(gguf_split_position(&gguf->parts[0], &no, &count, err));
    if (count > 1)
        OLL_TRY_DONE(OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                              "%s: one of %u parts of a split model, which must be files", name,
                              count));
    OLL_TRY_DONE(gguf_split_add_rest(gguf, NULL, err));
    status = finish_open(gguf, err);
done:
    if (status == OLL_OK)
        *out = gguf;
    else
        oll_gguf_close(gguf);
    return status;
}

const char *oll_gguf_path(const struct oll_gguf *gguf) { return gguf->parts[0].path; }

uint32_t oll_gguf_version(const struct oll_gguf *gguf) { return gguf->parts[0].version; }

uint64_t oll_gguf_alignment(const struct oll_gguf *gguf) { return gguf->parts[0].alignment; }

uint64_t oll_gguf_file_bytes(const struct oll_gguf *gguf)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < gguf->n_parts; i++)
        sum += gguf->parts[i].n_bytes;
    return sum;
}

uint64_t oll_gguf_n_kv(const struct oll_gguf *gguf) { return gguf->parts[0].n_kv; }

const struct oll_gguf_kv *oll_gguf_kv_at(const struct oll_gguf *gguf, uint64_t i)
{
    OLL_ASSERT(i < gguf->parts[0].n_kv);
    return &gguf->parts[0].kvs[i];
}

const struct oll_gguf_kv *oll_gguf_find(const struct oll_gguf *gguf, const char *key)
{
    return gguf_part_find(&gguf->parts[0], key);
}

uint64_t oll_gguf_n_tensors(const struct oll_gguf *gguf) { return gguf->n_tensors; }

const struct oll_gguf_tensor *oll_gguf_tensor_at(const struct oll_gguf *gguf, uint64_t i)
{
    OLL_ASSERT(i < gguf->n_tensors);
    return &gguf->tensors[i];
}

const struct oll_gguf_tensor *oll_gguf_find_tensor(const struct oll_gguf *gguf, const char *name)
{
    const uint32_t i = gguf_index_find(&gguf->tensor_index, name, strlen(name));
    return i == UINT32_MAX ? NULL : &gguf->tensors[i];
}

/* ---- data ---- */

void oll_gguf_deinterleave(const unsigned char *src, unsigned char *dst, size_t n_bytes)
{
    enum { BLOCK = 17 };
    /* From pairs (2j, 2j + 1) in byte j to elements j and j + 16 in byte j. */
    for (; n_bytes >= BLOCK; n_bytes -= BLOCK, src += BLOCK, dst += BLOCK) {
        unsigned char in[BLOCK];
        memcpy(in, src, BLOCK);
        dst[0] = in[0];
        for (int j = 0; j < 8; j++) {
            const unsigned a = in[1 + j], b = in[9 + j];
            dst[1 + 2 * j] = (unsigned char)((a & 15) | b << 4);
            dst[2 + 2 * j] = (unsigned char)(a >> 4 | (b & 0xf0));
        }
    }
}

oll_status oll_gguf_data(struct oll_gguf *gguf, const struct oll_gguf_tensor *tensor,
                         const unsigned char **out, struct oll_error *err)
{
    if (!tensor->interleaved) {
        *out = tensor->data;
        return OLL_OK;
    }
    const size_t i = (size_t)(tensor - gguf->tensors);
    oll_status status = OLL_OK;
    pthread_mutex_lock(&gguf->lock);
    if (!gguf->converted[i]) {
        gguf->converted[i] = oll_alloc_aligned((size_t)tensor->n_bytes);
        if (gguf->converted[i]) {
            oll_gguf_deinterleave(tensor->data, gguf->converted[i], (size_t)tensor->n_bytes);
            oll_gguf_drop_pages(gguf, tensor);
        } else {
            char name[OLL_GGUF_MAX_NAME + 1];
            status = OLL_FAIL(err, OLL_ERR_MEMORY, "%s: tensor %s: out of memory",
                              gguf->parts[tensor->i_part].path,
                              oll_gguf_printable(tensor->name, name, sizeof name));
        }
    }
    *out = gguf->converted[i];
    pthread_mutex_unlock(&gguf->lock);
    return status;
}

void oll_gguf_drop_pages(const struct oll_gguf *gguf, const struct oll_gguf_tensor *tensor)
{
    oll_file_map_drop(&gguf->parts[tensor->i_part].map, tensor->file_off, tensor->n_bytes);
}
