"""Causal attention: by its gradients, and the cache against whole passes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vaekit.nets.transformer import CausalTransformer


def net_of(context: int = 0, **more: float) -> CausalTransformer:
    torch.manual_seed(1)
    return CausalTransformer(7, 9, width=16, layers=3, heads=4, context=context, **more).eval()  # type: ignore[arg-type]


def test_logits_depend_on_earlier_tokens_and_no_others() -> None:
    net = net_of().double()
    embedded: list[Tensor] = []

    def keep(_module: object, _inputs: object, output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    net.embedding.register_forward_hook(keep)
    logits = net(torch.randint(7, (1, 9)))
    for t in range(9):
        grad = torch.autograd.grad(logits[0, t].square().sum(), embedded[-1], retain_graph=True)[0][0]
        # inputs are shifted by one: position s holds token s - 1, the start token at 0
        assert (grad.abs().sum(1) > 0).tolist() == [s <= t for s in range(9)]


def test_changing_a_token_changes_only_later_logits() -> None:
    net = net_of()
    tokens = torch.randint(7, (4, 9))
    other = tokens.clone()
    other[:, 5] = (other[:, 5] + 1) % 7
    same = (net(tokens) == net(other)).flatten(2).all(2).all(0)
    assert same.tolist() == [True] * 6 + [False] * 3


@pytest.mark.parametrize("per_place", [None, False, True])
def test_the_cache_gives_the_logits_of_whole_passes(per_place: bool | None) -> None:
    net = net_of(0 if per_place is None else 3)
    context = None if per_place is None else torch.randn(5, *((9,) if per_place else ()), 3)
    seen: list[Tensor] = []

    def pick(logits: Tensor, t: int) -> Tensor:
        seen.append(logits)
        return torch.randint(7, (5,))

    drawn = net.generate(5, context, pick)
    torch.testing.assert_close(torch.stack(seen, 1), net(drawn, context), rtol=0, atol=1e-5)


def test_draws_follow_the_probabilities() -> None:
    net = net_of()
    with torch.no_grad():
        net.head.bias.copy_(torch.tensor([0.0, 1.0, 2.0, 0.0, 0.0, 0.0, -20.0]))
    drawn = net.generate(4000)[:, 0]
    p = net(drawn[:1, None].expand(1, 9).contiguous())[0, 0].softmax(0)
    counts = torch.bincount(drawn, minlength=7) / 4000
    assert bool(((counts - p).abs() < 5 * (p * (1 - p) / 4000).sqrt() + 1e-6).all())


def test_dropout_is_for_training_only() -> None:
    net, tokens = net_of(dropout=0.5), torch.randint(7, (2, 9))
    assert torch.equal(net(tokens), net(tokens))
    net.train()
    assert not torch.equal(net(tokens), net(tokens))


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="16 cannot be split among 5"):
        CausalTransformer(7, 9, width=16, heads=5)
