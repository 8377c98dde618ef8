"""What the explorer asks of a run, as plain numbers and arrays: decoding, examples, the latent map, codes of new data.

Decoding and encoding are deterministic and may run in several threads at once; what draws takes a lock and a seed.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit.bounds import refusal
from vaekit.data.dataset import Split
from vaekit.data.info import DataInfo
from vaekit.data.prepare import as_input
from vaekit.data.tables.columns import as_text
from vaekit.data.tables.modality import cells_of
from vaekit.distributions.base import is_point_mass
from vaekit.distributions.tokens import Sampling, TokenSequences
from vaekit.errors import Unsupported, UserError
from vaekit.explorer import series
from vaekit.explorer.labels import Label, Labels
from vaekit.explorer.scores import Scorer
from vaekit.explorer.sound import sound_facts
from vaekit.figures.molecules import need
from vaekit.inference import batches, inference
from vaekit.latents.information import Information, information, is_discrete, is_one_hot, unknown
from vaekit.latents.manifold import Plane, principal_plane
from vaekit.models.base import Model, point
from vaekit.runs.base import TEST_SEED, RunBase
from vaekit.trace import Latent

MOST_POINTS = 70_000
LIVE_POINTS = 2000
"""Examples on the map of a run in training, which is made anew for each checkpoint."""
MOST_BYTES = 512 << 20
"""Of prepared examples kept for the map."""
PATIENCE = 30.0
"""Seconds that a request waits for another thread that draws."""
STUDIED = 2000
"""Test examples that the KL of each dimension and the codes' spread are computed on."""


@dataclass(frozen=True)
class LatentMap:
    """The examples' places in a plane (N, 2), their labels (N,) or None, the plane, and the codes (N, D) of them."""

    points: np.ndarray
    labels: np.ndarray | None
    plane: Plane
    codes: Tensor


class Session:
    """Interactive view of a trained run: codes are flat rows of `size` numbers, whatever shape the decoder takes.

    The map has up to `points` examples.

    Where the model's latent is discrete, a code is its category numbers; elsewhere the decoder's own input.
    `noun` is what an example is called. `colour_names` are numbers that the map can be coloured by (see `coloured`),
    beside the anomaly score, where examples are `scored`.
    """

    noun = "example"
    colour_names: tuple[str, ...] = ()
    scored = True
    is_sampled = False
    """Whether p(x|z) is of token sequences, which can be drawn at a temperature."""

    def __init__(self, run: RunBase, points: int = MOST_POINTS) -> None:
        self.run, self.points = run, points
        self.model = run.model.eval()
        self.device = run.device
        self.info = run.info
        self.progress = (0, 0)
        self._mapping = threading.Lock()
        self._scoring = threading.Lock()
        self._stop = threading.Event()
        self.splits: list[Split] = []
        self.problem: str | None = None
        try:
            self.splits = [run.shown if points == MOST_POINTS else run.shown.first(points)]
        except UserError as error:
            self.problem = str(error)
        self.labels = Labels(self.model, run.conditions, self.splits[0].y if self.splits else None)
        self._probe()

    # -- what there is ----------------------------------------------------------------------------------------------

    def _probe(self) -> None:
        """Learn the latent's shape and kind from one example, or from zeros where there are no data."""
        if self.splits:
            first = self.splits[0].first(1)
            x, y = first.inputs, first.y
        else:
            kind = torch.int64 if self.info.kind == "tokens" else torch.float32
            x, y = torch.zeros(1, *self.info.shape, dtype=kind), self.labels.given(None, 1, torch.device("cpu"))
        x, label = self._placed(x, y)
        try:
            with self.drawn():
                trace = self.model.trace(x, label, hard=True)
                self.latent_shape = tuple(self.model.posterior_mean(x, label).shape[1:])
        except Unsupported as error:
            raise UserError(f"this run's model ({self.run.recipe}) has no latent to explore: {error}") from None
        self.refused = refusal(trace)
        self.scorer = Scorer(self.model, self.refused, self.run.prepare.values)
        latent = next(iter(trace.latents.values()))
        self.point_mass = is_point_mass(latent.q)
        self.is_sampled = isinstance(trace.px, TokenSequences)
        self.one_hot = len(trace.latents) == 1 and is_one_hot(latent)
        self.discrete = is_discrete(trace)
        self.code_shape = tuple(latent.code.shape[2:]) if self.discrete else self.latent_shape
        self.code_shape = self.code_shape[:-1] if self.one_hot else self.code_shape
        self.size = math.prod(self.code_shape)
        self.categories = _categories(latent, self.one_hot) if self.discrete else 0

    @cached_property
    def _studied(self) -> Information:
        """KL and spread of each latent dimension over test examples."""
        if not self.splits:
            return unknown(self.size)
        split = self.splits[0].first(STUDIED)
        with self.drawn():
            return information(self.model, split.x, split.y, self._codes)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Return what the page must know before it draws anything; plain JSON."""
        info, studied = self.info, self._studied
        mean, sd = studied.mean.numpy().astype(float), studied.sd.numpy().astype(float)
        unit = np.zeros_like(mean) if self.point_mass else np.full_like(mean, 3.5)
        centre = mean if self.point_mass else np.zeros_like(mean)
        if self.apart is not None and self.splits:
            centre = np.array(self.encode(0)["z"])  # without a middle: begin at an example
        reach = np.ceil(np.maximum(unit, np.abs(mean - centre) + 4 * sd) + 1e-6)
        low, high = centre - reach, centre + reach  # the middle of a slider is where "reset" puts it
        if self.discrete:
            low, high = np.zeros_like(mean), np.full_like(mean, self.categories - 1)
        height, width = info.shape[-2:] if info.has_picture else (0, 0)
        bare = info.has_picture or self.as_text or self.as_lines or self.as_graphs
        if self.as_table:
            bare, columns = False, [column["name"] for column in info.facts["columns"]]
        else:
            columns = [f"value {i + 1}" for i in range(info.dimensions)]
        names = [] if bare else columns
        undrawn = _undrawn(info)
        first = self.splits[0] if self.splits else None
        return {
            "title": f"{self.run.recipe} on {info.name}",
            "about": self._about(),
            "warnings": (self.run.record.get("result") or {}).get("warnings", []),
            "noun": self.noun,
            "image": info.has_picture,
            "pictured": info.has_picture or self.as_lines or self.as_graphs or undrawn == "",
            "molecules": undrawn == "",
            "undrawn": undrawn or None,
            "graphs": self.as_graphs,
            "nodes": self.noun == "node",
            "apart": self.apart,
            "series": series.series_facts(info, self.run.prepare, first) if self.as_lines else None,
            "sound": sound_facts(info),
            "text": self.as_text,
            "sampled": self.is_sampled,
            "table": self.as_table,
            "typed": self.run.modality is not None and self.run.modality.reads_lines,
            "channels": 3 if info.has_picture and info.shape[0] >= 3 else 1,
            "height": height,
            "width": width,
            "names": names,
            "classes": list(info.classes or info.facts.get("classes", ())),
            **self.labels.facts,
            "size": self.size,
            "discrete": {"categories": self.categories, "shape": self.code_shape} if self.discrete else None,
            "order": studied.order,
            "latents": studied.names,
            "groups": self.groups,
            "kl": studied.kl,
            "centre": centre.tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
            "n_test": self.count,
            "problem": self.problem,
            "refused": self.refused,
            "grey": info.is_image and info.shape[0] == 1,
        }

    def _about(self) -> list[str]:
        """Return what is said of the run under its title: its latents and its bound."""
        studied, result = self._studied, self.run.record.get("result") or {}
        said = [f"{self.size} {'codes' if self.discrete else 'latents'}"]
        if self.splits and not self.discrete and not self.point_mass:
            said.append(f"{studied.active} active")
        if studied.kl is not None:
            said.append(f"rate {sum(studied.kl):.1f} nats")
        if result.get("elbo") is not None:
            said.append(f"held-out ELBO {_signed(result['elbo'])} nats")
        if result.get("elbo") is not None and result.get("no_latents") is not None:
            said.append(f"{_signed(result['no_latents'])} without latents")
        return said

    # -- codes ------------------------------------------------------------------------------------------------------

    def code(self, values: Sequence[Any]) -> Tensor:
        """Return rows of numbers as codes (N, size); a wrong length or a number that is none is a UserError."""
        try:
            z = torch.tensor(values, dtype=torch.float32)
        except (ValueError, TypeError, RuntimeError, OverflowError):
            raise UserError(f"codes are rows of {self.size} numbers") from None
        if z.dim() != 2 or not len(z) or z.shape[1] != self.size:
            raise UserError(f"codes are rows of {self.size} numbers, not an array of shape {tuple(z.shape)}")
        if not bool((z.abs() <= 1e6).all()):
            raise UserError("a code has a number that is not finite, or beyond a million; send smaller ones")
        return z

    def mean(self, z: Tensor, label: Label = None) -> Tensor:
        """Return the mean of p(x|z) in the model's own space, (N, *shape)."""
        return point(self._px(z, label)).cpu()

    @torch.no_grad()
    def _px(self, z: Tensor, label: Label) -> Distribution:
        y, z = self.labels.given(label, len(z), self.device), z.to(self.device)
        if self.discrete:
            code = z.round().long().clamp(0, self.categories - 1).view(-1, *self.code_shape)
            at = self.model.prior_to_latent(
                torch.nn.functional.one_hot(code, self.categories).float() if self.one_hot else code
            )
        else:
            at = z.view(-1, *self.latent_shape)
        return self.model.decode(at, y)

    @property
    def count(self) -> int:
        """The number of examples that can be chosen: of the test split."""
        return len(self.splits[0]) if self.splits else 0

    @property
    def apart(self) -> str | None:
        """Why there is no way from one code to another; None where there is one."""
        return "Codes of this model are categories" if self.discrete else None

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Return the latents by layer, `name` and `latents` (their numbers), the coarsest first; [] of one latent."""
        found: dict[str, list[int]] = {}
        for j, name in enumerate(self._studied.names):
            found.setdefault(self.group_name(name), []).append(j)
        return [{"name": name, "latents": each} for name, each in found.items()] if len(found) < self.size else []

    def group_name(self, name: str) -> str:
        """Return the layer of a latent by its name: z2 of z2.3."""
        return name.partition(".")[0]

    @property
    def as_text(self) -> bool:
        """Whether examples are lines to read rather than pictures or rows of numbers."""
        return not self.info.is_array and not self.as_lines and not self.as_graphs

    @property
    def as_graphs(self) -> bool:
        """Whether examples are graphs, drawn as nodes and edges."""
        return False

    @property
    def as_table(self) -> bool:
        """Whether examples are rows of a table, whose cells are read by column."""
        return self.info.kind == "table"

    @property
    def as_lines(self) -> bool:
        """Whether examples are time series, drawn as lines."""
        return self.info.kind == "series"

    def shown(self, x: Tensor) -> np.ndarray:
        """Return what the page draws: pictures as uint8 (N, H, W, 1 or 3), else float32 (N, D) in the source's units.

        A volume's picture is its middle slice. Examples that are read come as an array of N texts, rows of a table as
        (N, C) texts of their cells; series as values and deviations, float32 (N, 2 C T).
        """
        if self.as_lines:
            return series.drawn(self.info, self.run.prepare, x)
        if self.as_table:
            return np.array(cells_of(x, self.info.facts["columns"], as_text), dtype=np.str_)
        if self.as_text:
            return np.array(self.run.lines(x), dtype=np.str_)
        if not self.info.has_picture:
            return np.ascontiguousarray(self.run.prepare.invert(x).flatten(1).numpy(), dtype=np.float32)
        grey = self.run.picture(self.run.prepare.values(x)).mul(255).round_().to(torch.uint8)
        if self.info.is_volume:
            grey = grey[:, :, grey.shape[2] // 2]
        kept = grey[:, :3] if grey.shape[1] >= 3 else grey[:, :1]
        return np.ascontiguousarray(kept.permute(0, 2, 3, 1).numpy())

    def decode(self, z: Tensor, label: Label = None) -> np.ndarray:
        """Return codes decoded, as the page draws them."""
        if self.as_lines:
            return series.decoded(self.info, self.run.prepare, self._px(z, label))
        return self.shown(self.mean(z, label))

    def sampled(self, z: Tensor, label: Label, temperature: float, seed: int) -> np.ndarray:
        """Return draws from p(x|z) of codes at a temperature above 0, texts (N,); `decode` is what 0 stands for."""
        px = self._px(z, label)
        if not isinstance(px, TokenSequences):
            raise UserError("only sequences of tokens are drawn at a temperature; leave it out")
        with self.drawn(seed):
            return self.shown(px.draw(px.batch_shape, Sampling(temperature)).cpu())

    def random(self, label: Label, seed: int) -> list[float]:
        """Return a code drawn from the prior; where codes have none, from the Gaussian fitted to the data's codes."""
        with self.drawn(seed):
            model = self.model
            y = self.labels.given(label, 1, self.device)
            if self.discrete:
                p = model.prior_of(y)
                code = p.sample() if p.batch_shape else p.sample(torch.Size((1,)))
                return (code.argmax(-1) if self.one_hot else code).flatten().float().tolist()
            fitted = (self.point_mass and self.refused is not None) or not self.model.offers(Model.sample_latent)
            if not fitted:
                return model.sample_latent(1, y).flatten().tolist()
            return (self._studied.mean + self._studied.sd * torch.randn(self.size)).tolist()

    # -- examples ---------------------------------------------------------------------------------------------------

    def example(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Return one prepared example (1, *shape) and its label (1,): test examples first, then the others mapped."""
        at = index
        for split in self.splits:
            if 0 <= at < len(split):
                return as_input(split.x[at : at + 1]), None if split.y is None else split.y[at : at + 1]
            at -= len(split)
        most = sum(len(split) for split in self.splits)
        if not most:
            raise UserError(f"the training data were not found: {self.problem}")
        raise UserError(f"there is no example {index}; they go from 0 to {most - 1}")

    def encode(self, index: int) -> dict[str, Any]:
        """Return an example's code and its label as the page holds it (None without labels)."""
        x, y = self.example(index)
        with torch.no_grad():
            z = self._codes(*self._placed(x, y))[0]
        return {"z": z.tolist(), "label": self.labels.of(y)}

    def latent_map(self) -> LatentMap:
        """Return the map of up to 70,000 examples, made once; `progress` tells (done, all) meanwhile."""
        with self._mapping:
            return self._map

    @cached_property
    @torch.no_grad()
    def _map(self) -> LatentMap:
        if not self.splits:
            raise UserError(f"the training data were not found: {self.problem}")
        most = min(self.points, max(1000, MOST_BYTES // (4 * self.info.dimensions)))
        run, total = self.run, len(self.splits[0])
        for number, more in enumerate((run.data.valid, run.data.train)):
            split = more.first(max(0, most - total))
            shown = not len(run.test) if number == 0 else not len(run.test) + len(run.data.valid)
            if len(split) and not shown:
                self.splits.append(run.prepare.fixed(split, TEST_SEED - 1 - number))
                total += len(split)
        codes: list[Tensor] = []
        for split in self.splits:
            for x, y in batches(self.model, split.x, split.y):
                self.check_stop()
                codes.append(self.model.features(x, y).cpu())
                self.progress = (self.progress[0] + len(x), total)
        z = torch.cat(codes)
        plane = principal_plane(z)
        known = [split.labels for split in self.splits if split.labels is not None]
        joined = torch.cat(known).numpy() if len(known) == len(self.splits) else None
        return LatentMap(plane.project(z).numpy().astype(np.float32), joined, plane, z)

    def coloured(self, name: str) -> np.ndarray:
        """Return a number for each point of the map (N,), by one of `colour_names`."""
        raise UserError(f"the map is not coloured by '{name}'")

    def mean_code(self, indices: Sequence[int]) -> list[float]:
        """Return the mean of examples' codes."""
        return torch.tensor([self.encode(i)["z"] for i in indices]).mean(0).tolist()

    def lift(self, uv: Sequence[float], keep: Tensor | None) -> list[float]:
        """Return the code at a place of the map: in the plane, or with all that it does not show taken from `keep`."""
        if self.apart is not None:
            raise UserError(f"{self.apart[0].lower()}{self.apart[1:]}, so no other is decoded; pick an example")
        return self.latent_map().plane.lift(torch.tensor(list(uv)), keep).tolist()

    # -- new data ---------------------------------------------------------------------------------------------------

    def prepared(self, values: np.ndarray, scale: Literal["unit", "source", "bytes", "deep"]) -> Tensor:
        """Return one example (1, *shape) as the model sees it.

        `scale`: "unit" for greys in [0, 1]; "source" for the data's own units; "bytes" for 8-bit numbers, which are
        the data's own if they fit, else greys 0 … 255; "deep" for greys of 16 bits in [0, 1], likewise.
        """
        prepare = self.run.prepare
        if self.info.modality == "audio" and scale in ("unit", "deep"):
            values = np.flip(values, -2)  # of a picture, which has the lowest band at its bottom
        if scale == "deep":
            ours = self.info.kind in ("real", "counts") and prepare.high > 255
            values, scale = (values * 65535, "source") if ours else (values, "unit")
        if scale == "bytes":
            ours = not self.info.has_picture or (values.max() <= prepare.levels - 1 if prepare.levels else False)
            values, scale = (values, "source") if ours else (values / 255, "unit")
        if self.as_text:
            raise UserError(f"{self.info.name} holds {self.info.modality} data, which are not read from arrays")
        if self.as_lines:
            split = self.run.modality.encode([values], self.info, self.run.settings.data) if self.run.modality else None
            assert split is not None
            return prepare.fixed(split).inputs
        if values.shape != tuple(self.info.shape):
            raise UserError(f"the example has shape {values.shape}; this run's model takes {tuple(self.info.shape)}")
        if not np.isfinite(values).all():
            raise UserError("the example holds values that are not finite; replace them")
        if prepare.levels is not None:
            top = prepare.levels - 1
            stored = np.rint(values * top if scale == "unit" else values)
            if stored.min() < 0 or stored.max() > top:
                raise UserError(
                    f"the example's values go from {values.min():g} to {values.max():g}; this run's go from 0 to {top}"
                )
            raw = torch.from_numpy(stored.astype(np.uint8))
        else:
            if scale == "unit" and self.info.kind in ("real", "counts"):
                values = values * (prepare.high - prepare.low) + prepare.low
            elif self.info.kind in ("unit", "binary") and (values.min() < 0 or values.max() > 1):
                raise UserError(
                    f"the example's values go from {values.min():g} to {values.max():g}; this run's go from 0 to 1"
                )
            raw = torch.from_numpy(values.astype(np.float32))
        return prepare.fixed(Split(raw[None])).inputs

    def typed(self, line: str) -> Tensor:
        """Return one example (1, ...) as the model sees it from a line that a person wrote."""
        if self.run.modality is None or not self.run.modality.reads_lines:
            raise UserError(f"{self.info.name} are not read from lines of text")
        return self.run.modality.encode([line], self.info, self.run.settings.data).inputs

    def infer(self, x: Tensor, label: Label) -> dict[str, Any]:
        """Return an example's posterior, reconstruction, bound and anomaly score; arrays under "x" and "recon"."""
        y, x = self.labels.given(label, 1, self.device), x.to(self.device)
        with self.drawn():
            z = self._codes(x, y)
            trace = self.model.trace(x, y, hard=True)
            latents = list(trace.latents.values())
            try:
                sd = latents[0].q.stddev.flatten(1)[0].tolist() if len(latents) == 1 else None
            except (NotImplementedError, AttributeError):
                sd = None
            scored = self.scorer.one(x, y)
            codes = {
                name: latent.code[0, 0].tolist()
                for name, latent in trace.latents.items()
                if not latent.code.dtype.is_floating_point and latent.code[0, 0].numel() <= 4096
            }
        sd = sd if sd is not None and len(sd) == self.size and not self.point_mass and not self.discrete else None
        return scored | {
            "z": z[0].tolist(),
            "sd": sd,
            "codes": codes,
            "x": self.shown(x.to("cpu"))[0],
            "recon": self._reconstructed(x, z, label),
        }

    def _reconstructed(self, x: Tensor, z: Tensor, label: Label) -> np.ndarray:
        """Return one example's code decoded, as the page draws it: a series ends where the example does."""
        if self.as_lines:
            return series.decoded(self.info, self.run.prepare, self._px(z, label), x)[0]
        return self.decode(z, label)[0]

    def scores(self) -> dict[str, Any]:
        """Return the histogram of the test examples' anomaly scores, computed once."""
        with self._scoring:
            if self.splits and not len(self.scorer.known):
                split, parts = self.splits[0].first(STUDIED), list[Tensor]()
                for x, y in batches(self.model, split.x, split.y):
                    self.check_stop()
                    with self.drawn():
                        parts.append(self.scorer.of(x, y).cpu())
                self.scorer.known = np.sort(torch.cat(parts).double().numpy())
        return self.scorer.histogram()

    def npz(self, z: Tensor, label: Label, texts: np.ndarray | None = None) -> bytes:
        """Return an NPZ file of codes `z`, the decoded means `x` in the source's units, and the label `y` if any.

        `texts` (N,) stand for `x` where they were sampled.
        """
        y, out = self.labels.given(label, len(z), self.device), io.BytesIO()
        if texts is not None or self.as_text:
            shown = self.decode(z, label) if texts is None else texts
        else:
            shown = self.run.prepare.invert(self.mean(z, label)).numpy()
        arrays: dict[str, Any] = {"z": z.numpy(), "x": shown} | ({} if y is None else {"y": y.cpu().numpy()})
        np.savez_compressed(out, **arrays)
        return out.getvalue()

    def stop(self) -> None:
        """Let long computations end soon."""
        self._stop.set()

    def check_stop(self) -> None:
        """End a long computation by an error once the explorer is stopping."""
        if self._stop.is_set():
            raise UserError("the explorer is stopping")

    # -- inside -----------------------------------------------------------------------------------------------------

    def _codes(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Return the codes of prepared examples, (B, size)."""
        if self.discrete:
            code = next(iter(self.model.trace(x, y, hard=True).latents.values())).code[0]
            return (code.argmax(-1) if self.one_hot else code).flatten(1).float()
        return self.model.posterior_mean(x, y).flatten(1)

    def _placed(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return an example as the model takes it, on its device, with its label where it is conditioned on labels."""
        return next(batches(self.model, x, y))

    @contextmanager
    def drawn(self, seed: int = 0) -> Iterator[None]:
        """Within the block the model is in eval mode, and draws with this seed, one thread at a time.

        Raises:
            UserError: another thread of this process draws for long, as a training does.
        """
        with inference(self.model, seed, PATIENCE):
            yield


def _categories(latent: Latent, one_hot: bool) -> int:
    """Return how many values a discrete code's entries take: by the prior's or posterior's logits, else as seen."""
    if one_hot:
        return latent.code.shape[-1]
    for family in (latent.p, latent.q):
        for name in ("num_categories", "categories", "codes"):
            if isinstance(getattr(family, name, None), int):
                return int(getattr(family, name))
        logits = getattr(family, "logits", None)
        if isinstance(logits, Tensor):
            return int(logits.shape[-1])
    return int(latent.code.max()) + 1


def _undrawn(info: DataInfo) -> str | None:
    """Return why molecules are not drawn, "" where they are; None of other data."""
    if info.modality != "molecules":
        return None
    try:
        need()
    except UserError as error:
        return str(error)
    return ""


def _signed(value: float) -> str:
    return f"{value:,.1f}".replace("-", "−")
