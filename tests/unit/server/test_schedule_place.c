/* Models in the room that the policy gives, with plans that are made up (cli-and-scheduler 16, 18,
 * case 38). */
#include "server/schedule_place.h"
#include "tests/testing.h"

#include <string.h>

#define GIB ((uint64_t)1 << 30)

enum { LAYERS = 4 };

static uint64_t layer_bytes[LAYERS + 1], layer_kv[LAYERS];
static struct place_task task;
static struct policy_room room;
static struct policy_footprint footprint;
static struct oll_error err;

/* Five GiB of layers, one of cache at a window of 4096, half a one of activations. */
static void begin(int n_device, uint64_t gib)
{
    task = (struct place_task){.has_plan = true};
    for (int i = 0; i <= LAYERS; i++)
        layer_bytes[i] = GIB;
    for (int i = 0; i < LAYERS; i++)
        layer_kv[i] = GIB / LAYERS;
    task.plan = (struct oll_plan){
        .n_ctx = 4096,
        .n_layer = LAYERS,
        .n_device = 1,
        .devices = {{.weights_bytes = 5 * GIB, .kv_bytes = GIB, .activation_bytes = GIB / 2}},
        .layer_bytes = layer_bytes,
        .layer_kv_bytes = layer_kv};
    task.room = (struct oll_plan_room){.n_device = n_device, .num_gpu = -1, .main_gpu = -1};
    room = (struct policy_room){.free_bytes = {64 * GIB}, .may_split = true};
    for (int i = 0; i < n_device; i++) {
        task.room.devices[i].name[0] = (char)('a' + i);
        task.room.devices[i].total_bytes = gib * GIB;
        room.free_bytes[i + 1] = gib * GIB;
    }
}

static enum policy_fit find(void)
{
    footprint = (struct policy_footprint){0};
    err = (struct oll_error){0};
    return place_find(&task, 4096, &room, &footprint, &err);
}

TEST(without_devices_all_is_the_processors)
{
    begin(0, 0);
    CHECK_EQ(find(), POLICY_FITS);
    CHECK_EQ(footprint.devices, 1);
    CHECK_EQ(place_bytes(&footprint), 6 * GIB + GIB / 2);
    CHECK_EQ(place_vram_bytes(&task, &footprint), 0);
    /* A window of half the size takes half the cache. */
    footprint = (struct policy_footprint){0};
    CHECK_EQ(place_find(&task, 2048, &room, &footprint, &err), POLICY_FITS);
    CHECK_EQ(place_bytes(&footprint), 6 * GIB);
    room.free_bytes[0] = 6 * GIB;
    CHECK_EQ(find(), POLICY_IMPOSSIBLE);
    CHECK_STR(err.text, "model requires more system memory (6.5 GiB) than is available (6.0 GiB)");
}

TEST(all_of_it_on_a_device_is_all_of_it)
{
    begin(1, 24);
    CHECK_EQ(find(), POLICY_FITS);
    CHECK_EQ(footprint.devices, 2);
    CHECK_STR(task.place.devices, "cpu:input,a:0-3,a:output");
    CHECK_EQ(place_vram_bytes(&task, &footprint), place_bytes(&footprint));
}

TEST(a_part_of_it_only_when_alone)
{
    begin(1, 5);
    CHECK_EQ(find(), POLICY_FITS);
    CHECK_EQ(footprint.devices, 3);
    CHECK_STR(task.place.devices, "cpu:input,cpu:0-1,a:2-3,cpu:output");
    const uint64_t vram = place_vram_bytes(&task, &footprint);
    CHECK(vram == footprint.bytes[1] && vram < place_bytes(&footprint));
    room.may_split = false;
    CHECK_EQ(find(), POLICY_NEEDS_ROOM);
    /* A number of layers that fits is a place; one that does not is none beside others. */
    task.room.num_gpu = 2;
    CHECK_EQ(find(), POLICY_FITS);
    task.room.num_gpu = 5;
    CHECK_EQ(find(), POLICY_NEEDS_ROOM);
    room.may_split = true;
    CHECK_EQ(find(), POLICY_FITS);
    task.room.num_gpu = 0;
    CHECK_EQ(find(), POLICY_FITS);
    CHECK_EQ(footprint.devices, 1);
}

TEST(memory_of_devices_sets_the_usual_window)
{
    begin(0, 0);
    CHECK_EQ(place_auto_ctx(&task.room), 4096);
    begin(1, 22);
    CHECK_EQ(place_auto_ctx(&task.room), 4096);
    begin(1, 24);
    CHECK_EQ(place_auto_ctx(&task.room), 32768);
    begin(2, 24);
    CHECK_EQ(place_auto_ctx(&task.room), 262144);
    task.room.reserve_bytes = GIB; /* of each */
    CHECK_EQ(place_auto_ctx(&task.room), 32768);
}

TEST(the_policy_sees_the_processor_first)
{
    struct policy_config config = {0};
    uint64_t bytes[POLICY_MAX_DEVICES];
    begin(2, 24);
    task.room.devices[1].free_bytes = GIB;
    place_devices(&task.room, &config);
    CHECK_EQ(config.n_device, 3);
    CHECK(config.devices[0].total_bytes > 0);
    CHECK_EQ(config.devices[2].total_bytes, 24 * GIB);
    place_free_bytes(&task.room, bytes);
    CHECK(bytes[0] > 0);
    CHECK_EQ(bytes[2], GIB);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
