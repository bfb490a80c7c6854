/* Planning of a command list: scratch, serial ops, and where a barrier must stand. */
#ifndef OLL_KERNELS_CPU_PLAN_H
#define OLL_KERNELS_CPU_PLAN_H

#include "kernels/cpu/cpu_internal.h"

struct cpu_list_plan {
    size_t shared_bytes, thread_bytes; /* maxima over the list */
    bool serial;                       /* no op wants more than one worker */
};

/* Fills steps [cmd->n_op].
 *
 * An op waits for all workers when it touches what an earlier op since the last barrier wrote, or
 * writes what one read; except between two serial ops, which worker 0 runs in order anyway. Views
 * are compared as spans of their buffer from first to last element. */
void cpu_plan_list(const struct cpu_device *dev, const struct oll_cmd *cmd, struct cpu_step *steps,
                   struct cpu_list_plan *out);

#endif
