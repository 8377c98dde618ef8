"""What a source held when a run was trained on it: how many examples, and digests of them, by which it is known again.

Digests are of the values as they were read, before preparation, in any order and in whatever form: a file that is
renamed, moved, sorted or saved as another kind is the same source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vaekit.data.digest import Keys, digest, mixed, text_keys
from vaekit.data.info import Plain
from vaekit.data.shares import CONTENTS, Shares
from vaekit.data.splits import Splits

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Contents(Plain):
    """A source: its number of examples, its `digest`, labels included; each split's number of examples and digest.

    `test` and `valid` are the shares by which examples were dealt out (`vaekit.data.shares`); `columns` the names of a
    table's columns.
    """

    count: int
    digest: str
    test: float
    valid: float
    splits: dict[str, list[Any]] = field(default_factory=dict, hash=False)
    columns: tuple[str, ...] = ()

    @property
    def shares(self) -> Shares:
        """How further examples are dealt out."""
        return Shares(CONTENTS, True, self.test, self.valid)

    def with_own(self, own: Mapping[str, Keys | None]) -> Contents:
        """Return the contents with other examples as splits, of sources of their own."""
        known = {name: keys for name, keys in own.items() if keys is not None}
        count = self.count + sum(len(keys) for keys in known.values())
        return replace(self, count=count, splits=self.splits | _told(known))

    def difference(self, now: Contents) -> str | None:
        """Return what is different in a source as it is `now`, in words that follow its name; None if nothing is.

        >>> before = Contents(1000, "ab", 0.1, 0.1, {"train": [1000, "cd"]})
        >>> before.difference(replace(before, count=1001, digest="ef"))
        'has 1,001 examples, and 1,000 when the run was trained'
        """
        if self.columns != now.columns and {*self.columns} != {*now.columns}:
            lost, new = (sorted({*a} - {*b}) for a, b in ((self.columns, now.columns), (now.columns, self.columns)))
            words = [f"no longer has the column '{lost[0]}'"] if lost else []
            words += [f"has a column '{new[0]}' that it had not when the run was trained"] if new else []
            return " and ".join(words)
        if self.count != now.count:
            return f"has {now.count:,} examples, and {self.count:,} when the run was trained"
        changed = [name for name in SPLITS if self.splits.get(name) != now.splits.get(name)]
        if changed:
            return f"has as many examples as when the run was trained, with other values ({' and '.join(changed)})"
        same = self.digest == now.digest
        return None if same else "has the same examples as when the run was trained, with other labels"


def contents_of(
    splits: Splits,
    keys: Keys,
    own: Mapping[str, Keys] | None = None,
    labelled: Keys | None = None,
    columns: Sequence[str] = (),
) -> Contents:
    """Return the contents of a source whose examples with `keys` were dealt out, and that has `own` further splits.

    `labelled`: the keys of all of them (own splits' last) with their labels, where they have any.
    """
    own = own or {}
    whole = np.concatenate([keys, *own.values()])
    parts = {name: keys[splits[i]] for i, name in enumerate(SPLITS)} | dict(own)
    told = whole if labelled is None else labelled
    return Contents(len(whole), digest(told), splits.shares.test, splits.shares.valid, _told(parts), tuple(columns))


def _told(parts: Mapping[str, Keys]) -> dict[str, list[Any]]:
    return {name: [len(keys), digest(keys)] for name, keys in parts.items()}


def with_classes(keys: Keys, y: np.ndarray | None, classes: Sequence[str]) -> Keys:
    """Return the keys of examples with the names of their classes: numbers `y` (N,), -1 where there is none.

    >>> keys = np.zeros(2, np.uint64)
    >>> bool(with_classes(keys, np.array([0, 1]), ("a", "b"))[1] == with_classes(keys, np.array([0, 0]), ("b",))[0])
    True
    """
    if y is None:
        return keys
    names = np.append(text_keys([f"class {name}" for name in classes]), np.uint64(0))
    return mixed(keys, names[y])
