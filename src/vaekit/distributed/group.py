"""The group of processes: joining it, who is first in it, and moving plain values and tensors from the first."""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from vaekit.errors import PeerLost, UserError

TIMEOUT = timedelta(minutes=30)

# Its name until torch 2.13, which warns of it.
ALL_GATHER: Callable[..., Any] = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor

_rank, _world = 0, 1


def rank() -> int:
    """Return this process's number, from 0; 0 when it is alone."""
    return _rank


def world() -> int:
    """Return how many processes there are."""
    return _world


def is_main() -> bool:
    """Return whether this process is the one that writes and prints."""
    return _rank == 0


def start() -> None:
    """Join the group that torchrun, or `vaekit train --devices N`, started this process in, if any did.

    Collectives run on gloo for tensors on the processor and on NCCL for those on CUDA. Call it as often as you like.
    """
    if _world > 1 or not dist.is_available() or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank() % torch.cuda.device_count())
    if not dist.is_initialized():  # by the host's own code
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            call(meet, backend)
            call(dist.all_reduce, torch.zeros(1))  # a process that ends after this is an error in the others
        except PeerLost:
            raise
        except (RuntimeError, ValueError) as error:
            raise UserError(f"the {os.environ['WORLD_SIZE']} processes of this run could not meet: {error}") from None
        atexit.register(leave)
    join()


def meet(backend: str) -> None:
    """Join the group through the launcher's key-value store, where processes find each other's addresses.

    On one machine torchrun keeps the store over restarts, and with it the addresses of processes that have died: each
    attempt has names of its own. Several machines may disagree on the number of the attempt.
    """
    store, number, size = next(iter(rendezvous("env://", timeout=TIMEOUT)))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if os.environ.get("GROUP_WORLD_SIZE") == "1" else "0"
    store = dist.PrefixStore(f"attempt {attempt}", store)
    dist.init_process_group(backend, store=store, rank=number, world_size=size, timeout=TIMEOUT)


def join() -> None:
    """Take rank and world from the process group that this process is in."""
    global _rank, _world
    _rank, _world = dist.get_rank(), dist.get_world_size()


def leave() -> None:
    """Leave the group, if this process is in one: those that wait for it get an error."""
    global _rank, _world
    _rank, _world = 0, 1
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def local_rank() -> int:
    """Return this process's number on its own machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def restarted() -> bool:
    """Return whether torchrun or `vaekit train --devices` started this run's processes again after one had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def launch() -> str | None:
    """Return a name for the launch that this process belongs to, the same after a restart; None without a launcher."""
    if "TORCHELASTIC_RESTART_COUNT" not in os.environ:
        return None
    name = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return f"{os.uname().nodename}-{os.getppid()}" if name in ("", "none") else name


def call(collective: Callable[..., Any], *arguments: Any) -> None:
    """Call a collective; the loss of another process is a PeerLost."""
    try:
        collective(*arguments)
    except RuntimeError as error:
        if _is_loss(str(error)):
            raise PeerLost("another process of this run has ended; the run goes on from its last checkpoint") from None
        raise


def _is_loss(text: str) -> bool:
    return any(part in text for part in ("onnection closed", "onnection reset", "roken pipe", "NCCL error", "aborted"))


def broadcast_text(text: str | None, source: int = 0) -> str:
    """Return the text of the process `source`."""
    if _world == 1:
        assert text is not None
        return text
    data = torch.tensor(list((text or "").encode(errors="surrogatepass")), dtype=torch.uint8)
    size = torch.tensor([len(data)])
    call(dist.broadcast, size, source)
    buffer = data if _rank == source else torch.empty(int(size), dtype=torch.uint8)
    call(dist.broadcast, buffer, source)
    return bytes(buffer.tolist()).decode()


def from_main(make: Callable[[], Any]) -> Any:
    """Return what `make`, called by the first process alone, gives there: plain JSON. All raise its UserError."""
    if _world == 1:
        return make()
    answer: dict[str, Any] = {}
    if is_main():
        try:
            answer = {"value": make()}
        except UserError as error:
            answer = {"error": str(error)}
    answer = json.loads(broadcast_text(json.dumps(answer) if is_main() else None))
    if "error" in answer:
        raise UserError(answer["error"])
    return answer["value"]


def broadcast_tensors(tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Return the first process's named tensors, one at a time over the wire; None on the others."""
    if _world == 1:
        assert tensors is not None
        return dict(tensors)
    facts = (
        [[name, str(t.dtype).removeprefix("torch."), list(t.shape)] for name, t in tensors.items()] if tensors else []
    )
    out: dict[str, Tensor] = {}
    for name, dtype, shape in from_main(lambda: facts):
        mine = tensors[name].contiguous() if tensors else torch.empty(shape, dtype=getattr(torch, dtype))
        if mine.numel():
            call(dist.broadcast, mine.view(torch.uint8) if mine.dim() else mine, 0)
        out[name] = mine
    return out


@torch.no_grad()
def same_start(tensors: Sequence[Tensor]) -> None:
    """Give every process the first one's values: machines of other kinds round initial weights otherwise."""
    if _world > 1:
        for tensor in tensors:
            call(dist.broadcast, tensor, 0)


def join_rows(x: Tensor) -> Tensor:
    """Return the rows (n, ...) of all processes one after another, n being each one's own number."""
    if _world == 1:
        return x
    sizes = torch.zeros(_world, dtype=torch.int64, device=x.device)
    sizes[_rank] = len(x)
    call(dist.all_reduce, sizes)
    counts = sizes.tolist()
    padded = x.new_zeros(max(counts), *x.shape[1:])
    padded[: len(x)] = x
    out = x.new_empty(_world * len(padded), *x.shape[1:])
    call(ALL_GATHER, out, padded)
    return torch.cat([part[:n] for part, n in zip(out.split(max(len(padded), 1)), counts)]) if len(out) else out


def sums(values: Sequence[float]) -> list[float]:
    """Return each number added up over the processes."""
    return list(values) if _world == 1 else sum_in_place(torch.tensor(values, dtype=torch.float64)).tolist()


def first_text(text: str | None) -> str | None:
    """Return the text of the first process that has one."""
    if _world == 1:
        return text
    has = torch.zeros(_world)
    has[_rank] = float(text is not None)
    having = sum_in_place(has).nonzero().flatten().tolist()
    return broadcast_text(text, having[0]) if having else None


def sum_in_place(x: Tensor) -> Tensor:
    """Add `x` up over the processes, in place."""
    if _world > 1:
        call(dist.all_reduce, x)
    return x
