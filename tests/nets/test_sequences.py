"""Networks over rows of tokens: what each output depends on, by gradients; and that padding is no part of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from vaekit import bounds
from vaekit.likelihoods.tokens import Tokens
from vaekit.models.vae import VAE
from vaekit.nets.recurrent import GRUDecoder, GRUEncoder
from vaekit.nets.sequence import TokenDecoder, TokenEncoder, TransformerDecoder, TransformerEncoder
from vaekit.objectives.elbo import negative_elbo
from vaekit.objectives.importance import ImportanceWeighted
from vaekit.posteriors.flow import FlowPosterior
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.tokens import END, lengths, trim, used

V, T, D = 9, 8, 3
KINDS = ("gru", "transformer")
ROWS = torch.tensor([[4, 5, 6, 2, 0, 0], [7, 2, 0, 0, 0, 0], [8, 7, 6, 5, 4, 2], [2, 0, 0, 0, 0, 0]])


def encoder(kind: str, dropout: float = 0.0) -> TokenEncoder:
    if kind == "gru":
        return GRUEncoder(V, D, width=6, embedding=5, layers=2, dropout=dropout)
    return TransformerEncoder(V, T, D, width=8, heads=2, dropout=dropout)


def decoder(kind: str, **more: float) -> TokenDecoder:
    if kind == "gru":
        return GRUDecoder((T, V), D, width=6, embedding=5, layers=2, **more)  # type: ignore[arg-type]
    return TransformerDecoder((T, V), D, width=8, layers=3, heads=2, **more)  # type: ignore[arg-type]


def model(kind: str, posterior: str = "normal", **more: float) -> VAE:
    torch.manual_seed(1)
    net = encoder(kind, more.get("dropout", 0.0))
    q = DiagonalNormal(net) if posterior == "normal" else FlowPosterior(net)
    out = VAE(q, StandardNormal(D), Tokens(decoder(kind, **more)))
    with torch.no_grad():
        for p in out.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return out.double()


def watched(net: TokenEncoder | TransformerDecoder | GRUDecoder) -> list[Tensor]:
    """Keep what the net embeds, as leaves."""
    kept: list[Tensor] = []

    def keep(_module: object, _inputs: object, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    embedding = net.body.embedding if isinstance(net, TransformerDecoder) else net.embedding
    embedding.register_forward_hook(keep)
    return kept


def test_what_is_read_off_a_row() -> None:
    assert lengths(ROWS).tolist() == [4, 2, 6, 1]
    assert lengths(torch.tensor([[4, 5, 0], [4, 5, 6], [0, 0, 0]])).tolist() == [2, 3, 1]
    assert torch.equal(used(ROWS).sum(1), lengths(ROWS))
    assert torch.equal(trim(pad(ROWS, (0, 9))), ROWS) and trim(ROWS[3:]).shape == (1, 1)
    assert torch.equal(lengths(pad(ROWS, (0, 3)).view(2, 2, -1)), lengths(ROWS).view(2, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_depend_on_earlier_tokens_and_no_others(kind: str) -> None:
    torch.manual_seed(0)
    net = decoder(kind).double().eval()
    kept = watched(net)  # type: ignore[arg-type]
    z = torch.randn(1, D, dtype=torch.float64)
    logits = net(torch.randint(4, V, (1, T)), z)
    for t in range(T):
        grad = torch.autograd.grad(logits[0, t].square().sum(), kept[-1], retain_graph=True)[0][0]
        assert (grad.abs().sum(1) > 0).tolist() == [s <= t for s in range(T)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("skip", [False, True])
def test_every_place_sees_z(kind: str, skip: bool) -> None:
    net = decoder(kind, skip=skip).double().eval()
    z = torch.randn(1, D, dtype=torch.float64, requires_grad=True)
    logits = net(torch.randint(4, V, (1, T)), z)
    for t in range(T):
        (grad,) = torch.autograd.grad(logits[0, t].square().sum(), z, retain_graph=True)
        assert bool((grad != 0).all())


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_reads_the_used_places_and_no_others(kind: str) -> None:
    net = encoder(kind).double().eval()
    kept = watched(net)
    out = net(ROWS)
    for i, n in enumerate(lengths(ROWS).tolist()):
        grad = torch.autograd.grad(out[i].square().sum(), kept[-1], retain_graph=True)[0]
        assert (grad[i].abs().sum(1) > 0).tolist() == [s < n for s in range(6)]
        assert bool((grad[[j for j in range(4) if j != i]] == 0).all())


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_generation_stops_at_the_end_of_each_row(kind: str) -> None:
    drawn = model(kind).eval().sample(200)
    assert drawn.shape == (200, T) and drawn.dtype == torch.int64
    for row in drawn:
        n = int(lengths(row))
        assert row[n - 1] == END and bool((row[n:] == 0).all())


# --- bounds and losses ---------------------------------------------------------------------------------------------


def numbers(net: VAE, ids: Tensor) -> list[Tensor]:
    """ELBO and importance-weighted bound of each row, and of single rows."""
    torch.manual_seed(2)
    trace = net.trace(ids, k=5)
    return [bounds.elbo(trace), bounds.importance_weighted(trace), trace.log_px]


@pytest.mark.parametrize("posterior", ["normal", "flow"])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_padding_more_changes_no_bound(kind: str, posterior: str) -> None:
    net = model(kind, posterior).eval()
    plain = numbers(net, ROWS)
    for more in (1, 2, 30):
        for a, b in zip(plain, numbers(net, pad(ROWS, (0, more)))):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_another_row_changes_no_bound(kind: str) -> None:
    net = model(kind).eval()
    plain = numbers(net, ROWS)
    other = ROWS.clone()
    other[2] = torch.tensor([2, 0, 0, 0, 0, 0])  # the longest becomes the shortest
    rest = [0, 1, 3]
    for a, b in zip(plain, numbers(net, other)):
        torch.testing.assert_close(a[..., rest], b[..., rest], rtol=0, atol=1e-12)


@pytest.mark.parametrize("objective", [negative_elbo(free_bits=0.1), ImportanceWeighted(3)], ids=["elbo", "iw"])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_more_changes_no_training_step(kind: str, objective: torch.nn.Module) -> None:
    """In training, with every dropout on: the same loss and the same gradient."""
    net = model(kind, dropout=0.3, word_dropout=0.3).train()

    def step(ids: Tensor) -> list[Tensor]:
        torch.manual_seed(2)
        value = objective(net.trace(ids, k=3))
        loss = value["model"].total if isinstance(value, dict) else value.mean()
        return [loss, *torch.autograd.grad(loss, list(net.parameters()))]

    for a, b in zip(step(ROWS), step(pad(ROWS, (0, 11)))):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_a_row_that_never_ends_bounds_nothing() -> None:
    net = model("gru").eval()
    trace = net.trace(torch.tensor([[4, 5, 6], [4, 2, 0]]))
    assert "outside the support" in (bounds.refusal(trace) or "")
    assert bounds.refusal(net.trace(ROWS)) is None


def test_too_wide_a_row_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="9 places, and this network takes up to 8"):
        encoder("transformer")(torch.full((1, 9), 4))
