#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct testing_case *first, **last = &first;
static int n_failed_checks;
static bool skipped;

void testing_add(struct testing_case *c)
{
    *last = c;
    last = &c->next;
}

bool testing_check(bool ok, const char *file, int line, const char *fmt, ...)
{
    if (ok)
        return true;
    n_failed_checks++;
    printf("  %s:%d: ", file, line);
    va_list args;
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
    return false;
}

bool testing_check_eq(long long a, long long b, const char *text, const char *file, int line)
{
    return testing_check(a == b, file, line, "%s (%lld, %lld)", text, a, b);
}

bool testing_check_str(const char *a, const char *b, const char *text, const char *file, int line)
{
    bool same = a && b ? strcmp(a, b) == 0 : a == b;
    return testing_check(same, file, line, "%s\n    got      \"%s\"\n    expected \"%s\"", text,
                         a ? a : "(null)", b ? b : "(null)");
}

bool testing_check_status(oll_status got, oll_status expected, const char *text, const char *file,
                          int line)
{
    return testing_check(got == expected, file, line, "%s gave \"%s\", expected \"%s\"", text,
                         oll_status_text(got), oll_status_text(expected));
}

void testing_skip(const char *fmt, ...)
{
    va_list args;
    skipped = true;
    printf("SKIPPED: ");
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
}

const char *testing_shared(const char *fmt, ...)
{
    static char path[4096];
    va_list args;
    int n = snprintf(path, sizeof path, "%s/", OLL_SHARED_DIR);
    va_start(args, fmt);
    vsnprintf(path + n, sizeof path - (size_t)n, fmt, args);
    va_end(args);
    if (access(path, R_OK) != 0)
        path[0] = '\0';
    return path;
}

uint64_t testing_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

int testing_main(int argc, char **argv)
{
    const char *filter = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
    bool list = argc > 1 && strcmp(argv[1], "--list") == 0;
    int n_run = 0, n_failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct testing_case *c = first; c; c = c->next) {
        if (!strstr(c->name, filter))
            continue;
        n_run++;
        if (list) {
            printf("%s\n", c->name);
            continue;
        }
        int before = n_failed_checks;
        c->run();
        bool failed = n_failed_checks > before;
        n_failed += failed;
        printf("%s %s\n", failed ? "FAILED" : "ok    ", c->name);
    }
    if (list)
        return 0;
    printf("%d cases, %d failed\n", n_run, n_failed);
    if (n_run == 0)
        return 1;
    return n_failed ? 1 : skipped ? 77 : 0;
}
