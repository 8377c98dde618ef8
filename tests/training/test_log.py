"""Loggers beside the JSON lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from vaekit.training.log import LOGGERS


def test_tensorboard_gets_every_number_at_its_step(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # pyright: ignore

    logger = LOGGERS["tensorboard"].part(tmp_path)
    logger.log({"step": 2, "epoch": 0.5, "stage": "train", "loss": 3.0, "kl_elements.z": [1.0, 2.0]})
    logger.log({"step": 4, "epoch": 1.0, "stage": "train", "loss": 2.5})
    logger.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Tags()["scalars"] == ["loss"]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(2, 3.0), (4, 2.5)]
