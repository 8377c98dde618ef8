"""Whole classes kept for the test split, so that a model meets there what it was never shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vaekit.data.digest import Keys, text_keys
from vaekit.data.raw import Raw
from vaekit.data.settings import DataSettings
from vaekit.data.splits import Splits, deal, hashed
from vaekit.errors import UserError

CLASSES = 2
"""Marks the hash by which classes are chosen."""


def unseen_classes(classes: tuple[str, ...], wanted: str, seed: int) -> np.ndarray:
    """Return the numbers of the classes that are named with commas, or of a share of them by a hash of their names.

    Raises:
        UserError: there is no such class, or none would be left to train on.

    >>> unseen_classes(("a", "b", "c", "d"), "b,d", 0).tolist(), len(unseen_classes(("a", "b", "c", "d"), "0.5", 0))
    ([1, 3], 2)
    """
    if not classes:
        raise UserError(f"data.unseen={wanted} keeps classes for the test split, and the data have none; leave it out")
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    if len(names) == 1 and names[0] not in classes and _share(names[0]):
        u = hashed(text_keys([f"class {name}" for name in classes]), seed, CLASSES)
        chosen = np.sort(np.argsort(u, kind="stable")[: max(1, round(float(names[0]) * len(classes)))])
    else:
        lost = [name for name in names if name not in classes]
        if lost:
            raise UserError(f"data.unseen: there is no class '{lost[0]}'; the classes are {', '.join(classes)}")
        chosen = np.array(sorted({classes.index(name) for name in names}))
    if len(chosen) == len(classes):
        raise UserError(f"data.unseen={wanted} leaves no class to train on; name fewer")
    return chosen


def _share(text: str) -> bool:
    try:
        return 0 < float(text) < 1
    except ValueError:
        return False


def deal_apart(raw: Raw, keys: Keys, settings: DataSettings) -> tuple[Splits, dict[str, np.ndarray]]:
    """Deal out the other classes' examples to train and validate; the unseen classes' are the test split.

    Returns:
        The splits of the source's own examples, with hashes `keys`, and what is kept of each split that it has of its
        own, by name: of a validation split the other classes, of a test split the unseen ones. What its training split
        then has of the unseen classes is in no split.
    """
    chosen = unseen_classes(raw.classes, settings.unseen, settings.seed or 0)
    unseen = {name: np.isin(np.asarray(part.y), chosen) for name, part in raw.parts}
    ours = np.flatnonzero(~unseen["train"])
    if not len(ours):
        raise UserError(f"data.unseen={settings.unseen} leaves no examples to train on; name fewer")
    dealt = deal(keys[ours], raw.source, settings, own_valid=raw.valid is not None, own_test=True)
    test = np.flatnonzero(unseen["train"]) if raw.test is None else np.zeros(0, np.int64)
    own = {name: np.flatnonzero(rows == (name == "test")) for name, rows in unseen.items() if name != "train"}
    return replace(dealt, train=ours[dealt.train], valid=ours[dealt.valid], test=test), own
