/* Checks that need the whole directory or the whole metadata. */
#include "engine/base/mem.h"
#include "gguf/gguf_reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- where tensors lie ---- */

struct extent {
    uint64_t begin, end;
    uint32_t i; /* tensor */
};

static int compare_extents(const void *pa, const void *pb)
{
    const struct extent *a = pa, *b = pb;
    return a->begin < b->begin ? -1 : a->begin > b->begin;
}

/* NVFP4's id once stood for a type of a third of its size in a fork's files; the sizes then do not
 * fit the file. */
static const char *fork_hint(const struct oll_gguf_tensor *t)
{
    return t->dtype == OLL_NVFP4 ? " (type id 40 is NVFP4 here; a fork's one-bit files use it "
                                   "otherwise and cannot be read)"
                                 : "";
}

/* Turns an offset into a place in the file. */
static oll_status place_tensor(const struct gguf_part *part, struct oll_gguf_tensor *t,
                               struct oll_error *err)
{
    char name[OLL_GGUF_MAX_NAME + 1];
    uint64_t begin, end;
    oll_gguf_printable(t->name, name, sizeof name);
    if (part->data_start > part->n_bytes)
        return gguf_fail_at(part, part->data_start, err, OLL_ERR_FORMAT,
                            "tensor %s: the data begins here but the file ends at %llu; it is cut "
                            "short",
                            name, (unsigned long long)part->n_bytes);
    if (!oll_add_u64(part->data_start, t->file_off, &begin) ||
        !oll_add_u64(begin, t->n_bytes, &end))
        return OLL_FAIL(err, OLL_ERR_FORMAT, "%s: tensor %s: offset %llu + %llu bytes overflows",
                        part->path, name, (unsigned long long)t->file_off,
                        (unsigned long long)t->n_bytes);
    if (end > part->n_bytes)
        return gguf_fail_at(part, begin, err, OLL_ERR_FORMAT,
                            "tensor %s: its %llu bytes pass the end of the file at %llu; the file "
                            "is cut short or damaged%s",
                            name, (unsigned long long)t->n_bytes, (unsigned long long)part->n_bytes,
                            fork_hint(t));
    t->file_off = begin;
    t->data = part->data + begin;
    return OLL_OK;
}

static oll_status check_overlap(const struct oll_gguf *gguf, const struct gguf_part *part,
                                const struct extent *a, const struct extent *b,
                                struct oll_error *err)
{
    if (a->end <= b->begin)
        return OLL_OK;
    const struct oll_gguf_tensor *ta = &gguf->tensors[a->i], *tb = &gguf->tensors[b->i];
    char name_a[OLL_GGUF_MAX_NAME + 1], name_b[OLL_GGUF_MAX_NAME + 1];
    oll_gguf_printable(ta->name, name_a, sizeof name_a);
    oll_gguf_printable(tb->name, name_b, sizeof name_b);
    return gguf_fail_at(part, b->begin, err, OLL_ERR_FORMAT,
                        "tensor %s begins inside tensor %s, which ends at %llu%s", name_b, name_a,
                        (unsigned long long)a->end, fork_hint(ta));
}

oll_status gguf_check_layout(struct oll_gguf *gguf, uint32_t i_part, uint32_t first,
                             struct oll_error *err)
{
    const struct gguf_part *part = &gguf->parts[i_part];
    const uint32_t n = gguf->n_tensors - first;
    if (n == 0)
        return OLL_OK;
    struct extent *extents = oll_alloc(n, sizeof *extents);
    if (!extents)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "%s: out of memory", part->path);
    oll_status status = OLL_OK;
    for (uint32_t i = 0; i < n; i++) {
        struct oll_gguf_tensor *t = &gguf->tensors[first + i];
        OLL_TRY_DONE(place_tensor(part, t, err));
        extents[i] = (struct extent){t->file_off, t->file_off + t->n_bytes, first + i};
    }
    qsort(extents, n, sizeof *extents, compare_extents);
    for (uint32_t i = 1; i < n; i++)
        OLL_TRY_DONE(check_overlap(gguf, part, &extents[i - 1], &extents[i], err));
done:
    oll_free(extents);
    return status;
}

/* ---- rules for the metadata of every model ---- */

enum { MAX_ARCH_BYTES = 63 };

/* Ranges of keys below "<architecture>."; a key may be an array with a value per layer. A minimum
 * of 0 leaves it to the architecture whether zero makes sense. */
static const struct integer_rule {
    const char *key;
    uint64_t min, max;
} integer_rules[] = {
    {"block_count", 1, OLL_GGUF_MAX_LAYERS},
    {"embedding_length", 1, 1 << 20},
    {"feed_forward_length", 0, 1 << 20},
    {"context_length", 0, INT32_MAX},
    {"vocab_size", 0, 16 << 20},
    {"expert_count", 0, 1024},
    {"expert_used_count", 0, 1024},
};

static const struct float_rule {
    const char *key;
    bool positive; /* else zero is allowed */
} float_rules[] = {
    {"rope.freq_base", true},
    {"rope.freq_base_swa", true},
    {"rope.global.freq_base", true},
    {"rope.local.freq_base", true},
    {"attention.layer_norm_epsilon", false},
    {"attention.layer_norm_rms_epsilon", false},
    {"attention.group_norm_epsilon", false},
};

static oll_status check_integer(const struct gguf_part *part, const char *key,
                                const struct integer_rule *rule, struct oll_error *err)
{
    const struct oll_gguf_kv *kv = gguf_part_find(part, key);
    for (uint64_t i = 0; kv && i < kv->count; i++) {
        uint64_t v;
        OLL_TRY(oll_gguf_kv_u64(kv, i, &v, err));
        if (v < rule->min || v > rule->max)
            return OLL_FAIL(err, OLL_ERR_FORMAT, "key %s: %llu is not in the range %llu to %llu",
                            key, (unsigned long long)v, (unsigned long long)rule->min,
                            (unsigned long long)rule->max);
    }
    return OLL_OK;
}

static oll_status check_float(const struct gguf_part *part, const char *key,
                              const struct float_rule *rule, struct oll_error *err)
{
    const struct oll_gguf_kv *kv = gguf_part_find(part, key);
    for (uint64_t i = 0; kv && i < kv->count; i++) {
        double v;
        OLL_TRY(oll_gguf_kv_f64(kv, i, &v, err));
        if (!isfinite(v) || v < 0 || (rule->positive && v == 0))
            return OLL_FAIL(err, OLL_ERR_FORMAT, "key %s: %g is not a %s number", key, v,
                            rule->positive ? "positive" : "non-negative");
    }
    return OLL_OK;
}

static oll_status check_ranges(const struct gguf_part *part, struct oll_gguf_str arch,
                               struct oll_error *err)
{
    char key[MAX_ARCH_BYTES + 64];
    for (size_t i = 0; i < sizeof integer_rules / sizeof *integer_rules; i++) {
        snprintf(key, sizeof key, "%.*s.%s", (int)arch.len, arch.data, integer_rules[i].key);
        OLL_TRY(check_integer(part, key, &integer_rules[i], err));
    }
    for (size_t i = 0; i < sizeof float_rules / sizeof *float_rules; i++) {
        snprintf(key, sizeof key, "%.*s.%s", (int)arch.len, arch.data, float_rules[i].key);
        OLL_TRY(check_float(part, key, &float_rules[i], err));
    }
    return OLL_OK;
}

/* Lists that run beside the tokens must cover them. */
static oll_status check_token_list(const struct gguf_part *part, const char *key, uint64_t n_tokens,
                                   bool integers, struct oll_error *err)
{
    const struct oll_gguf_kv *kv = gguf_part_find(part, key);
    if (!kv)
        return OLL_OK;
    if (kv->type != OLL_GGUF_ARRAY)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "key %s: expected an array, found %s", key,
                        oll_gguf_type_name(kv->type));
    if (kv->count < n_tokens)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "key %s: %llu elements for %llu tokens", key,
                        (unsigned long long)kv->count, (unsigned long long)n_tokens);
    double number;
    int64_t integer;
    if (kv->count == 0)
        return OLL_OK;
    return integers ? oll_gguf_kv_i64(kv, 0, &integer, err) : oll_gguf_kv_f64(kv, 0, &number, err);
}

static oll_status check_tokens(const struct gguf_part *part, struct oll_error *err)
{
    const struct oll_gguf_kv *tokens = gguf_part_find(part, "tokenizer.ggml.tokens");
    if (!tokens)
        return OLL_OK;
    if (tokens->type != OLL_GGUF_ARRAY || tokens->elem_type != OLL_GGUF_STRING)
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "key tokenizer.ggml.tokens: expected an array of strings, found %s%s",
                        tokens->type == OLL_GGUF_ARRAY ? "an array of " : "",
                        oll_gguf_type_name(tokens->elem_type));
    OLL_TRY(check_token_list(part, "tokenizer.ggml.scores", tokens->count, false, err));
    return check_token_list(part, "tokenizer.ggml.token_type", tokens->count, true, err);
}

static oll_status check_architecture(const struct gguf_part *part, struct oll_gguf_str *arch,
                                     struct oll_error *err)
{
    const struct oll_gguf_kv *kv = gguf_part_find(part, "general.architecture");
    if (!kv)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "key general.architecture is missing");
    if (kv->type != OLL_GGUF_STRING)
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "key general.architecture: expected a string, found %s",
                        oll_gguf_type_name(kv->type));
    OLL_TRY(oll_gguf_kv_strings(kv, arch, err));
    if (arch->len == 0 || arch->len > MAX_ARCH_BYTES || memchr(arch->data, 0, (size_t)arch->len))
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "key general.architecture: a name of 1 to %d bytes is expected",
                        MAX_ARCH_BYTES);
    return OLL_OK;
}

static oll_status check_metadata(const struct gguf_part *part, struct oll_error *err)
{
    struct oll_gguf_str arch;
    OLL_TRY(check_architecture(part, &arch, err));
    OLL_TRY(check_tokens(part, err));
    return check_ranges(part, arch, err);
}

oll_status gguf_check_model(const struct oll_gguf *gguf, struct oll_error *err)
{
    const bool first = err && err->status == OLL_OK;
    const oll_status status = check_metadata(&gguf->parts[0], err);
    if (first)
        oll_error_prefix(err, "%s", gguf->parts[0].path);
    return status;
}
