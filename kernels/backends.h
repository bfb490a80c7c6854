/* The backends built into this binary, for the device table (device.c) and for tests that ask for
 * one without its name. */
#ifndef OLL_KERNELS_BACKENDS_H
#define OLL_KERNELS_BACKENDS_H

#include "kernels/device.h"

extern const struct oll_device_ops oll_cpu_device_ops; /* kernels/cpu: speed */
extern const struct oll_device_ops oll_ref_device_ops; /* kernels/ref: meaning */

#endif
