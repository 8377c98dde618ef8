"""Molecules: SMILES from files, columns and lists, as rows of SELFIES or SMILES tokens."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from vaekit.data.contents import contents_of
from vaekit.data.csv_files import write_csv
from vaekit.data.dataset import DataSet, Split
from vaekit.data.datasets import read_if_known
from vaekit.data.digest import text_keys
from vaekit.data.info import DataInfo
from vaekit.data.limits import bounded
from vaekit.data.lines import Lines
from vaekit.data.modality import MODALITIES, Modality
from vaekit.data.molecules.chemistry import canonical, need, properties, smiles_of, tokens
from vaekit.data.molecules.smiles_files import smiles_lines
from vaekit.data.settings import DataSettings, settings_as
from vaekit.data.splits import deal, examples_needed
from vaekit.data.token_rows import token_rows
from vaekit.errors import UserError, few
from vaekit.figures.molecules import molecules
from vaekit.tokens import END, SPECIAL, UNKNOWN

CHARACTERS = 10
"""What a token has at most, but for bracket atoms that no known molecule has many of."""
SPARE = 1.05
"""Where only some molecules are asked for, this many times as many are read, since some may be left out."""


class MoleculeSettings(DataSettings):
    """Settings of molecules."""

    representation: Literal["selfies", "smiles"] = Field(
        default="selfies", description="tokens: SELFIES, of which every row is a molecule, or SMILES"
    )
    column: str | None = Field(default=None, description="a table's column of SMILES, if it is not called smiles")
    canonical: bool = Field(default=True, description="write each molecule in rdkit's canonical form")
    duplicates: Literal["drop", "keep"] = Field(default="drop", description="what becomes of a molecule met again")
    longest: int = Field(default=120, ge=1, description="molecules of more tokens are left out")
    invalid: Literal["auto", "refuse", "drop"] = Field(
        default="auto",
        description="lines that are not molecules: 'refuse' them, 'drop' them with a warning; 'auto' refuses those of "
        "a file, and drops the few that known sets are known to hold",
    )
    property: Literal["logp", "qed", "tpsa", "weight"] | None = Field(
        default=None, description="a property to learn along with the molecules, computed by rdkit"
    )


@dataclass(frozen=True)
class Tokenised:
    """Molecules as tokens, and how many were left out for which reason."""

    numbers: list[int]
    smiles: list[str]
    words: list[list[str]]
    left_out: dict[str, int]
    places: list[tuple[int, str]] = field(default_factory=list)
    """The lines that were left out, and why."""


class Molecules(Modality):
    """SMILES of files (.smi, .txt, .csv, each maybe gzipped), known sets, or lists of texts.

    `info.facts`: `vocabulary` (the training split's tokens), `representation`, `left_out` (how many lines, and why),
    `counts` (tokens of each split that are not in the vocabulary),
    and `property` (name, mean, sd) where one is learned: the labels of the training and validation splits are then its
    standardised values, (N, 1); other splits have none, since everything else takes labels for classes.
    """

    name = "molecules"
    noun = "molecules"
    settings = MoleculeSettings
    reads = (".smi", ".smiles")
    formats = (".smi", ".txt", ".csv")
    default = "nci"
    reads_lines = True
    picture = staticmethod(molecules)

    def load(self, source: Any, settings: DataSettings) -> DataSet:
        """Read molecules; the vocabulary is the training split's, other splits' further tokens become UNKNOWN.

        Raises:
            UserError: the source cannot be read, or a line is not a molecule and `data.invalid` refuses it.

        >>> data = Molecules().load(["CCO", "CCN", "CC=O", "CCC"], MoleculeSettings(valid=1, test=1))
        >>> data.info.kind, data.train.x.shape, data.info.facts["representation"]
        ('tokens', torch.Size([2, 4]), 'selfies')
        """
        settings = settings_as(MoleculeSettings, settings)
        lines = _some(_lines(source, settings), settings)
        molecules = read(lines, settings)
        keys = text_keys(molecules.smiles)
        dealt = deal(keys, lines.source, settings)
        parts = dealt.train, dealt.valid, dealt.test
        vocabulary = sorted({word for i in parts[0] for word in molecules.words[i]})
        width = 1 + max(len(words) for words in molecules.words)
        facts: dict[str, Any] = {
            "vocabulary": vocabulary,
            "representation": settings.representation,
            "left_out": molecules.left_out,
            "counts": {
                f"unknown in {name}": sum(_unknown(molecules, index, vocabulary).values())
                for name, index in zip(("train", "valid", "test"), parts)
            },
        }
        targets = None
        if settings.property is not None:
            targets = properties(molecules.smiles, settings.property)
            train = targets[parts[0]]
            facts["property"] = {"name": settings.property, "mean": float(train.mean()), "sd": float(train.std()) or 1}
        splits = []
        for index, learned in zip(parts, (True, True, False)):
            x = _rows([molecules.words[i] for i in index], vocabulary, width)
            y = standardised(targets[index], facts) if learned and targets is not None else None
            origin = lines.origin([molecules.numbers[i] for i in index]).of_some
            splits.append(Split(x, y, origin=origin, keys=keys[index]))
        contents, size = contents_of(dealt, keys), SPECIAL + len(vocabulary)
        return self.data_set(lines.name, lines.source, "tokens", splits, facts, size, contents=contents)

    def encode(self, source: Any, info: DataInfo, settings: DataSettings) -> Split:
        """Read other molecules with the run's vocabulary; tokens that it lacks become UNKNOWN.

        All of them are taken, in their order, duplicates too. Tokens that are unknown are said.

        Raises:
            UserError: a molecule is longer than the run's longest, or is none (unless `data.invalid` is drop).
        """
        longest = info.shape[0] - 1
        mine = settings_as(MoleculeSettings, settings).model_copy(update={"duplicates": "keep", "longest": 10**9})
        lines = _lines(source, mine)
        for number, text in lines.rows:
            if len(text) > most_characters(longest):
                raise UserError(
                    f"{lines.place(number)} has {len(text):,} characters, and this run takes at most {longest} tokens; "
                    "leave it out"
                )
        molecules = read(lines, mine)
        for number, words in zip(molecules.numbers, molecules.words):
            if len(words) > longest:
                raise UserError(
                    f"{lines.place(number)} has {len(words)} tokens, and this run takes at most {longest}; leave it out"
                )
        vocabulary = info.facts["vocabulary"]
        lost = _unknown(molecules, range(len(molecules.words)), vocabulary)
        if lost:
            first = next(n for n, words in zip(molecules.numbers, molecules.words) if lost.keys() & {*words})
            warnings.warn(
                f"{lines.source}: {lost.total()} of {sum(map(len, molecules.words))} tokens are unknown to this run "
                f"({few(list(lost))}), the first in {lines.word} {first}: molecules that differ in them alone get one "
                "code",
                stacklevel=2,
            )
        x = _rows(molecules.words, vocabulary, info.shape[0])
        return Split(x, None, None, lines.origin(molecules.numbers, molecules.places), text_keys(molecules.smiles))

    def lines(self, x: Tensor, info: DataInfo) -> list[str]:
        """Return the SMILES that each row spells (maybe of no molecule, where rows are SMILES)."""
        vocabulary, representation = info.facts["vocabulary"], info.facts["representation"]
        return [smiles_of(_words(row, vocabulary), representation) for row in x.tolist()]

    def write(self, path: Path, x: Tensor, info: DataInfo, y: Any = None) -> None:
        """Write one SMILES a line, or a table of one column."""
        if path.suffix.lower() == ".csv":
            write_csv(path, ["smiles"], [[text] for text in self.lines(x, info)])
        else:
            super().write(path, x, info)


def read(lines: Lines, settings: MoleculeSettings) -> Tokenised:
    """Return each line's molecule in tokens; leave out, or refuse, what is none, comes again or is too long.

    Raises:
        UserError: a line is not a molecule and is to be refused, or none is left.
    """
    need("rdkit")
    refuse = settings.invalid == "refuse" or (settings.invalid == "auto" and not lines.lenient)
    bad: list[str] = []
    out = Tokenised([], [], [], {"invalid": 0, "duplicate": 0, "too long": 0})
    seen: set[str] = set()
    for number, text in lines.rows:
        if len(text) > most_characters(settings.longest):
            out.left_out["too long"] += 1
            continue
        smiles, words, fault = _tokens(text, settings)
        if fault:
            bad.append(f"{lines.word} {number} ('{text[:60]}') {fault}")
            out.places.append((number, fault))
            if refuse:
                raise UserError(f"{lines.source}: {bad[0]}; correct it, or leave such lines out with data.invalid=drop")
        elif settings.duplicates == "drop" and smiles in seen:
            out.left_out["duplicate"] += 1
        elif len(words) > settings.longest:
            out.left_out["too long"] += 1
        else:
            seen.add(smiles)
            out.numbers.append(number)
            out.smiles.append(smiles)
            out.words.append(words)
    out.left_out["invalid"] = len(bad)
    if not out.words:
        raise UserError(f"{lines.source} holds no molecule that data.longest={settings.longest} leaves in; check it")
    if bad and not lines.lenient:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        warnings.warn(f"{lines.source}: left out {'; '.join(bad[:3])}{more}", stacklevel=2)
    return out


def most_characters(longest: int) -> int:
    """Return how long a SMILES of `longest` tokens can be; rdkit takes seconds for thousands of atoms."""
    return max(1000, CHARACTERS * longest)


def _tokens(text: str, settings: MoleculeSettings) -> tuple[str, list[str], str]:
    """Return a molecule's SMILES and tokens, and what is wrong with it, if anything."""
    plain = canonical(text)
    if plain is None:
        return text, [], "is not a molecule"
    smiles = plain if settings.canonical else text
    try:
        words = tokens(smiles, settings.representation)
    except ValueError as error:
        return smiles, [], str(error)
    return smiles, words, "" if words else "is empty"


def standardised(targets: np.ndarray, facts: dict[str, Any]) -> Tensor:
    """Return a property's values (N,) as labels: (N, 1) float32, by the training split's mean and deviation."""
    fact = facts["property"]
    return torch.from_numpy((targets - fact["mean"]) / fact["sd"]).float()[:, None]


def _rows(examples: Sequence[Sequence[str]], vocabulary: Sequence[str], width: int) -> Tensor:
    number = {word: SPECIAL + i for i, word in enumerate(vocabulary)}
    return token_rows(([number.get(word, UNKNOWN) for word in words] for words in examples), width)


def _unknown(molecules: Tokenised, index: Iterable[int], vocabulary: Sequence[str]) -> Counter[str]:
    """Return the tokens of some molecules that are not in a vocabulary, and how often they occur."""
    known = set(vocabulary)
    return Counter(word for i in index for word in molecules.words[i] if word not in known)


def _words(ids: Iterable[int], vocabulary: Sequence[str]) -> list[str]:
    """Return a row's words up to END; numbers that stand for no word are left out."""
    return [vocabulary[number - SPECIAL] for number in takewhile(END.__ne__, ids) if number >= SPECIAL]


@bounded
def _lines(source: Any, settings: MoleculeSettings) -> Lines:
    known = read_if_known(source, Molecules.name, "holds no molecules; give a file of SMILES, or nci")
    return known or smiles_lines(source, settings.column)


def _some(lines: Lines, settings: MoleculeSettings) -> Lines:
    """Return a seeded choice of lines where `limit` asks for fewer than there are: parsing a million takes minutes."""
    needed = examples_needed(settings)
    wanted = None if needed is None else math.ceil(SPARE * needed) + 10
    if wanted is None or wanted >= len(lines.rows):
        return lines
    index = np.random.default_rng(settings.seed).choice(len(lines.rows), wanted, replace=False)
    return replace(lines, rows=[lines.rows[i] for i in np.sort(index)])


MODALITIES.register("molecules", summary="SMILES, as SELFIES or SMILES tokens (extra: mol)")(Molecules())
