/* Runs a fuzz target over files and folders given as arguments: the corpus is part of ordinary
 * testing, with any compiler. Each small input is followed by damaged copies of itself, the same
 * ones in every run, which depend on nothing but its bytes. With no argument given only the empty
 * input runs. A crash names its input by the lines printed before it: OLL_FUZZ_VERBOSE=1 prints
 * one for each copy. */
#include "engine/base/file.h"
#include "engine/base/mem.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum {
    INPUT_MAX_BYTES = 64 << 20,
    MUTATE_MAX_BYTES = 16 << 10, /* larger inputs run as they are */
    N_MUTANTS = 400
};

static int n_inputs, n_unreadable;

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* One change of what parsers are sensitive to: a bit, a byte, a number at its limits, a piece
 * copied, removed or cut off. The length never grows. */
static size_t mutate_once(uint8_t *data, size_t n, uint64_t *state)
{
    static const uint64_t limits[] = {0,          1,          0x7f,       0xff,       0x7fff,
                                      0xffff,     0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32,
                                      1ull << 61, 1ull << 62, 1ull << 63, UINT64_MAX};
    const uint64_t r = next_random(state);
    const size_t at = (size_t)((r >> 16) % n), from = (size_t)((r >> 32) % n);
    const size_t left = n - (at > from ? at : from), len = 1 + (size_t)(r >> 8 & 31) % left;
    const size_t width = (size_t)1 << (r >> 4 & 3);
    switch (r & 7) {
    case 0:
    case 1: data[at] ^= (uint8_t)(1 << (r >> 5 & 7)); break;
    case 2: data[at] = (uint8_t)(r >> 48); break;
    case 3: data[at] = (uint8_t)(data[at] + (r & 8 ? 1 : -1)); break;
    case 4:
        memcpy(data + at, &limits[(r >> 8) % (sizeof limits / sizeof *limits)],
               width < n - at ? width : n - at);
        break;
    case 5: memmove(data + at, data + from, len); break;
    case 6: memmove(data + at, data + at + len, n - at - len); return n - len;
    default: return r & 24 ? n : at;
    }
    return n;
}

/* Copies damaged in one to four places, each in an allocation of its own size. */
static void run_mutants(const char *path, const uint8_t *data, size_t n)
{
    uint64_t state = n;
    const char *verbose = getenv("OLL_FUZZ_VERBOSE");
    for (int i = 0; n > 0 && n <= MUTATE_MAX_BYTES && i < N_MUTANTS; i++) {
        static uint8_t work[MUTATE_MAX_BYTES];
        size_t m = n;
        memcpy(work, data, n);
        for (uint64_t k = next_random(&state) % 4 + 1; k > 0 && m > 0; k--)
            m = mutate_once(work, m, &state);
        uint8_t *exact = oll_alloc(m, 1);
        if (!exact)
            return;
        memcpy(exact, work, m);
        if (verbose)
            fprintf(stderr, "%s: mutant %d\n", path, i);
        LLVMFuzzerTestOneInput(exact, m);
        oll_free(exact);
        n_inputs++;
    }
}

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
        run_mutants(path, exact, (size_t)n_bytes);
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
