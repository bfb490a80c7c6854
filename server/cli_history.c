#include "server/cli_history.h"

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "server/env.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 16 << 20, PATH_BYTES = 4096 };

/* Takes over a copy; NULL is ignored. */
static void push(struct cli_history *h, char *line)
{
    if (!line)
        return;
    if (h->n == CLI_HISTORY_LINES) {
        oll_free(h->lines[0]);
        memmove(h->lines, h->lines + 1, (CLI_HISTORY_LINES - 1) * sizeof h->lines[0]);
        h->n--;
    }
    h->lines[h->n++] = line;
}

static bool is_blank(const char *text) { return text[strspn(text, " \t\r\n")] == '\0'; }

static void load(struct cli_history *h)
{
    char *data = NULL;
    uint64_t n = 0;
    if (oll_file_read(h->path, FILE_MAX, &data, &n, NULL) != OLL_OK)
        return;
    for (char *p = data, *end; p < data + n; p = end + 1) {
        end = memchr(p, '\n', (size_t)(data + n - p));
        if (!end)
            end = data + n;
        else
            *end = '\0';
        if (!is_blank(p))
            push(h, oll_strdup(p));
    }
    oll_free(data);
}

void cli_history_open(struct cli_history *h)
{
    char key[ENV_TEXT_MAX], path[PATH_BYTES];
    *h = (struct cli_history){0};
    if (!env_key(key))
        return;
    snprintf(path, sizeof path, "%.*s/history", (int)(strrchr(key, '/') - key), key);
    h->path = oll_strdup(path);
    h->saving = h->path && !env_bool("OLLAMA_NOHISTORY", false);
    if (h->path)
        load(h);
}

static void save(const struct cli_history *h)
{
    struct oll_strbuf text;
    char temporary[PATH_BYTES + 8];
    oll_strbuf_init(&text, FILE_MAX);
    for (int i = 0; i < h->n; i++)
        oll_strbuf_printf(&text, "%s\n", h->lines[i]);
    snprintf(temporary, sizeof temporary, "%s", h->path);
    *strrchr(temporary, '/') = '\0';
    mkdir(temporary, 0755);
    snprintf(temporary, sizeof temporary, "%s.tmp", h->path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        const bool whole = text.status == OLL_OK && fchmod(fd, 0600) == 0 &&
                           write(fd, text.data, text.len) == (ssize_t)text.len;
        close(fd);
        if (!whole || rename(temporary, h->path) != 0)
            unlink(temporary);
    }
    oll_strbuf_free(&text);
}

void cli_history_add(struct cli_history *h, const char *text)
{
    if (is_blank(text) || (h->n > 0 && strcmp(h->lines[h->n - 1], text) == 0))
        return;
    push(h, oll_strdup(text));
    if (h->saving)
        save(h);
}

void cli_history_close(struct cli_history *h)
{
    for (int i = 0; i < h->n; i++)
        oll_free(h->lines[i]);
    oll_free(h->path);
    *h = (struct cli_history){0};
}
