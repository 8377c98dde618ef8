"""Compressed files: every bit changed, bytes damaged, and headers that a hostile author signs again."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

import vaekit
from attack.mutate import header_of, mutated, with_header
from attack.mutations import BYTES
from attack.tries import Try, attempt


class Archives:
    """A run that compresses digits, and the file of six of them."""

    def __init__(self) -> None:
        small: dict[str, Any] = {"model.latent": 2, "model.hidden": [8], "model.likelihood": "discretised-logistic"}
        self.run = vaekit.train("vae", "digits", steps=2, device="cpu", pictures=False, set=small)
        self.x = self.run.stored_levels()[0][:6]
        self.file = self.run.compress(self.x)

    def try_one(self, seed: int) -> Try:
        """Damage the file, or change its header and sign it again; it is refused or comes back bit for bit."""
        random = Random(f"archive {seed}")
        if random.random() < 0.5:
            data = with_header(self.file, mutated(header_of(self.file), random)[1])
        else:
            data = self.file
            for _ in range(random.choice((1, 1, 2))):
                data = random.choice(BYTES)(random, data)

        def wrong(out: np.ndarray) -> str:
            same = out.shape == self.x.shape and out.dtype == self.x.dtype and bool((out == self.x).all())
            return "" if same else f"another array came back: {out.dtype} {out.shape}"

        return attempt(lambda: self.run.decompress(data), wrong)

    def bit(self, place: int, bit: int) -> Try:
        """Flip one bit; the file must be refused."""
        data = bytearray(self.file)
        data[place] ^= 1 << bit
        return attempt(lambda: self.run.decompress(bytes(data)), lambda _: f"bit {bit} of byte {place} was not noticed")
