/* What any POSIX system can take away. */
#include "engine/base/confine.h"

#include <sys/resource.h>

void oll_confine_memory(uint64_t n_bytes)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_DATA, &limit) != 0)
        return;
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > n_bytes)
        limit.rlim_cur = n_bytes;
    limit.rlim_max = limit.rlim_cur;
    setrlimit(RLIMIT_DATA, &limit);
}
