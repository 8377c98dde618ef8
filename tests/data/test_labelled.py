"""Which labels are shown: as many of each class, by seed, or a sentence saying why not."""

from __future__ import annotations

import pytest
import torch

from vaekit.data.labelled import choose_labelled
from vaekit.errors import UserError

Y = torch.randint(4, (500,), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n", [4, 40, 42, 43])
def test_classes_are_balanced(n: int) -> None:
    index = choose_labelled(Y, n, 4, seed=1)
    counts = Y[index].bincount(minlength=4)
    assert len(index.unique()) == n and int(counts.max() - counts.min()) <= 1 and bool((index.diff() > 0).all())


def test_the_seed_alone_decides() -> None:
    torch.manual_seed(5)
    first = choose_labelled(Y, 40, 4, seed=1)
    torch.manual_seed(6)
    assert torch.equal(choose_labelled(Y, 40, 4, seed=1), first)
    assert not torch.equal(choose_labelled(Y, 40, 4, seed=2), first)


@pytest.mark.parametrize(
    ("n", "message"), [(501, "more than the 500"), (3, "leaves one of 4"), (497, "fewer than the")]
)
def test_what_cannot_be_is_said(n: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose_labelled(torch.cat([Y, Y.new_zeros(0)]), n, 4, seed=0)
