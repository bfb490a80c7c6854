/* Merging against its definition: look at all pairs, join the best and leftmost, start again. */
#include "tests/testing.h"

#include "engine/base/mem.h"
#include "tokenizer/merge.h"

#include <string.h>

enum { MAX = 400, N_IDS = 64 };

/* Priorities of pairs, in a table: [left][right]. */
struct table {
    uint32_t prio[N_IDS][N_IDS], merged[N_IDS][N_IDS];
    int n_calls;
};

static uint32_t table_pair(const void *model, const char *text, uint32_t left, uint32_t right,
                           uint32_t begin, uint32_t end, uint32_t *merged)
{
    const struct table *t = model;
    CHECK(text != NULL && begin < end);
    *merged = t->merged[left][right];
    return t->prio[left][right];
}

static size_t merge_by_definition(const struct table *t, struct merge_symbol *s, size_t n)
{
    for (;;) {
        size_t best = n;
        for (size_t i = 0; i + 1 < n; i++)
            if (t->prio[s[i].id][s[i + 1].id] != MERGE_NONE &&
                (best == n || t->prio[s[i].id][s[i + 1].id] < t->prio[s[best].id][s[best + 1].id]))
                best = i;
        if (best == n)
            return n;
        s[best].id = t->merged[s[best].id][s[best + 1].id];
        memmove(s + best + 1, s + best + 2, (n - best - 1) * sizeof *s);
        n--;
    }
}

/* Few or many distinct priorities, ties between different pairs included. */
static void random_table(struct table *t, uint64_t *seed)
{
    uint64_t n_prios = 1 + testing_random(seed) % 40, density = 1 + testing_random(seed) % 4;
    for (int a = 0; a < N_IDS; a++)
        for (int b = 0; b < N_IDS; b++) {
            bool merges = testing_random(seed) % 4 < density;
            t->prio[a][b] = merges ? (uint32_t)(testing_random(seed) % n_prios) : MERGE_NONE;
            t->merged[a][b] = (uint32_t)(testing_random(seed) % N_IDS);
        }
}

static void fill(const struct table *t, struct merge_symbol *s, const uint8_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s[i] = (struct merge_symbol){(uint32_t)i, ids[i], MERGE_NONE, 0};
    s[n].begin = (uint32_t)n;
    for (size_t i = 0; i + 1 < n; i++) {
        s[i].prio = t->prio[ids[i]][ids[i + 1]];
        s[i].merged = t->merged[ids[i]][ids[i + 1]];
    }
}

static bool same(const struct merge_symbol *a, size_t n, const struct merge_symbol *b, size_t m)
{
    for (size_t i = 0; i < n && n == m; i++)
        if (a[i].id != b[i].id || a[i].begin != b[i].begin)
            return false;
    return n == m && a[n].begin == b[n].begin;
}

TEST(both_loops_follow_the_definition)
{
    static struct merge_symbol expected[MAX + 1], few[MAX + 1];
    static struct table t;
    static const char text[MAX] = "x";
    struct merge_work work = {0};
    uint64_t seed = 3;
    for (int round = 0; round < 4000; round++) {
        uint8_t ids[MAX];
        size_t n = 1 + testing_random(&seed) % (round % 8 ? 30 : MAX);
        uint64_t n_ids = 1 + testing_random(&seed) % (round % 3 ? 4 : N_IDS);
        if (round % 16 == 0)
            random_table(&t, &seed);
        for (size_t i = 0; i < n; i++)
            ids[i] = (uint8_t)(testing_random(&seed) % n_ids);
        fill(&t, expected, ids, n);
        fill(&t, few, ids, n);
        OLL_ASSERT(merge_reserve(&work, n) == OLL_OK);
        fill(&t, work.symbols, ids, n);
        size_t n_expected = merge_by_definition(&t, expected, n);
        size_t n_few = merge_short(few, n, table_pair, &t, text);
        CHECK_OK(merge_long(&work, n, table_pair, &t, text));
        CHECK_MSG(same(expected, n_expected, few, n_few), "short, round %d", round);
        CHECK_MSG(same(expected, n_expected, work.symbols, work.n_symbols), "long, round %d",
                  round);
    }
    merge_work_free(&work);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
