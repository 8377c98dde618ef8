"""What a run does with a few examples of a class that it may never have seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.dataset import Split
from vaekit.errors import UserError
from vaekit.inference import inference
from vaekit.intervals import wilson
from vaekit.latents import few_shot
from vaekit.models.base import Model
from vaekit.runs.display import shown
from vaekit.runs.results import Classification
from vaekit.runs.series import SeriesRun


class FewShotRun(SeriesRun):
    """A run whose model may be one of sets: more of a set, classes from a few examples, and log p of a set."""

    def sample_like(
        self, examples: Any, n: int = 16, *, temperature: float = 1.0, draw: bool = False, seed: int = 0
    ) -> Tensor:
        """Return `n` new examples that go with a set of given ones, in the data's units, (n, *shape).

        c ~ q(c|examples), z ~ p(z|c), then the mean of p(x|z, c), or a draw with `draw`. The class of the examples need
        not be one that the run was trained on; one example is a set too.

        >>> import vaekit
        >>> run = vaekit.train("set-vae", "digits", steps=2, set={"data.unseen": "7,8,9"})
        >>> run.sample_like(run.test.first(5), 3).shape
        torch.Size([3, 1, 8, 8])
        """
        model = self._of_sets("sample_like")
        with inference(model, seed):
            made = model.sample_like(self._one_set(examples), n, temperature, draw)[:, 0]
        return shown(self.prepare.values(made.cpu()), self.picture, None)

    def set_log_likelihood(self, examples: Any, *, k: int = 500, seed: int = 0) -> float:
        """Return the importance-weighted bound on log p(X) of examples as one set, nats, from `k` samples.

        Over their number it compares with log p(x) of single examples: what is more of it is what a set has in common.
        """
        model = self._of_sets("set_log_likelihood")
        with inference(model, seed):
            return float(few_shot.set_log_likelihood(model, self._one_set(examples), k))

    def few_shot(
        self, data: Any = None, *, shots: int = 5, by: few_shot.By = "context", k: int = 100, seed: int = 0
    ) -> Classification:
        """Classify examples by `shots` labelled ones of each class, drawn from the data; the others are classified.

        Classes need not be ones that the run was trained on, and nothing is fitted to the labels. With a model of sets,
        `by` is "context", what x and a class's examples gain by one context for both (`few_shot.log_shared`), or
        "likelihood", log p(x | the class's examples) from `k` samples. With another model of one latent both are by
        class means of codes. Probabilities are of classes that are equally likely.
        """
        split, y, names = self._labelled(data)
        made, x = few_shot.episode(y, shots, seed), split.inputs
        sets, others = x[torch.from_numpy(made.support)], x[torch.from_numpy(made.others)]
        with inference(self.model, seed):
            within = None if few_shot.has_context(self.model) else self._spread()
            if by == "context":
                scores = few_shot.log_shared(self.model, others, sets, within)
            else:
                scores = few_shot.log_given(self.model, others, sets, k=k, seed=seed, within=within)
        sure, guess = scores.double().softmax(1).max(1)
        predicted, truth = made.classes[guess.numpy()], y[made.others]
        share = float((predicted == truth).mean())
        accuracy = {"value": share, "interval": list(wilson(share, len(truth))), "n": len(truth)}
        origin = None if split.places is None else split.places.take(made.others)
        said = [[str(names[c]) for c in each] for each in (predicted, truth)]
        return Classification(said[0], sure.numpy(), said[1], accuracy, origin)

    def _of_sets(self, what: str) -> Model:
        if not few_shot.has_context(self.model):
            raise UserError(f"{what} needs a model of sets, and this run's ({self.recipe}) is none; train set-vae")
        return self.model

    def _one_set(self, examples: Any) -> Tensor:
        return self.split(examples).inputs.unsqueeze(0).to(self.device)

    def _spread(self) -> Tensor:
        if self.model.takes_label or len(self.info.shape) == 0 or not self.info.n_classes:
            raise UserError(f"this run's model ({self.recipe}) needs labels; train set-vae or vae")
        known = self.training()
        assert known.y is not None
        return few_shot.spread_within(self.model, known.inputs[known.y >= 0], known.y[known.y >= 0])

    def _labelled(self, data: Any) -> tuple[Split, np.ndarray, Sequence[str]]:
        """Return examples with their classes and their names, which need not be the run's."""
        split, names = self.split(data), self.info.classes
        y = split.y
        if data is not None and not isinstance(data, Split):
            own = self._whole(data)
            y, names = own.train.y, own.info.classes
        if y is None or not names or y.dim() != 1:
            raise UserError("few-shot classification needs examples with classes; give labelled data")
        return split, y.numpy(), names
