"""Bits a dimension of a run's test split: bits back against general and image codecs, as a Markdown table.

python bench/compression.py RUN
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import lzma
import time
from pathlib import Path

import numpy as np
from PIL import Image

from vaekit.runs.loading import load
from vaekit.tasks.compressed_file import elbo_bits


def whole(x: np.ndarray) -> dict[str, int]:
    """Bytes of all examples as one file; of binary ones the better of a byte and a bit a pixel."""
    raw = [x.tobytes()] + ([np.packbits(x).tobytes()] if x.max() == 1 else [])
    codecs = {
        "gzip -9": lambda b: gzip.compress(b, 9),
        "bz2 -9": lambda b: bz2.compress(b, 9),
        "lzma -9e": lambda b: lzma.compress(b, preset=9 | lzma.PRESET_EXTREME),
    }
    return {name: min(len(codec(b)) for b in raw) for name, codec in codecs.items()}


def each(x: np.ndarray) -> dict[str, int]:
    """Bytes of all examples, a file each, without a file system's share."""
    binary = x.max() == 1
    total = {"PNG, one an image": 0, "WebP, one an image": 0}
    for image in x[:, 0]:
        grey = Image.fromarray(image * 255 if binary else image)
        for name, options in (("PNG", {"optimize": True}), ("WebP", {"lossless": True, "quality": 100, "method": 6})):
            buffer = io.BytesIO()
            (grey.convert("1") if binary and name == "PNG" else grey).save(buffer, name, **options)
            total[f"{name}, one an image"] += len(buffer.getvalue())
    return total


def main() -> None:
    """Print the table, and what coding and decoding took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    run = load(parser.parse_args().run)
    x, name = run.stored_levels()
    started = time.perf_counter()
    data = run.compress(x)
    packed = time.perf_counter()
    back = run.decompress(data)
    ended = time.perf_counter()
    assert np.array_equal(back, x)
    ideal = elbo_bits(run.model, x, run.levels)
    print(
        f"{name}: {len(x)} examples, {len(x) / (packed - started):.0f} coded "
        f"and {len(x) / (ended - packed):.0f} decoded a second"
    )
    rows = whole(x) | each(x) | {"vaekit compress, the whole file": len(data), "the model's -ELBO": round(ideal / 8)}
    print("| | bytes | bits/dim |\n|---|---|---|")
    for row, size in rows.items():
        print(f"| {row} | {size:,} | {8 * size / x.size:.4f} |")


if __name__ == "__main__":
    main()
