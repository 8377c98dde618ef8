"""Conditional: the one type behind priors, posteriors and likelihoods, a module that returns a distribution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from vaekit.distributions.base import Measure, Unit, in_unit
from vaekit.distributions.normal import LOG_SCALE_BOUND, bounded_log_scale
from vaekit.distributions.own import as_family
from vaekit.errors import Unsupported, UserError
from vaekit.nets.base import Net
from vaekit.nets.own import Own, adapted

Wants = Literal["binary", "unit", "levels", "real", "counts", "any"]


@dataclass(frozen=True)
class Draw:
    """Samples of a latent: `z` for the decoder, `code` as q and p score it, log q(code) where known.

    `costs` (B,) are a quantiser's own losses by name.
    `q` is the distribution they were drawn from where it is not the posterior itself but a relaxation of it.
    `start` are the samples of a flow's base that it made the code of.
    """

    z: Tensor
    code: Tensor
    log_q: Tensor | None = None
    costs: Mapping[str, Tensor] = field(default_factory=dict)
    q: Distribution | None = None
    start: Tensor | None = None


class Conditional(nn.Module):
    """p(a | context): calling it with its context gives a distribution of batch shape (B,) or (K, B).

    A subclass turns a network's output into a distribution in `family`. Leading axes of the first context beyond the
    network's own input are flattened before the network and put back after it, so networks see one batch axis only.
    `takes_label` says whether a label y is among the context.
    """

    net: Net | None
    measure: Measure = "density"
    noun: str = "values"
    pair: str = ""
    """What errors call the elements it describes, and the pair of tensors that a plain module may give."""

    def __init__(self, net: nn.Module | None = None, params: int = 1) -> None:
        super().__init__()
        self.net = None if net is None else adapted(net, self, params)

    @property
    def takes_label(self) -> bool:
        """Whether a label is part of the context."""
        return self.net is not None and self.net.context > 0

    def family(self, params: Tensor) -> Distribution:
        """Turn (..., params, *out_shape) into a distribution."""
        raise TypeError(f"{type(self).__name__} has no family of its own")

    def forward(self, *context: Any) -> Distribution:
        """Return the distribution given the context."""
        if self.net is None:
            raise TypeError(f"{type(self).__name__} has no network")
        return self.family(apply_net(self.net, *context))


def log_scale(net: Net | None, raw: Tensor) -> Tensor:
    """Return log σ of a normal from a network's second value: the value itself, squashed to (-7, 7).

    A plain module gives the log variance, as is usual: half of it, clipped there.
    """
    return (raw / 2).clamp(-LOG_SCALE_BOUND, LOG_SCALE_BOUND) if isinstance(net, Own) else bounded_log_scale(raw)


def apply_net(net: Net, first: Any, *rest: Any) -> Tensor:
    """Call `net` with every leading axis of `first` folded into one; unfold them on its output."""
    if not isinstance(first, Tensor) or net.in_shape is None:
        return net(first, *rest)
    lead = first.shape[: first.dim() - len(net.in_shape)]
    rest = tuple(label_vectors(r, net.context, first.dtype) for r in rest)
    if len(lead) == 1:
        return net(first, *rest)
    flat = first.reshape(-1, *net.in_shape)
    rest = tuple(r.expand(*lead, r.shape[-1]).reshape(-1, r.shape[-1]) for r in rest)
    return net(flat, *rest, lead=lead)


def label_vectors(y: Tensor | None, size: int, dtype: torch.dtype | None = None) -> Tensor:
    """Return labels as vectors (B, size): class numbers one-hot, -1 (missing) as zeros; vectors stay.

    >>> label_vectors(torch.tensor([1, -1]), 2).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    if y is None:
        raise ValueError("this model is conditioned on a label: pass y")
    dtype = dtype or torch.get_default_dtype()
    if y.dtype.is_floating_point:
        return y.to(dtype)
    number = y.long()
    return torch.nn.functional.one_hot(number.clamp(min=0), size).to(dtype) * (number >= 0).unsqueeze(-1)


class Posterior(Conditional):
    """q(z|x). `draw` gives samples; families with codes, relaxations or known log-densities refine it.

    `latent_shape` is the shape of one latent as the prior scores it and the decoder takes it; `space` is where it
    lies, which the prior must share.
    """

    space: str = "real vectors"
    noun = "latents"
    _latent_shape: tuple[int, ...] | None = None

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The network's, unless the family has one of its own."""
        if self._latent_shape is None:
            assert self.net is not None
            return self.net.out_shape
        return self._latent_shape

    @latent_shape.setter
    def latent_shape(self, shape: tuple[int, ...]) -> None:
        self._latent_shape = shape

    def draw(self, q: Distribution, k: int, hard: bool = False) -> Draw:
        """Draw `k` samples of each example's latent: tensors of shape (K, B, ...).

        `hard` asks for samples of the posterior itself where training uses a relaxation of it.
        """
        both = getattr(q, "rsample_and_log_prob", None)
        if both is not None:
            code, log_q = both(torch.Size((k,)))
            return Draw(code, code, log_q)
        code = q.rsample(torch.Size((k,)))
        return Draw(code, code)

    def coupled(self, q: Distribution, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw discrete codes, the relaxed ones they come of, and relaxed ones given the codes: (K, B, ...) each."""
        raise Unsupported(
            f"{type(self).__name__} has no relaxation coupled to its samples; use model.posterior=bernoulli or "
            "categorical"
        )

    def embed(self, code: Tensor) -> Tensor:
        """Return the decoder's input for a code as q and p score it: the code itself unless codes are discrete."""
        return code

    def mean(self, q: Distribution) -> Tensor:
        """Return the feature of each example, (B, ...): the posterior mean, as the decoder would take it."""
        return q.mean


class Prior(Conditional):
    """p(z) or p(z|c). Called without context when unconditional; the batch shape is then empty.

    `space` is where its values lie; `shares_posterior` says whether it is made of the posterior's own parameters;
    `fitted_last` whether it is fitted to the codes of a model that was trained with a standard normal.
    """

    space: str = "real vectors"
    shares_posterior: bool = False
    fitted_last: bool = False
    examples_wanted: int = 0

    def start_from_examples(self, x: Any) -> None:
        """Start from `examples_wanted` training examples; default: nothing."""


class Likelihood(Conditional):
    """p(x|z).

    `wants` says which data the family is a distribution of: "binary", "unit" (continuous in [0, 1]), "levels" (a grid
    of grey levels), "counts", "real" or "any". The data loader prepares or refuses accordingly.

    One that wants real data is told their `deviation` (`in_units`). Where they are standardised it takes and gives
    standardised values, and scores them by the density of the values before: log p(x) = log p((x - m) / s) - Σ log s.
    """

    wants: Wants = "any"
    log_unit: Tensor | None
    log_volume: Tensor | None

    def __init__(self, net: nn.Module | None = None, params: int = 1) -> None:
        super().__init__(net, params)
        if isinstance(self.net, Own) and self.net.in_shape is None:
            self.net.in_shape = self.net.tried
        self.register_buffer("log_unit", None, persistent=False)
        self.register_buffer("log_volume", None, persistent=False)

    def forward(self, *context: Any) -> Distribution:
        """Return p(x|z)."""
        px = super().forward(*context)
        if self.log_unit is None or self.log_volume is None:
            return px
        return in_unit(px, Unit(self.log_unit, self.log_volume))

    def in_units(self, deviation: Sequence[float], shape: Sequence[int], standardised: bool) -> None:
        """Take note of real data's deviation, one number for each entry of the first axis of examples of `shape`."""
        if standardised:
            each = torch.tensor(deviation, dtype=torch.float64).log()
            self.log_unit = each.view(-1, *[1] * (len(shape) - 1)).float()
            self.log_volume = (each.sum() * math.prod(shape[1:])).float()

    def start_from(self, mean: Tensor) -> None:
        """Set the output's bias so that the first predictions are the training data's mean; default: nothing."""


# -- any module that returns a torch distribution ----------------------------------------------------------------------


class OwnPosterior(Posterior):
    """q(z|x) as a module gives it: module(x) is a torch distribution of (B, ...)."""

    def __init__(self, module: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.module, self.latent_shape = module, shape

    def forward(self, *context: Any) -> Distribution:
        """Return q(z|x)."""
        return as_family(_distribution(self.module(*context), "posterior", self.module), (len(context[0]),))


class OwnPrior(Prior):
    """p(z) as a module gives it: module() is a torch distribution, all of whose axes are those of one latent."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *context: Any) -> Distribution:
        """Return p(z)."""
        return as_family(_distribution(self.module(*context), "prior", self.module), ())


class OwnLikelihood(Likelihood):
    """p(x|z) as a module gives it: module(z), z (N, ...), is a torch distribution of (N, ...).

    Its `wants` is the module's, or is read off the distribution's support.
    """

    def __init__(self, module: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.module, self.shape = module, shape
        own: Wants | None = getattr(module, "wants", None)
        self.wants = own or _wanted(tried(module, shape, "likelihood"))

    def forward(self, *context: Any) -> Distribution:
        """Return p(x|z)."""
        z = context[0]
        lead = z.shape[: z.dim() - len(self.shape)]
        made = _distribution(self.module(z.reshape(-1, *self.shape)), "likelihood", self.module)
        return as_family(made, tuple(lead))


def tried(module: nn.Module, shape: tuple[int, ...], role: str) -> Distribution:
    """Return what a part gives for two blank examples, a distribution."""
    like = next(module.parameters(), torch.zeros(()))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        return _distribution(module(like.new_zeros(2, *shape)), role, module)


def _distribution(made: Any, role: str, module: nn.Module) -> Distribution:
    if not isinstance(made, Distribution):
        family = {"posterior": "DiagonalNormal", "likelihood": "Gaussian", "prior": "StandardNormal"}[role]
        raise UserError(
            f"the {role} {type(module).__name__} gives a {type(made).__name__}, and a distribution is needed: put the "
            f"network into a family, e.g. {family}(network), or return one of torch.distributions"
        )
    return made


def _wanted(made: Distribution) -> Wants:
    """Return the kind of data that a distribution's support is of."""
    support: Any = getattr(made, "support", None)
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    kinds: dict[Any, Wants] = {
        constraints.boolean: "binary",
        constraints.unit_interval: "unit",
        constraints.nonnegative_integer: "counts",
        constraints.real: "real",
    }
    return kinds.get(support, "any")
