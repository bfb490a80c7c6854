#include "kernels/cpu/cpu_profile.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"

#include <stdlib.h>

struct cpu_profile *cpu_profile_new(void)
{
    const char *text = getenv("OLL_CPU_PROFILE");
    if (!text || !*text || *text == '0')
        return NULL;
    struct cpu_profile *profile = oll_calloc(1, sizeof *profile);
    if (profile)
        profile->current = OLL_OP_COUNT;
    return profile;
}

void cpu_profile_enter(struct cpu_profile *profile, enum oll_op_kind kind)
{
    uint64_t now = oll_clock_ns();
    if (profile->current != OLL_OP_COUNT) {
        profile->ns[profile->current] += now - profile->since_ns;
        profile->n_call[profile->current]++;
        profile->list_ns += now - profile->since_ns;
    }
    profile->n_list += kind == OLL_OP_COUNT;
    profile->current = kind;
    profile->since_ns = now;
}

void cpu_profile_free(struct cpu_profile *profile)
{
    if (!profile)
        return;
    double total = profile->list_ns > 0 ? (double)profile->list_ns : 1;
    oll_log(OLL_LOG_WARN, "cpu", "profile: %.1f ms in %llu lists", (double)profile->list_ns * 1e-6,
            (unsigned long long)profile->n_list);
    for (int kind = 0; kind < OLL_OP_COUNT; kind++) {
        double ns = (double)profile->ns[kind];
        if (profile->n_call[kind] > 0)
            oll_log(OLL_LOG_WARN, "cpu", "%-14s %9llu calls %10.2f ms %8.2f us each %5.1f %%",
                    oll_op_name((enum oll_op_kind)kind), (unsigned long long)profile->n_call[kind],
                    ns * 1e-6, ns * 1e-3 / (double)profile->n_call[kind], 100 * ns / total);
    }
    oll_free(profile);
}
