/* Detection of instruction sets on words recorded from real machines. The x86 words come from the
 * public CPUID dumps of the InstLatx64 collection (leaf 1 ecx; leaf 7 ebx, ecx; leaf 7.1 eax; the
 * state components of leaf 13, which Linux enables all); the ARM words are the feature lines of
 * /proc/cpuinfo as bits. */
#include "kernels/cpu/cpu_features.h"
#include "tests/testing.h"

#include <string.h>

enum { A2 = CPU_AVX2, AV = CPU_AVXVNNI, A5 = CPU_AVX512, VN = CPU_AVX512VNNI, BF = CPU_AVX512BF16 };

static const struct {
    const char *machine, *level;
    uint32_t features;
    struct cpu_words words;
} x86[] = {
    {"Core i7-965 (Bloomfield)", "scalar", 0, {0x0098e3bd, 0, 0, 0, 0, 0, 0, false}},
    {"Core i7-2600 (Sandy Bridge)", "scalar", 0, {0x1fbae3ff, 0, 0, 0, 0x7, 0, 0, false}},
    {"Ivy Bridge workstation", "scalar", 0, {0x7fbae3ff, 0x281, 0, 0, 0x7, 0, 0, false}},
    {"FX-6100 (Zambezi)", "scalar", 0, {0x1e98220b, 0, 0, 0, 0x7, 0, 0, false}},
    {"Piledriver: FMA and F16C without AVX2", "scalar", 0, {0x3e98320b, 0, 0, 0, 0x7, 0, 0, false}},
    {"Gemini Lake (Goldmont Plus)",
     "scalar",
     0,
     {0x4ff8ebbf, 0x2294e287, 0x40400004, 0, 0x1b, 0, 0, false}},
    {"FX-8800P (Carrizo)", "avx2", A2, {0x7ed8320b, 0x1a9, 0, 0, 0x7, 0, 0, false}},
    {"Haswell", "avx2", A2, {0x7ffafbff, 0x27ab, 0, 0, 0x7, 0, 0, false}},
    {"Core i7-6900K (Broadwell-E)", "avx2", A2, {0x7ffefbbf, 0x021cbfbb, 0, 0, 0x7, 0, 0, false}},
    {"Core i7-6700K (Skylake)", "avx2", A2, {0x7ffafbbf, 0x029c6fbf, 0, 0, 0x1f, 0, 0, false}},
    {"Ryzen 7 1700X (Zen)", "avx2", A2, {0x7ed8320b, 0x209c01a9, 0, 0, 0x7, 0, 0, false}},
    {"EPYC (Rome)", "avx2", A2, {0x7ef8320b, 0x219c91a9, 0x00400004, 0, 0x207, 0, 0, false}},
    {"Ryzen 9 5900X (Zen 3)",
     "avx2",
     A2,
     {0x7ed8320b, 0x219c97a9, 0x0040068c, 0, 0x207, 0, 0, false}},
    {"Knights Landing: AVX-512F without BW, VL, DQ",
     "avx2",
     A2,
     {0x7ff8f3bf, 0x1c0d23ab, 1, 0, 0xe7, 0, 0, false}},
    {"Core i9-13900K (Raptor Lake)",
     "avxvnni",
     A2 | AV,
     {0x7ffafbff, 0x239c27eb, 0x98c027ac, 0x00400810, 0x207, 0, 0, false}},
    {"Arrow Lake-H",
     "avxvnni",
     A2 | AV,
     {0x7ffafbff, 0x239c27eb, 0x994027ac, 0x44c009d0, 0x207, 0, 0, false}},
    {"Xeon Platinum 8160 (Skylake-SP)",
     "avx512",
     A2 | A5,
     {0x7ffefbff, 0xd39ffffb, 0x8, 0, 0x2ff, 0, 0, false}},
    {"Cascade Lake-SP: VNNI without VBMI",
     "avx512vnni",
     A2 | A5 | VN,
     {0x7ffefbff, 0xd39ffffb, 0x808, 0, 0x2ff, 0, 0, false}},
    {"Core i7-1065G7 (Ice Lake)",
     "avx512vnni",
     A2 | A5 | VN,
     {0x7ffafbbf, 0xf2bf27ef, 0x40405f4e, 0, 0x2e7, 0, 0, false}},
    {"Core i5-1135G7 (Tiger Lake)",
     "avx512vnni",
     A2 | A5 | VN,
     {0x7ffafbbf, 0xf3bfa7eb, 0x18c05fce, 0, 0x2e7, 0, 0, false}},
    {"Rocket Lake-E",
     "avx512vnni",
     A2 | A5 | VN,
     {0x7ffafbff, 0xf2bf67ef, 0x40405f4e, 0, 0x2ff, 0, 0, false}},
    {"Core i9-12900K with AVX-512 enabled",
     "avx512bf16",
     A2 | AV | A5 | VN | BF,
     {0x7ffafbff, 0xf3bfa7eb, 0x98c07fee, 0x00401c30, 0x2e7, 0, 0, false}},
    {"Sapphire Rapids",
     "avx512bf16",
     A2 | AV | A5 | VN | BF,
     {0x7ffefbff, 0xf3bfbffb, 0xbb417fee, 0x1c30, 0x602e7, 0, 0, false}},
    {"EPYC (Genoa)",
     "avx512bf16",
     A2 | A5 | VN | BF,
     {0x7efa320b, 0xf1bf97a9, 0x00415fce, 0x20, 0x2e7, 0, 0, false}},
    {"Ryzen 9 9950X (Zen 5)",
     "avx512bf16",
     A2 | AV | A5 | VN | BF,
     {0x7ed8320b, 0xf1bf97ab, 0x19405fce, 0x30, 0x2e7, 0, 0, false}},
};
enum { N_X86 = sizeof x86 / sizeof *x86 };

static const struct {
    const char *machine, *level;
    uint32_t features;
    uint64_t hwcap, hwcap2;
} arm[] = {
    {"Raspberry Pi 3 (Cortex-A53)", "neon", CPU_NEON, 0x8ff, 0},
    {"Raspberry Pi 4 (Cortex-A72)", "neon", CPU_NEON, 0x887, 0},
    {"Graviton 2 (Neoverse N1)", "dotprod", CPU_NEON | CPU_DOTPROD, 0x10119fff, 0},
    {"Apple M1", "dotprod", CPU_NEON | CPU_DOTPROD, 0xffb3ffff, 0x181},
    {"Graviton 3 (Neoverse V1)", "i8mm", CPU_NEON | CPU_DOTPROD | CPU_I8MM, 0xdffbffff, 0x3e181},
};
enum { N_ARM = sizeof arm / sizeof *arm };

TEST(x86_machines)
{
    for (int i = 0; i < N_X86; i++) {
        uint32_t f = cpu_features_of(&x86[i].words);
        CHECK_MSG(f == x86[i].features, "%s: features %#x, expected %#x", x86[i].machine, f,
                  x86[i].features);
        CHECK_STR(cpu_features_level(f), x86[i].level);
    }
}

TEST(arm_machines)
{
    for (int i = 0; i < N_ARM; i++) {
        struct cpu_words words = {.hwcap = arm[i].hwcap, .hwcap2 = arm[i].hwcap2, .is_arm64 = true};
        uint32_t f = cpu_features_of(&words);
        CHECK_MSG(f == arm[i].features, "%s: features %#x, expected %#x", arm[i].machine, f,
                  arm[i].features);
        CHECK_STR(cpu_features_level(f), arm[i].level);
    }
}

/* A kernel or hypervisor that does not save the wide registers takes the features away. */
TEST(the_system_must_save_the_registers)
{
    struct cpu_words words = x86[N_X86 - 1].words;
    words.xcr0 = 0x7;
    CHECK_EQ(cpu_features_of(&words), CPU_AVX2 | CPU_AVXVNNI);
    words.xcr0 = 0x3;
    CHECK_EQ(cpu_features_of(&words), 0);
    words.xcr0 = 0;
    CHECK_EQ(cpu_features_of(&words), 0);
    words.xcr0 = 0x67; /* upper halves of zmm0-15 without zmm16-31 */
    CHECK_EQ(cpu_features_of(&words), CPU_AVX2 | CPU_AVXVNNI);
}

/* Each flag is needed on its own. */
TEST(every_flag_counts)
{
    static const struct {
        int word, bit;
        uint32_t left;
    } cuts[] = {
        {0, 12, 0},
        {0, 28, 0},
        {0, 29, 0},
        {1, 5, 0},
        {1, 8, 0},
        {1, 16, A2 | AV},
        {1, 17, A2 | AV},
        {1, 30, A2 | AV},
        {1, 31, A2 | AV},
        {2, 11, A2 | AV | A5},
        {3, 4, A2 | A5 | VN | BF},
        {3, 5, A2 | AV | A5 | VN},
    };
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        struct cpu_words words = x86[N_X86 - 1].words;
        uint32_t *at[] = {&words.leaf1_ecx, &words.leaf7_ebx, &words.leaf7_ecx, &words.leaf7_1_eax};
        *at[cuts[i].word] &= ~(1u << cuts[i].bit);
        uint32_t f = cpu_features_of(&words);
        CHECK_MSG(f == cuts[i].left, "without bit %d of word %d: features %#x, expected %#x",
                  cuts[i].bit, cuts[i].word, f, cuts[i].left);
    }
}

TEST(a_level_only_takes_away)
{
    static const char *const names[] = {"scalar",     "avx2", "avxvnni", "avx512", "avx512vnni",
                                        "avx512bf16", "neon", "dotprod", "i8mm"};
    for (int i = 0; i < N_X86; i++) {
        for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
            uint32_t f = x86[i].features;
            CHECK(cpu_features_cut(names[n], &f));
            CHECK((f & ~x86[i].features) == 0);
            if (strcmp(names[n], x86[i].level) == 0)
                CHECK_EQ(f, x86[i].features);
        }
    }
    uint32_t f = A2 | AV | A5 | VN | BF;
    CHECK(cpu_features_cut("avx512", &f));
    CHECK_EQ(f, A2 | AV | A5);
    CHECK(cpu_features_cut("avx2", &f));
    CHECK_EQ(f, A2);
    CHECK(cpu_features_cut("scalar", &f));
    CHECK_EQ(f, 0);
}

TEST(an_unknown_level_changes_nothing)
{
    uint32_t f = A2 | A5;
    CHECK(!cpu_features_cut("avx1024", &f));
    CHECK(!cpu_features_cut("", &f));
    CHECK_EQ(f, A2 | A5);
}

/* What this machine says is consistent, whatever it is. */
TEST(this_machine)
{
    struct cpu_words words;
    cpu_words_read(&words);
    uint32_t f = cpu_features_of(&words), all = f;
    CHECK(cpu_features_cut(cpu_features_level(f), &f));
    CHECK_EQ(f, all);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
