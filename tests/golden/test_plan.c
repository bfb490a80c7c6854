/* The memory plan against what loading and full use really take, for every architecture and the
 * real models: plan / measured peak lies within [1.00, 1.05] (cli-and-scheduler 17).
 *
 * Measured is the high-water mark of all allocators while every slot fills its whole context and
 * then embeds inputs as long, and the bytes of weights that are read in place. */
#include "engine/base/mem.h"
#include "engine/plan.h"
#include "tests/testing.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 1024, FILES_MAX = 256, TOKENS_MAX = 1024, SLOTS_MAX = 8, TEXT_MAX = 1 << 16 };

/* A text of nearly n tokens, not more. */
static void make_text(const struct oll_engine *engine, size_t n, char text[TEXT_MAX])
{
    size_t n_words = n, n_tokens = 0;
    for (int attempt = 0; attempt < 8 && (n_tokens > n || n_tokens < n - 4); attempt++) {
        int32_t *tokens = NULL;
        if (attempt > 0)
            n_words = n_words * n / n_tokens;
        OLL_ASSERT(2 * n_words < TEXT_MAX);
        for (size_t i = 0; i < 2 * n_words; i++)
            text[i] = i % 2 ? ' ' : 'a';
        text[2 * n_words] = '\0';
        CHECK_OK(
            oll_engine_tokenize(engine, text, 2 * n_words, true, true, &tokens, &n_tokens, NULL));
        oll_free(tokens);
    }
}

/* As many of these requests at once as there are slots, until the last event of each. */
static void ask_all(struct oll_engine *engine, const struct oll_request *ask, uint32_t n_slots)
{
    uint64_t ids[SLOTS_MAX];
    for (uint32_t i = 0; i < n_slots; i++)
        CHECK_OK(oll_engine_submit(engine, ask, &ids[i], NULL));
    for (uint32_t i = 0; i < n_slots; i++) {
        struct oll_event event = {0};
        bool over = false;
        while (!over && oll_engine_next(engine, ids[i], -1, &event) == OLL_OK) {
            over = event.kind == OLL_EVENT_DONE || event.kind == OLL_EVENT_ERROR;
            CHECK_MSG(event.kind != OLL_EVENT_ERROR, "%s", event.text ? event.text : "");
            oll_event_free(&event);
        }
        oll_engine_release(engine, ids[i]);
    }
}

/* Runs a request in each slot at once until the window is full, then embeds as much. */
static void fill_slots(struct oll_engine *engine, const struct oll_engine_params *params)
{
    static int32_t tokens[TOKENS_MAX];
    static char text[TEXT_MAX];
    const struct oll_model_info *info = oll_engine_info(engine);
    struct oll_request prompt = {.kind = OLL_REQUEST_PROMPT,
                                 .options = oll_options_default(),
                                 .prompt = text,
                                 .raw = true,
                                 .no_shift = true};
    const struct oll_request embed = {
        .kind = OLL_REQUEST_EMBED, .tokens = tokens, .n_tokens = info->n_ctx};
    prompt.options.ignore_eog = true;
    prompt.options.num_predict = (int32_t)info->n_ctx;
    for (uint32_t i = 0; i < info->n_ctx; i++)
        tokens[i] = (int32_t)(i % 8);
    if (!info->is_encoder) {
        make_text(engine, info->n_ctx - 8, text);
        ask_all(engine, &prompt, params->n_slots);
    }
    if (CHECK(info->can_embed))
        ask_all(engine, &embed, params->n_slots);
}

/* A plan without the tokeniser is no smaller, and not much larger. */
static void check_quick(const struct oll_engine_params *params, double peak, const char *name)
{
    struct oll_plan plan = {0};
    CHECK_OK(oll_plan_make(params, OLL_PLAN_QUICK, &plan, NULL));
    const double ratio = (double)oll_plan_total(&plan) / peak;
    CHECK_MSG(ratio >= 1 && ratio <= 1.15, "%s: quick plan / peak is %.3f", name, ratio);
    uint64_t sum = plan.input_bytes;
    for (uint32_t il = 0; il <= plan.n_layer; il++)
        sum += plan.layer_bytes[il] + (il < plan.n_layer ? plan.layer_kv_bytes[il] : 0);
    CHECK_MSG(sum + 2 * plan.n_layer + 2 >= oll_plan_weights(&plan) + oll_plan_kv(&plan),
              "%s: layers make less than the whole", name);
    oll_plan_free(&plan);
}

static void check_file(const char *path, const struct oll_engine_params *wanted)
{
    struct oll_engine_params params = *wanted;
    struct oll_engine *engine;
    struct oll_error err = {0};
    struct oll_plan plan = {0};
    const char *name = strrchr(path, '/') + 1;
    params.model_path = path;
    oll_status status = oll_plan_make(&params, OLL_PLAN_EXACT, &plan, &err);
    if (status == OLL_ERR_LIMIT) { /* has learned fewer positions */
        params.n_ctx = params.n_ubatch = 128;
        err = (struct oll_error){0};
        status = oll_plan_make(&params, OLL_PLAN_EXACT, &plan, &err);
    }
    if (status == OLL_ERR_UNSUPPORTED) {
        printf("       %-24s not supported\n", name);
        return;
    }
    if (!CHECK_MSG(status == OLL_OK, "%s: %s", name, err.text))
        return;
    oll_mem_watch(true);
    CHECK_OK(oll_engine_open(&params, &engine, NULL));
    fill_slots(engine, &params);
    const struct oll_mem_meter seen = oll_mem_watched();
    oll_engine_close(engine);
    oll_mem_watch(false);
    const double peak = (double)seen.peak_bytes + (double)plan.mapped_bytes;
    const double ratio = (double)oll_plan_total(&plan) / peak;
    printf("       %-24s plan %9.0f KiB, peak %9.0f KiB, ratio %.3f (weights %.0f kv %.0f act %.0f "
           "scratch %.0f host %.0f)\n",
           name, (double)oll_plan_total(&plan) / 1024, peak / 1024, ratio,
           (double)oll_plan_weights(&plan) / 1024, (double)oll_plan_kv(&plan) / 1024,
           (double)oll_plan_activations(&plan) / 1024, (double)plan.scratch_bytes / 1024,
           (double)plan.host_bytes / 1024);
    CHECK_MSG(ratio >= 1 && ratio <= 1.05, "%s: plan / peak is %.3f", name, ratio);
    oll_plan_free(&plan);
    check_quick(&params, peak, name);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

TEST(golden_architectures)
{
    char *names[FILES_MAX], path[PATH_BYTES];
    size_t n = 0;
    DIR *dir = opendir(testing_shared("data/golden"));
    if (!dir) {
        testing_skip("no data/golden beside the repository");
        return;
    }
    for (const struct dirent *d; (d = readdir(dir)) && n < FILES_MAX;)
        if (strlen(d->d_name) > 5 && strcmp(d->d_name + strlen(d->d_name) - 5, ".gguf") == 0)
            names[n++] = oll_strdup(d->d_name);
    closedir(dir);
    qsort(names, n, sizeof *names, compare);
    const struct oll_engine_params params = {.n_ctx = 512, .n_slots = 3, .n_threads = 2};
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s", testing_shared("data/golden/%s", names[i]));
        check_file(path, &params);
        oll_free(names[i]);
    }
    CHECK(n > 50);
}

TEST(real_models)
{
    static const char *const files[] = {"SmolLM2-135M-Instruct.Q4_1.gguf",
                                        "gemma-3-270m-q4_k_m.gguf"};
    const char *folder = getenv("OLL_TEST_MODELS");
    const struct oll_engine_params params = {.n_ctx = 512, .n_slots = 2};
    char path[PATH_BYTES];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        FILE *f = NULL;
        if (folder && (size_t)snprintf(path, sizeof path, "%s/%s", folder, files[i]) < sizeof path)
            f = fopen(path, "rb");
        if (!f) {
            testing_skip("OLL_TEST_MODELS names no folder with %s", files[i]);
            continue;
        }
        fclose(f);
        check_file(path, &params);
    }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
