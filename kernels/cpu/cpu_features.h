/* What the processor can do, as a pure function of raw identification words, so that it is tested
 * on words recorded from machines we do not have. */
#ifndef OLL_KERNELS_CPU_FEATURES_H
#define OLL_KERNELS_CPU_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

/* Sets of instructions that kernels are compiled for, as bits. A name given by the user
 * (OLL_CPU_ISA) allows its own bit and those before it in the same family; it never adds one that
 * the machine lacks. */
enum cpu_feature {
    CPU_AVX2 = 1 << 0,       /* AVX2, FMA, F16C, BMI2 */
    CPU_AVXVNNI = 1 << 1,    /* vpdpbusd on ymm, VEX-coded */
    CPU_AVX512 = 1 << 2,     /* F, BW, VL, DQ (and CPU_AVX2) */
    CPU_AVX512VNNI = 1 << 3, /* vpdpbusd and vpdpwssd on zmm; VBMI is not implied */
    CPU_AVX512BF16 = 1 << 4, /* vdpbf16ps */
    CPU_NEON = 1 << 8,       /* Advanced SIMD of ARMv8.0 */
    CPU_DOTPROD = 1 << 9,    /* sdot, udot */
    CPU_I8MM = 1 << 10       /* smmla, usmmla */
};

/* Raw words. x86: registers of CPUID leaves and XCR0; ARM: the AT_HWCAP words of Linux. Words that
 * a machine does not have are 0. */
struct cpu_words {
    uint32_t leaf1_ecx;
    uint32_t leaf7_ebx, leaf7_ecx, leaf7_1_eax;
    uint64_t xcr0; /* 0 unless OSXSAVE is set */
    uint64_t hwcap, hwcap2;
    bool is_arm64;
};

/* Words of this machine. */
void cpu_words_read(struct cpu_words *words);
/* Feature bits of those words. A feature counts only when the system saves its registers. */
uint32_t cpu_features_of(const struct cpu_words *words);
/* Bits that stay when `level` is the highest one allowed. Returns false for an unknown name, with
 * *features untouched. */
bool cpu_features_cut(const char *level, uint32_t *features);
/* Name of the highest feature: "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16",
 * "neon", "dotprod", "i8mm". */
const char *cpu_features_level(uint32_t features);

#endif
