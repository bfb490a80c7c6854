/* Damaged models: every number in the metadata of every golden model set to values at its limits,
 * one at a time, and tensors renamed away. A load either fails with a message that names something,
 * or gives a model that runs. */
#include "engine/arch.h"
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/model.h"
#include "tests/testing.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MAX_BYTES = 8 << 20 };

struct counts {
    int n_loaded, n_refused;
};

/* Loads the bytes and, when they are a model, runs a few tokens. */
static oll_status try_model(const char *bytes, uint64_t n_bytes, struct counts *counts,
                            struct oll_error *err)
{
    struct oll_gguf *gguf;
    struct oll_model *model;
    struct oll_context *ctx = NULL;
    struct oll_model_params params = {.devices = "ref", .no_tokenizer = true};
    struct oll_context_params size = {.n_ctx = 7, .n_seq = 1, .n_ubatch = 3, .kv_dtype = OLL_F16};
    const int32_t tokens[] = {1, 2, 3, 4, 5};
    oll_status status = oll_gguf_open_memory(bytes, n_bytes, "damaged", &gguf, err);
    if (status == OLL_OK)
        status = model_load_open(gguf, &params, &model, err);
    if (status != OLL_OK) {
        counts->n_refused++;
        return status;
    }
    counts->n_loaded++;
    status = oll_context_new(model, &size, &ctx, err);
    if (status == OLL_OK && oll_model_facts(model)->is_encoder) {
        float *v = oll_calloc(oll_model_facts(model)->n_embd_out, sizeof *v);
        status = oll_context_embed(ctx, 0, tokens, 5, false, NULL, v, err);
        oll_free(v);
    } else if (status == OLL_OK) {
        struct oll_batch batch = {.n = 5, .tokens = tokens};
        float *logits;
        status = oll_context_eval(ctx, &batch, NULL, &logits, err);
    }
    /* A context may be refused (positions for fewer tokens), a pass of a loaded model may not. */
    CHECK_MSG(status == OLL_OK || !ctx, "a loaded model failed to run: %s", oll_error_text(err));
    oll_context_free(ctx);
    oll_model_free(model);
    return status;
}

static const char *const words[] = {"missing", " = ", "is not in", "needs",
                                    "tensor",  "key", "heads"};

static void check_message(const char *what, oll_status status, const struct oll_error *err)
{
    bool named = status == OLL_OK;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        named = named || strstr(err->text, words[i]);
    CHECK_MSG(named, "%s: the message names nothing: \"%s\"", what, err->text);
}

/* Bytes of one element of a numeric value; 0: no number. */
static size_t element_bytes(const struct oll_gguf_kv *kv)
{
    enum oll_gguf_type type = kv->type == OLL_GGUF_ARRAY ? kv->elem_type : kv->type;
    if (type == OLL_GGUF_STRING || kv->count == 0)
        return 0;
    return (size_t)(kv->data_bytes / kv->count);
}

/* Value `k` of the list for a number of n bytes; false beyond the last. */
static bool limit_value(enum oll_gguf_type type, size_t n, int k, unsigned char out[8])
{
    static const uint64_t ints[] = {0, 1, 3, 0x7f, 0x7fffffff, UINT64_MAX, 0x100000000, 1025};
    const double reals[] = {0, -1, 1e-30, 1e30, INFINITY, NAN, 1};
    if (type == OLL_GGUF_F32 || type == OLL_GGUF_F64) {
        if (k >= (int)(sizeof reals / sizeof reals[0]))
            return false;
        float f = (float)reals[k];
        memcpy(out, type == OLL_GGUF_F32 ? (const void *)&f : (const void *)&reals[k], n);
        return true;
    }
    if (k >= (int)(sizeof ints / sizeof ints[0]))
        return false;
    memcpy(out, &ints[k], n);
    return true;
}

static void damage_key(char *bytes, uint64_t n_bytes, const struct oll_gguf_kv *kv,
                       struct counts *counts)
{
    size_t n = element_bytes(kv);
    enum oll_gguf_type type = kv->type == OLL_GGUF_ARRAY ? kv->elem_type : kv->type;
    unsigned char value[8], *at = (unsigned char *)bytes + (kv->data - (unsigned char *)bytes);
    unsigned char before[8];
    if (n == 0 || n > 8)
        return;
    memcpy(before, at, n);
    for (int k = 0; limit_value(type, n, k, value); k++) {
        struct oll_error err = {0};
        memcpy(at, value, n);
        oll_status status = try_model(bytes, n_bytes, counts, &err);
        check_message("a key at its limit", status, &err);
    }
    memcpy(at, before, n);
}

/* A text that would move the cursor of a terminal does not reach the message. */
static void damage_text(char *bytes, uint64_t n_bytes, const struct oll_gguf_kv *kv,
                        struct counts *counts)
{
    struct oll_gguf_str text;
    struct oll_error err = {0};
    char before[64];
    if (kv->type != OLL_GGUF_STRING || oll_gguf_kv_strings(kv, &text, NULL) != OLL_OK ||
        text.len == 0 || text.len > sizeof before)
        return;
    char *at = bytes + (text.data - bytes);
    memcpy(before, at, (size_t)text.len);
    memset(at, '\x1b', (size_t)text.len);
    at[0] = '\n';
    (void)try_model(bytes, n_bytes, counts, &err);
    for (const char *c = err.text; *c; c++)
        CHECK_MSG((unsigned char)*c >= ' ', "a control character in \"%s\"", err.text);
    memcpy(at, before, (size_t)text.len);
}

/* Without the tensor: its first letter changes, so that nobody finds it. */
static void hide_tensor(char *bytes, uint64_t n_bytes, const struct oll_gguf_tensor *t,
                        struct counts *counts)
{
    char *at = bytes + (t->name.data - bytes), before = *at;
    struct oll_error err = {0};
    *at = '_';
    check_message("a tensor that is missing", try_model(bytes, n_bytes, counts, &err), &err);
    *at = before;
}

static void damage_model(const char *path, struct counts *counts)
{
    char *bytes = NULL;
    uint64_t n_bytes;
    struct oll_gguf *gguf = NULL;
    struct oll_error err = {0};
    oll_status status = oll_file_read(path, FILE_MAX_BYTES, &bytes, &n_bytes, &err);
    if (status == OLL_OK)
        status = oll_gguf_open_memory(bytes, n_bytes, path, &gguf, &err);
    CHECK_MSG(status == OLL_OK, "%s", oll_error_text(&err));
    struct oll_gguf_str arch = {0};
    struct model_hparams hp = {0};
    bool is_known = gguf && hparams_read(gguf, &hp, NULL) == OLL_OK &&
                    oll_gguf_str(gguf, "general.architecture", &arch, NULL) == OLL_OK;
    hparams_free(&hp);
    if (is_known) {
        for (uint64_t i = 0; i < oll_gguf_n_kv(gguf); i++) {
            const struct oll_gguf_kv *kv = oll_gguf_kv_at(gguf, i);
            if (kv->key.len > arch.len && memcmp(kv->key.data, arch.data, arch.len) == 0)
                damage_key(bytes, n_bytes, kv, counts);
            bool is_arch =
                kv->key.len == 20 && memcmp(kv->key.data, "general.architecture", 20) == 0;
            if (is_arch ||
                (kv->key.len > arch.len && memcmp(kv->key.data, arch.data, arch.len) == 0))
                damage_text(bytes, n_bytes, kv, counts);
        }
        for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++)
            hide_tensor(bytes, n_bytes, oll_gguf_tensor_at(gguf, i), counts);
    }
    oll_gguf_close(gguf);
    oll_free(bytes);
}

TEST(numbers_at_their_limits_and_missing_tensors)
{
    char folder[512], path[1024];
    struct counts counts = {0};
    snprintf(folder, sizeof folder, "%s", testing_shared("data/golden"));
    DIR *dir = folder[0] ? opendir(folder) : NULL;
    if (!dir) {
        testing_skip("the golden models are absent (data/golden)");
        return;
    }
    oll_log_set_level(OLL_LOG_ERROR);
    for (struct dirent *e; (e = readdir(dir));) {
        if (!strstr(e->d_name, ".gguf"))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        damage_model(path, &counts);
    }
    closedir(dir);
    printf("  %d damaged models were refused, %d ran\n", counts.n_refused, counts.n_loaded);
    CHECK(counts.n_refused > 1000);
}

TEST(unknown_architectures_are_named_with_the_nearest)
{
    CHECK(arch_find("llama") != NULL);
    CHECK(arch_find("nothing") == NULL);
    CHECK_STR(arch_nearest("llama5"), "llama");
    CHECK_STR(arch_nearest("qwen4"), "qwen2");
    CHECK_STR(arch_nearest("gemma3x"), "gemma3");
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
