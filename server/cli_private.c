#include "server/cli_private.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "server/env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_NAME "oll-run-XXXXXX"

enum { FOLDER_MAX = 80 /* a socket's path has room for 100 bytes */ };

struct cli_private {
    struct service *service;
    pthread_t thread;
    bool running;
    int lock; /* the folder, locked as long as this process lives; -1: none */
    char folder[ENV_TEXT_MAX], socket[ENV_TEXT_MAX + 8];
};

/* ---- the folder of the socket ----
 *
 * A process that is killed leaves its folder behind. The next one removes it: the lock on a folder
 * ends with the process that holds it. */

static bool is_ours(int folder)
{
    struct stat st;
    return fstat(folder, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
}

static void remove_stale(const char *base)
{
    const size_t n_prefix = sizeof FOLDER_NAME - 1 - strlen("XXXXXX");
    DIR *all = opendir(base);
    const struct dirent *entry;
    while (all && (entry = readdir(all))) {
        if (strlen(entry->d_name) != sizeof FOLDER_NAME - 1 ||
            strncmp(entry->d_name, FOLDER_NAME, n_prefix) != 0)
            continue;
        int folder =
            openat(dirfd(all), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folder < 0)
            continue;
        if (is_ours(folder) && flock(folder, LOCK_EX | LOCK_NB) == 0) {
            unlinkat(folder, "socket", 0);
            unlinkat(dirfd(all), entry->d_name, AT_REMOVEDIR);
        }
        close(folder);
    }
    if (all)
        closedir(all);
}

/* Makes and locks a folder. Another process may find it before it is locked, and take it for one
 * that was left behind: then it is gone by the time the lock is there. */
static bool make_locked(struct cli_private *p, const char *base)
{
    struct stat st;
    for (;;) {
        snprintf(p->folder, sizeof p->folder, "%.*s/" FOLDER_NAME, FOLDER_MAX, base);
        if (!mkdtemp(p->folder))
            break;
        p->lock = open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const bool locked = p->lock >= 0 && flock(p->lock, LOCK_EX) == 0;
        if (!locked || stat(p->folder, &st) == 0)
            return true;
        close(p->lock);
    }
    p->folder[0] = '\0';
    p->lock = -1;
    return false;
}

static oll_status make_folder(struct cli_private *p, struct oll_error *err)
{
    static const char *const variables[] = {"XDG_RUNTIME_DIR", "TMPDIR"};
    char base[ENV_TEXT_MAX];
    for (int i = 0; i <= 2; i++) {
        if (i == 2)
            snprintf(base, sizeof base, "%s", P_tmpdir);
        else if (!env_text(variables[i], base) || strlen(base) > FOLDER_MAX)
            continue;
        remove_stale(base);
        if (make_locked(p, base)) {
            snprintf(p->socket, sizeof p->socket, "%s/socket", p->folder);
            return OLL_OK;
        }
    }
    return OLL_FAIL(err, OLL_ERR_IO, "%s: no folder for a socket can be made there: %s", base,
                    strerror(errno));
}

/* ---- the server ---- */

static void *serve(void *arg)
{
    struct cli_private *p = arg;
    service_run(p->service);
    return NULL;
}

/* Signals go to the thread of the command alone. */
static int start_thread(struct cli_private *p)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&p->thread, NULL, serve, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    p->running = code == 0;
    return code;
}

oll_status cli_private_start(struct service_config config, struct cli_private **out,
                             struct oll_error *err)
{
    struct cli_private *p = oll_calloc(1, sizeof *p);
    char text[ENV_TEXT_MAX];
    *out = NULL;
    if (!p)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the server of this command");
    p->lock = -1;
    /* What fails is told by the command itself, once. */
    if (!env_text("OLLAMA_DEBUG", text))
        oll_log_set_level(OLL_LOG_NONE);
    oll_status status = make_folder(p, err);
    if (status == OLL_OK) {
        config.socket = p->socket;
        status = service_new(&config, &p->service, err);
    }
    if (status == OLL_OK && start_thread(p) != 0)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "no thread for the server of this command");
    if (status != OLL_OK) {
        cli_private_stop(p);
        return status;
    }
    *out = p;
    return OLL_OK;
}

const char *cli_private_socket(const struct cli_private *p) { return p->socket; }

void cli_private_stop(struct cli_private *p)
{
    if (!p)
        return;
    if (p->running) {
        service_stop(p->service);
        pthread_join(p->thread, NULL);
    }
    service_free(p->service);
    if (p->folder[0]) {
        unlink(p->socket);
        rmdir(p->folder);
    }
    if (p->lock >= 0)
        close(p->lock);
    oll_free(p);
}
