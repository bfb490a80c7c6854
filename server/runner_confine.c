/* Rights that a runner's process gives up. */
#include "engine/base/confine.h"
#include "engine/base/platform.h"
#include "server/env.h"
#include "server/runner_child_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a plan may take of memory: tables of the file's header, with the largest vocabularies and
 * many tensors tens of MiB. */
enum { PLAN_MIB = 1024 };

/* Sanitizers open files and start processes for their reports: in such builds rights are given up
 * on request only. */
static bool is_confined(void) { return env_bool("OLL_SANDBOX", !OLL_SANITIZED); }

static void say_unconfined(const struct oll_error *err)
{
    oll_log_warn("runner", "%s; OLL_SANDBOX=0 says that this is known", oll_error_text(err));
}

/* The folder of a file. */
static void folder_of(const char *path, char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    const int n = slash ? (int)(slash - path) : 1;
    snprintf(folder, PATH_MAX, "%.*s", n > 0 ? n : 1, slash ? path : ".");
}

/* Files by folder: `writable` (NULL: none), and for reading those of the model. The files of a
 * split model lie in one folder, or are links to files in one. */
static oll_status confine_files(const struct child *c, const char *writable, struct oll_error *err)
{
    char named[PATH_MAX], meant[PATH_MAX], real[PATH_MAX];
    const char *readable[3] = {named, meant, c->open.params.adapter_path};
    folder_of(c->open.params.model_path, named);
    folder_of(realpath(c->open.params.model_path, real) ? real : c->open.params.model_path, meant);
    return oll_confine_paths(writable, readable, readable[2] ? 3 : 2, err);
}

void runner_confine_early(const struct child *c)
{
    char folder[ENV_TEXT_MAX];
    struct oll_error err = {0};
    if (!is_confined() || !env_text("OLL_PREFIX_CACHE_DIR", folder))
        return;
    mkdir(folder, 0700); /* it must be there; that it is not shows below */
    if (confine_files(c, folder, &err) != OLL_OK)
        say_unconfined(&err);
}

void runner_confine_late(void)
{
    char folder[ENV_TEXT_MAX];
    struct oll_error err = {0};
    if (is_confined() &&
        oll_confine_calls(env_text("OLL_PREFIX_CACHE_DIR", folder), &err) != OLL_OK)
        say_unconfined(&err);
}

/* That a system can take nothing away is told when the model is loaded, not here once more. */
void runner_confine_plan(const struct child *c)
{
    struct oll_error err = {0};
    if (!OLL_SANITIZED) /* their shadow is memory, too */
        oll_confine_memory((uint64_t)PLAN_MIB << 20);
    if (!is_confined())
        return;
    if (confine_files(c, NULL, &err) != OLL_OK || oll_confine_calls(true, &err) != OLL_OK)
        oll_log_debug("runner", "%s", oll_error_text(&err));
}
