"""Distances on features that the user names: against the definitions, and by every way of naming them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vaekit
from vaekit.errors import UserError
from vaekit.metrics import distances
from vaekit.metrics.base import Subject, evaluate
from vaekit.metrics.features import Extractor
from vaekit.metrics.named_features import named_extractor


class Sums(torch.nn.Module):
    """Sums of rows and columns, with a weight that a file would hold."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, H + W)."""
        return self.scale * torch.cat([x.sum((1, 2)), x.sum((1, 3))], 1)


@pytest.fixture(scope="module")
def subject() -> Subject:
    run = vaekit.train("vae", "digits", steps=30, pictures=False)
    return run.subject(limit=80, options={"features": Sums()})


def features(subject: Subject) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        reals, fakes, _ = subject.shared["shown_samples"]
        return Sums()(reals.float()), Sums()(fakes.float())


def test_cmmd_is_its_definition_by_loops(subject: Subject) -> None:
    """1,000 (mean over i ≠ j of k(a, a) + the same of b − 2 mean of k(a, b)), k = exp(-d²/200) of unit vectors."""
    found = evaluate(subject, ["cmmd"])["cmmd"]
    a, b = (x.double() / x.double().norm(dim=1, keepdim=True) for x in features(subject))

    def k(x: torch.Tensor, y: torch.Tensor) -> float:
        return float(torch.exp(-(x - y).square().sum() / 200))

    n = len(a)
    within = sum(k(x[i], x[j]) for x in (a, b) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    across = sum(k(a[i], b[j]) for i in range(n) for j in range(n)) / n**2
    assert found.value == pytest.approx(1000 * (within - 2 * across), rel=1e-6)
    assert found.value is not None and found.stderr is not None and found.stderr > 0
    kept, mixed = [distances.gaussian_kernel(x, x).mean() for x in (a, b)], distances.gaussian_kernel(a, b).mean()
    biased = 1000 * float(kept[0] + kept[1] - 2 * mixed)  # the authors' code
    assert biased - found.value == pytest.approx(1000 * float(2 - kept[0] - kept[1]) / (n - 1), rel=1e-6)


def test_fd_is_the_frechet_distance_of_the_features(subject: Subject) -> None:
    found = evaluate(subject, ["fd"])
    assert found["fd"].value == pytest.approx(distances.fid(*features(subject)), rel=1e-6)
    assert found["fd_extrapolated"].value is not None
    name = found["fd"].facts["features"]
    assert name.startswith("Sums (sha256 ") and name == named_extractor(Sums()).name != named_extractor(Sums(2.0)).name


def test_without_named_features_they_are_left_out_of_their_group_and_refused_by_name(subject: Subject) -> None:
    plain = Subject(subject.model, subject.info, subject.x, subject.y)
    assert not {"fd", "cmmd"} & set(evaluate(plain, ["samples"]))
    with pytest.raises(UserError, match=r"--features FILE\.onnx"):
        evaluate(plain, ["fd"])


def test_a_program_of_onnx_gives_what_the_module_gives(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    helper, proto = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)],
        "sums",
        [helper.make_tensor_value_info("x", proto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("y", proto.FLOAT, ["n", 3])],
        [helper.make_tensor("axes", proto.INT64, [2], [2, 3])],
    )
    path = tmp_path / "sums.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    extract = named_extractor(path)
    x = torch.rand(5, 1, 16, 16)
    torch.testing.assert_close(extract(x)[0], x.sum((2, 3)).expand(-1, 3))  # grey, repeated
    small = extract(torch.full((2, 3, 8, 8), 0.5))[0]  # resized
    torch.testing.assert_close(small, torch.full((2, 3), 128.0))
    assert extract.name.startswith("sums.onnx (sha256 ")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("clip.pt", b"x", "without running what is pickled"),
        ("clip.safetensors", b"x", "FILE.py:NAME"),
        ("clip.onnx", b"x", "not a readable ONNX program"),
        ("clip.onnx", None, "there is no file"),
    ],
)
def test_files_that_cannot_be_features(name: str, content: bytes | None, reason: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=reason):
        named_extractor(tmp_path / name)


def test_a_module_in_a_file_is_named_from_python_and_in_a_command(tmp_path: Path) -> None:
    code = "import torch\n\ndef make():\n    return torch.nn.Flatten()\n"
    (tmp_path / "mine.py").write_text(code)
    named = f"{tmp_path / 'mine.py'}:make"
    run = vaekit.train("vae", "digits", steps=5, out=tmp_path / "run", pictures=False)
    found = run.evaluate(["fd", "cmmd"], limit=40, options={"features": named})
    assert found["cmmd"].value is not None and found["cmmd"].facts["features"].startswith("Flatten (sha256 ")
    assert run.evaluation()["fd"]["number_of"]["features"] == found["fd"].facts["features"]
    again = run.evaluate(["fd"], limit=40, options={"features": torch.nn.Flatten()})
    assert again["fd"].value == pytest.approx(found["fd"].value)
    with pytest.raises(UserError, match="has no other"):
        run.evaluate(["fd"], options={"features": f"{tmp_path / 'mine.py'}:other"})


def test_what_is_no_row_an_image_is_refused() -> None:
    class Whole(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean()

    extract: Extractor = named_extractor(Whole())
    with pytest.raises(UserError, match=r"must return features \(B, F\)"):
        extract(torch.rand(2, 1, 4, 4))


def test_numbers_with_features_are_plain_json(subject: Subject) -> None:
    entries: dict[str, Any] = {name: one.to_dict() for name, one in evaluate(subject, ["fd", "cmmd"]).items()}
    assert json.loads(json.dumps(entries)) == entries and np.isfinite(entries["fd"]["value"])
