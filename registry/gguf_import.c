#include "registry/gguf_import.h"

#include "gguf/gguf.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool oll_import_is_gguf(const char *path)
{
    char magic[4];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool is_gguf =
        fd >= 0 && read(fd, magic, sizeof magic) == sizeof magic && memcmp(magic, "GGUF", 4) == 0;
    if (fd >= 0)
        close(fd);
    return is_gguf;
}

oll_status gguf_import_open(const char *const *paths, uint32_t n_parts, struct oll_gguf **out,
                            struct oll_error *err)
{
    struct oll_error detail = {0};
    for (uint32_t i = 0; i < n_parts; i++)
        if (!oll_import_is_gguf(paths[i]))
            return OLL_FAIL(err, OLL_ERR_FORMAT, "supplied file was not in GGUF format");
    oll_status status = n_parts == 1 ? oll_gguf_open(paths[0], out, &detail)
                                     : oll_gguf_open_parts(paths, n_parts, out, &detail);
    if (status == OLL_OK)
        return OLL_OK;
    const char *text = detail.text;
    for (uint32_t i = 0; i < n_parts; i++)
        if (strncmp(text, paths[i], strlen(paths[i])) == 0) {
            text += strlen(paths[i]);
            text += strspn(text, ": ");
        }
    return OLL_FAIL(err, status, "the GGUF file cannot be used: %s",
                    strchr(text, '/') ? oll_status_text(status) : text);
}

static bool arch_has(const struct oll_gguf *gguf, struct oll_gguf_str arch, const char *key)
{
    char name[128];
    snprintf(name, sizeof name, "%.*s.%s", arch.len < 64 ? (int)arch.len : 64, arch.data, key);
    return oll_gguf_find(gguf, name) != NULL;
}

static bool str_is(struct oll_gguf_str s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static const char *kind_of(const struct oll_gguf *gguf)
{
    struct oll_gguf_str type, arch = {"", 0};
    if (oll_gguf_str(gguf, "general.type", &type, NULL) == OLL_OK) {
        if (str_is(type, "adapter"))
            return "adapter";
        if (str_is(type, "projector") || str_is(type, "mmproj"))
            return "projector";
    }
    (void)oll_gguf_str(gguf, "general.architecture", &arch, NULL);
    const bool has_blocks = arch_has(gguf, arch, "block_count");
    const bool encodes = oll_gguf_find(gguf, "clip.has_vision_encoder") ||
                         oll_gguf_find(gguf, "clip.has_audio_encoder");
    if (!has_blocks &&
        ((str_is(arch, "clip") && encodes) || arch_has(gguf, arch, "vision.block_count")))
        return "projector";
    return "model";
}

oll_status oll_import_kind(const char *const *paths, uint32_t n_parts, const char **kind,
                           struct oll_error *err)
{
    struct oll_gguf *gguf = NULL;
    OLL_TRY(gguf_import_open(paths, n_parts, &gguf, err));
    *kind = kind_of(gguf);
    oll_gguf_close(gguf);
    return OLL_OK;
}

/* Five digits. */
static bool read_number(const char *s, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 5; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        *out = *out * 10 + (uint32_t)(s[i] - '0');
    }
    return true;
}

bool oll_import_split_name(const char *name, size_t *n_prefix, uint32_t *no, uint32_t *count)
{
    enum { SUFFIX = sizeof "-00001-of-00001.gguf" - 1 };
    const size_t n = strlen(name);
    const char *suffix = name + n - SUFFIX;
    if (n <= SUFFIX || suffix[0] != '-' || !read_number(suffix + 1, no) ||
        strncmp(suffix + 6, "-of-", 4) != 0 || !read_number(suffix + 10, count) ||
        strcmp(suffix + 15, ".gguf") != 0 || *no < 1 || *no > *count)
        return false;
    *n_prefix = n - SUFFIX;
    return true;
}
