#include "server/cli_editor.h"

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "server/env.h"

#include <errno.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT_MAX = 16 << 20, WORDS_MAX = 16 };

extern char **environ;

static void choose(char out[ENV_TEXT_MAX])
{
    static const char *const variables[] = {"OLLAMA_EDITOR", "VISUAL", "EDITOR"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (env_text(variables[i], out))
            return;
    snprintf(out, ENV_TEXT_MAX, "vi");
}

/* Runs "PROGRAM WORD... FILE". */
static oll_status run_editor(char *command, char *file, struct oll_error *err)
{
    char *argv[WORDS_MAX + 2], *p = command;
    int n = 0, state = 0;
    pid_t pid;
    while (n < WORDS_MAX && *(p += strspn(p, " \t"))) {
        argv[n++] = p;
        p += strcspn(p, " \t");
        if (*p)
            *p++ = '\0';
    }
    argv[n] = file;
    argv[n + 1] = NULL;
    if (n == 0 || posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) != 0)
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND,
                        "editor \"%s\" not found, set OLLAMA_EDITOR to the path of your preferred "
                        "editor",
                        n > 0 ? argv[0] : "");
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR)
        continue;
    if (!WIFEXITED(state) || WEXITSTATUS(state) != 0)
        return OLL_FAIL(err, OLL_ERR_IO, "editor \"%s\" failed", argv[0]);
    return OLL_OK;
}

oll_status cli_editor_edit(const char *text, char **out, struct oll_error *err)
{
    char command[ENV_TEXT_MAX], folder[ENV_TEXT_MAX], file[ENV_TEXT_MAX + 32];
    uint64_t n;
    const size_t n_text = strlen(text);
    *out = NULL;
    choose(command);
    if (!env_text("TMPDIR", folder))
        snprintf(folder, sizeof folder, "%s", P_tmpdir);
    snprintf(file, sizeof file, "%s/oll-prompt-XXXXXX", folder);
    int fd = mkstemp(file);
    if (fd < 0)
        return OLL_FAIL(err, OLL_ERR_IO, "%s: no file can be made there: %s", folder,
                        strerror(errno));
    oll_status status = write(fd, text, n_text) == (ssize_t)n_text
                            ? OLL_OK
                            : OLL_FAIL(err, OLL_ERR_IO, "%s cannot be written", file);
    close(fd);
    if (status == OLL_OK)
        status = run_editor(command, file, err);
    if (status == OLL_OK)
        status = oll_file_read(file, TEXT_MAX, out, &n, err);
    unlink(file);
    return status;
}
