"""Breaks the scheduler's policy on purpose and sees its tests fail.

    schedule_mutations.py [--only TEXT] [--cc CC]

Each row of TABLE changes one place of a copy of server/schedule_policy.c or schedule_fair.c and
compiles the tests with it. The run fails when a mutant survives, does not compile, or its text is
no longer found. Prints for each what caught it: the history's broken promise, or the rule's case.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
POLICY, FAIR = "schedule_policy.c", "schedule_fair.c"
TESTS = {POLICY: ["test_schedule_histories", "test_schedule_policy"], FAIR: ["test_schedule_fair"]}
BASE = ["mem", "status", "log", "clock", "strbuf", "utf8", "platform_linux"]

TABLE = [
    ("models that must go take new requests", "return !is_leaving(m) && options_fit",
     "return options_fit"),
    ("the one with leases is unloaded", "m->n_leases > 0 || (!m->doomed", "(!m->doomed"),
    ("the loads under way are forgotten",
     "t.busy |= m->footprint.devices;", "t.busy |= 0;"),
    ("the memory of loads under way counts as free", "loaded ? 0 : held_bytes(p, i, true)", "0"),
    ("memory that was promised to others counts as free", "less(free_bytes(p, i, loaded), t->claimed[i])",
     "p->config.devices[i].total_bytes"),
    ("no limit of models", "if (t->n_free > 0)", "if (t->n_free > -100)"),
    ("who waits for room keeps nobody back",
     "            doom_one(p);\n        t->closed = true;", "            doom_one(p);"),
    ("who waits for a place dooms nobody", "    if (count_leaving(p) == 0)\n        doom_one(p);", ""),
    ("who waits for memory dooms nobody",
     "        if (!t->has_claims && count_leaving(p) == 0)\n            doom_one(p);", ""),
    ("a reload does not wait for the old one", "            m->doomed = true;\n        t->closed = true;\n        return (struct policy_action){0};",
     "            m->doomed = true;"),
    ("an aborted load stays", "        if (model->aborted)\n            model->doomed = true;", ""),
    ("loads that hang are waited for", "first_of(p, m) && !is_stuck(p, m, now)", "first_of(p, m)"),
    ("nobody asks when a load has hung", "at = m->progress_ns + (uint64_t)p->config.load_timeout_ns",
     "at = UINT64_MAX"),
    ("nobody asks when the time of a model is over", "at = m->expires_ns;", "at = UINT64_MAX;"),
    ("nobody asks whether the memory is back",
     "at = now + recover_poll_ns < m->recover_ns ? now + recover_poll_ns : m->recover_ns;",
     "at = UINT64_MAX;"),
    ("a failed load leaves its waiters", "        w->failure = status;\n", ""),
    ("a load is granted before it has ended", "else if (w->model->state == POLICY_READY)",
     "else if (w->model->state <= POLICY_READY)"),
    ("the heir of a load is not found", "if (first_of(p, m) && !is_stuck", "if (p->waiters && !is_stuck"),
    ("options are not looked at", "have->n_ctx == want->n_ctx ||", "true ||"),
    ("the same file is loaded twice", "    if (m || (w->evict_all && p->models)) {",
     "    if (w->evict_all && p->models) {"),
    ("a retry after another, for ever", "if (w->evict_all || m->aborted)", "if (m->aborted)"),
    ("no memory is waited for", "if (discrete_held(p, model) == 0) {", "if (true) {"),
    ("three quarters are enough", "have - m->free_before > held / 4 * 3",
     "have - m->free_before >= held / 4 * 3"),
    ("keep-alive is not taken over", "if (w->want.set_keep_alive)", "if (false)"),
    ("the longest keep-alive goes first", "if (m->keep_alive_ns < best->keep_alive_ns)",
     "if (m->keep_alive_ns > best->keep_alive_ns)"),
    ("busy ones go first", "if (!best || m->n_leases == 0)", "if (!best || m->n_leases != 0)"),
    ("the newest of equals goes", "if (m->used_ns < best->used_ns)",
     "if (m->used_ns > best->used_ns)"),
    ("a window never shrinks", "if (!o->auto_ctx || o->n_ctx <= POLICY_AUTO_CTX)", "if (true)"),
    ("what cannot fit evicts others", "    if (!could_fit(p, w))\n        return answer(p, w);\n    if (m ||",
     "    if (m ||"),
    ("beside others a part may stay on the processor", "room = {.may_split = !p->models && !t->has_claims}",
     "room = {.may_split = true}"),
    ("the queue has no end", "return p->waiters && policy_n_waiting(p) >= p->config.max_waiting;",
     "return false;"),
    ("the load under way counts as one that waits", "n += !w->is_first;", "n += 1;"),
]

FAIR_TABLE = [
    ("turns without end", "        if (c->deficit <= 0)\n            go_to_end(f, c);", ""),
    ("nothing is taken off", "c->deficit -= (int64_t)t->cost;", ""),
    ("what was taken is not set off", "c->deficit += (int64_t)t->cost - (int64_t)taken;", ""),
    ("priority counts for nothing", "return t->priority + (int64_t)", "return (int64_t)"),
    ("age counts for nothing", "((now - t->since_ns) / age_ns)", "(0 * (now - t->since_ns))"),
    ("all are let in", "f->n_running >= f->n_max)\n        return NULL;", "false)\n        return NULL;"),
    ("the line has no end", "f->n_waiting >= f->max_waiting)", "false)"),
    ("who has gone still runs", "        f->n_running--;\n", ""),
    ("clients are never forgotten", "    if (c->waiting || c->n_running > 0)\n", "    if (c)\n"),
    ("in the order of asking", "const int64_t needs = c->deficit > 0 ? 0 : -c->deficit / FAIR_QUANTUM + 1;",
     "const int64_t needs = 1000000;"),
    ("a place without the turns of others", "n += n_same < n_own + 1 ? n_same : n_own + 1;", "n += n_same;"),
]


def caught_by(folder, name, cc):
    """What the tests say of the sources in the folder; None when they pass."""
    for test in TESTS[name]:
        program = folder / test
        sources = [ROOT / "tests/unit/server" / (test + ".c"), ROOT / "tests/testing.c"]
        sources += [folder / "server" / name]
        sources += [ROOT / "engine/base" / (name + ".c") for name in BASE]
        built = subprocess.run([cc, "-std=c11", "-D_GNU_SOURCE", '-DOLL_SHARED_DIR="none"', "-O1",
                                "-I", ROOT, "-o", program, *sources, "-lm", "-lpthread"],
                               capture_output=True, text=True)
        if built.returncode:
            return "does not compile: " + built.stderr
        try:
            run = subprocess.run([program], capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:
            return f"{test}: no end"
        if run.returncode:
            text = run.stdout + run.stderr
            history = re.search(r"history \d+ at [\d.]+ s: (.*)", text)
            failed = re.search(r"FAILED (\w+)", text)
            return history.group(1) if history else failed.group(1) if failed else \
                f"{test}: " + (text.strip().splitlines() or ["crash"])[-1]
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--cc", default="cc")
    args = parser.parse_args()
    n_bad = 0
    rows = [(name, *row) for name, table in ((POLICY, TABLE), (FAIR, FAIR_TABLE)) for row in [("unchanged", "", "")] + table]
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        (folder / "server").mkdir()
        for name, title, old, new in rows:
            text = (ROOT / "server" / name).read_text()
            if args.only not in title:
                continue
            if old and text.count(old) == 0:
                print(f"STALE    {title}")
                n_bad += 1
                continue
            (folder / "server" / name).write_text(text.replace(old, new, 1) if old else text)
            why = caught_by(folder, name, args.cc)
            bad = (why is None) == bool(old) or (why or "").startswith("does not compile")
            n_bad += bad
            print(f"{'BAD' if bad else 'ok':8} {title}: {why}", flush=True)
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
