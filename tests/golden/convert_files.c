/* Converts a folder of published files by engine/convert: convert_files FOLDER OUT.gguf NAME... */
#include "engine/convert/convert.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>

enum { FILES_MAX = 32, PATH_MAX_BYTES = 512 };

static oll_status write_out(void *user, const void *data, size_t n, struct oll_error *err)
{
    return fwrite(data, 1, n, user) == n ? OLL_OK : OLL_FAIL(err, OLL_ERR_IO, "cannot write");
}

int main(int argc, char **argv)
{
    static struct oll_convert_file files[FILES_MAX];
    static char paths[FILES_MAX][PATH_MAX_BYTES];
    const struct oll_convert_options options = {.n_threads = 2};
    struct oll_error err = {0};
    if (argc < 4 || argc - 3 > FILES_MAX)
        return 2;
    for (int i = 3; i < argc; i++) {
        snprintf(paths[i - 3], sizeof paths[0], "%s/%s", argv[1], argv[i]);
        files[i - 3] = (struct oll_convert_file){argv[i], paths[i - 3]};
    }
    FILE *out = fopen(argv[2], "wb");
    const struct oll_gguf_sink sink = {write_out, out};
    if (!out)
        return 2;
    oll_status status = oll_convert_model(files, (size_t)argc - 3, &sink, &options, &err);
    if (fclose(out) != 0 || status != OLL_OK) {
        printf("Error: %s\n", oll_error_text(&err));
        return 1;
    }
    return 0;
}
