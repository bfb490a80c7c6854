#include "bench/bench_speculate.h"

#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "engine/oll.h"

#include <string.h>

enum { WINDOW = 2048, CLIENTS_MAX = 16, TEXT_BYTES_MAX = 1 << 20 };

struct text {
    const char *name, *prompt;
    float temperature;    /* 0: the best token */
    int32_t top_k;        /* equally likely tokens with a high temperature; 0: as usual */
    bool is_raw, goes_on; /* beyond the end of generation */
};

/* What is asked for stands in the prompt but for one word. */
static const char edit[] = "# The class of an inventory:\n\n"
                           "```python\n"
                           "class Inventory:\n"
                           "    def __init__(self, name, capacity):\n"
                           "        self.name = name\n"
                           "        self.capacity = capacity\n"
                           "        self.items = {}\n\n"
                           "    def add_item(self, item, quantity):\n"
                           "        if quantity <= 0:\n"
                           "            raise ValueError(\"quantity must be positive\")\n"
                           "        if self.total() + quantity > self.capacity:\n"
                           "            raise ValueError(\"the inventory is full\")\n"
                           "        self.items[item] = self.items.get(item, 0) + quantity\n\n"
                           "    def remove_item(self, item, quantity):\n"
                           "        if item not in self.items:\n"
                           "            raise KeyError(item)\n"
                           "        if self.items[item] < quantity:\n"
                           "            raise ValueError(\"not enough items\")\n"
                           "        self.items[item] -= quantity\n"
                           "        if self.items[item] == 0:\n"
                           "            del self.items[item]\n\n"
                           "    def total(self):\n"
                           "        return sum(self.items.values())\n"
                           "```\n\n"
                           "# The same class, renamed to Warehouse, with nothing else changed:\n\n"
                           "```python\n"
                           "class Warehouse:\n"
                           "    def __init__(self, name, capacity):\n";

/* Every two of these words stand beside each other somewhere, and what follows is drawn at random:
 * there is always a guess, and it is hardly ever right. */
static const char noise[] =
    "silver white brown gold red gray black red green blue brown gray black pink gold blue "
    "silver black red black pink white green pink green blue green silver silver gray green "
    "green red red black black green green white brown black gold black green black pink "
    "white red brown pink green green white blue brown white silver silver red silver brown "
    "blue white brown white gray brown green gray gray green red white red brown pink red "
    "gold pink brown pink silver red gray red green silver black blue black gray brown gold "
    "brown gold white gray blue silver brown white red pink blue black brown gold silver "
    "brown green brown white gold blue white brown white green blue green white gray green "
    "red blue silver gold pink red black silver brown white gray pink green red red gray "
    "brown black green silver green pink blue green pink brown green";

static const struct text texts[] = {
    {.name = "edit", .prompt = edit, .is_raw = true},
    {.name = "free",
     .prompt = "Write a long story about a lighthouse keeper and a fox.",
     .temperature = 0.8f,
     .goes_on = true},
    {.name = "noise",
     .prompt = noise,
     .temperature = 10,
     .top_k = 10,
     .is_raw = true,
     .goes_on = true},
};
enum { N_TEXTS = sizeof texts / sizeof texts[0] };

struct round {
    struct oll_engine *engine;
    const struct bench_speculate_params *params;
    const struct text *text;
    int64_t seed;
    struct oll_strbuf script; /* the replies of all clients */
    uint32_t n_reply, n_drafted, n_accepted;
    uint64_t ns; /* of the slowest reply */
};

static oll_status take_reply(struct round *round, uint64_t id, struct oll_error *err)
{
    struct oll_event event = {0};
    oll_status status;
    do {
        oll_event_free(&event);
        status = oll_engine_next(round->engine, id, -1, &event);
        if (status == OLL_OK && event.kind == OLL_EVENT_TEXT)
            oll_strbuf_add(&round->script, event.text, event.n_text);
    } while (status == OLL_OK && event.kind != OLL_EVENT_DONE && event.kind != OLL_EVENT_ERROR);
    if (status == OLL_OK && event.kind == OLL_EVENT_ERROR)
        status = OLL_FAIL(err, event.status, "%s", event.text ? event.text : "no reply");
    round->n_reply += event.n_reply;
    round->n_drafted += event.n_drafted;
    round->n_accepted += event.n_accepted;
    round->ns = event.reply_ns > round->ns ? event.reply_ns : round->ns;
    oll_event_free(&event);
    oll_engine_release(round->engine, id);
    return status;
}

/* The replies of all clients at once. */
static oll_status run_round(struct round *round, bool speculates, struct oll_error *err)
{
    const struct bench_speculate_params *p = round->params;
    const struct oll_message message = {.role = "user", .content = round->text->prompt};
    struct oll_request ask = {.kind = round->text->is_raw ? OLL_REQUEST_PROMPT : OLL_REQUEST_CHAT,
                              .options = oll_options_default(),
                              .no_speculation = !speculates};
    uint64_t ids[CLIENTS_MAX];
    uint32_t n = 0;
    oll_status status = OLL_OK;
    if (round->text->is_raw) {
        ask.prompt = round->text->prompt;
        ask.raw = true;
    } else {
        ask.messages = &message;
        ask.n_messages = 1;
    }
    ask.options.temperature = round->text->temperature;
    if (round->text->top_k > 0) {
        ask.options.top_k = round->text->top_k;
        ask.options.top_p = 1;
        ask.options.min_p = 0;
    }
    ask.options.num_predict = (int32_t)p->n_tokens;
    ask.options.ignore_eog = round->text->goes_on;
    oll_strbuf_clear(&round->script);
    round->n_reply = round->n_drafted = round->n_accepted = 0;
    round->ns = 0;
    for (; n < p->n_clients && status == OLL_OK; n += status == OLL_OK) {
        ask.options.seed = round->seed + n;
        status = oll_engine_submit(round->engine, &ask, &ids[n], err);
    }
    for (uint32_t i = 0; i < n; i++) {
        oll_status got = take_reply(round, ids[i], status == OLL_OK ? err : NULL);
        status = status == OLL_OK ? got : status;
    }
    return status;
}

static double rate_of(const struct round *round)
{
    return round->ns ? (double)(round->n_reply - round->params->n_clients) * 1e9 / (double)round->ns
                     : 0;
}

/* With and without, in an order that alternates; rates[0] without. */
static oll_status run_pair(struct round *round, uint32_t i, double rates[2],
                           struct bench_speculate_result *result, struct oll_error *err)
{
    char *first = NULL;
    oll_status status = OLL_OK;
    round->seed = 1 + (int64_t)i * CLIENTS_MAX;
    for (uint32_t k = 0; k < 2; k++) {
        const bool speculates = (i + k) % 2;
        OLL_TRY_DONE(run_round(round, speculates, err));
        rates[speculates] = rate_of(round);
        if (speculates) {
            result->n_reply = round->n_reply;
            result->n_drafted = round->n_drafted;
            result->n_accepted = round->n_accepted;
        }
        if (k == 0)
            first = oll_strdup(round->script.data ? round->script.data : "");
    }
    if (!first)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a reply");
    else if (strcmp(first, round->script.data ? round->script.data : "") != 0)
        status = OLL_FAIL(err, OLL_ERR_INTERNAL, "%s: the replies with speculation differ",
                          round->text->name);
done:
    oll_free(first);
    return status;
}

static oll_status run_text(struct round *round, struct oll_error *err)
{
    const struct bench_speculate_params *p = round->params;
    struct bench_speculate_result result = {.name = round->text->name};
    double *rates[3], pair[2];
    oll_status status = OLL_OK;
    uint32_t n = 0;
    double *all = oll_calloc(3 * (size_t)p->n_rounds, sizeof *all);
    if (!all)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for %u rounds", p->n_rounds);
    for (int i = 0; i < 3; i++)
        rates[i] = all + (size_t)i * p->n_rounds;
    /* The first pair warms up. */
    for (uint32_t i = 0; i <= p->n_rounds && status == OLL_OK; i++) {
        if (bench_watch_aborted(p->watch))
            break;
        bench_watch_show(p->watch, "%s: pair %u of %u", round->text->name, i, p->n_rounds);
        status = run_pair(round, i, pair, &result, err);
        if (i == 0 || status != OLL_OK)
            continue;
        rates[0][n] = pair[0];
        rates[1][n] = pair[1];
        rates[2][n++] = pair[0] > 0 ? pair[1] / pair[0] : 0;
    }
    bench_watch_show(p->watch, "%s", "");
    bench_stats_of(rates[0], n, &result.off);
    bench_stats_of(rates[1], n, &result.on);
    bench_stats_of(rates[2], n, &result.gain);
    if (status == OLL_OK && n > 0)
        p->result(p->ctx, &result);
    oll_free(all);
    return status;
}

oll_status bench_speculate_run(const struct bench_speculate_params *params, struct oll_error *err)
{
    struct round round = {.params = params};
    bool any = false;
    if (params->n_tokens < 2 || params->n_tokens > WINDOW / 2 || params->n_clients < 1 ||
        params->n_clients > CLIENTS_MAX || params->n_rounds < 1 ||
        params->n_rounds > BENCH_SPECULATE_ROUNDS_MAX)
        return OLL_FAIL(
            err, OLL_ERR_ARG,
            "1 to %d rounds, 1 to %d clients and replies of 2 to %d tokens are possible",
            BENCH_SPECULATE_ROUNDS_MAX, CLIENTS_MAX, WINDOW / 2);
    for (int i = 0; i < N_TEXTS; i++)
        any |= !params->text || strcmp(params->text, texts[i].name) == 0;
    if (!any)
        return OLL_FAIL(err, OLL_ERR_ARG, "text %s is not known; there are edit, free and noise",
                        params->text);
    struct oll_engine_params open = {.model_path = params->path,
                                     .n_ctx = WINDOW,
                                     .n_slots = params->n_clients,
                                     .n_threads = params->n_threads};
    OLL_TRY(oll_engine_open(&open, &round.engine, err));
    oll_strbuf_init(&round.script, TEXT_BYTES_MAX);
    oll_status status = OLL_OK;
    for (int i = 0; i < N_TEXTS && status == OLL_OK; i++) {
        round.text = &texts[i];
        if (!params->text || strcmp(params->text, texts[i].name) == 0)
            status = run_text(&round, err);
    }
    oll_strbuf_free(&round.script);
    oll_engine_close(round.engine);
    return status;
}
