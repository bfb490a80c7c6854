#include "kernels/cpu/cpu_features.h"

#include "engine/base/platform.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static bool bit(uint32_t word, int i) { return word >> i & 1; }

void cpu_words_read(struct cpu_words *words)
{
    memset(words, 0, sizeof *words);
#if defined(__x86_64__)
    uint32_t a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d))
        words->leaf1_ecx = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        words->leaf7_ebx = b;
        words->leaf7_ecx = c;
        if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d))
            words->leaf7_1_eax = a;
    }
    if (bit(words->leaf1_ecx, 27)) { /* OSXSAVE: xgetbv may be executed */
        uint32_t low, high;
        __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        words->xcr0 = (uint64_t)high << 32 | low;
    }
#elif defined(__aarch64__)
    words->is_arm64 = true;
    uint64_t hwcap, hwcap2;
    oll_platform_hwcap(&hwcap, &hwcap2);
    words->hwcap = hwcap ? hwcap : 1 << 1; /* Advanced SIMD is part of every such system */
    words->hwcap2 = hwcap2;
#endif
}

/* Bit numbers: Intel 64 and IA-32 manual, volume 2, CPUID; the kernel's arm64/elf_hwcaps.rst. */
static uint32_t features_x86(const struct cpu_words *w)
{
    enum { XCR0_YMM = 0x06, XCR0_ZMM = 0xe6 };
    uint32_t f = 0;
    if ((w->xcr0 & XCR0_YMM) != XCR0_YMM)
        return 0;
    bool fma = bit(w->leaf1_ecx, 12), avx = bit(w->leaf1_ecx, 28), f16c = bit(w->leaf1_ecx, 29);
    bool avx2 = bit(w->leaf7_ebx, 5), bmi2 = bit(w->leaf7_ebx, 8);
    if (!avx || !avx2 || !fma || !f16c || !bmi2)
        return 0;
    f |= CPU_AVX2;
    if (bit(w->leaf7_1_eax, 4))
        f |= CPU_AVXVNNI;
    bool foundation = bit(w->leaf7_ebx, 16), dq = bit(w->leaf7_ebx, 17);
    bool bw = bit(w->leaf7_ebx, 30), vl = bit(w->leaf7_ebx, 31);
    if ((w->xcr0 & XCR0_ZMM) != XCR0_ZMM || !foundation || !dq || !bw || !vl)
        return f;
    f |= CPU_AVX512;
    if (!bit(w->leaf7_ecx, 11))
        return f;
    f |= CPU_AVX512VNNI;
    if (bit(w->leaf7_1_eax, 5))
        f |= CPU_AVX512BF16;
    return f;
}

static uint32_t features_arm(const struct cpu_words *w)
{
    uint32_t f = 0;
    if (!(w->hwcap >> 1 & 1))
        return 0;
    f |= CPU_NEON;
    if (!(w->hwcap >> 20 & 1))
        return f;
    f |= CPU_DOTPROD;
    if (w->hwcap2 >> 13 & 1)
        f |= CPU_I8MM;
    return f;
}

uint32_t cpu_features_of(const struct cpu_words *words)
{
    return words->is_arm64 ? features_arm(words) : features_x86(words);
}

/* From the lowest level to the highest of each family. */
static const struct {
    const char *name;
    uint32_t allowed; /* features that stay */
    uint32_t needed;  /* the one that gives the level its name */
} levels[] = {
    {"scalar", 0, 0},
    {"avx2", CPU_AVX2, CPU_AVX2},
    {"avxvnni", CPU_AVX2 | CPU_AVXVNNI, CPU_AVXVNNI},
    {"avx512", CPU_AVX2 | CPU_AVXVNNI | CPU_AVX512, CPU_AVX512},
    {"avx512vnni", CPU_AVX2 | CPU_AVXVNNI | CPU_AVX512 | CPU_AVX512VNNI, CPU_AVX512VNNI},
    {"avx512bf16", CPU_AVX2 | CPU_AVXVNNI | CPU_AVX512 | CPU_AVX512VNNI | CPU_AVX512BF16,
     CPU_AVX512BF16},
    {"neon", CPU_NEON, CPU_NEON},
    {"dotprod", CPU_NEON | CPU_DOTPROD, CPU_DOTPROD},
    {"i8mm", CPU_NEON | CPU_DOTPROD | CPU_I8MM, CPU_I8MM},
};

bool cpu_features_cut(const char *level, uint32_t *features)
{
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(level, levels[i].name) == 0) {
            *features &= levels[i].allowed;
            return true;
        }
    }
    return false;
}

const char *cpu_features_level(uint32_t features)
{
    const char *name = levels[0].name;
    for (size_t i = 1; i < sizeof levels / sizeof *levels; i++)
        if (features & levels[i].needed)
            name = levels[i].name;
    return name;
}
