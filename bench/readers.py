"""How long readers take to refuse what would not fit, and the most memory meanwhile: a child process a bomb.

`python bench/readers.py` writes bench/results/readers.json; --small makes smaller bombs, for a quick look.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import struct
import subprocess
import sys
import tempfile
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np

RESULTS = Path(__file__).parent / "results" / "readers.json"
MB = 1 << 20
CHILD = """
import json, resource, sys, time, warnings
warnings.simplefilter("ignore")
from vaekit.data.loading import load
from vaekit.data.modality import MODALITIES
from vaekit.errors import UserError
kind, path = sys.argv[1:]
import torch, scipy.signal
if kind != "array":
    MODALITIES[kind]
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
try:
    if kind == "array":
        load(path)
    else:
        MODALITIES[kind].part.load(path, MODALITIES[kind].part.settings())
    said = "read"
except UserError as error:
    said = str(error).replace(path, path.rsplit("/", 1)[-1])
seconds = time.process_time() - start
peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(json.dumps({"seconds": round(seconds, 2), "peak_mb": round(peak), "said": said}))
"""


def npy_header(shape: tuple[int, ...]) -> bytes:
    """Return the header of an NPY file of float64."""
    body = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    body += b" " * (117 - len(body)) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body


def npz(size: int) -> bytes:
    """Return an NPZ of `size` MB of zeros."""
    stream = io.BytesIO()
    archive = zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED)
    with archive, archive.open("x.npy", "w", force_zip64=True) as out:
        out.write(npy_header((size * MB // 800, 100)))
        for _ in range(size):
            out.write(bytes(MB))
    return stream.getvalue()


def packed(head: bytes, part: bytes, times: int) -> bytes:
    """Return a gzip file of a part many times."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as out:
        out.write(head)
        for _ in range(times):
            out.write(part)
    return stream.getvalue()


def arrays(**held: object) -> bytes:
    """Return an NPZ of arrays."""
    stream = io.BytesIO()
    np.savez(stream, **held)  # type: ignore[arg-type]
    return stream.getvalue()


def picture(side: int) -> bytes:
    """Return a PNG of one colour."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (side, side)).save(stream, "png")
    return stream.getvalue()


def midi() -> bytes:
    """Return a MIDI file of one note of 2^28 quarter notes."""
    track = b"\x00\x90\x3c\x50\xff\xff\xff\x7f\x80\x3c\x00\x00\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 1, 1, 1) + b"MTrk" + struct.pack(">I", len(track)) + track


def sound() -> bytes:
    """Return a WAV file of 2^32 - 1 samples a second."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(b"\1\2" * 100)
    data = stream.getvalue()
    return data[:24] + struct.pack("<I", 2**32 - 1) + data[28:]


def table(width: int) -> bytes:
    """Return a CSV of four rows and many columns."""
    rows = np.random.default_rng(0).normal(size=(4, width)).round(3).astype(str)
    return "\n".join([",".join(f"c{i}x" for i in range(width)), *(",".join(row) for row in rows)]).encode()


def bombs(small: bool) -> dict[str, tuple[str, str, Callable[[], bytes]]]:
    """Return what each file is, the kind of data it is read as, and its contents."""
    size = 40 if small else 600
    edges = np.array([(i, i + 1) for i in range(9)])
    return {
        "a.npy": ("NPY header of 281 TB", "array", lambda: npy_header((2**32, 2**13))),
        "a.npz": (f"NPZ of {size} MB of zeros", "array", lambda: npz(size)),
        "a.idx.gz": (f"IDX, gzip of {size} MB", "array", lambda: packed(b"\0\0\x08\x01", bytes(MB), size)),
        "a.csv.gz": (f"CSV, gzip of {size} MB", "array", lambda: packed(b"", b"1,1,1,1\n" * (MB // 8), size)),
        "a.txt.gz": (f"text, gzip of {size} MB", "text", lambda: packed(b"", b"one\n" * (MB // 4), size)),
        "pictures": ("12 PNGs of 9400 x 9400", "array", lambda: picture(900 if small else 9400)),
        "sizes.npz": ("graph of 10^12 nodes", "graphs", lambda: arrays(edges=edges, sizes=[10**12])),
        "a.edges": ("edge list of ids of 11 digits", "graphs", lambda: b"1 99999999999\n" + b"2 3\n3 4\n4 5\n" * 1),
        "a.mid": ("MIDI of 60 bytes, one long delta", "music", midi),
        "a.wav": ("WAV of 2^32 - 1 samples a second", "array", sound),
        "a.smi": ("SMILES of 10^5 atoms among others", "molecules", lambda: b"C" * 10**5 + b"\nCCO\nCC\nCN\n"),
        "a.csv": (f"table of {1000 if small else 30000} columns", "tables", lambda: table(1000 if small else 30000)),
    }


def measured(name: str, kind: str, data: bytes) -> dict[str, object]:
    """Read a file in a child process and return its seconds, peak of memory, and what was said."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        if name == "pictures":
            path.mkdir()
            for i in range(12):
                (path / f"{i}.png").write_bytes(data)
        else:
            path.write_bytes(data)
        made = subprocess.run(
            [sys.executable, "-c", CHILD, kind, str(path)], capture_output=True, text=True, check=True
        )
    return json.loads(made.stdout.splitlines()[-1])


def main() -> None:
    """Measure every bomb and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = []
    for name, (what, kind, make) in bombs(options.small).items():
        data = make()
        row = {"reader": kind, "bomb": what, "bytes": len(data), **measured(name, kind, data)}
        rows.append(row)
        numbers = f"{row['bytes']:>10,} bytes {row['seconds']:>7} s {row['peak_mb']:>6} MB"
        print(f"{what:40} {numbers}  {row['said']}", flush=True)
    options.out.write_text(
        json.dumps({"machine": machine.describe(), "rows": rows}, indent=1, ensure_ascii=False) + "\n"
    )


if __name__ == "__main__":
    main()
