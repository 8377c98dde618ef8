"""Moving through a run's latent space: the aggregate posterior, traversals, planes, sums of codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vaekit.data.dataset import Split
from vaekit.data.series.collection import lengths_of, stopped
from vaekit.distributions.base import is_point_mass
from vaekit.errors import UserError
from vaekit.inference import batches, inference, joined
from vaekit.latents.aggregate import fit_mixture
from vaekit.latents.arithmetic import combine, direction, shift
from vaekit.latents.information import information, is_discrete
from vaekit.latents.manifold import grid, principal_plane, quantiles
from vaekit.latents.traverse import traverse
from vaekit.runs.results import Manifold, Moved, Traversal
from vaekit.runs.sampling import SamplingRun
from vaekit.trace import Trace

STUDIED = 5000
"""Examples whose codes are studied, for directions, planes and distances."""
REACH = 3.0
"""How far a dimension moves, in standard deviations of a standard normal prior."""


class LatentRun(SamplingRun):
    """A run whose codes can be moved through: `data` is as for `RunBase`."""

    def sample_aggregate(
        self, n: int = 64, label: Any = None, *, components: int = 10, seed: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Return `n` samples and their codes, from a mixture of normals fitted to the training codes."""
        y = self.labels(n, label, seed=seed)
        z = fit_mixture(self.posterior_samples(self.training(STUDIED), seed), components, seed).sample(n, seed)
        return self.decode(z, y), z

    def posterior_samples(self, split: Split, seed: int = 0) -> Tensor:
        """Return one posterior sample of each example, (N, D): samples of the aggregate posterior."""
        width = self.codes(split.first(1)).shape[1]
        with inference(self.model, seed):
            parts = [
                next(iter(self.model.trace(x, y, hard=True).latents.values())).z[0]
                for x, y in batches(self.model, split.x, split.y)
            ]
        if parts[0].shape[1:] != (width,):
            raise UserError(f"{self.recipe} has several latents; an aggregate posterior is fitted to the codes of one")
        return joined(parts)

    def traverse(
        self,
        data: Any = None,
        *,
        example: int = 0,
        dimensions: Sequence[int | str] | None = None,
        top: int = 10,
        steps: int = 9,
        reach: float | None = None,
    ) -> Traversal:
        """Decode an example's code as one latent dimension at a time moves from -reach to reach.

        `dimensions` are counted from 0, or named as figures name them; default the `top` most informative. Without a
        `reach` it is 3, or, where nothing ties the codes to a prior, as far as the codes themselves go.
        """
        split = self.split(data)
        if not 0 <= example < len(split):
            raise UserError(f"there is no example {example}; they go from 0 to {len(split) - 1}")
        one = split.take(torch.tensor([example]))
        trace, start = self._code(one)
        z, loose = start.flatten(), is_point_mass(next(iter(trace.latents.values())).q)
        known = information(self.model, split.first(STUDIED).x, split.first(STUDIED).y)
        numbers = {name: d for d, name in enumerate(known.names)}
        asked = known.order[:top] if dimensions is None else dimensions
        unknown = next((d for d in asked if isinstance(d, str) and d not in numbers), None)
        if unknown is not None:
            raise UserError(f"there is no latent dimension {unknown}; they are {known.names[0]} to {known.names[-1]}")
        chosen = [numbers[d] if isinstance(d, str) else d for d in asked]
        bad = next((d for d in chosen if not 0 <= d < len(z)), None)
        if bad is not None:
            raise UserError(f"there is no latent dimension {bad}; they go from 0 to {len(z) - 1}")
        if reach is None and loose:
            ends = known.mean[chosen, None] + 4 * known.sd[chosen, None] * torch.tensor([-1.0, 1.0])
            values = torch.stack([torch.linspace(float(low), float(high), steps) for low, high in ends])
            rows = torch.cat([traverse(z, d, own) for d, own in zip(chosen, values)])
        else:
            values = torch.linspace(-(reach or REACH), reach or REACH, steps)
            rows = traverse(z, chosen, values)
        y = None if one.y is None or not self.model.takes_label else one.y.repeat_interleave(len(chosen) * steps, 0)
        x = self.decode(rows.reshape(-1, *start.shape), y).unflatten(0, (len(chosen), steps))
        if self.info.kind == "series":
            x = stopped(x, lengths_of(one.inputs).expand(len(chosen), steps))
        names = [known.names[d] for d in chosen]
        return Traversal(x.numpy(), chosen, values.numpy(), known.values[chosen].numpy(), known.kl is not None, names)

    def _code(self, one: Split) -> tuple[Trace, Tensor]:
        """Return the trace of one example and its code as the decoder takes it; a UserError for categories."""
        with inference(self.model):
            x, y = next(batches(self.model, one.x, one.y))
            trace, z = self.model.trace(x, y, hard=True), self.model.posterior_mean(x, y)[0].cpu()
        if is_discrete(trace):
            raise UserError(f"the codes of {self.recipe} are categories, so they cannot be moved along")
        return trace, z

    def manifold(self, size: int = 20, *, reach: float = 2.5, label: Any = None) -> Manifold:
        """Decode a plane: of a two-dimensional latent at the prior's quantiles, else of the codes' main axes.

        `reach`, in standard deviations of the codes, is how far the plane goes where the prior's quantiles do not say.
        """
        if not self.info.has_picture:
            raise UserError(f"{self.info.name} are not images; a plane is drawn from images")
        split = self.shown
        z, (trace, _) = self.codes(split), self._code(split.first(1))
        plane, flat = principal_plane(z), z.shape[1] == 2
        if flat and not is_point_mass(next(iter(trace.latents.values())).q):
            xs = ys = quantiles(size)
        else:
            centre, spread = (z.mean(0), z.std(0)) if flat else (torch.zeros(2), plane.project(z).std(0))
            xs, ys = (c + torch.linspace(-reach, reach, size) * s for c, s in zip(centre, spread))
        points = plane.lift(grid(xs, ys).flatten(0, 1))
        x = self.decode(points, self.labels(len(points), label)).unflatten(0, (size, size))
        axes = ("z1", "z2") if flat else ("first principal axis", "second principal axis")
        return Manifold(x.numpy(), points.unflatten(0, (size, size)).numpy(), xs.numpy(), ys.numpy(), axes)

    def arithmetic(
        self,
        examples: Sequence[int],
        data: Any = None,
        *,
        attribute: Any = None,
        amounts: Sequence[float] = (0, 0.5, 1, 1.5),
    ) -> Moved:
        """Decode a - b + c of three examples' codes; or, with an `attribute`, examples moved towards that class."""
        split = self.split(data).take(torch.tensor(list(examples)))
        z, y = self.codes(split), split.y
        if attribute is None:
            if len(z) != 3:
                raise UserError(f"a - b + c takes three examples, not {len(z)}")
            rows = torch.cat([z, combine(z[0], z[1], z[2])[None]])[None]
            y = None if y is None else torch.cat([y, y[2:]])
            done = "a, b, c and a - b + c"
        else:
            rows = shift(z, self.attribute_direction(attribute), torch.tensor([float(a) for a in amounts]))
            y = None if y is None else y.repeat_interleave(len(amounts), 0)
            done = f"{len(z)} examples moved towards '{attribute}'"
        x = self.decode(rows.flatten(0, 1), y).unflatten(0, rows.shape[:2])
        return Moved(x.numpy(), rows.numpy(), done)

    def attribute_direction(self, label: Any) -> Tensor:
        """Return the direction of a class in the codes of the training data, (D,)."""
        split = self.training(STUDIED)
        if split.y is None or not self.info.classes:
            raise UserError(f"{self.info.name} has no classes, so there is no direction of '{label}'")
        split = split.take((split.y >= 0).nonzero().squeeze(1))
        has = split.y == self.class_number(label)
        if not bool(has.any()) or bool(has.all()):
            raise UserError(f"all or none of the training examples are '{label}', which gives no direction")
        return direction(self.codes(split), has)
