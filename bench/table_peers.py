"""Others' models of tables, each in a process of its own: by Pythons that have their packages.

    python bench/table_peers.py tvae TRAIN.csv N OUT.csv SEED CATEGORICAL,…     (package ctgan)
    python bench/table_peers.py vae TRAIN.npy TEST.npy OUT.npy SEED             (package pyod)

Nothing of vaekit is imported here.
"""

from __future__ import annotations

import random
import sys

import numpy as np


def seeded(seed: int) -> None:
    """Seed all generators."""
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (what the packages draw from)
    torch.manual_seed(seed)
    torch.set_num_threads(1)


def tvae(train: str, n: str, out: str, seed: str, choices: str) -> None:
    """CTGAN's TVAE, its own defaults; gaps as it wants them: a level of choices, the mean of numbers."""
    import pandas as pd
    from ctgan import TVAE

    seeded(int(seed))
    names = [name for name in choices.split(",") if name]
    frame = pd.read_csv(train, dtype=dict.fromkeys(names, str))
    dates = [c for c in frame if c not in names and not pd.api.types.is_numeric_dtype(frame[c])]
    for name in dates:
        frame[name] = (pd.to_datetime(frame[name]) - pd.Timestamp(0)) / pd.Timedelta(days=1)
    for name in frame:
        frame[name] = frame[name].fillna("" if name in names else frame[name].mean())
    model = TVAE(enable_gpu=False)
    model.fit(frame, names)
    made = model.sample(int(n))
    for name in dates:
        made[name] = pd.Timestamp(0) + pd.to_timedelta(made[name].round(), unit="D")
    made.to_csv(out, index=False)


def vae(train: str, test: str, out: str, seed: str) -> None:
    """PyOD's VAE, its own defaults."""
    from pyod.models.vae import VAE

    seeded(int(seed))
    model = VAE(random_state=int(seed), verbose=0)
    model.fit(np.load(train))
    np.save(out, model.decision_function(np.load(test)))


if __name__ == "__main__":
    {"tvae": tvae, "vae": vae}[sys.argv[1]](*sys.argv[2:])
