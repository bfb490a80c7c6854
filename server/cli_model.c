#include "server/cli_model.h"

#include "engine/base/mem.h"
#include "server/model_path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CTX_MAX = 1 << 30, BATCH_MAX = 1 << 16, THREADS_MAX = 1024 };

static bool read_params(const struct cli_args *args, struct oll_context_params *params,
                        int *n_threads)
{
    const char *kv = cli_value(args, "kv", "f32");
    int64_t n_ctx, n_batch, threads;
    if (!cli_int(args, "ctx", 0, 1, CTX_MAX, &n_ctx) ||
        !cli_int(args, "batch", 0, 1, BATCH_MAX, &n_batch) ||
        !cli_int(args, "threads", 0, 1, THREADS_MAX, &threads))
        return false;
    *params = (struct oll_context_params){
        .n_ctx = (uint32_t)n_ctx, .n_seq = 1, .n_ubatch = (uint32_t)n_batch};
    *n_threads = (int)threads;
    if (!oll_dtype_from_name(kv, &params->kv_dtype) ||
        (params->kv_dtype != OLL_F32 && params->kv_dtype != OLL_F16 &&
         params->kv_dtype != OLL_Q8_0 && params->kv_dtype != OLL_Q4_0)) {
        cli_failf("--kv %s: expected f32, f16, q8_0 or q4_0", kv);
        return false;
    }
    return true;
}

bool cli_model_open(const struct cli_args *args, bool need_text, struct cli_model *m)
{
    struct oll_error err = {0};
    struct model_entry entry;
    struct oll_model_params params = {.devices = cli_value(args, "devices", NULL),
                                      .adapter_path = cli_value(args, "adapter", NULL),
                                      .no_tokenizer = !need_text};
    *m = (struct cli_model){0};
    if (!read_params(args, &m->params, &params.n_threads))
        return false;
    oll_status status = model_entry_find(args->positional[0], &entry, &err);
    if (!params.adapter_path)
        params.adapter_path = entry.adapter_path;
    if (status == OLL_OK)
        status = oll_model_load(entry.path, &params, &m->model, &err);
    if (status != OLL_OK)
        cli_fail(&err);
    model_entry_free(&entry);
    return status == OLL_OK;
}

bool cli_model_tokens(const struct cli_args *args, struct oll_tokens *out)
{
    const char *text = cli_value(args, "tokens", "");
    for (const char *s = text; *s;) {
        char *end;
        errno = 0;
        long long id = strtoll(s, &end, 10);
        if (end == s || errno || id < INT32_MIN || id > INT32_MAX || (*end && *end != ',')) {
            cli_failf("--tokens: expected ids separated by commas, at \"%.20s\"", s);
            return false;
        }
        if (oll_tokens_add(out, (int32_t)id) != OLL_OK) {
            cli_failf("out of memory");
            return false;
        }
        s = *end ? end + 1 : end;
    }
    if (out->n == 0)
        cli_failf("--tokens: the list is empty");
    return out->n > 0;
}
