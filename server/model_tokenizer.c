#include "server/model_tokenizer.h"

#include "engine/base/mem.h"
#include "server/model_path.h"

oll_status model_tokenizer_load(const char *model, struct oll_tokenizer **out,
                                struct oll_error *err)
{
    char *path = NULL;
    struct oll_gguf *gguf = NULL;
    OLL_TRY(model_path_resolve(model, &path, err));
    oll_status status = oll_gguf_open(path, &gguf, err);
    if (status == OLL_OK) {
        const struct oll_gguf_tensor *embd = oll_gguf_find_tensor(gguf, "token_embd.weight");
        status = oll_tokenizer_new(gguf, embd ? embd->ne[1] : 0, out, err);
        if (status != OLL_OK)
            oll_error_prefix(err, "%s", path);
    }
    oll_gguf_close(gguf);
    oll_free(path);
    return status;
}
