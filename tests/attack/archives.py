"""Compressed files: every byte changed, every length cut, and headers that a hostile author signs again."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from random import Random
from typing import Any

import numpy as np

import vaekit
from attack.mutations import BYTES
from attack.tries import Try, attempt

MAGIC, CHECK = 8, 16
NUMBERS = (None, True, -1, 0, 1, 1.5, 2**31, 10**9, 2**63, 10**40, -1e308, "", "1", [], {}, [[1, 10**9]], [[0, 0]], [1], [-1])


class Archives:
    """A run that compresses digits, and the file of six of them."""

    def __init__(self) -> None:
        small: dict[str, Any] = {"model.latent": 2, "model.hidden": [8], "model.likelihood": "discretised-logistic"}
        self.run = vaekit.train("vae", "digits", steps=2, device="cpu", pictures=False, set=small)
        self.x, _ = self.run.stored_levels()
        self.x = self.x[:6]
        self.file = self.run.compress(self.x)

    def try_one(self, seed: int) -> Try:
        """Damage the file, or change its header and sign it again; it is refused or comes back bit for bit."""
        random = Random(f"archive {seed}")
        data = self.file
        signed = random.random() < 0.5
        if signed:
            data = self._resigned(random)
        else:
            for _ in range(random.choice((1, 1, 2))):
                data = random.choice(BYTES)(random, data)

        def wrong(out: np.ndarray) -> str:
            same = out.shape == self.x.shape and out.dtype == self.x.dtype and bool((out == self.x).all())
            return "" if same or data == self.file else f"another array came back: {out.dtype} {out.shape}"

        return attempt(lambda: self.run.decompress(data), wrong)

    def byte(self, place: int, bit: int) -> Try:
        """Flip one bit; the file must be refused."""
        data = bytearray(self.file)
        data[place] ^= 1 << bit
        return attempt(lambda: self.run.decompress(bytes(data)), lambda _: f"bit {bit} of byte {place} was not noticed")

    def _resigned(self, random: Random) -> bytes:
        start = MAGIC + struct.calcsize("<HI")
        version, length = struct.unpack_from("<HI", self.file, MAGIC)
        header = json.loads(zlib.decompress(self.file[start : start + length]))
        target = random.choice((header, header, header["layout"]))
        if random.random() < 0.15:
            del target[random.choice(sorted(target))]
        elif random.random() < 0.1:
            target[random.choice(("more", "__class__", "é"))] = random.choice(NUMBERS)
        else:
            target[random.choice(sorted(target))] = random.choice(NUMBERS)
        text = zlib.compress(json.dumps(header).encode())
        body = self.file[:MAGIC] + struct.pack("<HI", version, len(text)) + text + self.file[start + length : -CHECK]
        return body + hashlib.sha256(body).digest()[:CHECK]


