#!/usr/bin/env python3
"""The Dockerfile, and the Debian package that it makes, on a bare Debian: test_package.py SOURCES SHARED CACHE.

Its RUN and COPY lines are carried out in roots made by debootstrap, one for each stage; then the package that the
second one has installed is looked at: the line of oll.service is started by hand as its user, a model answers, the
client works, and a purge leaves nothing. Needs root, debootstrap and a network; about three minutes.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "api"))
from served import Checks, free_port, skip  # noqa: E402

SUITE = "bookworm"
CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def read_stages(path):
    """[(name, [(instruction, text)])] of a Dockerfile without continued lines."""
    stages = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            word, _, text = line.strip().partition(" ")
            if word == "FROM":
                base, _, name = text.partition(" AS ")
                if not base.startswith("debian:12"):
                    raise ValueError(f"the base is {base}")
                stages.append((name, []))
            elif word and not word.startswith("#"):
                stages[-1][1].append((word, text))
    return stages


class Root:
    """A Debian of its own, to be entered with chroot."""

    def __init__(self, base, path):
        self.path = path
        subprocess.run(["cp", "-a", "--reflink=auto", base, path], check=True)
        for name in ("proc", "dev", "sys"):
            subprocess.run(["mount", "--bind", "/" + name, os.path.join(path, name)], check=True)

    def run(self, argv, **more):
        return subprocess.run(["chroot", self.path, *argv], env=CLEAN, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=900, check=False, **more)

    def sh(self, line):
        done = self.run(["sh", "-c", line])
        if done.returncode != 0:
            raise RuntimeError(f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done.stdout

    def close(self):
        for name in ("sys", "dev", "proc"):
            subprocess.run(["umount", "-l", os.path.join(self.path, name)], check=False)


def make_base(cache):
    """A minimal system, kept for the next time; with the settings by which this machine reaches its mirror."""
    base = os.path.join(cache, SUITE)
    if not os.path.exists(base + ".ready"):
        shutil.rmtree(base, ignore_errors=True)
        os.makedirs(cache, exist_ok=True)
        made = subprocess.run(["debootstrap", "--variant=minbase", SUITE, base], capture_output=True, text=True, timeout=600, check=False)
        if made.returncode != 0:
            skip(f"debootstrap: {made.stdout.strip()[-300:]}")
        open(base + ".ready", "w", encoding="utf-8").close()
    for name in ("resolv.conf", "hosts"):
        shutil.copy("/etc/" + name, os.path.join(base, "etc", name))
    settings = "/etc/apt/apt.conf.d"
    for name in os.listdir(settings):
        with open(os.path.join(settings, name), encoding="utf-8") as f:
            if f.read().startswith("Acquire::"):
                shutil.copy(os.path.join(settings, name), os.path.join(base, "etc/apt/apt.conf.d", name))
    return base


def copy_sources(sources, to):
    """What `COPY . /src` takes: the files that git knows, or would."""
    listed = subprocess.run(["git", "-C", sources, "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        path = os.path.join(sources, name)
        if name and os.path.isfile(path) and not name.startswith("tests/"):
            os.makedirs(os.path.dirname(os.path.join(to, name)), exist_ok=True)
            shutil.copy(path, os.path.join(to, name))


def build(stages, base, sources, folder):
    """Carries the stages out; the root of the last."""
    roots = {}
    try:
        for name, lines in stages:
            roots[name] = root = Root(base, os.path.join(folder, name or "last"))
            for word, text in lines:
                if word == "RUN":
                    root.sh(text)
                elif word == "COPY" and text.startswith("--from="):
                    source, pattern, to = text[7:].split()
                    roots[source].sh(f"mkdir -p /copied && cp {pattern} /copied/")
                    copied = os.path.join(roots[source].path, "copied")
                    for file in os.listdir(copied):
                        shutil.copy(os.path.join(copied, file), root.path + to)
                elif word == "COPY":
                    copy_sources(sources, root.path + text.split()[1])
    except BaseException:
        for root in roots.values():
            root.close()
        raise
    for name, root in roots.items():
        if name:
            root.close()
    return roots[stages[-1][0]]


def wait_for(url):
    for _ in range(200):
        try:
            return json.load(urllib.request.urlopen(url, timeout=5))
        except OSError:
            time.sleep(0.05)
    return {}


def check_service(checks, root, shared):
    """The unit's own line, as its user, with its settings."""
    with open(root.path + "/usr/lib/systemd/system/oll.service", encoding="utf-8") as f:
        unit = dict(line.strip().split("=", 1) for line in f if "=" in line and not line.startswith("#"))
    checks.equal((unit["ExecStart"], unit["User"]), ("/usr/bin/oll serve", "oll"), "the unit")
    maker = os.path.join(shared, "data", "ollama", "make_tiny_gguf.py")
    subprocess.run([sys.executable, maker, root.path + "/var/lib/oll/tiny.gguf"], check=True, capture_output=True)
    host = f"127.0.0.1:{free_port()}"
    line = (f"set -a; . /etc/default/oll; OLLAMA_HOST={host}; HOME=/var/lib/oll; cd /; "
            f"exec setpriv --reuid {unit['User']} --regid {unit['Group']} --clear-groups {unit['ExecStart']}")
    server = subprocess.Popen(["chroot", root.path, "sh", "-c", line], env=CLEAN, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        checks.true("version" in wait_for(f"http://{host}/api/version"), "the service answers")
        root.sh(f"printf 'FROM /var/lib/oll/tiny.gguf\\n' > Modelfile && OLLAMA_HOST={host} oll create tiny -f Modelfile")
        checks.true("tiny:latest" in root.sh(f"OLLAMA_HOST={host} oll list"), "the client lists what it made")
        checks.true(root.run(["sh", "-c", f"OLLAMA_HOST={host} oll run tiny hello"]).returncode == 0, "a model answers")
        owner = os.stat(root.path + "/var/lib/oll/models/manifests").st_uid
        checks.true(owner != 0, "the store belongs to the service's user")
    finally:
        server.terminate()
        checks.equal(server.wait(30), 0, "the service ends when it is told to")


def check_files(checks, root):
    checks.true("large language model" in root.sh("zcat /usr/share/man/man1/oll.1.gz"), "the manual page")
    for path in ("bash-completion/completions/oll", "zsh/vendor-completions/_oll", "fish/vendor_completions.d/oll.fish"):
        checks.true("oll" in root.sh(f"cat /usr/share/{path}"), path)
    checks.equal(root.sh("dpkg-query -W -f '${Status}' oll"), "install ok installed", "the package's state")


def check_removal(checks, root):
    root.sh("echo '# changed' >> /etc/default/oll && dpkg --remove oll")
    checks.true(root.run(["test", "-e", "/usr/bin/oll"]).returncode != 0, "the program is gone")
    checks.true("# changed" in root.sh("cat /etc/default/oll"), "settings stay until the purge")
    checks.true(os.path.isdir(root.path + "/var/lib/oll/models"), "and so do models")
    root.sh("dpkg --purge oll")
    left = root.sh("find / -xdev \\( -path /proc -o -path /sys -o -path /dev \\) -prune -o -path '*oll*' -print | "
                   "grep -E '/(oll|oll\\.[a-z0-9]+|_oll)$' || true").split()
    checks.equal(left, [], "a purge leaves nothing")
    checks.true(root.run(["getent", "passwd", "oll"]).returncode != 0, "its user neither")


def main():
    sources, shared, cache = sys.argv[1:4]
    if os.geteuid() != 0 or not shutil.which("debootstrap") or not shutil.which("git"):
        skip("needs root, debootstrap and git")
    if not os.path.exists(os.path.join(shared, "data", "ollama", "make_tiny_gguf.py")):
        skip("shared data is absent")
    checks = Checks()
    base = make_base(cache)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        root = build(read_stages(os.path.join(sources, "packaging", "Dockerfile")), base, sources, folder)
        try:
            check_files(checks, root)
            check_service(checks, root, shared)
            check_removal(checks, root)
        finally:
            root.close()
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
