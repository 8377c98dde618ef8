"""Ways to damage a file: of any bytes, of text, and of arrays inside NPY and NPZ files, each by a seeded generator."""

from __future__ import annotations

import gzip
import io
import re
import struct
import zipfile
from collections.abc import Callable
from random import Random

import numpy as np

Mutation = Callable[[Random, bytes], bytes]
NUMBERS = (0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**24 + 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1)
WORDS = (
    *("1_0", "１２", "²", "0x10", "1e5", " 12 ", "1e999", "-1e999", "nan", "NaN", "inf", "-inf", "null", "None"),
    *("9007199254740993", "99999999999", "-1", "0", "1e-320", "true", "", '"', "'", "\\", "\0", "é", "日本"),
    *("{", "}", "[", "]", "(", ")", ",", ";", "\t", "\r", "\n", ":", "@data", "@", "1" * 400, "-" * 200, "(" * 300),
    *("=1+1", "<!DOCTYPE x>", "\u202e", "\U0001f600", "\x1a", "\ufeff", "#", "%"),
)


def flip(random: Random, data: bytes) -> bytes:
    """Change some bits."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 8, 64))):
        if out:
            out[random.randrange(len(out))] ^= 1 << random.randrange(8)
    return bytes(out)


def cut(random: Random, data: bytes) -> bytes:
    """Leave the end out."""
    return data[: random.randrange(len(data) + 1)]


def head(random: Random, data: bytes) -> bytes:
    """Change a byte of the first hundred."""
    out = bytearray(data)
    if out:
        out[random.randrange(min(len(out), 100))] = random.choice((0, 1, 2, 4, 8, 64, 127, 128, 254, 255))
    return bytes(out)


def drop(random: Random, data: bytes) -> bytes:
    """Take a stretch out."""
    start = random.randrange(len(data) + 1)
    return data[:start] + data[start + random.choice((1, 2, 7, 100)) :]


def repeat(random: Random, data: bytes) -> bytes:
    """Repeat a stretch."""
    start = random.randrange(len(data) + 1)
    part = data[start : start + random.choice((1, 4, 50, 500))]
    return data[:start] + part * random.choice((2, 3, 50)) + data[start:]


def blank(random: Random, data: bytes) -> bytes:
    """Overwrite a stretch with one byte."""
    start, size = random.randrange(len(data) + 1), random.choice((1, 4, 8, 64))
    return data[:start] + bytes([random.choice((0, 255, 32))]) * len(data[start : start + size]) + data[start + size :]


def huge(random: Random, data: bytes) -> bytes:
    """Overwrite two, four or eight bytes with a large number, or with one that is nearly in range."""
    size, order = random.choice((("H", 2), ("I", 4), ("Q", 8))), random.choice("<>")
    start = random.randrange(min(len(data), 200) + 1)
    number = struct.pack(order + size[0], random.choice(NUMBERS) % 2 ** (8 * size[1]))
    return data[:start] + number + data[start + size[1] :]


def packed(random: Random, data: bytes) -> bytes:
    """Pack with gzip, and damage that."""
    made = gzip.compress(data, mtime=0)
    return random.choice((flip, cut, head, lambda _, x: x, lambda _, x: x + x, lambda _, x: x + b"more"))(random, made)


BYTES: tuple[Mutation, ...] = (flip, flip, cut, head, drop, repeat, blank, huge, packed)


def word(random: Random, data: bytes) -> bytes:
    """Put another word in a word's or number's place, or beside it."""
    text = data.decode("utf-8", "surrogateescape")
    found = list(re.finditer(r"[^\s,;:\t\"]+", text))
    new = random.choice(WORDS)
    if not found:
        return new.encode()
    at = random.choice(found)
    return (text[: at.start()] + new + text[at.end() if random.random() < 0.7 else at.start() :]).encode(
        "utf-8", "surrogateescape"
    )


def line(random: Random, data: bytes) -> bytes:
    """Repeat, remove, move, join or lengthen lines."""
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    what = random.randrange(6)
    if what == 0:
        lines[at:at] = [lines[at]] * random.choice((1, 2, 200))
    elif what == 1:
        del lines[at]
    elif what == 2:
        random.shuffle(lines)
    elif what == 3:
        lines[at] = lines[at] + random.choice((b",", b";", b" ", b"\t", b"")) + lines[random.randrange(len(lines))]
    elif what == 4:
        lines[at] = lines[at] * 500
    else:
        lines[at] = b""
    return b"\n".join(lines)


def encoded(random: Random, data: bytes) -> bytes:
    """Write the text in another encoding, or letters of one into it."""
    text = data.decode("utf-8", "replace")
    kind = random.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp1252", "latin-1", "shift-jis", "utf-7"))
    if random.random() < 0.5:
        at = random.randrange(len(text) + 1)
        return (text[:at] + random.choice("é£ßñ中ж") + text[at:]).encode(kind, "replace")
    return text.encode(kind, "replace")


def ends(random: Random, data: bytes) -> bytes:
    """Change the ends of lines or what parts cells."""
    pairs = ((b"\n", b"\r\n"), (b"\n", b"\r"), (b",", b";"), (b",", b"\t"), (b".", b","), (b"\n", b"\0"), (b"\n", b""))
    old, new = random.choice(pairs)
    return data.replace(old, new)


TEXT: tuple[Mutation, ...] = (word, word, word, line, line, encoded, ends, flip, cut, drop, repeat, packed)


def another_array(random: Random, x: np.ndarray) -> np.ndarray:
    """Return an array of another type, shape or of other values."""
    what = random.randrange(9)
    if what == 0:
        kinds = ("i1", "u1", "i8", "u8", "f2", "f4", "f8", "c8", "?", "U3", "S3", "M8[s]", "m8[s]", ">f4", ">i2")
        with np.errstate(all="ignore"):
            try:
                return x.astype(random.choice(kinds))
            except (ValueError, TypeError):
                return np.zeros(x.shape, "M8[s]")
    if what == 1:
        return x.reshape(-1)
    if what == 2:
        return x[:0]
    if what == 3:
        return np.array(random.choice((*NUMBERS, -1, np.nan, np.inf, 1e300, 0.5)))
    if what == 4:
        return x[None] if random.random() < 0.5 else x[..., None]
    if what == 5:
        return np.asfortranarray(x)
    if what == 6:
        return np.zeros(x.shape, [("a", "f4"), ("b", "i4")])
    if what == 7:
        return x[: max(1, len(x) // 2)] if x.ndim else x
    out = np.array(x, dtype=np.float64) if random.random() < 0.5 and x.dtype.kind in "biuf" else np.array(x)
    if out.size and out.dtype.kind in "iuf":
        value = random.choice((-1, 0.5, np.nan, np.inf, 1e30, 2**24 + 1, 2**40, 3))
        if out.dtype.kind != "f":
            value = random.choice((0, 1, 100))
        out.reshape(-1)[random.randrange(out.size)] = value
    return out


def npy_bytes(x: np.ndarray) -> bytes:
    """Return the bytes of an NPY file."""
    stream = io.BytesIO()
    np.save(stream, x, allow_pickle=True)
    return stream.getvalue()


def npz_bytes(arrays: dict[str, np.ndarray], packed: bool = True) -> bytes:
    """Return the bytes of an NPZ file."""
    stream = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def other_npy(random: Random, data: bytes) -> bytes:
    """Write another array in its place, or another header before its values."""
    if random.random() < 0.5:
        return npy_bytes(another_array(random, np.load(io.BytesIO(data))))
    start = data.index(b"{")
    end = data.index(b"\n", start)
    text = data[start:end].decode("latin-1")
    numbers = list(re.finditer(r"\d+", text))
    if random.random() < 0.6 and numbers:
        at = random.choice(numbers)
        text = text[: at.start()] + str(random.choice((*NUMBERS, 10**30, -1))) + text[at.end() :]
    else:
        old, new = random.choice(
            (
                *(("False", "True"), ("'<", "'|"), ("shape", "shpae"), ("(", "["), (")", ""), ("'", ""), ("{", "{{")),
                *((":", ": lambda"), ("(", "(" * 90), ("f", "O"), ("u", "V"), ("i", "x"), (",", ";"), (",", "\0")),
            )
        )
        text = text.replace(old, new, random.choice((1, 5)))
    body = text.encode("latin-1") + b"\n"
    return data[:8] + struct.pack("<H", len(body) % 65536) + body + data[end + 1 :]


def other_npz(random: Random, data: bytes) -> bytes:
    """Write other arrays, names or entries in an NPZ file."""
    with np.load(io.BytesIO(data)) as held:
        arrays = dict(held)
    name = random.choice(sorted(arrays))
    what = random.randrange(6)
    if what <= 1:
        arrays[name] = another_array(random, arrays[name])
        return npz_bytes(arrays)
    if what == 2:
        value = arrays.pop(name)
        return npz_bytes(arrays | ({random.choice(sorted(arrays) or ["x"]): value} if random.random() < 0.5 else {}))
    if what == 3:
        return npz_bytes(arrays | {random.choice(("x", "y", "mask", "nodes", "sizes", "labels")): arrays[name]})
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", random.choice((0, 8, 12, 14))) as archive:
        for key, value in arrays.items():
            raw = npy_bytes(value)
            raw = other_npy(random, raw) if key == name else raw
            archive.writestr(f"{key}.npy", raw)
        if what == 5:
            archive.writestr(random.choice(("folder/", "../x.npy", "x.npy.npy", "no.txt", "x.npy ")), b"text")
    made = bytearray(stream.getvalue())
    if random.random() < 0.3:  # marked as encrypted
        for mark, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
            if (place := made.find(mark)) >= 0:
                made[place + at] |= 1
    return bytes(made)


NPY: tuple[Mutation, ...] = (*BYTES, other_npy, other_npy, other_npy)
NPZ: tuple[Mutation, ...] = (*BYTES, other_npz, other_npz, other_npz, other_npz)
