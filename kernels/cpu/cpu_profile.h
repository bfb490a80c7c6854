/* Time per kind of op, printed when the device closes: OLL_CPU_PROFILE=1. Seen by worker 0: the
 * time of an op includes waiting for the others after it. */
#ifndef OLL_KERNELS_CPU_PROFILE_H
#define OLL_KERNELS_CPU_PROFILE_H

#include "kernels/device.h"

struct cpu_profile {
    uint64_t since_ns;
    enum oll_op_kind current; /* OLL_OP_COUNT: none */
    uint64_t list_ns, n_list;
    uint64_t ns[OLL_OP_COUNT], n_call[OLL_OP_COUNT];
};

/* NULL unless the environment asks for it, or memory is short. */
struct cpu_profile *cpu_profile_new(void);
/* The op that runs from now on; OLL_OP_COUNT ends the list. */
void cpu_profile_enter(struct cpu_profile *profile, enum oll_op_kind kind);
/* Prints the table to the log and frees it; NULL is accepted. */
void cpu_profile_free(struct cpu_profile *profile);

#endif
