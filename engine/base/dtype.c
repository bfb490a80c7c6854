#include "engine/base/dtype.h"

#include "engine/base/status.h"

#include <strings.h>

static const struct oll_dtype_info infos[OLL_DTYPE_COUNT] = {
#define X(name, id, text, block, bytes) [id] = {text, block, bytes},
    OLL_DTYPE_LIST(X)
#undef X
};

const struct oll_dtype_info *oll_dtype_info(uint32_t id)
{
    return id < OLL_DTYPE_COUNT && infos[id].name ? &infos[id] : NULL;
}

const char *oll_dtype_name(uint32_t id)
{
    const struct oll_dtype_info *info = oll_dtype_info(id);
    return info ? info->name : "?";
}

bool oll_dtype_from_name(const char *name, enum oll_dtype *out)
{
    for (uint32_t id = 0; id < OLL_DTYPE_COUNT; id++) {
        if (infos[id].name && strcasecmp(name, infos[id].name) == 0) {
            *out = (enum oll_dtype)id;
            return true;
        }
    }
    return false;
}

const char *oll_dtype_refusal(uint32_t id)
{
    switch (id) {
    case 4:
    case 5: return "a 4-bit type removed in 2023 (Q4_2, Q4_3): convert the model again";
    case 31:
    case 32:
    case 33:
    case 36:
    case 37:
    case 38:
        return "a row-interleaved type removed in 2024 (Q4_0_4_4 and the like): use the plain Q4_0 "
               "or IQ4_NL file";
    case 133:
    case 137:
    case 138:
    case 139:
    case 140:
    case 141:
    case 144:
    case 145:
    case 146: return "made for the ik_llama.cpp fork: use a file of a common type";
    default: break;
    }
    if (id >= 97)
        return "a type of a fork (ik_llama.cpp numbers begin at 97): use a file of a common type";
    return "not a known tensor type";
}

size_t oll_dtype_row_bytes(enum oll_dtype dtype, size_t n)
{
    const struct oll_dtype_info *info = oll_dtype_info((uint32_t)dtype);
    OLL_ASSERT(info);
    return n / info->block_elements * info->block_bytes;
}
