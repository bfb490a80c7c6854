#include "server/cli_private.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "server/env.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLDER_MAX = 80 /* a socket's path has room for 100 bytes */ };

struct cli_private {
    struct service *service;
    pthread_t thread;
    bool running;
    char folder[ENV_TEXT_MAX], socket[ENV_TEXT_MAX + 8];
};

static oll_status make_folder(struct cli_private *p, struct oll_error *err)
{
    static const char *const variables[] = {"XDG_RUNTIME_DIR", "TMPDIR"};
    char base[ENV_TEXT_MAX];
    for (int i = 0; i <= 2; i++) {
        if (i == 2)
            snprintf(base, sizeof base, "%s", P_tmpdir);
        else if (!env_text(variables[i], base) || strlen(base) > FOLDER_MAX)
            continue;
        snprintf(p->folder, sizeof p->folder, "%.*s/oll-XXXXXX", ENV_TEXT_MAX - 16, base);
        if (mkdtemp(p->folder)) {
            snprintf(p->socket, sizeof p->socket, "%s/socket", p->folder);
            return OLL_OK;
        }
        p->folder[0] = '\0';
    }
    return OLL_FAIL(err, OLL_ERR_IO, "%s: no folder for a socket can be made there: %s", base,
                    strerror(errno));
}

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
    oll_free(p);
}
