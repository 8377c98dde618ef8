"""From text to token numbers and back: characters, words, or byte pairs. What was read comes back letter for letter."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from vaekit.errors import UserError
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
    _number: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    _loaded: list[Any] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._number.update({word: SPECIAL + i for i, word in enumerate(self.vocabulary)})

    @property
    def size(self) -> int:
        """How many tokens there are, the special ones among them."""
        return SPECIAL + (len(self.vocabulary) if self.model is None else self._pairs.get_vocab_size())

    @property
    def _pairs(self) -> Any:
        if not self._loaded:
            self._loaded.append(_library().Tokenizer.from_str(self.model))
        return self._loaded[0]

    def encode(self, text: str) -> list[int]:
        """Return a text's token numbers, without END; what is not in the vocabulary is UNKNOWN."""
        text = text.lower() if self.lowercase else text
        if self.model is not None:
            return [SPECIAL + number for number in self._pairs.encode(text).ids]
        return [self._number.get(piece, UNKNOWN) for piece in pieces(text, self.unit)]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of a row up to END, whatever the numbers: unknown ones are shown as �."""
        numbers: list[int] = []
        for number in ids:
            if number == END:
                break
            numbers.append(number)
        if self.model is None:
            return "".join(self._word(number) for number in numbers)
        out, run = [], []
        for number in [*numbers, UNKNOWN]:
            if SPECIAL <= number < self.size:
                run.append(number - SPECIAL)
            else:
                out.append(self._pairs.decode(run))
                run = []
        return SHOWN_UNKNOWN.join(out)

    def _word(self, number: int) -> str:
        inside = SPECIAL <= number < SPECIAL + len(self.vocabulary)
        return self.vocabulary[number - SPECIAL] if inside else SHOWN_UNKNOWN

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
    try:
        import tokenizers
    except ImportError:
        raise UserError("byte pairs need the package tokenizers: pip install 'vaekit[text]'") from None
    return tokenizers


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
