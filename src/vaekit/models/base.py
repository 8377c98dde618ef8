"""What every model offers, whatever its parts: traces, codes, reconstructions and samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, cast

from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.errors import Unsupported
from vaekit.trace import Trace


def point(px: Distribution) -> Tensor:
    """Return the one value shown for p(x|z): its `point` where its mean is no value of it (tokens), else its mean.

    >>> import torch
    >>> point(torch.distributions.Normal(torch.ones(2), 1.0))
    tensor([1., 1.])
    """
    own = getattr(px, "point", None)
    return px.mean if own is None else own


def shown(px: Distribution, draw: bool = False) -> Tensor:
    """Return the `point` of p(x|z), or a draw from it if `draw`, or if it is a family of which only draws are data.

    Of a family with several parts side by side (`each`) every part is shown so.
    """
    each = getattr(px, "each", None)
    if each is not None:
        return each(lambda part: shown(part, draw))
    return ended(px, px.sample() if draw or getattr(px, "draws_only", False) else point(px))


def ended(px: Distribution, x: Tensor, like: Tensor | None = None) -> Tensor:
    """Return values of p(x|z) that end where the examples `like` do, or at random lengths; of a fixed size as is."""
    end = getattr(px, "ended", None)
    return x if end is None else end(x, like)


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Put modules in eval mode for the time of a `with` block, then each part back in the mode it was in.

    Objectives too: a critic's batch statistics are not to be moved by held-out data, and a network that an objective
    holds in eval mode (fixed features) is to stay there.
    """
    modes = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


class Model(nn.Module):
    """A latent variable model p(x, z) with an amortised posterior q(z|x).

    Shapes: x (B, ...), labels y (B,) class numbers or (B, C) vectors, K samples an example lead: (K, B, ...).
    `takes_label`: the model is conditioned on y, which may be missing (a zero vector, -1) where `optional_label`, the
    width of y, is not 0. `gives_label`: y is a latent of it, so samples may be asked for by
    label and `class_log_probs(x)` gives log q(y|x), (B, C); nothing else needs y.

    A method that a model does not define raises `Unsupported`; `offers` says beforehand which it defines.
    """

    takes_label: bool = False
    gives_label: bool = False
    optional_label: int = 0
    encoder_parts: tuple[str, ...] = ("posterior", "posteriors")
    """The parts, by their names in the model, that make q(z|x); the others make p(x, z)."""

    def offers(self, method: Callable[..., Any]) -> bool:
        """Return whether this model defines a method of `Model`, given as e.g. `Model.sample_latent`.

        >>> Model().offers(Model.sample_latent)
        False
        """
        return getattr(type(self), method.__name__) is not method

    def _lacks(self, what: str) -> NoReturn:
        raise Unsupported(f"{type(self).__name__} {what}")

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Run one forward pass with `k` posterior samples an example.

        `hard` scores samples of the posterior itself where training uses a relaxation of it.
        """
        self._lacks("makes no traces")

    def trace_hard(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = True) -> Trace:
        """Trace samples of the posterior itself, for a stage of training whose gradients need no relaxation."""
        return self.trace(x, y, k, hard=True)

    def encode(self, x: Any, y: Tensor | None = None) -> Distribution:
        """Return q(z|x), batch shape (B,)."""
        self._lacks("does not encode")

    def features(self, x: Any, y: Tensor | None = None) -> Tensor:
        """Return the mean of q(z|x), one flat row an example: (B, F)."""
        return self.posterior_mean(x, y).flatten(1)

    def posterior_mean(self, x: Any, y: Tensor | None = None) -> Tensor:
        """Return the mean of q(z|x) as the decoder takes it, (B, ...)."""
        self._lacks("has no posterior mean")

    def decode(self, z: Tensor, y: Tensor | None = None) -> Distribution:
        """Return p(x|z), for z (B, ...) or (K, B, ...)."""
        self._lacks("does not decode")

    def reconstruct(self, x: Any, y: Tensor | None = None, sample: bool = False) -> Tensor:
        """Return the `point` of p(x|z), its mean, at the posterior mean, or at a posterior sample if `sample`."""
        self._lacks("does not reconstruct")

    def sample(self, n: int, y: Tensor | None = None, temperature: float = 1.0, draw: bool = False) -> Tensor:
        """Return `n` samples: z from the prior, then the mean of p(x|z), or a draw from it if `draw`.

        `temperature` multiplies the prior's standard deviation. It takes `sample_latent` and `decode`, no more.
        """
        return shown(self.decode(self.sample_latent(n, y, temperature)), draw)

    def prior_of(self, y: Tensor | None = None) -> Distribution:
        """Return p(z), or p(z|y) where the prior is conditional, of a code as q scores it."""
        self._lacks("has no single prior of its codes")

    def sample_latent(self, n: int, y: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draw `n` latents from the prior, as the decoder takes them, (n, ...)."""
        self._lacks("has no prior samples apart from its examples")

    def prior_to_latent(self, code: Tensor) -> Tensor:
        """Turn a code drawn from the prior into the decoder's input: the code itself unless codes are discrete."""
        return code

    def log_joint(self, x: Any, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x, z) for z (K, B, ...) of one continuous latent, (K, B) nats."""
        self._lacks("has no joint density of one latent")

    def class_log_probs(self, x: Any) -> Tensor:
        """Return log q(y|x), (B, C)."""
        self._lacks("does not classify")

    def predict(self, z: Tensor) -> Tensor:
        """Return the mean of p(t|z) of targets t, (..., F), for z (..., D)."""
        self._lacks("predicts no property")

    def codes(self, x: Any, y: Tensor | None = None) -> Tensor | Mapping[str, Tensor]:
        """Return the quantised codes of examples, int64: (B, *places), or one tensor a level by name."""
        self._lacks("has no quantised codes")

    @property
    def code_count(self) -> int:
        """How many values a quantised code can take."""
        self._lacks("has no quantised codes")

    def start_from(self, mean: Tensor) -> None:
        """Start the first predictions at the training data's mean."""
        if hasattr(self, "likelihood"):
            cast(Any, self.likelihood).start_from(mean)

    @property
    def examples_wanted(self) -> int:
        """How many training examples `start_from_examples` is to be given; 0 if it need not be called."""
        return 0

    def start_from_examples(self, x: Any) -> None:
        """Start whatever lies in the data's space at these training examples, as the model sees them."""

    def parameter_roles(self) -> Iterator[tuple[str, str, nn.Parameter]]:
        """Yield (role, name, parameter) with role "encoder" (the posterior) or "decoder" (prior and likelihood)."""
        for name, parameter in self.named_parameters():
            yield ("encoder" if name.split(".")[0] in self.encoder_parts else "decoder"), name, parameter

    def after_step(self, step: int) -> None:
        """Called by training after each optimiser step, e.g. for moving averages that are not gradients."""

    def watch(self) -> Mapping[str, Tensor]:
        """Further scalars to show while training, by name."""
        return {}
