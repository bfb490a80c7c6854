"""Looks at the processes of a server: its runners, their state, and what they have open."""

import os
import signal
import time


def stat_fields(pid):
    """Parent, state and command of a process; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            text = f.read()
    except OSError:
        return None
    head, _, rest = text.rpartition(")")
    fields = rest.split()
    return int(fields[1]), fields[0], head.partition("(")[2]


def children(parent):
    """Processes that a process has started and not yet waited for, as pid: state."""
    found = {}
    for name in os.listdir("/proc"):
        fields = stat_fields(name) if name.isdigit() else None
        if fields and fields[0] == parent:
            found[int(name)] = fields[1]
    return found


def is_runner(pid):
    """A child becomes one when its program runs: a copy of the server that is stopped before stops a thread of it."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read() == b"oll\0runner\0"
    except OSError:
        return False


def runners(parent):
    return [pid for pid, state in children(parent).items() if state != "Z" and is_runner(pid)]


def open_files(pid):
    """Names behind the descriptors of a process."""
    names = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            names.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass
    return names


def status_value(pid, key):
    """A number of /proc/PID/status; None when the process is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            for line in f:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
    except OSError:
        pass
    return None


def send(pid, sig):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def stop_and_go(pid, seconds):
    send(pid, signal.SIGSTOP)
    time.sleep(seconds)
    send(pid, signal.SIGCONT)


def wait_for(condition, seconds):
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
