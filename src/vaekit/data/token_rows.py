"""Rows of tokens: which examples train, and words to numbers and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vaekit.data.settings import DataSettings
from vaekit.tokens import END, PAD, SPECIAL, UNKNOWN

if TYPE_CHECKING:
    from torch import Tensor


def split_numbers(n: int, source: str, settings: DataSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which of n examples train, validate and test, as arrays are split.

    >>> [len(part) for part in split_numbers(10, "a list", DataSettings())]
    [8, 1, 1]
    """
    from vaekit.data.dataset import _split
    from vaekit.data.raw import Part, Raw

    train, valid, test = _split(Raw("rows", source, Part(np.arange(n))), settings)
    return train.x, valid.x, test.x


def token_rows(examples: Sequence[Sequence[str]], vocabulary: Sequence[str], width: int) -> Tensor:
    """Return (N, width) int64: each example's words as numbers, END, then PAD; words not known are UNKNOWN.

    >>> token_rows([["b", "a", "z"]], ["a", "b"], 5).tolist()
    [[5, 4, 3, 2, 0]]
    """
    import torch

    number = {word: SPECIAL + i for i, word in enumerate(vocabulary)}
    out = np.full((len(examples), width), PAD, np.int64)
    for row, words in zip(out, examples):
        row[: len(words)] = [number.get(word, UNKNOWN) for word in words]
        row[len(words)] = END
    return torch.from_numpy(out)


def words_of(ids: Iterable[int], vocabulary: Sequence[str]) -> list[str]:
    """Return a row's words up to END; numbers that stand for no word are passed over.

    >>> words_of([5, 3, 4, 2, 4], ["a", "b"])
    ['b', 'a']
    """
    out = []
    for number in ids:
        if number == END:
            break
        if number >= SPECIAL:
            out.append(vocabulary[number - SPECIAL])
    return out
