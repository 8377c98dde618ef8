"""Whether a classifier that never saw the model hears the digit that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaekit.data.audio.mel import MelScale
from vaekit.data.audio.modality import resynthesised
from vaekit.data.audio.wav import read_wav, write_wav
from vaekit.published.base import OURS, Attempt, Budget, Measured, published
from vaekit.runs.run import Run
from vaekit.runs.train import train

ROWS = ("recordings", "recordings made again from spectrograms", "reconstructions", "samples of each digit")


def heard(run: Run, x: Any, folder: Path) -> np.ndarray:
    """Return the spectrograms of what `x` sounds like, by way of 16-bit WAV files."""
    scale = MelScale.from_dict(run.info.facts["mel"])
    out = []
    for i, sound in enumerate(resynthesised(x, run.info).numpy()):
        path = folder / f"{i}.wav"
        write_wav(path, sound, scale.rate)
        out.append(scale.fitted(read_wav(path).samples, i))
    return scale.log_mel(torch.from_numpy(np.stack(out))).flatten(1).numpy()


@published(
    "spoken-digits",
    title="spoken digits from a conditional VAE, heard by a classifier",
    source="no published figures",
    protocol="A conditional VAE of log-mel spectrograms of the Free Spoken Digit Dataset, 18 epochs; 60 principal "
    "components and a support vector machine learn from the real training recordings, and are asked about test "
    "recordings, the same made into sound again from their spectrograms, reconstructions, and samples of each digit.",
    data="spoken-digits",
    unit="% heard as the right digit",
    rows=dict.fromkeys(ROWS, OURS),
    lower=False,
    budgets={
        "smoke": Budget({"epochs": 4, "each": 3, "test": 20}, "four epochs; three samples a digit, 20 recordings"),
        "full": Budget({"epochs": 18, "each": 20, "test": 150, "seeds": [0, 1, 2]}),
    },
)
def spoken_digits(at: Attempt) -> Iterator[tuple[str, Measured]]:
    """Train, and listen."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    settings = {
        "model.net": "mlp",
        "model.hidden": [384],
        "model.latent": 16,
        "model.skip": True,
        "data.mels": 32,
        "train.clip": 2000,
        "train.batch_size": 32,
        "objective.beta": "linear 10 1 70%",
    }
    found: dict[str, list[float]] = {row: [] for row in ROWS}
    for seed in at.seeds:
        run = train("cvae", at.data, epochs=at.terms["epochs"], seed=seed, set=settings, device=at.device)
        seen, test = run.data.train, run.data.test
        assert seen.y is not None and test.y is not None
        classifier = make_pipeline(PCA(60, svd_solver="randomized", random_state=0), SVC(C=10))
        classifier.fit(seen.x.flatten(1).numpy(), seen.y.numpy())
        some, each = test.first(at.terms["test"]), at.terms["each"]
        labels = torch.arange(run.info.n_classes).repeat_interleave(each)
        drawn = torch.cat([run.sample(each, name, seed=i) for i, name in enumerate(run.info.classes)])
        asked = (
            (test.x.flatten(1).numpy(), test.y),
            (heard(run, some.x, at.folder), some.y),
            (heard(run, run.reconstruct(some), at.folder), some.y),
            (heard(run, drawn, at.folder), labels),
        )
        for row, (x, y) in zip(ROWS, asked, strict=True):
            found[row].append(100 * float((classifier.predict(x) == np.asarray(y)).mean()))
    for row, values in found.items():
        yield row, Measured(tuple(values))
