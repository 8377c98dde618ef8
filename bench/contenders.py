"""One contender of the benchmark in a process of its own, stepped on command.

python bench/contenders.py NAME NET DATA.npz   (bench/run.py starts it)

It says "ready" when its training loop asks for the first batch. "go N" makes it load and train on N batches and answer
with what that took; "first" lets it run to the end of its first epoch; "end" ends it with its peak memory and its ELBO
on held-out images. Every loop is the contender's own; only the iterator of batches stops between commands. All have the
same architecture, batch size, Adam with learning rate 1e-3, and the same binary images.

Run by another Python for pythae, so nothing of vaekit is imported at the top.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

BATCH, LATENT, RATE = 128, 20, 1e-3
WIDTHS = (512, 256)


class Ended(Exception):
    """The parent has seen enough."""


def say(**facts: Any) -> None:
    """Print one JSON object."""
    print(json.dumps(facts), flush=True)


class Gate:
    """Lets batches through by the number that was asked for, and times the loop between."""

    def __init__(self) -> None:
        self.left, self.asked = 0, 0
        self.to_the_end = False
        self.cpu = self.wall = 0.0

    def wait(self) -> None:
        """Report what was asked for last, and take the next command."""
        if self.asked:
            say(steps=self.asked, cpu=time.process_time() - self.cpu, wall=time.perf_counter() - self.wall)
        else:
            say(ready=True)
        words = sys.stdin.readline().split()
        if not words or words[0] == "end":
            raise Ended
        self.to_the_end = words[0] == "first"
        self.asked = self.left = 10**9 if self.to_the_end else int(words[1])
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def _end_of_epoch(self) -> None:
        if self.to_the_end:
            say(first=True, cpu=time.process_time(), peak_mib=peak())
            raise Ended

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield an epoch's batches as commands allow."""
        self._end_of_epoch()
        found = iter(batches)
        while True:
            if self.left == 0:
                self.wait()
            batch = next(found, None)
            if batch is None:
                self._end_of_epoch()
                return
            self.left -= 1
            yield batch


class Gated:
    """A loader seen through a gate, with the loader's own attributes."""

    def __init__(self, loader: Any, gate: Gate) -> None:
        self._loader, self._gate = loader, gate

    def __iter__(self) -> Iterator[Any]:
        return self._gate(self._loader)

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def peak() -> float:
    """Return the process's resident memory at its highest, MiB."""
    with Path("/proc/self/status").open() as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024, 1)


def layers(net: str) -> tuple[Any, Any, Any, Any]:
    """Return (trunk, mean, log-variance, decoder to logits of (N, 784) or (N, 1, 28, 28))."""
    from torch import nn

    if net == "mlp":
        a, b = WIDTHS
        trunk = nn.Sequential(nn.Flatten(), nn.Linear(784, a), nn.ReLU(), nn.Linear(a, b), nn.ReLU())
        decoder = nn.Sequential(
            nn.Linear(LATENT, b), nn.ReLU(), nn.Linear(b, a), nn.ReLU(), nn.Linear(a, 784), nn.Unflatten(1, (1, 28, 28))
        )
    else:
        trunk = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Flatten(),
            nn.Linear(64 * 7 * 7, 256), nn.ReLU(),
        )  # fmt: skip
        decoder = nn.Sequential(
            nn.Linear(LATENT, 256), nn.ReLU(), nn.Linear(256, 64 * 7 * 7), nn.Unflatten(1, (64, 7, 7)), nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1),
        )  # fmt: skip
    return trunk, nn.Linear(256, LATENT), nn.Linear(256, LATENT), decoder


def elbo(x: Any, encode: Callable[[Any], Any], logits: Callable[[Any], Any]) -> dict[str, float]:
    """Return the ELBO of held-out images, one sample each, by the same formula for all: its mean and standard error."""
    import torch
    from torch.nn.functional import softplus

    torch.manual_seed(1)
    with torch.no_grad():
        mean, log_variance = encode(x)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        found = logits(z).flatten(1).double()
        flat = x.flatten(1).double()
        log_px = (flat * found - softplus(found)).sum(1)
        kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).double().sum(1)
        values = log_px - kl
    return {"elbo": values.mean().item(), "elbo_stderr": values.std().item() / len(values) ** 0.5}


# -- a loop as tutorials have it --------------------------------------------------------------------------------------


def textbook(net: str, images: Any, held: Any, gate: Gate) -> dict[str, float]:
    """Images one by one through PIL and a DataLoader, probabilities and their BCE, three .item() a step."""
    import numpy as np
    import torch
    import torch.nn.functional as F
    from PIL import Image
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    class Images(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, i: int) -> Any:
            picture = Image.fromarray(images[i, 0] * 255)
            return torch.from_numpy(np.array(picture, copy=True)).unsqueeze(0).float().div(255)

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.mean, self.log_variance, self.decoder = layers(net)

        def encode(self, x: Any) -> Any:
            h = self.trunk(x)
            return self.mean(h), self.log_variance(h)

        def forward(self, x: Any) -> Any:
            mean, log_variance = self.encode(x)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            return torch.sigmoid(self.decoder(z)), mean, log_variance

    torch.manual_seed(0)
    model = VAE()
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    loader = DataLoader(Images(), BATCH, shuffle=True)
    total = 0.0
    try:
        while True:
            for x in gate(loader):
                optimiser.zero_grad()
                recon, mean, log_variance = model(x)
                bce = F.binary_cross_entropy(recon, x, reduction="sum")
                kld = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
                loss = (bce + kld) / len(x)
                loss.backward()
                optimiser.step()
                total += loss.item() + 0 * (bce.item() + kld.item())
    except Ended:
        return {"peak_mib": peak(), **elbo(held, model.encode, model.decoder)}


# -- pythae -----------------------------------------------------------------------------------------------------------


def pythae(net: str, images: Any, held: Any, gate: Gate) -> dict[str, float]:
    """pythae's VAE and its own trainer, on its own data set, with the same layers."""
    import logging
    import tempfile

    import torch
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    logging.disable(logging.INFO)
    trunk, mean, log_variance, decoder = layers(net)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.mean, self.log_variance = trunk, mean, log_variance

        def forward(self, x: Any) -> Any:
            h = self.trunk(x)
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = decoder

        def forward(self, z: Any) -> Any:
            return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))

    torch.manual_seed(0)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    model = VAE(model_config=config, encoder=Encoder(), decoder=Decoder())
    x = torch.from_numpy(images)
    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            model,
            BaseDataset(x, torch.zeros(len(x))),
            training_config=BaseTrainerConfig(
                output_dir=folder, per_device_train_batch_size=BATCH, learning_rate=RATE, num_epochs=10**6, no_cuda=True
            ),
        )
        trainer.train_loader = Gated(trainer.train_loader, gate)
        with suppress(Ended):
            trainer.train()

    def encode(x: Any) -> Any:
        found = model.encoder(x)
        return found.embedding, found.log_covariance

    return {"peak_mib": peak(), **elbo(held, encode, model.decoder.layers)}


# -- vaekit -----------------------------------------------------------------------------------------------------------


def prepared(net: str, images: Any, precision: str) -> tuple[Any, Any, Any]:
    """Return (model and stages, source, settings) as `vaekit.train` makes them."""
    from vaekit.data import DataSettings, load
    from vaekit.recipes.base import RECIPES
    from vaekit.runs.base import build
    from vaekit.training.data_source import DataSource

    data = load(images, DataSettings(valid=0, test=0), wants="binary")
    recipe = RECIPES["vae"].part
    sizes = {"hidden": list(WIDTHS)} if net == "mlp" else {"channels": [32, 64]}
    train = {"lr": RATE, "warmup": 0, "decay": "none", "batch_size": BATCH, "steps": 10**7, "precision": precision}
    settings = recipe.settings(
        {"model": {"net": net, "act": "relu", "latent": LATENT, "likelihood": "bernoulli", **sizes}, "train": train}
    )
    built = build(recipe, settings, data.info)
    built.model.start_from(data.train_mean())
    return built, DataSource(data), settings.train


def vaekit(net: str, images: Any, held: Any, gate: Gate, precision: str) -> dict[str, Any]:
    """vaekit's `fit` on its recipe 'vae'; its log, accounts and checks as always, no run folder."""
    from vaekit.training.loop import Fit

    built, source, settings = prepared(net, images, precision)

    class Commanded(type(source)):  # type: ignore[misc]
        def train(self, *args: Any, **more: Any) -> Any:
            return gate(super().train(*args, **more))

    fit = Fit(built.model, built.stages, Commanded(source.data), settings)
    with suppress(Ended):
        fit.run()
    model = built.model.eval()

    def encode(x: Any) -> Any:
        q = model.encode(x)
        return q.mean, q.variance.log()

    return {"peak_mib": peak(), "precision": fit.precision, **elbo(held, encode, lambda z: model.decode(z).logits)}


def stepped(model: Any, loss_of: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Return a bare training step: a loss, its gradients, one fused update."""
    import torch

    parameters = list(model.parameters())
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    count, total = torch.zeros(()), torch.zeros(())

    def step(x: Any) -> None:
        nonlocal total
        loss = loss_of(x)
        grads = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            count.add_(1)
            torch._fused_adam_(
                parameters, list(grads), first, second, [], [count] * len(parameters), lr=RATE, beta1=0.9, beta2=0.999,
                weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False,
            )  # fmt: skip
            total = total + loss.detach()

    return step


def half(precision: str) -> Any:
    """Return the context in which layers compute in bf16, or none."""
    from contextlib import nullcontext

    import torch

    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()


def bare_step(built: Any, precision: str) -> Callable[[Any], None]:
    """Return a step of the same model, written out as a bare loop: its layers, one expression, one fused update."""
    import torch
    import torch.nn.functional as F

    posterior, likelihood = built.model.posterior.net, built.model.likelihood.net
    act = built.model.posterior.net.act

    def loss(x: Any) -> Any:
        with half(precision):
            h = x.flatten(1)
            for layer in posterior.layers:
                h = act(layer(h))
            mean, raw = posterior.head(h).float().chunk(2, 1)
            log_scale = 7 * torch.tanh(raw / 7)
            h = mean + torch.randn_like(mean) * log_scale.exp()
            for layer in likelihood.layers:
                h = act(layer(h))
            logits = likelihood.head(h).float()
        bce = F.binary_cross_entropy_with_logits(logits, x.flatten(1), reduction="sum")
        kl = (0.5 * (mean * mean + torch.expm1(2 * log_scale)) - log_scale).sum()
        return (bce + kl) / len(x)

    return stepped(built.model, loss)


def traced_step(built: Any, precision: str) -> Callable[[Any], None]:
    """Return the bare step with the model's trace, and its objective, in place of the expression."""
    model, objective = built.model, built.stages[0].objective

    def loss(x: Any) -> Any:
        with half(precision):
            trace = model.trace(x)
        return objective(trace)["model"].total

    return stepped(model, loss)


class Turns(Gate):
    """A gate that, beside each block of the loop's own steps, takes as many of a bare loop's and times both."""

    def __init__(self, bare: Callable[[int], None]) -> None:
        super().__init__()
        self._bare, self._turn, self._took = bare, 0, 0.0

    def _run_bare(self) -> None:
        start = time.process_time()
        self._bare(self.asked)
        self._took = time.process_time() - start

    def wait(self) -> None:
        """Report the last block, and take the next command; the bare loop's turn comes first every other time."""
        if self.asked:
            ours, wall = time.process_time() - self.cpu, time.perf_counter() - self.wall
            if self._turn % 2:
                self._run_bare()
            say(steps=self.asked, cpu=ours, wall=wall, bare=self._took)
        else:
            say(ready=True)
        words = sys.stdin.readline().split()
        if not words or words[0] == "end":
            raise Ended
        self.asked = self.left = int(words[1])
        self._turn += 1
        if self._turn % 2 == 0:
            self._run_bare()
        self.cpu, self.wall = time.process_time(), time.perf_counter()


def paired(source: Any, step: Callable[[Any], None]) -> tuple[Turns, Iterator[Any]]:
    """Return a gate that takes a bare step beside each step that it lets through, and endless batches for both."""

    def batches() -> Iterator[Any]:
        epoch = 0
        while True:
            yield from source.train(BATCH, seed=0, epoch=epoch, skip=0)
            epoch += 1

    found = batches()

    def bare(n: int) -> None:
        for _ in range(n):
            step(next(found)[0])

    return Turns(bare), batches()


def overhead(net: str, images: Any, held: Any, gate: Gate, precision: str) -> dict[str, Any]:
    """Blocks of vaekit's `fit` and of the bare loop in one process, turn about; both on vaekit's own batches."""
    from vaekit.training.loop import Fit

    built, source, settings = prepared(net, images, precision)
    turns, _ = paired(source, bare_step(prepared(net, images, precision)[0], precision))

    class Commanded(type(source)):  # type: ignore[misc]
        def train(self, *args: Any, **more: Any) -> Any:
            return turns(super().train(*args, **more))

    with suppress(Ended):
        Fit(built.model, built.stages, Commanded(source.data), settings).run()
    return {}


def trace(net: str, images: Any, held: Any, gate: Gate, precision: str) -> dict[str, Any]:
    """Blocks of the bare loop with a trace and an objective in it, and of the bare loop, in one process, turn about."""
    built, source, _ = prepared(net, images, precision)
    turns, batches = paired(source, bare_step(prepared(net, images, precision)[0], precision))
    step = traced_step(built, precision)
    with suppress(Ended):
        for x, _ in turns(batches):
            step(x)
    return {}


# -- what the machine can do at most ----------------------------------------------------------------------------------


def limit(net: str, images: Any, held: Any, gate: Gate, precision: str) -> dict[str, Any]:
    """The step's matrix products and convolutions alone, in its order, with the fused update and the loss's memory."""
    import torch
    import torch.nn.functional as F

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    work = linear_work(torch, dtype) if net == "mlp" else conv_work(torch, dtype)
    sizes = work.sizes
    weights, grads, first, second = ([torch.randn(s) * 0.01 for s in sizes] for _ in range(4))
    second = [s.abs() for s in second]
    count = torch.ones(())
    logits, x = torch.randn(BATCH, 784, requires_grad=True), (torch.rand(BATCH, 784) > 0.5).float()

    def step() -> None:
        with torch.no_grad():
            work.forward()
        loss = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        torch.autograd.grad(loss, logits)
        with torch.no_grad():
            work.backward()
            torch._fused_adam_(
                weights, grads, first, second, [], [count] * len(sizes), lr=1e-6, beta1=0.9, beta2=0.999,
                weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False,
            )  # fmt: skip

    try:
        while True:
            for _ in gate(range(100)):
                step()
    except Ended:
        return {"peak_mib": peak()}


class Work:
    """Products to be made forwards and backwards, and the parameters' sizes."""

    def __init__(self) -> None:
        self.fore: list[Callable[[], Any]] = []
        self.back: list[Callable[[], Any]] = []
        self.sizes: list[tuple[int, ...]] = []

    def forward(self) -> None:
        """Make the forward products."""
        for make in self.fore:
            make()

    def backward(self) -> None:
        """Make the backward ones, from the last layer to the first."""
        for make in reversed(self.back):
            make()

    def linear(self, torch: Any, n: int, a: int, b: int, dtype: Any, first: bool = False) -> None:
        """Add a dense layer: one product forwards, two backwards (one where nothing lies before it)."""
        x, w, g = torch.randn(n, a).to(dtype), torch.randn(b, a).to(dtype), torch.randn(n, b).to(dtype)
        bias, y = torch.randn(b).to(dtype), torch.empty(n, b, dtype=dtype)
        dx, dw = torch.empty(n, a, dtype=dtype), torch.empty(b, a, dtype=dtype)
        self.fore.append(lambda: torch.addmm(bias, x, w.t(), out=y))
        self.back.append(lambda: (torch.mm(g.t(), x, out=dw), None if first else torch.mm(g, w, out=dx)))
        self.sizes += [(b, a), (b,)]

    def conv(self, torch: Any, x_shape: Any, w_shape: Any, transposed: bool, dtype: Any, first: bool = False) -> None:
        """Add a convolution (kernel 4, stride 2, padding 1)."""
        x, w = torch.randn(*x_shape).to(dtype), torch.randn(*w_shape).to(dtype)
        bias = torch.randn(w_shape[1] if transposed else w_shape[0]).to(dtype)
        kind = ([2, 2], [1, 1], [1, 1], transposed, [0, 0], 1)
        g = torch.randn_like(torch.convolution(x, w, bias, *kind))
        self.fore.append(lambda: torch.convolution(x, w, bias, *kind))
        backward = torch.ops.aten.convolution_backward
        self.back.append(lambda: backward(g, x, w, [len(bias)], *kind, [not first, True, True]))
        self.sizes += [tuple(w_shape), (len(bias),)]


def linear_work(torch: Any, dtype: Any) -> Work:
    """Return the MLP's products."""
    work, (a, b) = Work(), WIDTHS
    for i, (wide, narrow) in enumerate([(784, a), (a, b), (b, 2 * LATENT), (LATENT, b), (b, a), (a, 784)]):
        work.linear(torch, BATCH, wide, narrow, dtype, first=i == 0)
    return work


def conv_work(torch: Any, dtype: Any) -> Work:
    """Return the convolutional model's products, each layer's by the library's own kernel."""
    work, n, flat = Work(), BATCH, 64 * 7 * 7
    work.conv(torch, (n, 1, 28, 28), (32, 1, 4, 4), False, dtype, first=True)
    work.conv(torch, (n, 32, 14, 14), (64, 32, 4, 4), False, dtype)
    for wide, narrow in [(flat, 256), (256, 2 * LATENT), (LATENT, 256), (256, flat)]:
        work.linear(torch, n, wide, narrow, dtype)
    work.conv(torch, (n, 64, 7, 7), (64, 32, 4, 4), True, dtype)
    work.conv(torch, (n, 32, 14, 14), (32, 1, 4, 4), True, dtype)
    return work


def main() -> None:
    """Run the contender named."""
    name, net, path = sys.argv[1:4]
    if name.startswith(("vaekit", "overhead", "trace", "limit")):
        from vaekit import _env

        _env.prepare()  # as the `vaekit` command does before torch loads
    import numpy as np
    import torch

    torch.set_num_threads(1)
    with np.load(path, allow_pickle=False) as file:
        images, held = file["x"], torch.from_numpy(file["held"]).float()
    kind, _, precision = name.partition("-")
    runners: dict[str, Callable[..., dict[str, Any]]] = {
        "textbook": textbook, "pythae": pythae, "vaekit": vaekit, "overhead": overhead, "trace": trace, "limit": limit,
    }  # fmt: skip
    more = (precision,) if precision else ()
    say(done=True, **runners[kind](net, images, held, Gate(), *more))


if __name__ == "__main__":
    main()
