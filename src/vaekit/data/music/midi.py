"""Standard MIDI files: notes to bytes and back.

Source: The MIDI Association, "Standard MIDI Files 1.0" (RP-001).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vaekit.atomic import write_bytes
from vaekit.data.files import unreadable
from vaekit.errors import UserError

TICKS = 480
"""Ticks a quarter note in what is written here."""
_DRUMS = 9
_DATA_BYTES = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}


class Note(NamedTuple):
    """A note: `onset` and `length` in quarter notes, `pitch` as MIDI numbers it (60 is C4)."""

    onset: float
    length: float
    pitch: int


@dataclass(frozen=True)
class Midi:
    """A file as read: notes by part (track and channel), drums left out, and its time signatures, (beats, unit)."""

    parts: tuple[tuple[Note, ...], ...]
    signatures: tuple[tuple[int, int], ...]


def write_midi(
    path: str | os.PathLike[str], parts: Sequence[Iterable[Note]], *, tempo: float = 90.0, program: int = 0
) -> None:
    """Write a MIDI file in 4/4 with a track a part, whole or not at all. `tempo`: quarter notes a minute.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scale.mid"
    >>> write_midi(path, [[Note(0, 1, 60), Note(1, 0.5, 62)]])
    >>> read_midi(path).parts
    ((Note(onset=0.0, length=1.0, pitch=60), Note(onset=1.0, length=0.5, pitch=62)),)
    """
    beat = round(60e6 / tempo).to_bytes(3, "big")
    first = b"\x00\xff\x58\x04\x04\x02\x18\x08" + b"\x00\xff\x51\x03" + beat
    tracks = [first]
    for number, notes in enumerate(parts):
        channel = number % 16 if number % 16 != _DRUMS else 15
        tracks.append(bytes((0, 0xC0 | channel, program)) + _events(notes, channel))
    data = b"MThd" + (6).to_bytes(4, "big")
    data += b"".join(value.to_bytes(2, "big") for value in (1, len(tracks), TICKS))
    for track in tracks:
        body = track + b"\x00\xff\x2f\x00"
        data += b"MTrk" + len(body).to_bytes(4, "big") + body
    write_bytes(path, data)


def _events(notes: Iterable[Note], channel: int) -> bytes:
    """Return note-on and note-off events in time; at one moment notes end before others begin."""
    timed: list[tuple[int, int, int]] = []
    for note in notes:
        start = round(note.onset * TICKS)
        timed.append((start, 1, note.pitch))
        timed.append((max(start + 1, round((note.onset + note.length) * TICKS)), 0, note.pitch))
    out, now = b"", 0
    for when, on, pitch in sorted(timed):
        out += _variable(when - now) + bytes(((0x90 if on else 0x80) | channel, pitch, 80 if on else 0))
        now = when
    return out


def _variable(value: int) -> bytes:
    """Return a number in MIDI's variable length: seven bits a byte, all but the last marked.

    >>> _variable(0x80).hex(), _variable(0x1FFFFF).hex()
    ('8100', 'ffff7f')
    """
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | (value & 0x7F))
    return bytes(reversed(out))


def read_midi(path: str | os.PathLike[str]) -> Midi:
    """Read the notes of a MIDI file.

    Raises:
        UserError: the file does not exist, is not a MIDI file, is cut off, or counts time in seconds (SMPTE).
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise UserError(unreadable(path, error)) from None
    try:
        return _parse(data)
    except (EOFError, ValueError) as error:
        what = "it is cut off" if isinstance(error, EOFError) else str(error)
        raise UserError(f"{path} is not a MIDI file that can be read: {what}; export it again") from None


def _parse(data: bytes) -> Midi:
    if data[:4] != b"MThd":
        raise ValueError("it does not begin with MThd")
    stream = io.BytesIO(data)
    header = _read(stream, 14)
    division = int.from_bytes(header[12:], "big")
    if division & 0x8000 or not division:
        raise ValueError("its time is in frames, not in beats")
    stream.seek(8 + int.from_bytes(header[4:8], "big"))
    parts: dict[tuple[int, int], list[Note]] = {}
    signatures: list[tuple[int, int]] = []
    tracks = 0
    while len(head := stream.read(8)) == 8:
        body = _read(stream, int.from_bytes(head[4:], "big"))
        if head[:4] == b"MTrk":
            for channel, note in _track(body, signatures):
                scaled = Note(note.onset / division, note.length / division, note.pitch)
                parts.setdefault((tracks, channel), []).append(scaled)
            tracks += 1
    if not tracks:
        raise ValueError("it has no tracks")
    return Midi(tuple(tuple(sorted(notes)) for _, notes in sorted(parts.items())), tuple(signatures))


def _track(data: bytes, signatures: list[tuple[int, int]]) -> Iterator[tuple[int, Note]]:
    """Yield the channel and the note, in ticks, of each note that ends; time signatures are added to `signatures`."""
    stream = io.BytesIO(data)
    sounding: dict[tuple[int, int], list[int]] = {}
    now, status = 0, 0
    while stream.tell() < len(data):
        now += _number(stream)
        first = _read(stream, 1)[0]
        if first & 0x80:
            status = first
        else:
            stream.seek(-1, os.SEEK_CUR)  # the status stays
        if status == 0xFF:
            meta = _read(stream, 1)[0]
            body = _read(stream, _number(stream))
            if meta == 0x58 and len(body) >= 2:
                signatures.append((body[0], 1 << body[1]))
            if meta == 0x2F:
                break
        elif status in (0xF0, 0xF7):
            _read(stream, _number(stream))
        elif (kind := status >> 4) in _DATA_BYTES:
            channel, body = status & 0xF, _read(stream, _DATA_BYTES[kind])
            if kind not in (0x8, 0x9) or channel == _DRUMS:
                continue
            starts = sounding.setdefault((channel, body[0]), [])
            if kind == 0x9 and body[1]:
                starts.append(now)
            elif starts:
                start = starts.pop(0)
                yield channel, Note(start, now - start, body[0])
        else:
            raise ValueError(f"it has an event {status:#x} that no file may have")
    for (channel, pitch), starts in sounding.items():
        for start in starts:
            yield channel, Note(start, now - start, pitch)


def _read(stream: io.BytesIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _number(stream: io.BytesIO) -> int:
    value = 0
    for _ in range(4):
        byte = _read(stream, 1)[0]
        value = value << 7 | (byte & 0x7F)
        if byte < 0x80:
            return value
    raise ValueError("it has a number of more than four bytes")
