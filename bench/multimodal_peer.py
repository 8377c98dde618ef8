"""One of MultiVae's models, trained by its own trainer for a given time and measured; bench/multimodal.py starts it.

    python bench/multimodal_peer.py KIND DATA.npz OUT.npz SEED SECONDS K

Run by the Python of an environment that has multivae 1.0.3, so nothing of vaekit is imported. DATA has rows "train",
"valid" and "test" of a picture in bits and a standardised sound, "sigma" of the sound, and "widths". OUT gets what the
model makes: sounds from pictures, pictures from sounds, and both from the prior. Prints one JSON object.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from multivae.data.datasets import MultimodalBaseDataset
from multivae.models import MMVAE, MVAE, MVTCAE, MMVAEConfig, MoPoE, MoPoEConfig, MVAEConfig, MVTCAEConfig
from multivae.trainers import BaseTrainer, BaseTrainerConfig
from multivae.trainers.base.callbacks import TrainingCallback
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import nn
from torch.distributions import Laplace, Normal

KINDS: dict[str, Any] = {
    "MoPoE": (MoPoE, MoPoEConfig),
    "MVTCAE": (MVTCAE, MVTCAEConfig),
    "MMVAE": (MMVAE, MMVAEConfig),
    "MVAE": (MVAE, MVAEConfig),
}
"""The models, with the settings that they have by default."""
BATCH, RATE = 128, 1e-3


class Ended(Exception):
    """The time is over."""


class Encoder(BaseEncoder):
    """A hidden layer, then mean and log variance."""

    def __init__(self, numbers: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(numbers, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent))

    def forward(self, x: Any) -> Any:
        """Return both, (B, D) each."""
        mean, log_variance = self.layers(x.flatten(1)).chunk(2, -1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):
    """A hidden layer, then logits of a picture or means of a sound."""

    def __init__(self, latent: int, hidden: int, numbers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, numbers))

    def forward(self, z: Any) -> Any:
        """Return them, in a row."""
        return ModelOutput(reconstruction=self.layers(z))


class Clock(TrainingCallback):
    """Ends training after so many seconds of processor time from its first step on."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.started, self.steps, self.used = seconds, 0.0, 0, 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self.started = time.process_time()

    def on_train_step_end(self, *_: Any, **__: Any) -> None:
        """Count a step."""
        self.steps += 1

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        """Stop where the next epoch would be over the time."""
        self.used = time.process_time() - self.started
        epochs = max(1, self.steps // self.per_epoch)
        if self.used * (epochs + 1) / epochs > self.seconds:
            raise Ended

    per_epoch = 1


def posterior(model: Any, kind: str, inputs: Any) -> tuple[Any, Any, Any]:
    """Return the components of q(z | both): their family, locations and scales (C, B, D)."""
    if kind == "MMVAE":
        each = [model.encoders[m](inputs.data[m]) for m in model.encoders]
        scales = [model.log_var_to_std(one.log_covariance) for one in each]
        return Laplace, torch.stack([one.embedding for one in each]), torch.stack(scales)
    if kind == "MoPoE":
        found = model.inference(inputs)
        return Normal, found["mus"], (0.5 * found["logvars"]).exp()
    if kind == "MVTCAE":
        mean, log_variance = model._inference(inputs)["joint"]
    else:
        mean, log_variance = model.compute_mu_log_var_subset(inputs, list(model.encoders))
    return Normal, mean[None], (0.5 * log_variance[None]).exp()


@torch.no_grad()
def log_likelihood(model: Any, kind: str, inputs: Any, sigma: float, k: int) -> Any:
    """Return the bound of `k` samples on log p(picture, sound), (B,): samples shared out among q's components."""
    family, loc, scale = posterior(model, kind, inputs)
    q = family(loc, scale)
    counts = [k // len(loc) + (c < k % len(loc)) for c in range(len(loc))]
    z = torch.cat([family(loc[c], scale[c]).sample((n,)) for c, n in enumerate(counts)])
    log_q = torch.logsumexp(q.log_prob(z.unsqueeze(1)).sum(-1), 1) - np.log(len(loc))
    prior = model.prior_dist(*model.pz_params) if kind == "MMVAE" else Normal(0.0, 1.0)
    log_w = prior.log_prob(z).sum(-1) - log_q
    flat = z.flatten(0, 1)
    for m, x in inputs.data.items():
        made = model.decoders[m](flat).reconstruction.view(*z.shape[:2], -1)
        p = torch.distributions.Bernoulli(logits=made) if m == "picture" else Normal(made, sigma)
        log_w = log_w + p.log_prob(x).sum(-1)
    # A stratified sample: a component's weights average over its own share.
    shares = torch.cat([torch.full((n,), 1 / (len(loc) * n)) for n in counts]).log()
    return torch.logsumexp(log_w + shares[:, None], 0)


def main() -> None:
    """Train, measure, write, say."""
    kind, data, out, seed, seconds, k = sys.argv[1:]
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    found = np.load(data)
    sigma, (hidden, latent) = float(found["sigma"]), found["widths"].tolist()
    sets = {
        split: MultimodalBaseDataset(
            {"picture": torch.from_numpy(found[split][:, :784]), "sound": torch.from_numpy(found[split][:, 784:])}
        )
        for split in ("train", "valid", "test")
    }
    sizes = {name: x.shape[1] for name, x in sets["train"].data.items()}
    torch.manual_seed(int(seed))
    model_class, config = KINDS[kind]
    model = model_class(
        config(
            n_modalities=2,
            latent_dim=latent,
            input_dims={name: (size,) for name, size in sizes.items()},
            decoders_dist={"picture": "bernoulli", "sound": "normal"},
            decoder_dist_params={"sound": {"scale": sigma}},
        ),
        encoders={name: Encoder(size, hidden, latent) for name, size in sizes.items()},
        decoders={name: Decoder(latent, hidden, size) for name, size in sizes.items()},
    )
    clock = Clock(float(seconds))
    clock.per_epoch = -(-len(sets["train"]) // BATCH)
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder, per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH,
            learning_rate=RATE, num_epochs=10**6, no_cuda=True, seed=int(seed),
        )  # fmt: skip
        trainer = BaseTrainer(model, sets["train"], sets["valid"], settings, [clock])
        trainer.callback_handler.callbacks = [clock]  # no bar, nothing printed
        with suppress(Ended):
            trainer.train()
    best = trainer._best_model.eval()
    test, n = sets["test"], len(sets["test"])
    torch.manual_seed(0)
    bound = log_likelihood(best, kind, test, sigma, int(k))
    theirs = float(-best.compute_joint_nll(test, K=int(k))) / n
    sounds = best.predict(test, cond_mod="picture", gen_mod="sound").sound
    pictures = best.predict(test, cond_mod="sound", gen_mod="picture").picture.sigmoid()
    drawn = best.decode(best.generate_from_prior(1000))
    np.savez(out, sounds=sounds, pictures=pictures, drawn=torch.cat([drawn.picture.sigmoid(), drawn.sound], 1).numpy())
    facts = {"cpu": clock.used, "steps": clock.steps, "weights": sum(p.numel() for p in model.parameters())}
    print(json.dumps({"bound": bound.double().mean().item(), "own_nll": theirs, **facts}))


if __name__ == "__main__":
    main()
