#include "engine/base/confine.h"

#include <sys/resource.h>
#include <unistd.h>

void oll_confine_child(const char *name, int n_fds, bool keep_core)
{
    (void)name;
    struct rlimit none = {0, 0}, limit = {.rlim_cur = 1024};
    if (!keep_core)
        setrlimit(RLIMIT_CORE, &none);
    getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = n_fds; fd < 65536 && (rlim_t)fd < limit.rlim_cur; fd++)
        close(fd);
}

unsigned oll_confine_means(void) { return 0; }

oll_status oll_confine_paths(const char *folder, const char *const *readable, int n,
                             struct oll_error *err)
{
    (void)folder;
    (void)readable;
    (void)n;
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "files cannot be confined to folders here");
}

oll_status oll_confine_calls(bool may_open, struct oll_error *err)
{
    (void)may_open;
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "system calls cannot be taken away here");
}
