"""The fitted σ over two processes: the loss and the running σ are those of one process with the whole batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WORKER = """
import sys, torch, torch.distributed as dist
from vaekit import distributed
from vaekit.distributed import group
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.nets.mlp import mlp
rank = int(sys.argv[1])
torch.manual_seed(0)
part = Gaussian(mlp(2, 5, (4,)), scale="optimal")
z, x = torch.randn(6, 2), torch.randn(6, 5)
whole = part(z).log_prob(x).detach()
kept = part.mean_square.clone()
part.mean_square.fill_(1.0); part.steps.zero_()
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
group.join()
with distributed.sharing(6, 0):
    mine = distributed.deal
    torch.testing.assert_close(part(mine(z)).log_prob(mine(x)).detach(), mine(whole))
torch.testing.assert_close(part.mean_square, kept)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_share_one_sigma(tmp_path: Path) -> None:
    meeting = str(tmp_path / "meeting")
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(rank), meeting], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for worker in workers:
        _, error = worker.communicate(timeout=120)
        assert worker.returncode == 0, error
