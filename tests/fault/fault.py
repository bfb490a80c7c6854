"""Fails one allocation of a command after another and looks at how the command takes it.

    fault.py [--runs N] [--folder FOLDER] COMMAND [ARGUMENTS...]

The command is a program of a build with OLL_FAULTS, where OLL_FAULT_ALLOC=n in the environment makes the n-th
allocation fail (n+: that one and all later ones). First it runs without a fault and must succeed. Then n grows from 1
until a run meets no fault any more: by one at first, by a share of n later, so that a command with many allocations
takes about N runs. It runs in FOLDER; when an argument names an absent .gguf file the test is skipped. Every run must
end
  with exit code 1 and a line that begins with "Error: ", or
  with exit code 0 and the output of the run without a fault (the allocation was one the command can do without);
a signal, a sanitizer's report (exit code 99 by ASAN_OPTIONS) or another code is a failure.
"""

import argparse
import os
import subprocess
import sys

TIMEOUT_S = 120
ENVIRONMENT = {"ASAN_OPTIONS": "exitcode=99:allocator_may_return_null=1", "UBSAN_OPTIONS": "exitcode=99",
               "LSAN_OPTIONS": "exitcode=99"}
ANNOUNCEMENT = b"fault: an allocation failed on purpose"


def run(argv, fault):
    environment = {**ENVIRONMENT, **os.environ}
    environment.pop("OLL_FAULT_ALLOC", None)
    if fault:
        environment["OLL_FAULT_ALLOC"] = fault
    return subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S)


def complaint(result, clean):
    """What is wrong with the end of a run that met a fault, or None."""
    if result.returncode == 0:
        return None if result.stdout == clean.stdout else "exit code 0, but another output than without the fault"
    if result.returncode != 1:
        return f"ended by signal {-result.returncode}" if result.returncode < 0 else f"exit code {result.returncode}"
    if not any(line.startswith(b"Error: ") for line in result.stderr.split(b"\n")):
        return 'no line "Error: ..."'
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--folder", default=".")
    parser.add_argument("argv", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    os.chdir(args.folder)
    for argument in args.argv:
        if argument.endswith(".gguf") and not os.path.exists(argument):
            print(f"SKIPPED: {argument} is absent")
            return 77
    clean = run(args.argv, None)
    if clean.returncode != 0:
        print(f"the command fails without any fault: exit code {clean.returncode}")
        sys.stdout.write(clean.stderr.decode(errors="replace"))
        return 1
    n, n_last, n_runs, n_wrong, n_tolerated = 1, 0, 0, 0, 0
    met = True
    while met and n_wrong < 10:
        met = False
        for fault in (f"{n}", f"{n}+"):
            result = run(args.argv, fault)
            if ANNOUNCEMENT not in result.stderr:
                continue
            met, n_last = True, n
            n_runs += 1
            n_tolerated += result.returncode == 0
            wrong = complaint(result, clean)
            if wrong:
                n_wrong += 1
                print(f"OLL_FAULT_ALLOC={fault}: {wrong}")
                sys.stdout.write(result.stderr.decode(errors="replace")[:4000])
        # Half of the runs go to the first allocations one by one; from there steps of a growing share.
        n += 1 if n < args.runs // 4 else 1 + n * 8 // args.runs
    print(f"{n_runs} runs met a fault, the last at allocation {n_last}; {n_tolerated} did without, {n_wrong} wrong")
    if n_runs == 0:
        print("no run met a fault: is this a build with OLL_FAULTS?")
    return 1 if n_wrong or n_runs == 0 else 0


sys.exit(main())
