/* Experts are chosen once each, whatever the logits are. */
#include "kernels/device.h"
#include "tests/testing.h"

#include <math.h>

enum { N_EXPERT = 8, N_USED = 4, AT_IDS = 64, AT_WEIGHTS = 128, N_FLOAT = 256 };

static void check_distinct(const char *device, enum oll_gating gating, uint32_t n_group,
                           const float logits[N_EXPERT])
{
    const struct oll_device_params params = {.n_threads = 1};
    struct oll_device *dev = NULL;
    struct oll_buffer *buf = NULL;
    struct oll_cmd cmd;
    int32_t ids[N_USED];
    unsigned seen = 0;
    CHECK_OK(oll_device_open(device, &params, &dev, NULL));
    CHECK_OK(oll_buffer_new(dev, N_FLOAT * sizeof(float), &buf, NULL));
    CHECK_OK(oll_buffer_upload(buf, 0, logits, N_EXPERT * sizeof(float), NULL));
    oll_cmd_init(&cmd, dev);
    op_router(&cmd, &(struct op_router){.ids = {buf, AT_IDS, N_USED},
                                        .weights = {buf, AT_WEIGHTS, 1, N_USED, N_USED},
                                        .logits = {buf, 0, 1, N_EXPERT, N_EXPERT},
                                        .gating = gating,
                                        .n_used = N_USED,
                                        .n_group = n_group,
                                        .n_group_used = n_group / 2});
    CHECK_OK(oll_device_submit(&cmd, NULL));
    CHECK_OK(oll_device_wait(dev, NULL));
    CHECK_OK(oll_buffer_download(buf, AT_IDS * 4, ids, sizeof ids, NULL));
    for (int i = 0; i < N_USED; i++) {
        CHECK_MSG(ids[i] >= 0 && ids[i] < N_EXPERT && !(seen >> ids[i] & 1),
                  "%s, gating %d, %u groups: expert %d", device, (int)gating, n_group, ids[i]);
        seen |= 1u << (ids[i] & 31);
    }
    oll_cmd_free(&cmd);
    oll_buffer_free(buf);
    oll_device_close(dev);
}

TEST(experts_are_distinct)
{
    static const char *const devices[] = {"ref", "cpu"};
    static const enum oll_gating gatings[] = {OLL_GATING_SOFTMAX, OLL_GATING_SIGMOID,
                                              OLL_GATING_SOFTMAX_SELECTED};
    static const float rows[][N_EXPERT] = {
        {0, 0, 0, 0, 0, 0, 0, 0},
        {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY},
        {1, -INFINITY, -INFINITY, 2, -INFINITY, -INFINITY, -INFINITY, -INFINITY},
        {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN},
        {NAN, 1, INFINITY, NAN, -INFINITY, 0, NAN, 3},
        {INFINITY, INFINITY, INFINITY, INFINITY, INFINITY, INFINITY, INFINITY, INFINITY},
    };
    for (size_t d = 0; d < 2; d++)
        for (size_t g = 0; g < sizeof gatings / sizeof *gatings; g++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
                check_distinct(devices[d], gatings[g], 0, rows[r]);
                check_distinct(devices[d], gatings[g], 4, rows[r]);
            }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
