/* Weight types of the tile families: X(name, dtype). */
#ifndef OLL_KERNELS_CPU_TILE_LISTS_H
#define OLL_KERNELS_CPU_TILE_LISTS_H

#define CPU_TILE_SMALL_LIST(X)                                                                     \
    X(q4_0, OLL_Q4_0)                                                                              \
    X(q4_1, OLL_Q4_1)                                                                              \
    X(q5_0, OLL_Q5_0)                                                                              \
    X(q5_1, OLL_Q5_1)                                                                              \
    X(q8_0, OLL_Q8_0)                                                                              \
    X(iq4_nl, OLL_IQ4_NL)                                                                          \
    X(mxfp4, OLL_MXFP4)                                                                            \
    X(nvfp4, OLL_NVFP4)

#define CPU_TILE_K_LIST(X)                                                                         \
    X(q2_k, OLL_Q2_K)                                                                              \
    X(q3_k, OLL_Q3_K)                                                                              \
    X(q4_k, OLL_Q4_K)                                                                              \
    X(q5_k, OLL_Q5_K)                                                                              \
    X(q6_k, OLL_Q6_K)                                                                              \
    X(iq4_xs, OLL_IQ4_XS)

/* Types that stay as the file has them, with kernels of their own on some levels. */
#define CPU_ROWS_LIST(X)                                                                           \
    X(iq2_xxs, OLL_IQ2_XXS)                                                                        \
    X(iq2_xs, OLL_IQ2_XS)                                                                          \
    X(iq2_s, OLL_IQ2_S)                                                                            \
    X(iq3_xxs, OLL_IQ3_XXS)                                                                        \
    X(iq3_s, OLL_IQ3_S)                                                                            \
    X(iq1_s, OLL_IQ1_S)                                                                            \
    X(iq1_m, OLL_IQ1_M)                                                                            \
    X(tq1_0, OLL_TQ1_0)                                                                            \
    X(tq2_0, OLL_TQ2_0)

#define CPU_TILE_FLOAT_LIST(X)                                                                     \
    X(f32, OLL_F32)                                                                                \
    X(f16, OLL_F16)                                                                                \
    X(bf16, OLL_BF16)

#endif
