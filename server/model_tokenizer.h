/* The tokenizer of a model, for commands that need no more of it than that. */
#ifndef OLL_SERVER_MODEL_TOKENIZER_H
#define OLL_SERVER_MODEL_TOKENIZER_H

#include "engine/eval.h"

/* `model` is a path to a GGUF file or a name in the store. *out is released with
 * oll_tokenizer_free. The error names the model. */
oll_status model_tokenizer_load(const char *model, struct oll_tokenizer **out,
                                struct oll_error *err) OLL_MUST_USE;

#endif
