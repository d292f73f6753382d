"""Directories as a partition has them: made with every kind of entry, and read back to the last attribute."""

import hashlib
import os
import random
import stat
from pathlib import Path

MIB = 1 << 20
# The newest and the oldest instant that a zip reader's 32-bit seconds can hold are far outside of these.
_WHEN = 1_500_000_000


def make_varied(root: Path, seed: int = 1) -> None:
    """A tree with every kind of entry that a backup must carry."""
    rng = random.Random(seed)
    root.mkdir(parents=True, exist_ok=True)
    _file(root / "records.db", rng.randbytes(3 * MIB + 17), 0o640, 123_456_789)
    _file(root / "text.log", b"the same line over and over\n" * 200_000, 0o600, 987_654_321)
    _file(root / "empty", b"", 0o644, 1)
    _file(root / ".hidden", b"still here\n", 0o400, 2)
    _file(root / "run.sh", b"#!/bin/sh\n", 0o755, 3)
    _file(root / "Zürich 東京 🎯.txt", "grüezi\n".encode(), 0o644, 4)
    _file(root / "a b\tc'\"&<>;$.txt", b"odd name\n", 0o644, 5)
    _file(root / "deep/er/and/deep er/leaf", b"leaf", 0o644, 6)
    (root / "hollow").mkdir()
    (root / ".hidden dir").mkdir(mode=0o700)
    _file(root / ".hidden dir/inside", rng.randbytes(70_001), 0o644, 7)
    (root / "to file").symlink_to("records.db")
    (root / "deep/up").symlink_to("../text.log")
    (root / "dangling").symlink_to("no such file")
    (root / "to folder").symlink_to("deep/er")
    _sparse(root / "sparse", 5 * MIB)
    _settle_directories(root)


def make_bulk(root: Path, mebibytes: int, seed: int) -> None:
    """A tree of the given size in files of 8 MiB, half of it incompressible."""
    rng = random.Random(seed)
    root.mkdir(parents=True, exist_ok=True)
    for index in range(0, mebibytes, 8):
        size = min(8, mebibytes - index)
        data = bytearray()
        for _ in range(size):
            data += rng.randbytes(MIB // 2) + bytes([rng.randrange(256)]) * (MIB // 2)
        _file(root / f"part-{index // 80}" / f"{index:06}", bytes(data), 0o644, rng.randrange(1_000_000_000))
    _file(root / f"made-with-seed-{seed}", str(seed).encode(), 0o644, 0)
    _settle_directories(root)


def replace(root: Path, make, *args) -> None:
    """Empties the directory and fills it again, keeping the directory itself."""
    clear(root)
    make(root, *args)


def clear(root: Path) -> None:
    for folder, folders, files in os.walk(root, topdown=False):
        for name in files:
            os.unlink(os.path.join(folder, name))
        for name in folders:
            path = os.path.join(folder, name)
            os.unlink(path) if os.path.islink(path) else os.rmdir(path)


def picture(root: Path, subsecond: bool = True) -> dict[str, tuple]:
    """Every entry below `root` with what a backup must keep of it: two trees are equal if their pictures are."""
    entries = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            entries[os.path.relpath(path, root)] = _entry(path, subsecond)
    return entries


def differences(expected: dict[str, tuple], found: dict[str, tuple]) -> list[str]:
    """What a person wants to read when two pictures are not equal."""
    lines = [f"missing: {path!r}" for path in sorted(expected.keys() - found.keys())]
    lines += [f"too much: {path!r}" for path in sorted(found.keys() - expected.keys())]
    for path in sorted(expected.keys() & found.keys()):
        if expected[path] != found[path]:
            lines.append(f"{path!r}: expected {expected[path]}, found {found[path]}")
    return lines


def _entry(path: str, subsecond: bool) -> tuple:
    info = os.lstat(path)
    when = info.st_mtime_ns if subsecond else info.st_mtime_ns // 1_000_000_000
    mode = stat.S_IMODE(info.st_mode)
    if stat.S_ISLNK(info.st_mode):
        return ("symlink", os.readlink(path))
    if stat.S_ISDIR(info.st_mode):
        return ("directory", oct(mode), when)
    return ("file", oct(mode), when, info.st_size, _digest(path))


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file(path: Path, data: bytes, mode: int, nanoseconds: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    os.utime(path, ns=(_at(nanoseconds), _at(nanoseconds)))


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size // 2)
        file.write(b"an island")
    os.utime(path, ns=(_at(8), _at(8)))


def _settle_directories(root: Path) -> None:
    """Gives the directories a time of their own, the innermost first."""
    for number, (folder, _, _) in enumerate(os.walk(root, topdown=False)):
        os.utime(folder, ns=(_at(number), _at(number)))


def _at(nanoseconds: int) -> int:
    return _WHEN * 1_000_000_000 + nanoseconds
