"""Mutations for tests: of JSON values by their structure, of bytes, and of safetensors files whose seal is made anew.

Every function takes a `random.Random`, so that hypothesis can draw it and shrink what it finds, and a harness can seed
it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import struct
import zlib
from random import Random
from typing import Any

HUGE = 10**30
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, HUGE, -HUGE, 0.5, -0.0, 1e308, 5e-324),
    *("", "x", "0", "nan", "../x", "/etc/passwd", "\x00", "é" * 3, "a" * 5000),
    *([], {}, [None], [[]], [HUGE], {"x": 1}, [1] * 1000),
)
"""Values of a wrong type or range, for any place."""


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all parts of a JSON value, the whole not among them."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, part in inside for place in ((*at, key), *places(part, (*at, key)))]


def mutated(value: Any, random: Random) -> tuple[str, Any]:
    """Return what was done to a copy of a JSON value, and the copy: one or two parts of it are other ones."""
    value, told = copy.deepcopy(value), []
    for _ in range(random.choice((1, 1, 1, 2))):
        every = places(value)
        if not every:
            return "nothing left", random.choice(ODD)
        path = random.choice(every)
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        how = random.choice((_odd, _odd, _odd, _moved, _removed, _added, _swapped))
        how(holder, path[-1], random)
        told.append(f"{how.__name__[1:]} {'.'.join(map(str, path))}")
    return ", ".join(told), value


def _odd(holder: Any, key: Any, random: Random) -> None:
    holder[key] = copy.deepcopy(random.choice(ODD))


def _moved(holder: Any, key: Any, random: Random) -> None:
    """Move a number a little or by far, cut or lengthen a text or a list."""
    value = holder[key]
    if isinstance(value, bool):
        holder[key] = not value
    elif isinstance(value, int | float):
        holder[key] = random.choice((value + 1, value - 1, -value, value * 1000, value / 7))
    elif isinstance(value, str):
        holder[key] = random.choice((value[:-1], value + "x", value.upper(), value[::-1]))
    elif isinstance(value, list):
        holder[key] = random.choice((value[:-1], value * 2, value[::-1], [value]))
    else:
        _odd(holder, key, random)


def _removed(holder: Any, key: Any, random: Random) -> None:
    del holder[key]


def _added(holder: Any, key: Any, random: Random) -> None:
    odd = copy.deepcopy(random.choice(ODD))
    if isinstance(holder, list):
        holder.insert(key, odd)
    else:
        holder[random.choice(("more", f"{key}x", "__class__"))] = odd


def _swapped(holder: Any, key: Any, random: Random) -> None:
    """Exchange a part with one of its neighbours."""
    other = random.choice(list(range(len(holder)) if isinstance(holder, list) else holder))
    holder[key], holder[other] = holder[other], holder[key]


def damaged(data: bytes, random: Random) -> bytes:
    """Return bytes with some of them flipped, cut off, doubled or filled with zeros."""
    out, at = bytearray(data), random.randrange(len(data))
    how = random.randrange(4)
    if how == 0:
        for _ in range(random.choice((1, 1, 8))):
            out[random.randrange(len(out))] ^= 1 << random.randrange(8)
    elif how == 1:
        del out[at:]
    elif how == 2:
        out[at:at] = out[at : at + random.randrange(1, 64)]
    else:
        end = min(len(out), at + random.randrange(1, 512))
        out[at:end] = bytes(end - at)
    return bytes(out)


def facts_of(data: bytes) -> Any:
    """Return the facts in the header of a safetensors file that vaekit wrote."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["vaekit"])


def with_facts(data: bytes, facts: Any) -> bytes:
    """Return a safetensors file with other facts, sealed as its author would."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] |= {"vaekit": json.dumps(facts), "sha256": "0" * 64}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    body = len(text).to_bytes(8, "little") + text + data[8 + size :]
    return body.replace(b"0" * 64, hashlib.sha256(body).hexdigest().encode(), 1)


def header_of(archive: bytes) -> Any:
    """Return the header of a file that `vaekit compress` wrote."""
    (size,) = struct.unpack_from("<I", archive, 10)
    return json.loads(zlib.decompress(archive[14 : 14 + size]))


def with_header(archive: bytes, header: Any, version: int = 2) -> bytes:
    """Return a compressed file with another header, signed as its author would."""
    (size,) = struct.unpack_from("<I", archive, 10)
    text = zlib.compress(json.dumps(header, separators=(",", ":")).encode(), 9)
    body = archive[:8] + struct.pack("<HI", version, len(text)) + text + archive[14 + size : -16]
    return body + hashlib.sha256(body).digest()[:16]
