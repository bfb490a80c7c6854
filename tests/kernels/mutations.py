"""Breaks kernels on purpose and sees the tests fail.

    mutations.py [--only TEXT] [--list] [--keep DIR]

Each row of TABLE changes one place of a scratch copy of the tree, builds, runs the test that is to
see it, and takes the change back. The run fails when a mutant survives, does not compile, or its
text is no longer found in the file (then the row must follow the code). Prints one line per mutant:
its name and the first case that caught it, the table of docs/testing.md.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Mutant(NamedTuple):
    name: str
    path: str
    old: str
    new: str
    test: str  # program and arguments


REF = "test_ref"
KERNELS = "test_kernels --filter "

TABLE = [
    # ---- ref: the meaning, held by numbers worked out by hand ----
    Mutant("ref: tail of the dot product dropped", "kernels/ref/ref_matmul.c",
           "for (; i < n; i++)\n        sum[0]", "for (; i + 1 < n; i++)\n        sum[0]", REF),
    Mutant("ref: bias not scaled", "kernels/ref/ref_matmul.c",
           "(float)(scale * sum + residual)",
           "(float)(scale * (sum - (b ? (double)b[o] : 0)) + (b ? (double)b[o] : 0) + residual)",
           REF),
    Mutant("ref: expert scale of the slot, not of the expert", "kernels/ref/ref_matmul.c",
           "(double)expert_scale[e]", "(double)expert_scale[r % d->n_used]", REF),
    Mutant("ref: layer norm with the sample variance", "kernels/ref/ref_norm.c",
           "sqrt(var / n + (double)d->eps)", "sqrt(var / (n - 1) + (double)d->eps)", REF),
    Mutant("ref: weight of the group instead of the column", "kernels/ref/ref_norm.c",
           "d->w.n == n ? 0 : c", "0", REF),
    Mutant("ref: rope angle in f32", "kernels/ref/ref_rope.c",
           "double angle = (double)pos[t] * (double)freq[i]",
           "double angle = (double)((float)pos[t] * freq[i])", REF),
    Mutant("ref: rope turns the other way", "kernels/ref/ref_rope.c",
           "x[ia] = (float)(a * c - b * s)", "x[ia] = (float)(a * c + b * s)", REF),
    Mutant("ref: neox pairs half a head apart", "kernels/ref/ref_rope.c",
           ": i + n_pair", ": i + d->head_dim / 2", REF),
    Mutant("ref: window one too wide", "kernels/ref/ref_attention.c",
           "(int64_t)d->window - 1", "(int64_t)d->window", REF),
    Mutant("ref: softcap after the slope", "kernels/ref/ref_attention.c",
           "tanh(s / (double)d->softcap);",
           "tanh((s - (slopes ? (double)slopes[g->head_kv * g->n_head + i] * distance : 0)) / "
           "(double)d->softcap) + (slopes ? (double)slopes[g->head_kv * g->n_head + i] * distance : 0);", REF),
    Mutant("ref: sink missing in the denominator", "kernels/ref/ref_attention.c",
           "sum += exp((double)*sink - max)", "sum += 0", REF),
    Mutant("ref: every query head reads the first kv head", "kernels/ref/ref_attention.c",
           "kv_row(&d->kv, true, g->seq, j, g->head_kv)", "kv_row(&d->kv, true, g->seq, j, 0)", REF),
    Mutant("ref: ring columns not taken modulo", "kernels/ref/ref_attention.c",
           "size_t col = (size_t)(pos / OLL_KV_PAGE) % kv->n_col",
           "size_t col = (size_t)(pos / OLL_KV_PAGE) < kv->n_col ? (size_t)(pos / OLL_KV_PAGE) : "
           "kv->n_col - 1",
           REF),
    Mutant("ref: selection bias weighs", "kernels/ref/ref_router.c",
           "weights[s] = (float)(c->p[ids[s]]",
           "weights[s] = (float)((c->p[ids[s]] + (bias ? (double)bias[ids[s]] : 0))", REF),
    Mutant("ref: ties to the higher expert", "kernels/ref/ref_router.c",
           "score[i] > score[best]))", "score[i] >= score[best]))", REF),
    Mutant("ref: group score is its best alone", "kernels/ref/ref_router.c",
           "return first + second", "return first", REF),
    Mutant("ref: last row of a sequence left out of the mean", "kernels/ref/ref_rows.c",
           "r < end; r++", "r < end - (end - begin > 1); r++", REF),
    Mutant("ref: clamp swallows NaN", "kernels/ref/ref_elementwise.c",
           "return x < low ? low : x > high ? high : x", "return fmin(fmax(x, low), high)", REF),
    Mutant("ref: buffers stay readable", "kernels/ref/ref_device.c",
           "oll_status closed = protect_all(ref, PROT_NONE, err)",
           "oll_status closed = protect_all(ref, PROT_READ, err)", "test_device"),
    Mutant("device: bounds forget the offset", "kernels/op_check.c",
           "n_span > n_have - mat->off", "n_span > n_have", "test_device"),
    Mutant("device: overlap of columns not seen", "kernels/op_check.c",
           "return gap < a->cols || a->stride - gap < b->cols", "return gap < a->cols",
           "test_device"),
    # ---- cpu: compared with ref and with the oracles of the cases ----
    Mutant("cpu: minimum of a K-quant left out", "kernels/cpu/cpu_matmul_scalar.c",
           "if (expand->has_min)", "if (0)", KERNELS + "matmul/Q4_K/ --isa scalar"),
    Mutant("cpu: minimum of Q4_1 left out", "kernels/cpu/cpu_matmul_scalar.c",
           "if (expand->has_m)", "if (0)", KERNELS + "matmul/Q4_1/ --isa scalar"),
    Mutant("cpu: last column of f32 weights dropped", "kernels/cpu/cpu_matmul_scalar.c",
           "k < t->n_in; k++", "k + 1 < t->n_in; k++", KERNELS + "matmul/F32/ --isa scalar"),
    Mutant("cpu: scale of the neighbouring token", "kernels/cpu/cpu_matmul_scalar.c",
           "const float s = words[A256_SCALE * n_tokens + i].f",
           "const float s = words[A256_SCALE * n_tokens].f",
           KERNELS + "matmul/Q6_K/ --isa scalar"),
    Mutant("cpu: activations truncated instead of rounded", "kernels/cpu/cpu_quantize_act.c",
           "(int8_t)lrintf(x[i] * inverse)", "(int8_t)(x[i] * inverse)",
           KERNELS + "matmul/Q8_0/ --isa scalar"),
    Mutant("cpu: activation scale over 127.5", "kernels/cpu/cpu_quantize_act.c",
           "return max * (1.0f / 127.0f)", "return max * (1.0f / 127.5f)",
           KERNELS + "matmul/Q4_0/ --isa scalar"),
    Mutant("cpu: avx2 rounds activations down", "kernels/cpu/x86/quantize_avx2.c",
           "q[i] = _mm256_cvtps_epi32(v)", "q[i] = _mm256_cvttps_epi32(v)",
           KERNELS + "matmul/Q8_0/ --isa avx2"),
    Mutant("cpu: window one too wide", "kernels/cpu/cpu_attention.c",
           "(int64_t)op->window - 1", "(int64_t)op->window",
           KERNELS + "attention/F16/ --isa avx2"),
    Mutant("cpu: sink left out of the denominator", "kernels/cpu/cpu_attention.c",
           "sum * scale + expf(sinks[head] - top)", "sum * scale",
           KERNELS + "attention/F16/ --isa avx2"),
    Mutant("cpu: 8-bit keys lose their last bit", "kernels/cpu/cpu_kv.c",
           "(unsigned char)block.qs[d];", "(unsigned char)(block.qs[d] & ~1);",
           KERNELS + "attention/Q8_0/ --isa avx2"),
    Mutant("cpu: softcap bends a thousandth too much", "kernels/cpu/cpu_attention_impl.h",
           "vf_mul(cap, vf_tanh(vf_mul(vf_load(s + j), inverse)))",
           "vf_mul(cap, vf_tanh(vf_mul(vf_mul(vf_load(s + j), vf_set1(1.001f)), inverse)))",
           KERNELS + "attention/F32/ --isa avx2"),
    Mutant("cpu: unseen positions weigh zero times what is there",
           "kernels/cpu/cpu_attention_impl.h",
           "for (uint32_t j = b->begin; j < b->end; j++) {\n        const void *page = t->v",
           "for (uint32_t j = b->begin; j < oll_align_up(b->end, 8); j++) {\n        "
           "const void *page = t->v", KERNELS + "attention/F32/ --isa avx2"),
    Mutant("cpu: keys of a second page are read from the first",
           "kernels/cpu/cpu_attention_impl.h",
           "t->k[(j + v * VW) / OLL_KV_PAGE]", "t->k[j / OLL_KV_PAGE]",
           KERNELS + "attention/F16/ --isa avx2"),
    Mutant("cpu: the scale of a key's first block serves all", "kernels/cpu/cpu_attention_page.h",
           "d % CPU_KV_BLOCK == 0", "d == 0", KERNELS + "attention/Q8_0/ --isa avx2"),
    Mutant("cpu: 4-bit values change places", "kernels/cpu/cpu_attention_page.h",
           "half * 4), scale)", "(1 - half) * 4), scale)",
           KERNELS + "attention/Q4_0/ --isa avx2"),
    Mutant("cpu: grids lose a minus sign", "kernels/cpu/x86/grid_blocks_avx512.h",
           "quant_grid_iq2s), grid_u64(b->signs + 8 * j)", "quant_grid_iq2s), grid_u64(b->signs + 8 * j) & ~1ull",
           KERNELS + "matmul/IQ2_S/ --isa avx512vnni"),
    Mutant("cpu: grids start from nothing", "kernels/cpu/x86/grid_avx512vnni.c",
           "_mm512_set1_epi32(grid_offset(type))", "_mm512_set1_epi32(0 * grid_offset(type))",
           KERNELS + "matmul/IQ1_S/ --isa avx512vnni"),
    Mutant("cpu: an odd last column of bf16 is lost", "kernels/cpu/x86/matmul_float_avx512bf16.c",
           "(n_in - k + 1) / 2", "(n_in - k) / 2", KERNELS + "matmul/BF16/ --isa avx512bf16"),
    Mutant("cpu: router weights without their scale", "kernels/cpu/cpu_router.c",
           "/ divisor * scale)", "/ divisor)", KERNELS + "router/ --isa scalar"),
    Mutant("cpu: group score is its best alone", "kernels/cpu/cpu_router.c",
           "return n > 1 ? first + second : first", "return first",
           KERNELS + "router/ --isa scalar"),
    Mutant("cpu: no barrier after a conflict", "kernels/cpu/cpu_plan.c",
           "(a->write || b->write)", "(a->write && b->write)", KERNELS + "list/ --isa avx2"),
]


# What the tests of kernels are built from, next to all headers.
PARTS = ("CMakeLists.txt", "engine/base/", "kernels/", "tests/unit/CMakeLists.txt",
         "tests/unit/kernels/", "tests/kernels/")


def is_needed(name):
    return name.startswith(PARTS) or name.endswith(".h") or name.rpartition("/")[0] == "tests"


def copy_tree(target):
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT,
                           check=True, capture_output=True).stdout.decode().split("\0")
    for name in filter(is_needed, names):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)


def build(build_dir, programs):
    return subprocess.run(["cmake", "--build", str(build_dir), "--target", *programs],
                          capture_output=True, text=True)


def first_error(output):
    return next((line for line in output.splitlines() if "error" in line), output[-300:])


def first_failure(output):
    """Name of the first case that failed, with its level."""
    for line in output.splitlines():
        if line.startswith("FAILED") or "FAILED" in line[:8]:
            return line.replace("FAILED", "").strip().partition(" [")[0]
    return None


def try_mutant(tree, build_dir, mutant):
    """The case that caught it, or raises with the reason why none did."""
    path = tree / mutant.path
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise LookupError(f"its text occurs {text.count(mutant.old)} times in {mutant.path}")
    program, *args = mutant.test.split()
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        built = build(build_dir, [program])
        if built.returncode != 0:
            raise LookupError("does not compile: " + first_error(built.stdout))
        ran = subprocess.run([str(build_dir / program), *args], capture_output=True, text=True,
                             timeout=900)
        if ran.returncode == 0:
            raise LookupError("survives")
        caught = first_failure(ran.stdout)
        if ran.returncode == 77 or caught is None:
            raise LookupError(f"ended with {ran.returncode} without naming a case")
        return caught
    finally:
        path.write_text(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--keep", help="scratch folder to use and keep")
    args = parser.parse_args()
    mutants = [m for m in TABLE if args.only in m.name]
    if args.list:
        print("\n".join(m.name for m in mutants))
        return 0
    scratch = pathlib.Path(args.keep or tempfile.mkdtemp(prefix="mutations-"))
    tree, build_dir = scratch / "tree", scratch / "build"
    copy_tree(tree)
    subprocess.run(["cmake", "-S", str(tree), "-B", str(build_dir), "-DOLL_WERROR=OFF"], check=True,
                   stdout=subprocess.DEVNULL)
    built = build(build_dir, sorted({m.test.split()[0] for m in mutants}))
    if built.returncode != 0:
        sys.exit("the tree itself does not build: " + first_error(built.stdout))
    n_survived = 0
    for mutant in mutants:
        try:
            print(f"caught    {mutant.name}: {try_mutant(tree, build_dir, mutant)}", flush=True)
        except (LookupError, subprocess.TimeoutExpired) as error:
            n_survived += 1
            print(f"NOT SEEN  {mutant.name}: {error}", flush=True)
    if not args.keep:
        shutil.rmtree(scratch)
    print(f"{len(mutants)} mutants, {n_survived} not seen")
    return 1 if n_survived else 0


if __name__ == "__main__":
    os.environ.setdefault("CMAKE_GENERATOR", "Ninja" if shutil.which("ninja") else "Unix Makefiles")
    sys.exit(main())
