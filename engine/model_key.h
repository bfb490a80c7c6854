/* A digest of all that makes KV pages of one loaded model useless to another. */
#ifndef OLL_ENGINE_MODEL_KEY_H
#define OLL_ENGINE_MODEL_KEY_H

#include "engine/model.h"

/* Covers the metadata and directory of the model's file and of its adapter, beginning and end of
 * each tensor and the file's time of change (to read all of a large file would take longer than the
 * prompts that this saves), devices, processor and version of this program, type of the cache and
 * the frequencies of positions, which may depend on n_ctx. */
oll_status model_key(const struct oll_model *model, enum oll_dtype kv_dtype, uint32_t n_ctx,
                     uint8_t out[32], struct oll_error *err) OLL_MUST_USE;

#endif
