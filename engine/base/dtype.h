/* Storage types of tensors: one table, checked by the compiler against the block structs
 * (kernels/quant.h).
 *
 * Ids are GGUF's (ggml_type), so a file's number is the enumerator. A type of an id that is missing
 * here cannot be decoded; oll_dtype_refusal says why when the id is known from elsewhere (removed,
 * or of a fork). */
#ifndef OLL_BASE_DTYPE_H
#define OLL_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(enumerator, id, "name", elements per block, bytes per block) */
#define OLL_DTYPE_LIST(X)                                                                          \
    X(OLL_F32, 0, "F32", 1, 4)                                                                     \
    X(OLL_F16, 1, "F16", 1, 2)                                                                     \
    X(OLL_Q4_0, 2, "Q4_0", 32, 18)                                                                 \
    X(OLL_Q4_1, 3, "Q4_1", 32, 20)                                                                 \
    X(OLL_Q5_0, 6, "Q5_0", 32, 22)                                                                 \
    X(OLL_Q5_1, 7, "Q5_1", 32, 24)                                                                 \
    X(OLL_Q8_0, 8, "Q8_0", 32, 34)                                                                 \
    X(OLL_Q8_1, 9, "Q8_1", 32, 36)                                                                 \
    X(OLL_Q2_K, 10, "Q2_K", 256, 84)                                                               \
    X(OLL_Q3_K, 11, "Q3_K", 256, 110)                                                              \
    X(OLL_Q4_K, 12, "Q4_K", 256, 144)                                                              \
    X(OLL_Q5_K, 13, "Q5_K", 256, 176)                                                              \
    X(OLL_Q6_K, 14, "Q6_K", 256, 210)                                                              \
    X(OLL_Q8_K, 15, "Q8_K", 256, 292)                                                              \
    X(OLL_IQ2_XXS, 16, "IQ2_XXS", 256, 66)                                                         \
    X(OLL_IQ2_XS, 17, "IQ2_XS", 256, 74)                                                           \
    X(OLL_IQ3_XXS, 18, "IQ3_XXS", 256, 98)                                                         \
    X(OLL_IQ1_S, 19, "IQ1_S", 256, 50)                                                             \
    X(OLL_IQ4_NL, 20, "IQ4_NL", 32, 18)                                                            \
    X(OLL_IQ3_S, 21, "IQ3_S", 256, 110)                                                            \
    X(OLL_IQ2_S, 22, "IQ2_S", 256, 82)                                                             \
    X(OLL_IQ4_XS, 23, "IQ4_XS", 256, 136)                                                          \
    X(OLL_I8, 24, "I8", 1, 1)                                                                      \
    X(OLL_I16, 25, "I16", 1, 2)                                                                    \
    X(OLL_I32, 26, "I32", 1, 4)                                                                    \
    X(OLL_I64, 27, "I64", 1, 8)                                                                    \
    X(OLL_F64, 28, "F64", 1, 8)                                                                    \
    X(OLL_IQ1_M, 29, "IQ1_M", 256, 56)                                                             \
    X(OLL_BF16, 30, "BF16", 1, 2)                                                                  \
    X(OLL_TQ1_0, 34, "TQ1_0", 256, 54)                                                             \
    X(OLL_TQ2_0, 35, "TQ2_0", 256, 66)                                                             \
    X(OLL_MXFP4, 39, "MXFP4", 32, 17)                                                              \
    X(OLL_NVFP4, 40, "NVFP4", 64, 36)                                                              \
    X(OLL_Q1_0, 41, "Q1_0", 128, 18)                                                               \
    X(OLL_Q2_0, 42, "Q2_0", 64, 18)

enum oll_dtype {
#define X(name, id, text, block, bytes) name = id,
    OLL_DTYPE_LIST(X)
#undef X
        OLL_DTYPE_COUNT = 43
};

struct oll_dtype_info {
    const char *name;        /* GGUF spelling; NULL for an id that is not a type */
    uint16_t block_elements; /* elements of one block */
    uint16_t block_bytes;
};

/* NULL when the id is no type of this table. */
const struct oll_dtype_info *oll_dtype_info(uint32_t id);
/* Name for messages, "?" for an unknown id. */
const char *oll_dtype_name(uint32_t id);
/* By name in any case ("q4_k", "Q4_K"); false when there is none. */
bool oll_dtype_from_name(const char *name, enum oll_dtype *out);
/* Why an id is refused: "removed from ggml in 2024 ...", "made for the ik_llama.cpp fork", "unknown
 * type". */
const char *oll_dtype_refusal(uint32_t id);
/* Bytes of a row of `n` elements; `n` is a multiple of the block (callers check), no overflow for n
 * < 2^56. */
size_t oll_dtype_row_bytes(enum oll_dtype dtype, size_t n);

#endif
