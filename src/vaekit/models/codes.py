"""Models with quantised codes: one map of them, and two levels; each with a prior fitted to its codes afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.conditional import Likelihood, Prior, apply_net
from vaekit.distributions.base import tempered
from vaekit.distributions.codes import Quantised
from vaekit.errors import UserError
from vaekit.models.base import Model, point
from vaekit.models.vae import VAE
from vaekit.nets.base import Net
from vaekit.posteriors.quantised import CodePosterior
from vaekit.priors.codes import UniformCodesPrior
from vaekit.trace import Latent, Trace

EXAMPLES = 1000
"""Training examples that the codebook starts from."""


class CodeVAE(VAE):
    """p(c) p(x|c): log p(x) ≥ log p(x|c) + log p(c) for any code c, and the encoder chooses a good one, c(x).

    Stage one trains posterior and likelihood against the uniform prior (`trace_uniform`), stage two fits `prior` to the
    codes of the training data (`trace_prior`). `trace`, and so every bound and sample, has the fitted prior.

    Source: van den Oord et al. 2017, arXiv:1711.00937.

    >>> from vaekit.likelihoods.bernoulli import Bernoulli
    >>> from vaekit.nets.mlp import mlp
    >>> from vaekit.posteriors.quantised import VectorQuantised
    >>> from vaekit.priors.codes import PixelCNNPrior
    >>> q = VectorQuantised(mlp(9, (4, 3, 3)), codes=16)
    >>> model = CodeVAE(q, PixelCNNPrior((3, 3), codes=16), Bernoulli(mlp((4, 3, 3), 9)))
    >>> codes = model.codes(torch.zeros(5, 9))
    >>> codes.shape, model.decode_codes(codes).mean.shape, model.sample(2).shape
    (torch.Size([5, 3, 3]), torch.Size([5, 9]), torch.Size([2, 9]))
    """

    posterior: CodePosterior

    def __init__(self, posterior: CodePosterior, prior: Prior, likelihood: Likelihood) -> None:
        super().__init__(posterior, prior, likelihood)
        self.uniform = UniformCodesPrior(posterior.code_shape, posterior.codes)

    def trace_uniform(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Trace with the uniform prior in place of the fitted one."""
        return self._traced(self.uniform(), x, y, k, hard)

    def trace_prior(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Trace the prior as a model of the codes: its x are the codes of x, which take no gradient."""
        return Trace(self.codes(x)[None], y, {}, self.prior())

    @torch.no_grad()
    def codes(self, x: Any, y: Tensor | None = None) -> Tensor:
        """Return the codes of examples, (B, *code_shape) int64; `decode_codes` is the way back."""
        q = self.encode(x)
        assert isinstance(q, Quantised)
        return q.value

    def decode_codes(self, codes: Tensor) -> Distribution:
        """Return p(x|c) for codes (B, *code_shape)."""
        return self.decode(self.posterior.embed(codes))

    @property
    def code_count(self) -> int:
        """K."""
        return self.posterior.codes

    def sample_uniform(self, n: int) -> Tensor:
        """Return the means of p(x|c) at `n` uniform codes: what the model would draw without a fitted prior."""
        return self.decode_codes(self.uniform().sample(torch.Size((n,)))).mean

    def after_step(self, step: int) -> None:
        """Move the codebook."""
        self.posterior.after_step()

    def watch(self) -> Mapping[str, Tensor]:
        """The codebook's perplexity and the codes in use."""
        return self.posterior.watch()

    @property
    def examples_wanted(self) -> int:
        """As many as the codebook starts from."""
        return EXAMPLES

    def start_from_examples(self, x: Any) -> None:
        """Start the codebook at the first outputs of the encoder."""
        self.posterior.start_from_examples(x)


class TwoLevelCodes(Model):
    """p(t) p(b|t) p(x|t, b): coarse codes t and fine codes b, both point masses; b is chosen knowing t.

    `features` maps x to a grid (F, h, w); `top` quantises a coarser grid of it; `up` brings z_t back to (D, h, w);
    `bottom` quantises the features beside it; p(x|t, b) sees both. Stages and priors as in `CodeVAE`, the fine codes'
    prior being given z_t. Source: Razavi et al. 2019, arXiv:1906.00446.
    """

    def __init__(
        self,
        features: Net,
        top: CodePosterior,
        up: Net,
        bottom: CodePosterior,
        prior_top: Prior,
        prior_bottom: Prior,
        likelihood: Likelihood,
    ) -> None:
        super().__init__()
        pairs = ((top, prior_top), (bottom, prior_bottom))
        if any(q.space != p.space for q, p in pairs):
            raise UserError("a prior of codes must have as many codes as its posterior")
        self.posterior = nn.ModuleDict({"features": features, "top": top, "up": up, "bottom": bottom})
        self.prior = nn.ModuleDict({"top": prior_top, "bottom": prior_bottom})
        self.likelihood = likelihood
        self.uniform = nn.ModuleDict(
            {name: UniformCodesPrior(q.code_shape, q.codes) for name, q in self.levels.items()}
        )

    @property
    def code_count(self) -> int:
        """K."""
        return self.levels["top"].codes

    @property
    def levels(self) -> dict[str, CodePosterior]:
        """The two quantisers by name, the coarse one first."""
        return {name: cast(CodePosterior, self.posterior[name]) for name in ("top", "bottom")}

    def quantise(self, x: Any) -> tuple[Quantised, Quantised, Tensor]:
        """Return q(t|x), q(b|x, t), and z_t on the fine grid."""
        features = self._features(x)
        top = self.posterior["top"](features)
        above = self._up(top.z)
        return top, self.posterior["bottom"](torch.cat([features, above], 1)), above

    def _features(self, x: Any) -> Tensor:
        features = apply_net(cast(Net, self.posterior["features"]), x)
        return torch.nn.functional.silu(features.select(1, 0))

    def _up(self, z_top: Tensor) -> Tensor:
        """(..., D, h', w') → (..., D, h, w)."""
        up = apply_net(cast(Net, self.posterior["up"]), z_top)
        return up.select(up.dim() - 4, 0)

    def _trace(self, x: Any, y: Tensor | None, k: int, uniform: bool) -> Trace:
        top, bottom, above = self.quantise(x)
        p_top = self.uniform["top"]() if uniform else self.prior["top"]()
        p_bottom = self.uniform["bottom"]() if uniform else self.prior["bottom"](above)
        latents = {}
        for name, q, p in (("top", top, p_top), ("bottom", bottom, p_bottom)):
            latents[name] = Latent(q, p, q.z.expand(k, *q.z.shape), q.value.expand(k, *q.value.shape))
        z = torch.cat([above, bottom.z], 1)
        costs = {name: top.costs[name] + bottom.costs[name] for name in top.costs}
        return Trace(x, y, latents, self.likelihood(z.expand(k, *z.shape)), costs=costs)

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Run one forward pass with the fitted priors."""
        return self._trace(x, y, k, uniform=False)

    def trace_uniform(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Trace with uniform priors."""
        return self._trace(x, y, k, uniform=True)

    def trace_prior(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Trace the priors as models of the codes, the fine ones' log-probability being a part of the weight."""
        with torch.no_grad():
            top, bottom, above = self.quantise(x)
        fine = self.prior["bottom"](above.detach()).log_prob(bottom.value)
        return Trace(top.value[None], y, {}, self.prior["top"](), log_w_extra=fine, costs={"fine": -fine})

    def encode(self, x: Any, y: Tensor | None = None) -> Distribution:
        """Return q(b|x), the fine codes' point mass."""
        return self.quantise(x)[1]

    @torch.no_grad()
    def codes(self, x: Any, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return the codes of examples, {"top": (B, h', w'), "bottom": (B, h, w)} int64."""
        top, bottom, _ = self.quantise(x)
        return {"top": top.value, "bottom": bottom.value}

    def decode_codes(self, codes: Mapping[str, Tensor]) -> Distribution:
        """Return p(x|t, b)."""
        return self.decode(self._embedded(codes))

    def _embedded(self, codes: Mapping[str, Tensor]) -> Tensor:
        z = {name: part.embed(codes[name]) for name, part in self.levels.items()}
        return torch.cat([self._up(z["top"]), z["bottom"]], z["top"].dim() - 3)

    def posterior_mean(self, x: Any, y: Tensor | None = None) -> Tensor:
        """Return the decoder's input, z_t on the fine grid beside z_b, (B, 2D, h, w)."""
        _, bottom, above = self.quantise(x)
        return torch.cat([above, bottom.z], 1)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Distribution:
        """Return p(x|z) for z as `posterior_mean` gives it."""
        return self.likelihood(z)

    def reconstruct(self, x: Any, y: Tensor | None = None, sample: bool = False) -> Tensor:
        """Return the mean of p(x|t, b)."""
        return point(self.decode(self.posterior_mean(x)))

    def sample_codes(self, n: int, temperature: float = 1.0) -> dict[str, Tensor]:
        """Draw codes from the priors, the coarse first."""
        top = tempered(self.prior["top"](), temperature).sample(torch.Size((n,)))
        bottom = tempered(self.prior["bottom"](self._up(self.levels["top"].embed(top))), temperature).sample()
        return {"top": top, "bottom": bottom}

    def sample_latent(self, n: int, y: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draw `n` of the decoder's inputs, (n, 2D, h, w)."""
        return self._embedded(self.sample_codes(n, temperature))

    def after_step(self, step: int) -> None:
        """Move the codebooks."""
        for part in self.levels.values():
            part.after_step()

    def watch(self) -> Mapping[str, Tensor]:
        """Each codebook's perplexity and codes in use."""
        return {f"{name}.{key}": value for name, part in self.levels.items() for key, value in part.watch().items()}

    @property
    def examples_wanted(self) -> int:
        """As many as the codebooks start from."""
        return EXAMPLES

    @torch.no_grad()
    def start_from_examples(self, x: Any) -> None:
        """Start the codebooks at the first outputs of the encoders, the coarse one first."""
        features, levels = self._features(x), self.levels
        levels["top"].start_from_examples(features)
        above = self._up(levels["top"](features).z)
        levels["bottom"].start_from_examples(torch.cat([features, above], 1))
