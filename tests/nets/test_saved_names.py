"""The names under which networks' parameters are saved: runs and checkpoints are read by them, so they must stay."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from vaekit.nets.conductor import ConductorDecoder
from vaekit.nets.conv import ConvDecoder, ConvEncoder
from vaekit.nets.mlp import mlp
from vaekit.nets.recurrent import GRUDecoder, GRUEncoder
from vaekit.nets.resnet import GridNet, ResNetDecoder, ResNetEncoder
from vaekit.nets.sequence import TransformerDecoder, TransformerEncoder
from vaekit.nets.stream import Bottleneck, StreamHead

BLOCK = "branch.0 branch.2 branch.3 branch.5"
ATTENTION = "norm qkv project mlp.0 mlp.1 mlp.3"
HEAD = "head.bias head.position head.up.body"


def below(prefix: str, names: str) -> str:
    return " ".join(f"{prefix}.{name}" for name in names.split())


SAVED: list[tuple[Any, str]] = [
    (mlp(4, 2, (3, 3), skip=True), "layers.0 layers.1 skips.0 head"),
    (mlp(4, 2, (3,), normalise=True), "layers.0 head norms.0"),
    (ConvEncoder((1, 8, 8), 2, (3, 4)), "trunk.0.conv trunk.2.conv layers.0 head"),
    (ConvEncoder((1, 8, 8), (2, 4, 4), (3,), context=2), "trunk.0.conv label head"),
    (ConvDecoder(2, (1, 8, 8), (4, 3), skip=True), f"layers.0 layers.1 stages.0.1.body skips.0 skips.1 {HEAD}"),
    (ConvDecoder((2, 4, 4), (1, 8, 8), (3,), context=2), f"stem label {HEAD}"),
    (ResNetEncoder((1, 8, 8), 2, (4,)), f"trunk.0.conv {below('trunk.1', BLOCK)} trunk.2 layers.0 head"),
    (
        ResNetDecoder(2, (1, 8, 8), (4, 4)),
        f"layers.0 layers.1 {below('stages.0.0', BLOCK)} stages.0.1.body {below('last.0', BLOCK)} last.1 {HEAD}",
    ),
    (GridNet((2, 4, 4), (2, 4, 4), width=4), f"stem {below('blocks.0', BLOCK)} blocks.1 head"),
    (Bottleneck(2, 2, 2, (4, 4)), "f.1 f.3 f.5 f.7"),
    (StreamHead((4, 8, 8), (1, 8, 8)), "gain shift head.bias head.position head.conv"),
    (StreamHead((4, 4, 4), (1, 8, 8)), "gain shift head.bias head.position head.conv.body"),
    (GRUEncoder(9, 2, width=3), "embedding gru head"),
    (GRUDecoder((4, 9), 2, width=3, layers=2), "embedding first layers.0 layers.1 head"),
    (ConductorDecoder((4, 9), 2, bar=2), "opening conductor beginning embedding lower head"),
    (
        TransformerEncoder(9, 4, 2, width=4, layers=1, heads=1),
        f"position embedding {below('blocks.0', ATTENTION)} norm head",
    ),
    (
        TransformerDecoder((4, 9), 2, width=4, layers=2, heads=1),
        f"body.position body.embedding body.context body.again.0 {below('body.blocks.0', ATTENTION)} "
        f"{below('body.blocks.1', ATTENTION)} body.norm head",
    ),
]


@pytest.mark.parametrize(("net", "names"), SAVED, ids=lambda value: type(value).__name__)
def test_parameters_keep_their_names(net: nn.Module, names: str) -> None:
    saved = {name for name, _ in net.named_parameters()}
    stems = set(names.split())
    of = {name: name if name in stems else name.rpartition(".")[0] for name in saved}
    assert set(of.values()) == stems
    assert all(name in stems or name.rpartition(".")[2].startswith(("weight", "bias")) for name in saved)
