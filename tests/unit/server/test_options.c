#include "server/options.h"
#include "tests/testing.h"

#include <string.h>

static struct oll_arena arena;
static struct options options;

/* Merges a text; the error's text, "" when it was taken. */
static const char *merge(const char *text, oll_status want)
{
    static struct oll_error err;
    struct oll_json *root;
    err = (struct oll_error){0};
    OLL_ASSERT(oll_json_parse(&arena, text, strlen(text), NULL, &root, NULL) == OLL_OK);
    CHECK_STATUS(options_merge(&options, root, &err), want);
    return err.text;
}

static void begin(void)
{
    oll_arena_init(&arena, 1 << 24);
    options_default(&options);
}

TEST(merges_in_order)
{
    begin();
    CHECK_OK(options_merge(&options, NULL, NULL));
    CHECK_EQ(options.num_gpu, -1);
    CHECK_EQ(options.use_mmap, -1);
    merge("{\"temperature\":0.5,\"stop\":[\"a\",\"b\"],\"num_ctx\":2048,\"use_mmap\":true}",
          OLL_OK);
    merge("{\"stop\":[\"c\",\"\"],\"top_k\":7.9,\"seed\":9223372036854775807,\"num_keep\":-1.5,"
          "\"temperature\":null,\"unknown\":{},\"min_p\":1e-7}",
          OLL_OK);
    CHECK(options.sampling.temperature == 0.5f && options.sampling.min_p == 1e-7f);
    CHECK_EQ(options.sampling.n_stop, 1);
    CHECK_STR(options.sampling.stop[0], "c");
    CHECK_EQ(options.num_ctx, 2048);
    CHECK_EQ(options.use_mmap, 1);
    CHECK_EQ(options.sampling.top_k, 7);
    CHECK_EQ(options.sampling.num_keep, -1);
    CHECK_EQ(options.sampling.seed, INT64_MAX);
    oll_arena_free(&arena);
}

TEST(refuses_wrong_types)
{
    begin();
    CHECK_STR(merge("{\"temperature\":\"hot\"}", OLL_ERR_FORMAT),
              "option \"temperature\" must be of type float32");
    CHECK_STR(merge("{\"num_ctx\":\"a\"}", OLL_ERR_FORMAT),
              "option \"num_ctx\" must be of type integer");
    CHECK_STR(merge("{\"use_mmap\":1}", OLL_ERR_FORMAT),
              "option \"use_mmap\" must be of type boolean");
    CHECK_STR(merge("{\"top_k\":true}", OLL_ERR_FORMAT),
              "option \"top_k\" must be of type integer");
    CHECK_STR(merge("{\"stop\":\"x\"}", OLL_ERR_FORMAT), "option \"stop\" must be of type array");
    CHECK_STR(merge("{\"stop\":[1]}", OLL_ERR_FORMAT),
              "option \"stop\" must be of an array of strings");
    oll_arena_free(&arena);
}

TEST(refuses_what_is_out_of_range)
{
    begin();
    merge("{\"num_predict\":2147483647}", OLL_OK);
    merge("{\"num_predict\":-2147483648}", OLL_OK);
    merge("{\"num_predict\":2147483648}", OLL_ERR_ARG);
    merge("{\"num_predict\":-2147483649}", OLL_ERR_ARG);
    merge("{\"num_ctx\":2147483648}", OLL_ERR_ARG);
    merge("{\"seed\":9223372036854775808}", OLL_ERR_ARG);
    merge("{\"seed\":1e400}", OLL_ERR_ARG);
    merge("{\"temperature\":1e39}", OLL_ERR_ARG);
    merge("{\"temperature\":1e400}", OLL_ERR_ARG);
    merge("{\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\","
          "\"13\",\"14\",\"15\",\"16\",\"17\"]}",
          OLL_ERR_ARG);
    merge("{\"stop\":[\"a\\u0000b\"]}", OLL_ERR_ARG);
    oll_arena_free(&arena);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
