/* What must hold for an op before a device sees it: operands present, of the list's device, inside
 * their buffers, of matching shapes, of a type the device has a kernel for, and not overlapping
 * where the op forbids it. Index values (ids, positions, rows) are data and stay the caller's duty.
 */
#ifndef OLL_KERNELS_OP_CHECK_H
#define OLL_KERNELS_OP_CHECK_H

#include "kernels/device.h"

/* OLL_ERR_ARG or OLL_ERR_UNSUPPORTED with a text that names operand and shapes. *is_empty tells
 * whether the op, though valid, has no row to work on. */
oll_status op_check(const struct oll_device *dev, const struct oll_op *op, bool *is_empty,
                    struct oll_error *err);

/* Whether the view lies inside its buffer, for operations outside a list. `name` goes into the
 * message. */
oll_status op_check_mat(const char *name, const struct oll_mat *mat, struct oll_error *err);

#endif
