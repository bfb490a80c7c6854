/* Turns between clients, on a clock that this program makes up. */
#include "server/schedule_fair.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

#define SECONDS 1000000000ull

enum { TICKETS = 256 };

static struct fair fair;
static struct fair_ticket tickets[TICKETS];
static int n_tickets;
static uint64_t now;

static void begin(int n_max)
{
    memset(tickets, 0, sizeof tickets);
    n_tickets = 0;
    now = 1000 * SECONDS;
    fair = (struct fair){.n_max = n_max, .max_waiting = TICKETS};
}

static struct fair_ticket *ask(const char *client, uint64_t cost, int priority)
{
    struct fair_ticket *t = &tickets[n_tickets++];
    snprintf(t->client, sizeof t->client, "%s", client);
    t->cost = cost;
    t->priority = priority;
    CHECK_EQ(fair_enter(&fair, t, now), FAIR_ENTERED);
    return t;
}

/* Serves one after the other, each taking what it was expected to; the clients in their order. */
static const char *serve(int n)
{
    static char text[TICKETS + 1];
    int i = 0;
    for (; i < n; i++) {
        struct fair_ticket *t = fair_next(&fair, now);
        if (!t)
            break;
        text[i] = t->client[0];
        fair_leave(&fair, t, t->cost);
    }
    text[i] = '\0';
    return text;
}

TEST(one_client_is_served_in_order)
{
    begin(1);
    struct fair_ticket *a = ask("a", 100, 0), *b = ask("a", 5000, 0), *c = ask("a", 1, 0);
    CHECK(fair_next(&fair, now) == a);
    CHECK(!fair_next(&fair, now)); /* one at once */
    CHECK_EQ(fair.n_waiting, 2);
    fair_leave(&fair, a, 100);
    CHECK(fair_next(&fair, now) == b);
    fair_leave(&fair, b, 5000);
    CHECK(fair_next(&fair, now) == c);
    fair_leave(&fair, c, 1);
    CHECK(!fair.clients);
}

TEST(many_requests_do_not_make_others_wait)
{
    begin(1);
    for (int i = 0; i < 20; i++)
        ask("hog", 400, 0);
    struct fair_ticket *first = fair_next(&fair, now);
    struct fair_ticket *small = ask("small", 400, 0);
    CHECK_EQ(fair_position(&fair, small, now), 1);
    CHECK_EQ(fair_position(&fair, &tickets[19], now), 19);
    fair_leave(&fair, first, 400);
    CHECK(strchr(serve(2), 's'));
    for (int i = 0; i < n_tickets; i++)
        fair_leave(&fair, &tickets[i], 0);
}

TEST(long_requests_take_turns_by_their_tokens)
{
    begin(1);
    for (int i = 0; i < 8; i++)
        ask("long", 4096, 0);
    for (int i = 0; i < 64; i++)
        ask("short", 512, 0);
    /* Eight short ones for each long one. */
    const char *order = serve(72);
    int n_long = 0, n_short = 0;
    for (const char *s = order; *s; s++) {
        n_long += *s == 'l';
        n_short += *s == 's';
        if (n_short < 64)
            CHECK_MSG(n_long * 8 - n_short <= 9 && n_short - n_long * 8 <= 9, "%s", order);
    }
    CHECK_EQ(n_long + n_short, 72);
}

TEST(what_was_taken_is_set_off)
{
    begin(1);
    /* One client says 100 and takes 2000, the other says what it takes. */
    for (int i = 0; i < 20; i++) {
        ask("liar", 100, 0);
        ask("fair", 100, 0);
    }
    uint64_t taken[2] = {0};
    for (int i = 0; i < 20; i++) {
        struct fair_ticket *t = fair_next(&fair, now);
        const bool liar = t->client[0] == 'l';
        taken[!liar] += liar ? 2000 : 100;
        fair_leave(&fair, t, liar ? 2000 : 100);
    }
    for (int i = 0; i < n_tickets; i++)
        fair_leave(&fair, &tickets[i], 0);
    CHECK_MSG(taken[0] <= 4000 && taken[1] >= 1800, "%llu and %llu", (unsigned long long)taken[0],
              (unsigned long long)taken[1]);
}

TEST(priority_goes_first_and_age_makes_up_for_it)
{
    begin(1);
    struct fair_ticket *low = ask("a", 100, -1), *usual = ask("a", 100, 0),
                       *high = ask("b", 100, 5);
    CHECK_EQ(fair_position(&fair, low, now), 2);
    CHECK_EQ(fair_position(&fair, high, now), 0);
    CHECK(fair_next(&fair, now) == high);
    fair_leave(&fair, high, 100);
    CHECK(fair_next(&fair, now) == usual);
    fair_leave(&fair, usual, 100);
    now += 60 * SECONDS;
    struct fair_ticket *late = ask("b", 100, 4);
    CHECK(fair_next(&fair, now) == low);
    fair_leave(&fair, low, 100);
    CHECK(fair_next(&fair, now) == late);
    fair_leave(&fair, late, 100);
}

TEST(who_has_gone_is_not_let_in)
{
    begin(1);
    struct fair_ticket *a = ask("a", 10, 0), *b = ask("b", 10, 0), *c = ask("c", 10, 0);
    CHECK(fair_next(&fair, now) == a);
    fair_leave(&fair, b, 0);
    fair_leave(&fair, b, 0); /* once more does nothing */
    fair_leave(&fair, a, 10);
    CHECK(fair_next(&fair, now) == c);
    fair_leave(&fair, c, 10);
    CHECK_EQ(fair.n_running + fair.n_waiting, 0);
    CHECK(!fair.clients);
}

TEST(the_queue_has_an_end)
{
    begin(1);
    fair.max_waiting = 2;
    for (int i = 0; i < 2; i++)
        ask("a", 10, 0);
    CHECK(fair_next(&fair, now) != NULL);
    ask("b", 10, 0);
    struct fair_ticket more = {.client = "c"};
    CHECK_EQ(fair_enter(&fair, &more, now), FAIR_FULL);
    for (int i = 0; i < n_tickets; i++)
        fair_leave(&fair, &tickets[i], 10);
    CHECK(!fair.clients);
}

/* Random clients: nobody gets much less than its share while it has something waiting, and all are
 * served in the end. */
TEST(random_clients_get_their_share)
{
    uint64_t random = 5;
    for (int round = 0; round < 200; round++) {
        static const char *const names[] = {"a", "b", "c", "d"};
        uint64_t served[4] = {0}, n_left[4] = {0};
        begin(1 + (int)(testing_random(&random) % 3));
        const int n_clients = 2 + (int)(testing_random(&random) % 3);
        for (int i = 0; i < TICKETS; i++) {
            const int c = (int)(testing_random(&random) % (uint64_t)n_clients);
            n_left[c]++;
            ask(names[c], 1 + testing_random(&random) % 1500, 0);
        }
        bool all_have = true;
        for (int i = 0; i < TICKETS; i++) {
            struct fair_ticket *t = fair_next(&fair, now);
            if (!CHECK_MSG(t != NULL, "nobody is let in"))
                return;
            const int c = t->client[0] - 'a';
            served[c] += t->cost;
            n_left[c]--;
            fair_leave(&fair, t, t->cost);
            for (int k = 0; k < n_clients; k++)
                all_have &= n_left[k] > 0;
            for (int k = 0; all_have && k < n_clients; k++)
                CHECK_MSG(served[k] + 2 * (1500 + FAIR_QUANTUM) >= served[c],
                          "round %d: %llu against %llu", round, (unsigned long long)served[k],
                          (unsigned long long)served[c]);
        }
        CHECK(!fair.clients);
    }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
