/* Runs a fuzz target over files and folders given as arguments: the corpus is part of ordinary
 * testing, with any compiler. With no argument given only the empty input runs. */
#include "engine/base/file.h"
#include "engine/base/mem.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { INPUT_MAX_BYTES = 64 << 20 };

static int n_inputs, n_unreadable;

static void replay_file(const char *path)
{
    char *data;
    uint64_t n_bytes;
    struct oll_error err = {0};
    if (oll_file_read(path, INPUT_MAX_BYTES, &data, &n_bytes, &err) != OLL_OK) {
        printf("%s: %s\n", path, oll_error_text(&err));
        n_unreadable++;
        return;
    }
    /* An exact copy: behind the last byte lies memory that a sanitizer guards, not our NUL. */
    uint8_t *exact = oll_alloc((size_t)n_bytes, 1);
    if (exact) {
        memcpy(exact, data, (size_t)n_bytes);
        LLVMFuzzerTestOneInput(exact, (size_t)n_bytes);
        n_inputs++;
    }
    oll_free(exact);
    oll_free(data);
}

static void replay_folder(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) {
        printf("%s: cannot be opened\n", path);
        n_unreadable++;
        return;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        struct stat st;
        if (stat(file, &st) == 0 && S_ISREG(st.st_mode))
            replay_file(file);
    }
    closedir(dir);
}

int main(int argc, char **argv)
{
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
            replay_folder(argv[i]);
        else
            replay_file(argv[i]);
    }
    printf("%d inputs replayed, %d unreadable\n", n_inputs + 1, n_unreadable);
    return n_unreadable ? 1 : 0;
}
