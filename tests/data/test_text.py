"""Text: what is read comes back letter for letter; what is bad is named; the vocabulary is the training split's."""

from __future__ import annotations

import gzip
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaekit.data.info import DataInfo
from vaekit.data.lines import lines_of, read_lines
from vaekit.data.text.modality import Text, TextSettings
from vaekit.data.text.tokeniser import Tokeniser, fit, pieces
from vaekit.errors import UserError
from vaekit.tokens import END, PAD, SPECIAL, UNKNOWN, lengths

WORDS = ("king", "queen", "sea", "crown", "night", "tempest")
LINES = [f"The {a} loves the {b}, and o'er {c}!" for a in WORDS for b in WORDS for c in WORDS[:3]]
UNITS = ("characters", "words", "pairs")


def load(source: Any = None, **more: Any) -> tuple[Any, DataInfo]:
    data = Text().load(LINES if source is None else source, TextSettings(**more))
    return data, data.info


# --- tokens --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS)
def test_known_text_comes_back_letter_for_letter(unit: Any) -> None:
    tokeniser = fit(LINES, unit)
    for line in LINES[:20]:
        ids = tokeniser.encode(line)
        assert UNKNOWN not in ids and min(ids) >= SPECIAL and max(ids) < tokeniser.size
        assert tokeniser.decode([*ids, END, PAD, 7]) == line
    again = Tokeniser.from_dict(json.loads(json.dumps(tokeniser.to_dict())))
    assert again.encode(LINES[0]) == tokeniser.encode(LINES[0]) and again.size == tokeniser.size


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_pieces_joined_are_the_text(text: str) -> None:
    assert "".join(pieces(text, "words")) == text == "".join(pieces(text, "characters"))


@pytest.mark.parametrize("unit", UNITS)
def test_any_text_encodes_and_any_row_decodes(unit: Any) -> None:
    tokeniser = fit(LINES, unit)
    rng = np.random.default_rng(0)
    for text in ("日本 naïve\t\x00 🎭", "", "ZZZ zzz"):
        ids = tokeniser.encode(text)
        assert all(UNKNOWN <= number < tokeniser.size for number in ids)
        assert isinstance(tokeniser.decode(ids), str)
    if unit == "pairs":
        assert tokeniser.decode(tokeniser.encode("日本 naïve 🎭")) == "日本 naïve 🎭"  # bytes know everything
    for _ in range(50):
        row = rng.integers(0, tokeniser.size + 5, 12).tolist()  # PAD, START and numbers of no token among them
        assert isinstance(tokeniser.decode(row), str)
    assert tokeniser.decode([UNKNOWN, *tokeniser.encode("The king")]) == "\ufffdThe king"


def test_rare_words_are_unknown_and_the_vocabulary_is_bounded() -> None:
    texts = ["a a b", "a b c", "a d"]
    assert fit(texts, "words", least=1).size == SPECIAL + len({"a", " a", " b", " c", " d"})
    assert list(fit(texts, "words", least=2).vocabulary) == [" b", "a"]
    assert list(fit(texts, "words", most=1).vocabulary) == ["a"]
    assert fit(["Ab", "aB"], "characters", lowercase=True).decode([4, 5]) == "ab"
    with pytest.raises(UserError, match="no pairs beside the 256 bytes"):
        fit(texts, "pairs", most=200)


def test_pairs_without_their_package_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"pip install 'vaekit\[text\]'"):
        fit(LINES, "pairs")


# --- data sets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS)
def test_a_data_set_holds_each_line_once(unit: Any) -> None:
    data, info = load(unit=unit, least=1)
    assert (info.kind, info.modality, info.shape) == ("tokens", "text", (data.train.x.shape[1],))
    assert info.levels == Tokeniser.from_dict(info.facts["tokeniser"]).size
    assert info.n_train + info.n_valid + info.n_test == len(LINES) and 4 < info.n_test < 20
    every = [line for part in (data.train, data.valid, data.test) for line in Text().lines(part.x, info)]
    assert sorted(every) == sorted(LINES)
    assert int(lengths(data.train.x).max()) == info.shape[0]
    again, _ = load(unit=unit, least=1)
    assert again.test.x.equal(data.test.x)
    assert DataInfo.from_dict(json.loads(json.dumps(info.to_dict()))) == info


def test_the_vocabulary_is_of_the_training_split_alone() -> None:
    turns = [left + right for left in ("abc", "acb", "bca") for right in ("xyz", "zyx", "yxz")]
    data, info = load(turns, valid=1, test=1, least=1, seed=1)
    assert set(info.facts["tokeniser"]["vocabulary"]) == set("abcxyz")
    # a line that only the test split has: its letters are no part of it
    odd = [*turns, "é"]
    for seed in range(30):
        data, info = load(odd, valid=1, test=1, least=1, seed=seed)
        if "é" not in "".join(Text().lines(data.train.x, info)):
            assert "é" not in info.facts["tokeniser"]["vocabulary"]
            unknown = info.facts["counts"]["unknown in valid"] + info.facts["counts"]["unknown in test"]
            assert unknown == 1
            return
    raise AssertionError("no seed held the odd line out")


def test_longer_lines_are_split_cut_dropped_or_refused() -> None:
    lines = ["abcdefghij", *("abc" for _ in range(20))]

    def rows(longer: Any) -> tuple[Any, DataInfo]:
        return load(lines, longest=4, longer=longer, least=1, valid=0, test=0)

    data, info = rows("split")
    assert sorted(Text().lines(data.train.x, info)) == sorted(["abcd", "efgh", "ij", *["abc"] * 20])
    assert len(data.train) == 23 and info.facts["counts"]["too long"] == 1 and not info.facts["truncated"]
    data, info = rows("cut")
    assert info.facts["truncated"] and "abcde" in Text().lines(data.train.x, info)  # fills all 5 places, no END
    assert (data.train.x == END).any(1).sum() == 20
    data, info = rows("drop")
    assert len(data.train) == 20
    with pytest.raises(UserError, match=r"text 1 has 10 tokens, more than 4"):
        rows("refuse")
    with pytest.raises(UserError, match="make it larger"):
        load(["abcdef"] * 9, longest=2, longer="drop", valid=1, test=1)


def test_duplicates_may_go() -> None:
    data, info = load(["a b", "a b", "c d", "e f", "c d"], duplicates="drop", valid=1, test=1, least=1)
    assert len(data.train) + len(data.valid) + len(data.test) == 3 and info.facts["counts"]["met again"] == 2


# --- files ---------------------------------------------------------------------------------------------------------


def test_files_packed_or_not_with_empty_lines_and_a_mark(tmp_path: Path) -> None:
    text = "\ufeffTo be,\r\n\r\nor not  \n   \nto be\n"
    (tmp_path / "a.txt").write_bytes(text.encode())
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("a.txt", "b.txt.gz"):
        found = read_lines(tmp_path / name)
        assert found.rows == [(1, "To be,"), (3, "or not"), (5, "to be")] and found.empty == 2
        assert found.name == name[0]
    _, info = load(tmp_path / "a.txt", valid=1, test=1, least=1)
    assert info.facts["counts"]["empty"] == 2 and info.source == str(tmp_path / "a.txt")


def test_a_column_of_a_table_is_text(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text('stars,Text\n5,"good, very good"\n1,\n2,"not so\ngood"\n', encoding="utf-8")
    data = Text().load(path, TextSettings(valid=0, test=0, least=1))
    assert Text().lines(data.train.x, data.info) == ["good, very good", "not so good"]
    assert data.info.facts["counts"]["empty"] == 1
    named = Text().load(path, TextSettings(valid=0, test=0, least=1, column="stars"))
    assert Text().lines(named.train.x, named.info) == ["5", "1", "2"]
    path.write_text("stars,body\n5,good\n")
    with pytest.raises(UserError, match=r"has no column text; set data\.column to one of stars, body"):
        Text().load(path, TextSettings())


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes("voilà\nfine too\n".encode() + b"na\xefve\n")
    with pytest.raises(UserError, match=r"bad\.txt: line 3 is not UTF-8 text; correct it, or save the file as UTF-8"):
        read_lines(path)
    path.write_bytes(b"fine\nfine too\nna\xefve\n")
    with pytest.warns(UserWarning, match=r"bad\.txt: line 3 is not UTF-8 text, and is read as cp1252"):
        assert read_lines(path).rows[2] == (3, "naïve")
    path.write_bytes(gzip.compress(b"some lines\n" * 100)[:-9])
    with pytest.raises(UserError, match="damaged gzip file"):
        read_lines(path)
    path.write_bytes(b"\n \n")
    with pytest.raises(UserError, match="holds no text"):
        read_lines(path)
    with pytest.raises(UserError, match="there is no file"):
        load(tmp_path / "none.txt")
    with pytest.raises(UserError, match="text 2 of the list is 5, not a text"):
        lines_of(["a", 5])
    with pytest.raises(UserError, match="give a file of lines or a list of texts"):
        lines_of(5)
    assert lines_of(np.array(["a", "b"])).rows == [(1, "a"), (2, "b")]


# --- use -----------------------------------------------------------------------------------------------------------


def test_other_lines_are_read_as_the_runs_own_and_what_is_unknown_is_said() -> None:
    _, info = load(least=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split = Text().encode(LINES[:5], info, TextSettings())
    assert Text().lines(split.x, info) == LINES[:5] and split.x.shape[1] == info.shape[0]
    with pytest.warns(UserWarning, match="2 of 10 tokens are unknown to this run, the first in text 2; 1 empty lines"):
        split = Text().encode(["The king", "éÉ", ""], info, TextSettings())
    assert Text().lines(split.x, info) == ["The king", "\ufffd\ufffd"]
    long = "The king " * 30
    with pytest.warns(UserWarning, match="1 lines are too long and were split"):
        assert len(Text().encode([long], info, TextSettings())) > 1
    with pytest.raises(UserError, match="more than"):
        Text().encode([long], info, TextSettings(longer="refuse"))
    with pytest.warns(UserWarning, match="cut"):
        assert len(Text().encode([long], info, TextSettings(longer="cut"))) == 1
    with pytest.raises(UserError, match="no line of at most"):
        Text().encode([long], info, TextSettings(longer="drop"))


def test_examples_are_written_one_a_line(tmp_path: Path) -> None:
    data, info = load(["a\tb", "c", "d", "e"], valid=1, test=1, least=1)
    ids = Tokeniser.from_dict(info.facts["tokeniser"])
    Text().write(tmp_path / "out.txt", data.train.x, info)
    assert (tmp_path / "out.txt").read_text().splitlines() == Text().lines(data.train.x, info)
    assert ids.size == info.levels
