"""The one loop over examples of a trained model: on the model's device, in eval mode, with seeded noise.

Whatever is computed after training (codes, bounds, scores, reconstructions) goes through here, so that model and
examples meet on one device and results come back to the CPU in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vaekit.data.batches import at_once
from vaekit.data.prepare import as_input
from vaekit.devices import device_of, seeded
from vaekit.errors import UserError, memory_for
from vaekit.models.base import Model, evaluating

BATCH = 500
"""Examples at once, where nothing else is asked for."""

Progress = Callable[[int, int], None]
"""Called with (done, all) examples."""


@contextmanager
def inference(model: nn.Module, seed: int = 0, wait: float | None = None) -> Iterator[None]:
    """Run the model in eval mode, without gradients and with seeded noise; each part's mode comes back.

    `wait` is how many seconds another thread of the process may still draw; by default however long it takes.
    """
    memory = memory_for("this", "ask for less at once (-n, --k, --limit), for fewer or smaller examples")
    with memory, evaluating(model), torch.no_grad(), seeded(seed, device_of(model), wait):
        yield


def label_for(model: Model, y: Tensor | None, n: int) -> Tensor | None:
    """Return what the model is given as labels of `n` examples: y where it is conditioned on labels, else None.

    A model that was trained with missing labels does without them: it is given zero vectors (n, W).

    Raises:
        UserError: the model needs labels, and there are none.
    """
    if not model.takes_label:
        return None
    if y is None and model.optional_label:
        return torch.zeros(n, model.optional_label)
    if y is None:
        raise UserError("this model is conditioned on labels; give data with labels")
    return y


def batches(
    model: Model, x: Any, y: Tensor | None = None, *, size: int | None = None, progress: Progress | None = None
) -> Iterator[tuple[Any, Tensor | None]]:
    """Yield prepared examples as the model takes them, with their labels where it is conditioned on them.

    Args:
        model: decides the device.
        x: (N, ...) prepared examples: a tensor, or rows of another kind that can be sliced and moved (graphs).
        y: (N,) class numbers, (N, W) conditions, or None.
        size: examples in a batch; None: `BATCH`, or fewer large ones.
        progress: told after each batch.
    """
    device, label = device_of(model), label_for(model, y, len(x))
    size = size or at_once(x, BATCH)
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        yield as_input(x[rows]).to(device), None if label is None else label[rows].to(device)
        if progress is not None:
            progress(min(start + size, len(x)), len(x))


def batched(
    model: Model,
    call: Callable[[Any, Tensor | None], Any],
    x: Any,
    y: Tensor | None = None,
    *,
    size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Any:
    """Return `call(x, y)` of all examples, batch by batch, joined along the first axis on the CPU.

    >>> import vaekit
    >>> run = vaekit.train("vae", "digits", steps=2)
    >>> batched(run.model, run.model.features, run.test.x).shape
    torch.Size([174, 20])
    """
    with inference(model, seed):
        return joined([call(part, label) for part, label in batches(model, x, y, size=size, progress=progress)])


def joined(parts: list[Any]) -> Any:
    """Join batches of examples on the CPU; rows of tokens are padded with 0 to the widest.

    >>> joined([torch.ones(1, 2, dtype=torch.int64), torch.ones(1, 3, dtype=torch.int64)]).shape
    torch.Size([2, 3])
    """
    parts = [part.to("cpu") for part in parts]
    if parts and isinstance(parts[0], Tensor) and parts[0].dtype == torch.int64 and parts[0].dim() > 1:
        width = max(part.shape[-1] for part in parts)
        parts = [nn.functional.pad(part, (0, width - part.shape[-1])) for part in parts]
    return torch.cat(parts) if not parts or isinstance(parts[0], Tensor) else type(parts[0]).cat(parts)
