/* The backends built into this binary, for the device table (device.c) and for tests that ask for
 * one without its name. */
#ifndef OLL_KERNELS_BACKENDS_H
#define OLL_KERNELS_BACKENDS_H

#include "kernels/device.h"

extern const struct oll_device_ops oll_cpu_device_ops; /* kernels/cpu: speed */
extern const struct oll_device_ops oll_ref_device_ops; /* kernels/ref: meaning */

/* Sets of storage types for the capability table (oll_device_ops.caps). */
#define OLL_CAP_BIT(dtype) (UINT64_C(1) << (dtype))
#define OLL_CAP_PLAIN      OLL_CAP_BIT(OLL_F32)
#define OLL_CAP_CACHES                                                                             \
    (OLL_CAP_BIT(OLL_F32) | OLL_CAP_BIT(OLL_F16) | OLL_CAP_BIT(OLL_Q8_0) | OLL_CAP_BIT(OLL_Q4_0))
/* Every type that a weight of a model can have. */
#define OLL_CAP_WEIGHTS                                                                            \
    (OLL_CAP_BIT(OLL_F32) | OLL_CAP_BIT(OLL_F16) | OLL_CAP_BIT(OLL_BF16) | OLL_CAP_BIT(OLL_Q4_0) | \
     OLL_CAP_BIT(OLL_Q4_1) | OLL_CAP_BIT(OLL_Q5_0) | OLL_CAP_BIT(OLL_Q5_1) |                       \
     OLL_CAP_BIT(OLL_Q8_0) | OLL_CAP_BIT(OLL_Q2_K) | OLL_CAP_BIT(OLL_Q3_K) |                       \
     OLL_CAP_BIT(OLL_Q4_K) | OLL_CAP_BIT(OLL_Q5_K) | OLL_CAP_BIT(OLL_Q6_K) |                       \
     OLL_CAP_BIT(OLL_IQ2_XXS) | OLL_CAP_BIT(OLL_IQ2_XS) | OLL_CAP_BIT(OLL_IQ2_S) |                 \
     OLL_CAP_BIT(OLL_IQ3_XXS) | OLL_CAP_BIT(OLL_IQ3_S) | OLL_CAP_BIT(OLL_IQ1_S) |                  \
     OLL_CAP_BIT(OLL_IQ1_M) | OLL_CAP_BIT(OLL_IQ4_NL) | OLL_CAP_BIT(OLL_IQ4_XS) |                  \
     OLL_CAP_BIT(OLL_TQ1_0) | OLL_CAP_BIT(OLL_TQ2_0) | OLL_CAP_BIT(OLL_MXFP4) |                    \
     OLL_CAP_BIT(OLL_NVFP4) | OLL_CAP_BIT(OLL_Q1_0) | OLL_CAP_BIT(OLL_Q2_0))

#endif
