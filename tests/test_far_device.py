"""The make-believe device refuses what CUDA refuses, allows what CUDA allows, and gives the CPU's numbers.

Where there is a CUDA device, it is held to the same table.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import far_device

DEVICES = [
    "far",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")),
]
TWO_DEVICES = "on the same device"
GENERATOR = "device type for generator but found"
INDICES = "indices should be either on .*cpu.* or on the same device"
HOST = "Use Tensor.cpu\\(\\) to copy the tensor to host memory first"


@pytest.fixture(autouse=True)
def opened() -> Iterator[None]:
    with far_device.opened():
        yield


class Meeting:
    """Tensors on both sides: `a`, `index`, `mask` there; `b`, `near_index`, `near_mask` and `number` on the CPU."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.b = torch.arange(6.0).view(3, 2) + 1
        self.near_index, self.near_mask, self.number = torch.tensor([0, 2]), self.b > 2, torch.tensor(2.0)
        self.a, self.index, self.mask = self.b.to(device), self.near_index.to(device), self.near_mask.to(device)
        self.there, self.here = torch.Generator(device), torch.Generator()


Call = Callable[[Meeting], Any]

REFUSED: dict[str, tuple[Call, str]] = {
    "addition": (lambda m: m.a + m.b, TWO_DEVICES),
    "addition the other way": (lambda m: m.b + m.a, TWO_DEVICES),
    "in place": (lambda m: m.a.add_(m.b), TWO_DEVICES),
    "in place on the CPU": (lambda m: m.b.add_(m.a), TWO_DEVICES),
    "a number there and a tensor here": (lambda m: m.b * m.a[0, 0], TWO_DEVICES),
    "in place on a number": (lambda m: m.number.add_(m.a[0, 0]), TWO_DEVICES),
    "matrix product": (lambda m: m.a @ m.b.T, TWO_DEVICES),
    "linear layer": (lambda m: nn.Linear(2, 2)(m.a), TWO_DEVICES),
    "convolution": (lambda m: nn.Conv1d(1, 1, 1)(m.a.unsqueeze(1)), "same"),
    "embedding": (lambda m: nn.Embedding(3, 2)(m.index), TWO_DEVICES),
    "cat": (lambda m: torch.cat([m.a, m.b]), TWO_DEVICES),
    "stack": (lambda m: torch.stack([m.a[0, 0], m.number]), TWO_DEVICES),
    "where": (lambda m: torch.where(m.mask, m.a, m.b), TWO_DEVICES),
    "where by a CPU mask": (lambda m: torch.where(m.near_mask, m.a, 0.0), TWO_DEVICES),
    "masked_fill by a CPU mask": (lambda m: m.a.masked_fill(m.near_mask, 0.0), TWO_DEVICES),
    "gather": (lambda m: m.a.gather(0, m.near_index[None]), TWO_DEVICES),
    "index_select": (lambda m: m.a.index_select(0, m.near_index), TWO_DEVICES),
    "index_add": (lambda m: m.a.index_add(0, m.index, m.b[:2]), TWO_DEVICES),
    "cross entropy": (lambda m: nn.functional.cross_entropy(m.a, torch.zeros(3, dtype=torch.long)), TWO_DEVICES),
    "mean square": (lambda m: nn.functional.mse_loss(m.a, m.b), TWO_DEVICES),
    "a CPU tensor by an index there": (lambda m: m.b[m.index], INDICES),
    "a CPU tensor by a mask there": (lambda m: m.b[m.mask], INDICES),
    "CPU values put there": (lambda m: m.a.index_put((m.index,), m.b[:2]), TWO_DEVICES),
    "numpy": (lambda m: m.a.numpy(), HOST),
    "np.asarray": (lambda m: np.asarray(m.a), HOST),
    "numpy of a mask": (lambda m: m.mask.numpy(), HOST),
    "a CPU generator there": (lambda m: torch.randn(2, generator=m.here, device=m.device), GENERATOR),
    "a CPU generator in place": (lambda m: m.a.normal_(generator=m.here), GENERATOR),
    "a CPU generator for multinomial": (lambda m: torch.multinomial(m.a, 1, generator=m.here), GENERATOR),
    "a CPU generator for bernoulli": (lambda m: torch.bernoulli(m.a / 9, generator=m.here), GENERATOR),
    "a generator there for the CPU": (lambda m: torch.randn(2, generator=m.there), GENERATOR),
    "a generator there in place": (lambda m: m.b.uniform_(generator=m.there), GENERATOR),
    "a generator there for a CPU permutation": (lambda m: torch.randperm(3, generator=m.there), GENERATOR),
}

ALLOWED: dict[str, Call] = {
    "a CPU number": lambda m: m.a + m.number,
    "a CPU number first": lambda m: m.number * m.a,
    "where a CPU number": lambda m: torch.where(m.mask, m.a, m.number),
    "masked_fill with a CPU number": lambda m: m.a.masked_fill(m.mask, m.number),
    "a Python number": lambda m: 2 * m.a - 1,
    "by a CPU index": lambda m: m.a[m.near_index],
    "by a CPU mask": lambda m: m.a[m.near_mask],
    "by a list": lambda m: m.a[[0, 2]],
    "by a mask there": lambda m: m.a[m.mask],
    "a CPU tensor by a number there": lambda m: m.b[m.index[0]],
    "copying there": lambda m: m.a.clone().copy_(m.b),
    "copying back": lambda m: m.b.clone().copy_(m.a),
    "item": lambda m: torch.tensor([m.a.sum().item(), float(m.a[0, 0]), bool(m.mask.any())]),
    "a list of numbers there": lambda m: torch.tensor([m.a.sum(), m.a[0, 0]]),
    "tolist": lambda m: torch.tensor(m.a.tolist()),
    "new_tensor": lambda m: m.a.new_tensor([1.0, 2.0]),
    "tensor": lambda m: torch.tensor([1.0, 2.0], device=m.a.device),
    "arange": lambda m: torch.arange(2, 9, 3, device=m.device),
    "eye": lambda m: torch.eye(2, 3, device=m.device),
    "zeros_like on the CPU": lambda m: torch.zeros_like(m.a, device="cpu") + m.b,
    "assignment": lambda m: m.a.clone().index_put_((m.near_index,), m.number),
    "double": lambda m: m.a.double().cumsum(0),
    "sorting": lambda m: m.a.sort(0, descending=True).values,
    "unique": lambda m: (m.a % 2).unique(),
    "nonzero": lambda m: m.mask.nonzero(),
    "linear algebra": lambda m: torch.linalg.cholesky(m.a.T @ m.a + torch.eye(2, device=m.device)),
    "sparse product": lambda m: torch.sparse.mm(m.a.to_sparse(), m.a.T),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses(name: str, device: str) -> None:
    call, words = REFUSED[name]
    meeting = Meeting(device)
    with pytest.raises((RuntimeError, TypeError), match=words):
        call(meeting)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ALLOWED)
def test_it_allows_and_gives_the_numbers_of_the_cpu(name: str, device: str) -> None:
    torch.testing.assert_close(ALLOWED[name](Meeting(device)).cpu(), ALLOWED[name](Meeting("cpu")))


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_made_of_far_tensors_is_far(device: str) -> None:
    m = Meeting(device)
    values: list[Tensor] = [m.a + 1, m.a.T, m.a.new_zeros(2), m.a[0], torch.zeros_like(m.a), m.a.detach(), m.a.data]
    assert {v.device.type for v in values} == {device}
    assert not m.a.is_cpu and m.a.cpu().is_cpu and m.a.to("cpu").is_cpu


def test_its_random_numbers_are_the_cpus_of_the_same_seed_from_a_state_of_its_own() -> None:
    torch.manual_seed(3)
    near = torch.randn(5)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    there = torch.randn(5, device="far")
    assert torch.equal(there.cpu(), near)
    assert torch.equal(torch.get_rng_state(), before)  # the CPU's own state has not moved
    assert torch.equal(torch.randn(5), near)
    own = torch.randn(5, device="far", generator=torch.Generator("far").manual_seed(3))
    assert torch.equal(own.cpu(), near)


def test_a_random_state_that_is_not_put_back_shows() -> None:
    torch.manual_seed(3)
    first = torch.randn(2, device="far")
    torch.manual_seed(3)
    with torch.random.fork_rng(devices=[]):  # forks the CPU's state alone
        torch.randn(2, device="far")
    assert not torch.equal(torch.randn(2, device="far").cpu(), first.cpu())


class Everything(nn.Module):
    """Layers of every kind that the models have: convolution, recurrence, attention, normalisation, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 16)
        self.gru, self.lstm = nn.GRU(16, 16, batch_first=True), nn.LSTM(16, 16, batch_first=True)
        self.attention = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.conv, self.norm, self.drop = nn.Conv1d(16, 8, 3), nn.BatchNorm1d(8), nn.Dropout(0.3)
        self.back = nn.ConvTranspose1d(8, 7, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.gru(self.embedding(tokens))[0]
        lengths = torch.full((len(tokens),), tokens.shape[1] - 1)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        x = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=tokens.shape[1])[0]
        return self.back(self.drop(self.norm(self.conv(self.attention(x).mT)).relu()))


@pytest.mark.parametrize("optimiser", [torch.optim.Adam, torch.optim.SGD, torch.optim.AdamW])
def test_training_steps_give_the_numbers_of_the_cpu(optimiser: Any) -> None:
    def losses(device: str) -> list[float]:
        torch.manual_seed(0)
        model = Everything()
        first = next(model.parameters())
        assert next(model.to(device).parameters()) is first  # as `module.to("cuda")` keeps its parameters
        steps = optimiser(model.parameters(), lr=1e-2)
        torch.manual_seed(1)
        values = []
        for _ in range(5):
            tokens = torch.randint(7, (6, 9), device=device)
            loss = nn.functional.cross_entropy(model(tokens), tokens)
            steps.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            steps.step()
            values.append(loss.item())
        return values

    assert losses("far") == pytest.approx(losses("cpu"), rel=1e-5)


def test_modules_copy_save_and_load(tmp_path: Path) -> None:
    model = nn.Linear(2, 2).to("far")
    twin = copy.deepcopy(model)
    with torch.no_grad():
        model.weight.zero_()
    assert twin.weight.device.type == "far" and float(twin.weight.detach().abs().sum()) > 0
    assert isinstance(twin.weight, nn.Parameter)
    save_file({name: value.cpu() for name, value in twin.state_dict().items()}, tmp_path / "model.safetensors")
    model.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(model.weight.cpu(), twin.weight.cpu())
    assert torch.equal(copy.deepcopy(model).cpu().weight, model.weight.cpu())


def test_it_works_in_another_thread() -> None:
    def there() -> float:
        return (torch.zeros(3, device="far") + 1).sum().item()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(there).result() == 3.0
