/* What the JSON reader accepts the writer must be able to write, and the reader must read that back
 * to the same text. The first byte chooses the reader's switches. */
#include "engine/base/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { MEMORY_MAX = 64 << 20 };

static bool rewrite(const char *text, size_t n, const struct oll_json_limits *limits,
                    struct oll_strbuf *out)
{
    struct oll_arena arena;
    struct oll_error err = {0};
    struct oll_json *root = NULL;
    struct oll_json_writer w;
    oll_arena_init(&arena, MEMORY_MAX);
    oll_strbuf_clear(out);
    oll_status status = oll_json_parse(&arena, text, n, limits, &root, &err);
    if (status == OLL_OK) {
        oll_json_write_init(&w, out);
        oll_json_write_node(&w, root, false);
    } else {
        OLL_ASSERT(err.text[0] != '\0');
    }
    oll_arena_free(&arena);
    return status == OLL_OK && out->status == OLL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct oll_strbuf first, second;
    struct oll_json_limits limits = oll_json_limits_default;
    if (n_bytes == 0)
        return 0;
    limits.replace_utf8 = data[0] & 1;
    limits.allow_trailing = data[0] & 2;
    oll_strbuf_init(&first, MEMORY_MAX);
    oll_strbuf_init(&second, MEMORY_MAX);
    if (rewrite((const char *)data + 1, n_bytes - 1, &limits, &first)) {
        /* Keys may grow when bad bytes become U+FFFD, so the second reading has no limit on them.
         */
        limits.max_key_bytes = MEMORY_MAX;
        OLL_ASSERT(rewrite(first.data, first.len, &limits, &second));
        OLL_ASSERT(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    }
    oll_strbuf_free(&first);
    oll_strbuf_free(&second);
    return 0;
}
