/* Layers over devices that are made up (cli-and-scheduler 18 and its cases 34 to 37). Sizes are in
 * GiB where nothing else is said. */
#include "engine/placement_fill.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

#define GIB ((uint64_t)1 << 30)

enum { LAYERS = 20, LAYERS_MAX = 64 };

static struct fill_request request;
static struct fill_device devices[FILL_MAX_DEVICES];
static struct fill_result result;
static uint64_t layer_bytes[LAYERS_MAX + 1];
static struct oll_error err;

/* A model of `gib` in LAYERS equal layers and an output layer of the same size. */
static void model(uint64_t gib)
{
    memset(&request, 0, sizeof request);
    for (int i = 0; i <= LAYERS; i++)
        layer_bytes[i] = gib * GIB / (LAYERS + 1);
    request = (struct fill_request){.n_layer = LAYERS,
                                    .layer_bytes = layer_bytes,
                                    .devices = devices,
                                    .host_free_bytes = 64 * GIB,
                                    .num_gpu = -1,
                                    .main_gpu = -1};
}

static void card(const char *name, uint64_t gib, bool is_integrated)
{
    devices[request.n_device++] = (struct fill_device){name, gib * GIB, is_integrated};
}

/* One character a layer, the output layer behind a bar: the first of its device's name. */
static const char *fill(oll_status want)
{
    static char text[LAYERS_MAX + 8];
    int at[LAYERS_MAX + 1];
    size_t n = 0;
    err = (struct oll_error){0};
    CHECK_STATUS(fill_layers(&request, at, &result, &err), want);
    for (uint32_t il = 0; il <= request.n_layer; il++) {
        if (il == request.n_layer)
            text[n++] = '|';
        text[n++] = at[il] == FILL_HOST ? '.' : devices[at[il]].name[0];
    }
    text[n] = '\0';
    return text;
}

TEST(a_model_that_fits_one_card_takes_one)
{
    model(10);
    card("a", 24, false);
    card("b", 24, false);
    CHECK_STR(fill(OLL_OK), "aaaaaaaaaaaaaaaaaaaa|a");
    CHECK_EQ(result.n_placed, LAYERS + 1);
    CHECK_EQ(result.host_bytes, 0);
    request.spread = true;
    CHECK_STR(fill(OLL_OK), "aaaaaaaaaabbbbbbbbbb|b");
}

TEST(a_larger_one_is_split_evenly)
{
    model(40);
    card("a", 24, false);
    card("b", 24, false);
    CHECK_STR(fill(OLL_OK), "aaaaaaaaaabbbbbbbbbb|b"); /* 10 and 11 of 21 */
    CHECK(result.device_bytes[0] <= 24 * GIB && result.device_bytes[1] <= 24 * GIB);
}

TEST(cards_get_layers_by_their_room)
{
    model(21);
    card("a", 8, false);
    card("b", 18, false);
    /* Most free first: b holds the low layers, and about twice as many. */
    CHECK_STR(fill(OLL_OK), "bbbbbbbbbbbbbbbaaaaa|a");
}

TEST(what_does_not_fit_stays_and_the_output_layer_with_it)
{
    model(21); /* one GiB a layer */
    card("a", 9, false);
    CHECK_STR(fill(OLL_OK), "............aaaaaaaa|.");
    CHECK_EQ(result.n_placed, 8);
    CHECK_EQ(result.host_bytes, 13 * GIB);
    request.require_full = true;
    fill(OLL_ERR_BUSY);
    CHECK_STR(err.text, "unable to load full model on GPU");
}

TEST(room_is_kept_for_reserve_scratch_and_a_layer)
{
    model(21);
    card("a", 24, false);
    CHECK_STR(fill(OLL_OK), "aaaaaaaaaaaaaaaaaaaa|a");
    request.reserve_bytes = GIB;
    request.scratch_bytes = GIB;
    CHECK_STR(fill(OLL_OK), "aaaaaaaaaaaaaaaaaaaa|a"); /* 24 - 1 - 1 - 1 = 21 */
    CHECK_EQ(result.device_bytes[0], 22 * GIB);
    CHECK_EQ(result.host_bytes, GIB);
    request.reserve_bytes++;
    CHECK_STR(fill(OLL_OK), "aaaaaaaaaaaaaaaaaaaa|.");
    request.input_bytes = 5 * GIB;
    fill(OLL_OK);
    CHECK_EQ(result.host_bytes, 7 * GIB);
    devices[0].free_bytes = 2 * GIB;
    CHECK_STR(fill(OLL_OK), "....................|.");
}

TEST(num_gpu_is_honoured_or_refused)
{
    model(21);
    card("a", 9, false);
    request.num_gpu = 0;
    CHECK_STR(fill(OLL_OK), "....................|.");
    CHECK_EQ(result.n_placed, 0);
    request.num_gpu = 3;
    CHECK_STR(fill(OLL_OK), ".................aaa|.");
    /* More than is known to fit is tried all the same. */
    request.num_gpu = LAYERS + 1;
    CHECK_STR(fill(OLL_OK), "aaaaaaaaaaaaaaaaaaaa|a");
    request.require_full = true;
    fill(OLL_ERR_BUSY);
    request.require_full = false;
    devices[0].free_bytes = 0;
    fill(OLL_ERR_MEMORY);
    CHECK_STR(err.text, "memory layout cannot be allocated with num_gpu = 21");
    request.n_device = 0; /* no card: the processor does it */
    CHECK_STR(fill(OLL_OK), "....................|.");
}

TEST(main_gpu_is_the_only_one)
{
    model(10);
    card("a", 24, false);
    card("b", 12, false);
    request.main_gpu = 1;
    CHECK_STR(fill(OLL_OK), "bbbbbbbbbbbbbbbbbbbb|b");
    model(21);
    request.n_device = 2;
    request.main_gpu = 1;
    CHECK_STR(fill(OLL_OK), ".........bbbbbbbbbbb|.");
}

TEST(integrated_devices_come_last)
{
    model(21);
    card("i", 40, true);
    card("d", 12, false);
    /* The discrete one cannot hold it alone, and takes what it can; the other one takes the rest.
     */
    CHECK_STR(fill(OLL_OK), "iiiiiiiiiidddddddddd|d");
    request.num_gpu = 21;
    fill(OLL_OK);
    CHECK(result.device_bytes[0] > 0);
    model(10);
    request.n_device = 2;
    CHECK_STR(fill(OLL_OK), "dddddddddddddddddddd|d");
}

TEST(too_large_for_the_machine)
{
    model(21);
    request.host_free_bytes = 20 * GIB;
    fill(OLL_ERR_MEMORY);
    CHECK_STR(err.text,
              "model requires more system memory (21.0 GiB) than is available (20.0 GiB)");
    card("a", 9, false);
    fill(OLL_OK);
    CHECK_EQ(result.host_bytes, 13 * GIB);
}

TEST(text_names_every_place)
{
    struct oll_strbuf text;
    int at[LAYERS_MAX + 1];
    oll_strbuf_init(&text, 1 << 16);
    model(21);
    card("a", 9, false);
    CHECK_OK(fill_layers(&request, at, &result, NULL));
    fill_text(&request, at, "cpu", &text);
    CHECK_STR(text.data, "cpu:input,cpu:0-11,a:12-19,cpu:output");
    oll_strbuf_clear(&text);
    request.n_device = 0;
    CHECK_OK(fill_layers(&request, at, &result, NULL));
    fill_text(&request, at, "cpu", &text);
    CHECK_STR(text.data, "cpu:input,cpu:0-19,cpu:output");
    oll_strbuf_free(&text);
}

/* Random sizes: nothing above its room, everything somewhere, in order. */
TEST(random_layouts_hold_what_they_promise)
{
    uint64_t random = 7;
    for (int round = 0; round < 3000; round++) {
        int at[LAYERS_MAX + 1];
        model(1);
        request.n_layer = 1 + (uint32_t)(testing_random(&random) % LAYERS_MAX);
        for (uint32_t il = 0; il <= request.n_layer; il++)
            layer_bytes[il] = 1 + testing_random(&random) % 1000;
        const int n = (int)(testing_random(&random) % 5);
        for (int i = 0; i < n; i++)
            devices[request.n_device++] = (struct fill_device){"x", testing_random(&random) % 20000,
                                                               testing_random(&random) % 4 == 0};
        request.reserve_bytes = testing_random(&random) % 500;
        request.scratch_bytes = testing_random(&random) % 500;
        request.spread = testing_random(&random) % 3 == 0;
        CHECK_OK(fill_layers(&request, at, &result, NULL));
        uint64_t used[FILL_MAX_DEVICES] = {0}, sum = result.host_bytes;
        bool gap = false;
        for (uint32_t il = 0; il <= request.n_layer; il++) {
            if (at[il] != FILL_HOST)
                used[at[il]] += layer_bytes[il];
            /* Only the lowest layers, and the last one, stay on the processor. */
            gap |= il > 0 && il < request.n_layer && at[il] == FILL_HOST && at[il - 1] != FILL_HOST;
        }
        for (int i = 0; i < n; i++) {
            CHECK(used[i] == 0 ||
                  used[i] + request.reserve_bytes + request.scratch_bytes + layer_bytes[0] <=
                      devices[i].free_bytes);
            sum += result.device_bytes[i];
        }
        uint64_t all = request.scratch_bytes;
        for (uint32_t il = 0; il <= request.n_layer; il++)
            all += layer_bytes[il];
        for (int i = 0; i < n; i++)
            all += used[i] ? request.scratch_bytes : 0;
        CHECK_EQ(sum, all);
        if (!CHECK_MSG(!gap, "round %d", round))
            break;
    }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
