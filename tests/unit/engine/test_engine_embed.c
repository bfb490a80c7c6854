/* Embeddings of models that generate: in a slot's sequence, beside replies, and back again. */
#include "engine/eval.h"

#include "engine/base/mem.h"
#include "tests/unit/engine/golden_engine.h"

#include <string.h>

enum { N_TOKENS = 90, DIMS_MAX = 256, TEXT_MAX = 4096, N_INPUTS = 300 };

static uint64_t submit(struct oll_engine *engine, const struct oll_request *request)
{
    uint64_t id = 0;
    struct oll_error err = {0};
    CHECK_MSG(oll_engine_submit(engine, request, &id, &err) == OLL_OK, "%s", err.text);
    return id;
}

struct answer {
    char text[TEXT_MAX];
    size_t n_text;
    float vector[DIMS_MAX]; /* the last one */
    uint32_t n_embeddings, n_prompt, n_cached;
    oll_status status; /* of oll_engine_next, or of the error */
};

/* Events until the last; a wait of more than `timeout_ms` for one of them is its end. */
static void take(struct oll_engine *engine, uint64_t id, int timeout_ms, struct answer *a)
{
    struct oll_event event = {0};
    bool over = false;
    *a = (struct answer){0};
    while (!over && (a->status = oll_engine_next(engine, id, timeout_ms, &event)) == OLL_OK) {
        over = event.kind == OLL_EVENT_DONE || event.kind == OLL_EVENT_ERROR;
        if (event.kind == OLL_EVENT_TEXT && CHECK(a->n_text + event.n_text < TEXT_MAX)) {
            memcpy(a->text + a->n_text, event.text, event.n_text);
            a->n_text += event.n_text;
        }
        if (event.kind == OLL_EVENT_EMBEDDING && CHECK(event.n_embedding <= DIMS_MAX)) {
            memcpy(a->vector, event.embedding, event.n_embedding * sizeof *a->vector);
            a->n_embeddings++;
        }
        if (event.kind == OLL_EVENT_DONE) {
            a->n_prompt = event.n_prompt;
            a->n_cached = event.n_prompt_cached;
        }
        if (event.kind == OLL_EVENT_ERROR)
            a->status = event.status;
        oll_event_free(&event);
    }
    oll_engine_release(engine, id);
}

static void ask(struct oll_engine *engine, const struct oll_request *request, struct answer *a)
{
    take(engine, submit(engine, request), 60000, a);
    CHECK_MSG(a->status == OLL_OK, "%s", oll_status_text(a->status));
}

/* The vector that a context of one sequence gives. */
static void expect(const char *file, const int32_t *tokens, uint32_t n, float v[DIMS_MAX])
{
    struct oll_model *model = NULL;
    struct oll_context *ctx = NULL;
    const struct oll_model_params params = {.devices = "ref", .no_tokenizer = true};
    const struct oll_context_params size = {.n_ctx = 128, .n_seq = 1, .kv_dtype = OLL_F16};
    CHECK_OK(oll_model_load(testing_shared("data/golden/%s", file), &params, &model, NULL));
    CHECK_OK(oll_context_new(model, &size, &ctx, NULL));
    CHECK(oll_model_facts(model)->n_embd_out <= DIMS_MAX);
    CHECK_OK(oll_context_embed(ctx, 0, tokens, n, false, NULL, v, NULL));
    oll_context_free(ctx);
    oll_model_free(model);
}

/* Bit by bit what a context of its own gives; the reply beside it, and what comes after both, are
 * as without it. */
TEST(vectors_and_replies_beside_each_other)
{
    static const char *const files[] = {"llama.gguf", "gemma3.gguf", "qwen3-embedding.gguf"};
    static int32_t tokens[N_TOKENS];
    static struct answer alone, reply, vector;
    static float expected[DIMS_MAX];
    uint64_t state = 3;
    for (int i = 0; i < N_TOKENS; i++)
        tokens[i] = (int32_t)(testing_random(&state) % 256);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct oll_engine *engine = open_engine(files[i], 128, 2);
        if (!engine)
            return;
        memset(expected, 0, sizeof expected);
        expect(files[i], tokens, N_TOKENS, expected);
        struct oll_request prompt = raw_prompt("a reply that goes on", 60);
        struct oll_request embed = {
            .kind = OLL_REQUEST_EMBED, .tokens = tokens, .n_tokens = N_TOKENS};
        ask(engine, &prompt, &alone);
        for (int round = 0; round < 3; round++) {
            uint64_t id = submit(engine, &prompt);
            ask(engine, &embed, &vector);
            CHECK_EQ(vector.n_embeddings, 1);
            CHECK_EQ(vector.n_prompt, N_TOKENS);
            CHECK_MSG(memcmp(vector.vector, expected, sizeof expected) == 0, "%s", files[i]);
            take(engine, id, 60000, &reply);
            CHECK_MSG(reply.status == OLL_OK && reply.n_text == alone.n_text &&
                          memcmp(reply.text, alone.text, alone.n_text) == 0,
                      "%s: another reply", files[i]);
        }
        oll_engine_close(engine);
    }
}

/* Both orders: a request waits for the one slot until the other has ended. */
TEST(they_wait_for_a_slot)
{
    struct oll_engine *engine = open_engine("llama.gguf", 256, 1);
    static const char *inputs[N_INPUTS];
    static struct answer a;
    struct oll_event event = {0};
    if (!engine)
        return;
    for (int i = 0; i < N_INPUTS; i++)
        inputs[i] = "ab";
    struct oll_request embed = {.kind = OLL_REQUEST_EMBED, .inputs = inputs, .n_inputs = 2};
    struct oll_request prompt = raw_prompt("abc", 200);
    uint64_t id = submit(engine, &prompt);
    ask(engine, &embed, &a);
    CHECK_EQ(a.n_embeddings, 2);
    take(engine, id, 0, &a); /* all of it must be there */
    CHECK_STATUS(a.status, OLL_OK);
    CHECK(a.n_text > 0);

    embed.n_inputs = N_INPUTS; /* more than may lie unread */
    prompt = raw_prompt("abc", 3);
    uint64_t unread = submit(engine, &embed);
    id = submit(engine, &prompt);
    CHECK_STATUS(oll_engine_next(engine, id, 300, &event), OLL_ERR_TIMEOUT);
    take(engine, unread, 60000, &a);
    CHECK_EQ(a.n_embeddings, N_INPUTS);
    take(engine, id, 60000, &a);
    CHECK_STATUS(a.status, OLL_OK);
    oll_engine_close(engine);
}

/* However a request ends, its slot is idle again. */
TEST(the_slot_comes_back)
{
    struct oll_engine *engine = open_engine("llama.gguf", 64, 1);
    static const char *inputs[N_INPUTS];
    static int32_t tokens[65];
    static struct answer a;
    if (!engine)
        return;
    for (int i = 0; i < N_INPUTS; i++)
        inputs[i] = "ab";
    struct oll_request embed = {.kind = OLL_REQUEST_EMBED, .inputs = inputs, .n_inputs = N_INPUTS};
    struct oll_request prompt = raw_prompt("abc", 3);
    uint64_t running = submit(engine, &embed), queued = submit(engine, &embed);
    oll_engine_release(engine, queued);
    oll_engine_release(engine, running);
    ask(engine, &prompt, &a);

    struct oll_request too_long = {
        .kind = OLL_REQUEST_EMBED, .tokens = tokens, .n_tokens = 65, .no_truncate = true};
    take(engine, submit(engine, &too_long), 60000, &a);
    CHECK_STATUS(a.status, OLL_ERR_LIMIT);
    ask(engine, &prompt, &a);
    too_long.no_truncate = false;
    ask(engine, &too_long, &a);
    CHECK_EQ(a.n_prompt, 64);
    ask(engine, &prompt, &a);
    (void)submit(engine, &embed); /* closed with it under way */
    oll_engine_close(engine);
}

/* A prompt finds nothing of an embedding of the same text, and its own pages after it. */
TEST(prompts_find_their_pages_and_no_others)
{
    struct oll_engine *engine = open_engine("llama.gguf", 512, 1);
    static const char *const inputs[] = {
        "The same text, long enough for several pages of the cache: once upon a time there was a "
        "sequence that an idle slot had lent."};
    static struct answer first, again, vector;
    if (!engine)
        return;
    struct oll_request embed = {.kind = OLL_REQUEST_EMBED, .inputs = inputs, .n_inputs = 1};
    struct oll_request prompt = raw_prompt(inputs[0], 20);
    ask(engine, &embed, &vector);
    ask(engine, &prompt, &first);
    CHECK(first.n_prompt > 64);
    CHECK_EQ(first.n_cached, 0);
    ask(engine, &embed, &vector);
    ask(engine, &prompt, &again);
    CHECK_MSG(again.n_cached >= 64, "%u of %u tokens", again.n_cached, again.n_prompt);
    CHECK(again.n_text == first.n_text && memcmp(again.text, first.text, first.n_text) == 0);
    oll_engine_close(engine);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
