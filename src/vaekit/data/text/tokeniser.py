"""From text to token numbers and back: characters, words, or byte pairs. What was read comes back letter for letter."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, takewhile
from typing import Any, Literal

from vaekit.errors import UserError, optional
from vaekit.tokens import END, SPECIAL, UNKNOWN

Unit = Literal["characters", "words", "pairs"]
PIECE = re.compile(r" ?\w+(?:['’]\w+)*| ?[^\w\s]|\s")
"""A word, or a single mark, each with the blank before it; joined they are the text again."""
SHOWN_UNKNOWN = "\ufffd"
MOST_WORDS, MOST_PAIRS, ALPHABET = 10_000, 1_000, 256


def pieces(text: str, unit: Unit) -> list[str]:
    """Cut a text into characters, or into words and marks.

    >>> pieces("Speak, sir: 'tis the king's.", "words")
    ['Speak', ',', ' sir', ':', " '", 'tis', ' the', " king's", '.']
    """
    return list(text) if unit == "characters" else PIECE.findall(text)


@dataclass(frozen=True)
class Tokeniser:
    """Texts ↔ token numbers. `vocabulary` numbers its words from SPECIAL on; pairs have a model of their own instead.

    >>> tokeniser = fit(["ab a", "b"], "characters")
    >>> tokeniser.encode("abc"), tokeniser.decode([5, 6, 2, 0]), tokeniser.size
    ([5, 6, 3], 'ab', 7)
    """

    unit: Unit
    vocabulary: Sequence[str] = ()
    model: str | None = None
    lowercase: bool = False

    @cached_property
    def _number(self) -> dict[str, int]:
        return {word: SPECIAL + i for i, word in enumerate(self.vocabulary)}

    @cached_property
    def _pairs(self) -> Any:
        return _library().Tokenizer.from_str(self.model)

    @property
    def size(self) -> int:
        """How many tokens there are, the special ones among them."""
        return SPECIAL + (len(self.vocabulary) if self.model is None else self._pairs.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        """Return a text's token numbers, without END; what is not in the vocabulary is UNKNOWN."""
        text = text.lower() if self.lowercase else text
        if self.model is not None:
            return [SPECIAL + number for number in self._pairs.encode(text).ids]
        return [self._number.get(piece, UNKNOWN) for piece in pieces(text, self.unit)]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of a row up to END, whatever the numbers: unknown ones are shown as �."""
        size, out = self.size, []
        for known, run in groupby(takewhile(END.__ne__, ids), lambda number: SPECIAL <= number < size):
            words = [number - SPECIAL for number in run]
            if not known:
                out.append(SHOWN_UNKNOWN * len(words))
            elif self.model is None:
                out += [self.vocabulary[word] for word in words]
            else:
                out.append(self._pairs.decode(words))
        return "".join(out)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        kept = {"vocabulary": list(self.vocabulary)} if self.model is None else {"model": self.model}
        return {"unit": self.unit, "lowercase": self.lowercase, **kept}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Tokeniser:
        """Rebuild from `to_dict`'s answer."""
        return cls(value["unit"], value.get("vocabulary", ()), value.get("model"), value["lowercase"])


def fit(
    texts: Sequence[str], unit: Unit, *, most: int | None = None, least: int = 1, lowercase: bool = False
) -> Tokeniser:
    """Return the tokeniser of training texts.

    Characters and words that occur `least` times at least are in the vocabulary, the `most` frequent ones of them.
    Pairs start from the 256 bytes, so nothing is unknown to them, and the most frequent neighbours are joined until
    there are `most` (Gage 1994; Sennrich et al. 2016, arXiv:1508.07909).

    Raises:
        UserError: pairs are asked for and the package tokenizers is missing, or `most` leaves no room for the bytes.
    """
    texts = [text.lower() for text in texts] if lowercase else texts
    if unit == "pairs":
        return Tokeniser(unit, model=_fit_pairs(texts, most or MOST_PAIRS), lowercase=lowercase)
    counts = Counter(piece for text in texts for piece in pieces(text, unit))
    kept = [piece for piece, count in counts.items() if count >= least]
    if unit == "words" or most is not None:
        kept = sorted(kept, key=lambda piece: (-counts[piece], piece))[: most or MOST_WORDS]
    return Tokeniser(unit, sorted(kept), lowercase=lowercase)


def _library() -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads and a fork do not go together
    return optional("tokenizers", "byte pairs need the package tokenizers: pip install 'vaekit[text]'")


def _fit_pairs(texts: Sequence[str], most: int) -> str:
    library = _library()
    if most <= ALPHABET:
        raise UserError(f"data.vocabulary={most} leaves no pairs beside the {ALPHABET} bytes; make it larger")
    made = library.Tokenizer(library.models.BPE())
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = library.decoders.ByteLevel()
    bytes_ = library.pre_tokenizers.ByteLevel.alphabet()
    trainer = library.trainers.BpeTrainer(vocab_size=most, show_progress=False, initial_alphabet=bytes_)
    made.train_from_iterator(texts, trainer)
    return made.to_str()
