#include "engine/placement.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

/* Devices of the layers as digits, or the error. */
static const char *parse(const char *text, uint32_t n_layer)
{
    static char out[OLL_ERROR_TEXT_MAX];
    struct placement p = {0};
    struct oll_error err = {0};
    size_t n = 0;
    if (placement_parse(text, n_layer, &p, &err) != OLL_OK) {
        snprintf(out, sizeof out, "%s", oll_error_text(&err));
        return out;
    }
    for (int i = 0; i < p.n_device; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s ", p.names[i]);
    for (uint32_t il = 0; il < n_layer; il++)
        out[n++] = (char)('0' + p.layer_device[il]);
    out[n] = '\0';
    /* Ends that lie elsewhere than their layers. */
    if (p.input_device != p.layer_device[0] || p.output_device != p.layer_device[n_layer - 1])
        snprintf(out + n, sizeof out - n, " %d%d", p.input_device, p.output_device);
    placement_free(&p);
    return out;
}

TEST(lists_place_layers)
{
    CHECK_STR(parse(NULL, 3), "cpu 000");
    CHECK_STR(parse("", 3), "cpu 000");
    CHECK_STR(parse("ref", 2), "ref 00");
    CHECK_STR(parse("cpu:0-1,ref:2-3", 4), "cpu ref 0011");
    CHECK_STR(parse("ref:0-1,cpu", 4), "ref cpu 0011");
    CHECK_STR(parse("cpu,ref:1", 3), "cpu ref 010");
    CHECK_STR(parse("cpu:0,ref:1-2,cpu:3-", 5), "cpu ref 01100");
    CHECK_STR(parse("cpu:0-0", 1), "cpu 0");
    CHECK_STR(parse("cpu,ref:1-2,cpu:output", 3), "cpu ref 011 00");
    CHECK_STR(parse("cpu:input,ref", 3), "cpu ref 111 01");
}

TEST(bad_lists_name_the_entry)
{
    CHECK_STR(parse("cpu:0-1", 3), "devices: layer 2 is on no device; the model has layers 0-2");
    CHECK_STR(parse("cpu:0-5", 3), "devices: \"cpu:0-5\": the model has layers 0-2");
    CHECK_STR(parse("cpu:0-1,ref:1-2", 3), "devices: layer 1 is placed twice");
    CHECK_STR(parse("cpu,ref", 3), "devices: two entries without layers");
    CHECK_STR(parse("cpu:x", 3), "devices: \"cpu:x\" is not NAME, NAME:LAYER or NAME:FIRST-LAST");
    CHECK_STR(parse("cpu:2-1", 3),
              "devices: \"cpu:2-1\" is not NAME, NAME:LAYER or NAME:FIRST-LAST");
    CHECK_STR(parse("cpu:", 3), "devices: \"cpu:\" is not NAME, NAME:LAYER or NAME:FIRST-LAST");
    CHECK_STR(parse("cpu:1 ", 3), "devices: \"cpu:1 \" is not NAME, NAME:LAYER or NAME:FIRST-LAST");
    CHECK_STR(parse("cpu:99999999999999999999", 3),
              "devices: \"cpu:99999999999999999999\" is not NAME, NAME:LAYER or NAME:FIRST-LAST");
    CHECK_STR(parse(",cpu", 3), "devices: \"\" begins with no device name");
    CHECK_STR(parse("averyveryverylongname", 3),
              "devices: \"averyveryverylongname\" begins with no device name");
    CHECK_STR(parse("a:0,b:1,c:2,d:3,e:4", 5), "devices: more than 4 different ones");
}

TEST(plans_add_up_and_saturate)
{
    struct plan plan = {0};
    plan_add(&plan, "kv cache", 0, 10);
    plan_add(&plan, "kv cache", 1, 5);
    plan_add(&plan, "activations", 0, 7);
    plan_add(&plan, "kv cache", 0, 1);
    CHECK_EQ(plan.n, 3);
    CHECK_EQ(plan_sum(&plan, "kv cache"), 16);
    CHECK_EQ(plan_sum(&plan, NULL), 23);
    CHECK_OK(plan_check(&plan, "take less", NULL));
    plan_add(&plan, "activations", 0, UINT64_MAX);
    CHECK(plan_sum(&plan, NULL) == UINT64_MAX);
    struct oll_error err = {0};
    CHECK_STATUS(plan_check(&plan, "take less", &err), OLL_ERR_LIMIT);
    CHECK(strstr(err.text, "take less") && strstr(err.text, "activations"));
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
