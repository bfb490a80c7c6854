#include "server/cli_images.h"

#include "engine/base/base64.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { FILE_MAX = 100 << 20, TEXT_MAX = 256 << 20, JSON_MAX = 1 << 30, HEAD = 16 };

static const char *const suffixes[] = {".jpg", ".jpeg", ".png", ".webp", ".wav"};
enum { N_SUFFIXES = sizeof suffixes / sizeof suffixes[0] };

/* ---- paths ---- */

/* Length of a suffix that ends a word at `p`; 0 when there is none. */
static size_t suffix_at(const char *p)
{
    for (int i = 0; i < N_SUFFIXES; i++) {
        const size_t n = strlen(suffixes[i]);
        if (strncasecmp(p, suffixes[i], n) == 0 && !isalnum((unsigned char)p[n]) && p[n] != '_')
            return n;
    }
    return 0;
}

/* Whether a path may begin here: "/", "./", "\", or a drive's letter before one of them. */
static const char *path_start(const char *p)
{
    const char *q = p;
    if (isalpha((unsigned char)*q) && q[1] == ':')
        q += 2;
    if (*q == '.' && (q[1] == '/' || q[1] == '\\'))
        return q + 2;
    return *q == '/' || *q == '\\' ? q + 1 : NULL;
}

/* Without the backslashes of a shell. */
static char *unescaped(const char *p, size_t n)
{
    char *out = oll_strdup(p);
    size_t k = 0;
    if (!out)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\\' && i + 1 < n && p[i + 1] && strchr(" ()[]{}$&;'\\*?~", p[i + 1]))
            i++;
        out[k++] = p[i];
    }
    out[k] = '\0';
    return out;
}

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool cli_images_find(const char *text, const char **start, const char **end, char **path)
{
    *path = NULL;
    for (const char *p = text; *p; p++) {
        const char *q = path_start(p);
        size_t n = 0;
        while (q && *q && *q != '\n' && (n = suffix_at(q)) == 0)
            q++;
        if (!q || n == 0)
            continue;
        char *name = unescaped(p, (size_t)(q + n - p));
        if (name && is_file(name)) {
            *start = p;
            *end = q + n;
            *path = name;
            return true;
        }
        oll_free(name);
    }
    return false;
}

/* ---- files ---- */

static bool is_known(const char *data, uint64_t n, bool *sound)
{
    *sound = n >= 12 && memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WAVE", 4) == 0;
    return *sound || (n >= 3 && memcmp(data, "\xff\xd8\xff", 3) == 0) ||
           (n >= 8 && memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0) ||
           (n >= 12 && memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WEBP", 4) == 0);
}

static oll_status add_file(const char *path, struct oll_json_writer *w, struct oll_error *err)
{
    char *data = NULL;
    uint64_t n = 0;
    bool sound;
    struct oll_error why = {0};
    struct oll_strbuf text;
    oll_status status = oll_file_read(path, FILE_MAX, &data, &n, &why);
    if (status == OLL_ERR_LIMIT)
        return OLL_FAIL(err, status,
                        "Couldn't process file: \"file size exceeds maximum limit (100MB)\"");
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "Couldn't process file: \"%s\"", oll_error_text(&why));
    if (!is_known(data, n, &sound)) {
        oll_free(data);
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "Couldn't process file: \"invalid file type: %s is no JPEG, PNG, WebP or "
                        "WAVE file\"",
                        path);
    }
    oll_strbuf_init(&text, JSON_MAX);
    oll_base64_encode(data, (size_t)n, &text);
    oll_json_write_str(w, text.data);
    oll_strbuf_free(&text);
    oll_free(data);
    fprintf(stderr, "Added %s '%s'\n", sound ? "audio" : "image", path);
    return OLL_OK;
}

static oll_status take_all(const char *p, struct oll_strbuf *text, struct oll_json_writer *w,
                           int *n_files, struct oll_error *err)
{
    const char *start, *end;
    char *path;
    while (cli_images_find(p, &start, &end, &path)) {
        const bool quoted = start > p && start[-1] == '\'' && *end == '\'';
        oll_strbuf_add(text, p, (size_t)(start - p) - quoted);
        oll_status status = add_file(path, w, err);
        oll_free(path);
        OLL_TRY(status);
        ++*n_files;
        p = end + quoted;
    }
    oll_strbuf_adds(text, p);
    return OLL_OK;
}

oll_status cli_images_take(const char *prompt, char **text, char **images, struct oll_error *err)
{
    struct oll_strbuf words, json;
    struct oll_json_writer w;
    int n_files = 0;
    *text = *images = NULL;
    oll_strbuf_init(&words, TEXT_MAX);
    oll_strbuf_init(&json, JSON_MAX);
    oll_json_write_init(&w, &json);
    oll_json_write_array_begin(&w);
    oll_status status = take_all(prompt, &words, &w, &n_files, err);
    oll_json_write_array_end(&w);
    if (status == OLL_OK) {
        *text = words.len > 0 ? oll_strbuf_take(&words, NULL) : oll_strdup("");
        *images = n_files > 0 ? oll_strbuf_take(&json, NULL) : NULL;
        if (!*text || (n_files > 0 && !*images)) {
            oll_free(*text);
            oll_free(*images);
            *text = *images = NULL;
            status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the files of the prompt");
        }
    }
    oll_strbuf_free(&words);
    oll_strbuf_free(&json);
    return status;
}
