/* The few things every test program shares. A program lists its cases; a failed check prints file,
 * line and values, marks the case failed and goes on; the program exits with 1 when a case failed,
 * 77 when it was skipped.
 *
 *     TEST(cuts_at_the_limit) { CHECK(x == 3); CHECK_EQ(a, b); }
 *     int main(int argc, char **argv) { return testing_main(argc, argv); }
 *
 * Arguments: part of a case's name runs only those; --list. */
#ifndef OLL_TESTS_TESTING_H
#define OLL_TESTS_TESTING_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef void (*testing_fn)(void);
struct testing_case {
    const char *name;
    testing_fn run;
    struct testing_case *next;
};

void testing_add(struct testing_case *c);
int testing_main(int argc, char **argv);

/* Registers the case before main runs. */
#define TEST(test_name)                                                                            \
    static void test_##test_name(void);                                                            \
    static struct testing_case case_##test_name = {#test_name, test_##test_name, 0};               \
    __attribute__((constructor)) static void add_##test_name(void)                                 \
    {                                                                                              \
        testing_add(&case_##test_name);                                                            \
    }                                                                                              \
    static void test_##test_name(void)

#define CHECK(cond)          testing_check((cond), __FILE__, __LINE__, "%s", #cond)
#define CHECK_MSG(cond, ...) testing_check((cond), __FILE__, __LINE__, __VA_ARGS__)
#define CHECK_EQ(a, b)                                                                             \
    testing_check_eq((long long)(a), (long long)(b), #a " == " #b, __FILE__, __LINE__)
#define CHECK_STR(a, b) testing_check_str((a), (b), #a " == " #b, __FILE__, __LINE__)
#define CHECK_OK(call)  testing_check_status((call), OLL_OK, #call, __FILE__, __LINE__)
#define CHECK_STATUS(call, expected)                                                               \
    testing_check_status((call), (expected), #call, __FILE__, __LINE__)

bool testing_check(bool ok, const char *file, int line, const char *fmt, ...) OLL_PRINTF(4, 5);
bool testing_check_eq(long long a, long long b, const char *text, const char *file, int line);
bool testing_check_str(const char *a, const char *b, const char *text, const char *file, int line);
bool testing_check_status(oll_status got, oll_status expected, const char *text, const char *file,
                          int line);

/* Marks the whole program as skipped (unless a check failed) and says why. */
void testing_skip(const char *fmt, ...) OLL_PRINTF(1, 2);

/* Path below ../shared, "" when absent there; valid until the next call. */
const char *testing_shared(const char *fmt, ...) OLL_PRINTF(1, 2);

/* Seeded generator (SplitMix64) for tests that must be replayable. */
uint64_t testing_random(uint64_t *state);

#endif
