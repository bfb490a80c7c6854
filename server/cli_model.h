/* What the commands that evaluate a model directly have in common: their options, opening the
 * model, lists of token ids. */
#ifndef OLL_SERVER_CLI_MODEL_H
#define OLL_SERVER_CLI_MODEL_H

#include "engine/eval.h"
#include "server/cli.h"

/* Entries of an option table. */
#define CLI_MODEL_OPTIONS                                                                          \
    {"devices", 0, CLI_VALUE, "LIST", "layers of devices: cpu, ref, cpu:0-9,ref:10-29"},           \
        {"adapter", 0, CLI_VALUE, "FILE", "LoRA adapter (GGUF) to apply to the model"},            \
        {"kv", 0, CLI_VALUE, "TYPE", "kv cache: f32 (default), f16, q8_0, q4_0"},                  \
        {"ctx", 0, CLI_VALUE, "N", "context to allocate, in tokens"},                              \
        {"batch", 0, CLI_VALUE, "N", "most tokens of one pass (default 512)"},                     \
        {"threads", 0, CLI_VALUE, "N", "compute threads (default: physical cores)"}

struct cli_model {
    struct oll_model *model;
    struct oll_context_params params; /* n_ctx 0 when not given */
};

/* Opens the first positional argument, a path or a name of the store; prints the error and returns
 * false on failure. `need_text`: the vocabulary is used. */
bool cli_model_open(const struct cli_args *args, bool need_text, struct cli_model *m);
/* Ids of --tokens "1,2,3"; *out is released with oll_tokens_free. */
bool cli_model_tokens(const struct cli_args *args, struct oll_tokens *out);

#endif
