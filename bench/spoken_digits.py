"""Does a classifier that never saw the model hear the digit that was asked for? What docs/gallery-audio.md reports.

    python bench/spoken_digits.py RUN --each 20

The classifier (principal components and a support vector machine) learns from the real training recordings' log-mel
spectrograms. It is asked about real test recordings, the same made into sound again from their spectrograms, the
model's reconstructions of them, and samples of every label; all but the first go through a 16-bit WAV file.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaekit.data.audio.mel import MelScale
from vaekit.data.audio.modality import resynthesised
from vaekit.data.audio.wav import read_wav, write_wav
from vaekit.runs.loading import load
from vaekit.runs.run import Run


def heard(run: Run, x: Any) -> np.ndarray:
    """Return the spectrograms of what `x` sounds like, by way of WAV files."""
    scale = MelScale.from_dict(run.info.facts["mel"])
    out = []
    with tempfile.TemporaryDirectory() as folder:
        for i, sound in enumerate(resynthesised(x, run.info).numpy()):
            path = Path(folder) / f"{i}.wav"
            write_wav(path, sound, scale.rate)
            out.append(scale.fitted(read_wav(path).samples, i))
    plain = scale.log_mel(torch.from_numpy(np.stack(out)))
    return plain.flatten(1).numpy()


def share(right: np.ndarray) -> dict[str, float]:
    """Return a share with its standard error."""
    p = float(right.mean())
    return {"accuracy": round(p, 4), "stderr": round(float(np.sqrt(p * (1 - p) / len(right))), 4), "n": len(right)}


def main() -> None:
    """Read the command line, listen, and print one line of JSON."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--each", type=int, default=20, help="samples of each label")
    parser.add_argument("--test", type=int, default=150, help="test recordings to make again")
    given = parser.parse_args()
    run = load(given.run)
    train, test = run.data.train, run.data.test
    assert train.y is not None and test.y is not None
    classifier = make_pipeline(PCA(60, svd_solver="randomized", random_state=0), SVC(C=10))
    classifier.fit(train.x.flatten(1).numpy(), train.y.numpy())

    def right(x: np.ndarray, y: Any) -> dict[str, float]:
        return share(classifier.predict(x) == np.asarray(y))

    some = test.first(given.test)
    labels = torch.arange(run.info.n_classes).repeat_interleave(given.each)
    drawn = torch.cat([run.sample(given.each, name, seed=i) for i, name in enumerate(run.info.classes)])
    found = {
        "real": right(test.x.flatten(1).numpy(), test.y),
        "real, sound made again": right(heard(run, some.x), some.y),
        "reconstructed": right(heard(run, run.reconstruct(some.x, some.y)), some.y),
        "sampled": right(heard(run, drawn), labels),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
