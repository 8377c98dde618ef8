"""Which examples train, validate and test: decided by what each holds and a seed, so that an example keeps its split.

u = hash(contents, seed), uniform on [0, 1), is the same for equal examples and depends on no other: data may grow, be
sorted or lie elsewhere. Where u lies below the test split's share an example tests, above one less validation's it
validates, and what lies between trains. So sizes are what the shares say but for chance, n p ± √(n p (1 − p)).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np

from vaekit.data.digest import Keys, mixed
from vaekit.data.settings import DataSettings
from vaekit.data.shares import CONTENTS, Shares
from vaekit.errors import UserError

MOST_HELD_OUT = 5000
"""A fraction is halved until it holds out no more: beyond this a validation ELBO's standard error hardly shrinks."""
UNIT = 2.0**-53
MANY = 500
"""Examples below which what is held out is a handful, repeats or not, and nothing is said of them."""
LIMIT = 1
"""Marks the hash by which a part of the training examples is chosen, which tells nothing of the splits."""


@dataclass(frozen=True)
class Splits:
    """The sorted numbers of the examples that train, validate and test, and the shares by which they were chosen."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    shares: Shares

    def __getitem__(self, number: int) -> np.ndarray:
        return (self.train, self.valid, self.test)[number]


def hashed(keys: Keys, seed: int, mark: int = 0) -> np.ndarray:
    """Return u of each example, uniform on [0, 1): a multiple of 2⁻⁵³.

    >>> keys = np.array([3, 3, 4], np.uint64)
    >>> u = hashed(keys, seed=0)
    >>> bool(u[0] == u[1] != u[2]), bool((hashed(keys[:1], 0) == u[0]).all())
    (True, True)
    """
    return (mixed(np.uint64(seed), np.uint64(mark), keys) >> np.uint64(11)) * UNIT


def deal(
    keys: Keys,
    source: str,
    settings: DataSettings,
    *,
    own_valid: bool = False,
    own_test: bool = False,
    most: float = MOST_HELD_OUT,
    noun: str = "examples",
) -> Splits:
    """Deal out the examples of a source, of which `keys` (N,) are the hashes of what they hold.

    None are held out where the source has a split of its own; `limit` of the others train at most. Identical examples
    are in one split (`repeats=apart`: each repeat has a hash of its own). A fraction holds out at least one example
    where one is left to train on; a count holds out the examples with the smallest hashes, identical ones together.
    The shares of a recorded run are taken as they are.

    Raises:
        UserError: none are left to train on.

    >>> from vaekit.data.digest import text_keys
    >>> words = [str(i) for i in range(1000)]
    >>> splits = deal(text_keys(words), "a list", DataSettings())
    >>> [len(splits[i]) for i in range(3)]
    [796, 104, 100]
    >>> more = deal(text_keys([*words, "one more"]), "a list", DataSettings())
    >>> all({*splits[i]} <= {*more[i]} for i in range(3))
    True
    """
    if settings.shares.method != CONTENTS:
        return _by_position(len(keys), source, settings, own_valid, own_test)
    n = len(keys)
    told = _numbered(keys) if settings.repeats == "apart" else keys
    u = hashed(told, settings.seed or 0)
    v = (1 - UNIT) - u
    shares = settings.shares
    wanted = 0.0, 0.0
    if not shares.settled:
        wanted = 0 if own_test else settings.test, 0 if own_valid else settings.valid
        shares = _settled(u, v, *wanted, most)
    test = u < shares.test
    valid = (v < shares.valid) & ~test
    train = np.flatnonzero(~(test | valid))
    if not len(train):
        raise UserError(
            f"{source} has {n} {noun} and valid={settings.valid} with test={settings.test} would hold out all of "
            "them, leaving none to train on; lower them"
        )
    if not settings.shares.settled:
        _say_of_repeats(u, source, shares)
        _say_of_what_lacks(u, source, wanted, most)
    if settings.limit is not None and settings.limit < len(train):
        first = np.argsort(hashed(keys[train], settings.seed or 0, LIMIT), kind="stable")
        train = np.sort(train[first[: settings.limit]])
    return Splits(train, np.flatnonzero(valid), np.flatnonzero(test), shares)


def _settled(u: np.ndarray, v: np.ndarray, test: float, valid: float, most: float) -> Shares:
    """Return the parts of [0, 1) that test and validate, from its two ends."""
    found = Shares(CONTENTS, True, _share(test, u, most), _share(valid, v, most))
    if _left(found, u, v):
        return _at_least_one(found, u, v, test, valid)
    if sum(share if share >= 1 else share * len(u) for share in (test, valid)) >= len(u):
        return found  # all that there are were asked for
    fewer = replace(found, valid=0.0)  # identical ones that fell beyond a share together are trained on after all
    return fewer if _left(fewer, u, v) else Shares(CONTENTS, True)


def _left(shares: Shares, u: np.ndarray, v: np.ndarray) -> bool:
    """Whether any are left to train on."""
    return bool(((u >= shares.test) & (v >= shares.valid)).any())


def _share(share: float, u: np.ndarray, most: float) -> float:
    if share >= 1:
        last = min(int(share), len(u)) - 1
        return float(np.partition(u, last)[last]) + UNIT
    while len(u) * share > most:
        share /= 2
    return float(share)


def _at_least_one(found: Shares, u: np.ndarray, v: np.ndarray, test: float, valid: float) -> Shares:
    """Return shares that hold out an example where they held out none and should, if one is left to train on."""
    if test and not bool((u < found.test).any()):
        one = replace(found, test=float(u.min()) + UNIT)
        found = one if _left(one, u, v) else found
    if valid and not bool(((v < found.valid) & (u >= found.test)).any()):
        one = replace(found, valid=float(v[u >= found.test].min()) + UNIT)
        found = one if _left(one, u, v) else found
    return found


def _numbered(keys: Keys) -> Keys:
    """Return keys that tell repeats apart by how often an example came before."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begin = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    before = np.arange(len(keys)) - np.repeat(begin, np.diff(np.append(begin, len(keys))))
    out = np.empty_like(keys)
    out[order] = mixed(ordered, before.astype(np.uint64))
    return out


def _say_of_repeats(u: np.ndarray, source: str, shares: Shares) -> None:
    """Warn where most examples are repeats: held-out ones are then unlike any that the model is trained on."""
    if len(u) < MANY or not (shares.valid or shares.test):
        return
    different = len(np.unique(u))
    if 2 * different < len(u):
        warnings.warn(
            f"{source} has {len(u):,} examples, {different:,} different ones, and identical ones lie in one split, so "
            "no held-out example was seen in training; data.repeats=apart deals out each repeat for itself",
            stacklevel=4,
        )


def _say_of_what_lacks(u: np.ndarray, source: str, wanted: tuple[float, float], most: float) -> None:
    """Warn where far fewer are held out than chance explains: of what is the training part of such a split already."""
    different = np.unique(u)
    for name, share, end in zip(("test", "valid"), wanted, (different, (1 - UNIT) - different)):
        part = _share(share, u, most) if 0 < share < 1 else 0.0
        expected, found = part * len(different), int((end < part).sum())
        if expected - found > 6 * math.sqrt(expected) + 1:
            warnings.warn(
                f"{source}: data.{name}={share:g} holds out {found:,} examples where {expected:,.0f} are to be "
                "expected; these look like the training examples of such a split, which lack the others: set data.seed "
                "to split them anew",
                stacklevel=4,
            )


def _by_position(n: int, source: str, settings: DataSettings, own_valid: bool, own_test: bool) -> Splits:
    """Deal out examples as versions up to 0.1 did: the head of a seeded permutation of their numbers is held out."""

    def count(share: float | int) -> int:
        return int(share) if share >= 1 else min(math.floor(share * n), MOST_HELD_OUT)

    n_valid = 0 if own_valid else count(settings.valid)
    n_test = 0 if own_test else count(settings.test)
    if n_test + n_valid >= n:
        raise UserError(
            f"{source} has {n} examples and valid={settings.valid} with test={settings.test} would hold out "
            f"{n_valid + n_test}, leaving none to train on; lower them"
        )
    order = np.random.default_rng(settings.seed).permutation(n)
    train = order[n_test + n_valid :][: settings.limit]
    valid, test = order[n_test : n_test + n_valid], order[:n_test]
    return Splits(np.sort(train), np.sort(valid), np.sort(test), settings.shares)


def examples_needed(settings: DataSettings) -> int | None:
    """Return how many examples leave `limit` to train on after the held-out ones, almost surely; None without a limit.

    >>> examples_needed(DataSettings(limit=80, valid=10, test=0)), examples_needed(DataSettings(limit=80, test=0.1))
    (90, 118)
    """
    if settings.limit is None:
        return None
    fractions = sum(share for share in (settings.valid, settings.test) if share < 1)
    counts = sum(int(share) for share in (settings.valid, settings.test) if share >= 1)
    n = (settings.limit + counts) / max(1 - fractions, 1e-3)
    return math.ceil(n + 4 * math.sqrt(n * fractions))
