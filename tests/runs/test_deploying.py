"""Programs of every recipe take and give raw values as torch does, or are refused in a sentence; the page says so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from recipes import examples
from vaekit.data.tables import columns as cols
from vaekit.errors import UserError
from vaekit.recipes.base import RECIPES
from vaekit.runs.run import Run
from vaekit.runs.train import train
from vaekit.tasks.export import PARTS, Cells, Decoder, parts

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deployment.md"
REFUSED = {
    ("graph-vae", "encoder"): "graphs of any size",
    ("graph-vae", "decoder"): "graphs of any size",
    ("pixel-vae", "decoder"): "pixel after pixel",
    ("semi-amortised-vae", "encoder"): "gradient steps",
    **{(name, "encoder"): "each row's own end" for name in ("sequence-vae", "molecule-vae", "music-vae")},
    ("multimodal-vae", "decoder"): "token after token",
    **{(name, "encoder"): "each row's own end" for name in ("multimodal-vae", "state-space-vae", "variational-rnn")},
    **{(name, "decoder"): "token after token" for name in ("sequence-vae", "molecule-vae", "music-vae")},
}


@cache
def run_of(name: str) -> Run:
    settings = {"train.batch_size": 16} | dict(examples.SETTINGS.get(name, {}))
    settings.pop("train.steps", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return train(name, examples.source(name), steps=3, set=settings, device="cpu", pictures=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES.names)
def test_every_recipe_is_exported_or_refused_in_a_sentence(name: str) -> None:
    run = run_of(name)
    for part in PARTS:
        if (name, part) in REFUSED:
            with pytest.raises(UserError, match=REFUSED[name, part]):
                run.export(parts=[part])
            continue
        session = onnxruntime.InferenceSession(run.export(parts=[part])[part])
        program = parts(run.model, run.info, run.prepare)[part]
        for rows in ([1], [0, 1, 2, 2, 1]):
            given = [one[rows] for one in program.inputs]
            with torch.no_grad():
                right = program.module(*given)
            found = session.run(None, {name: value.numpy() for name, value in zip(program.takes, given)})
            for one, other in zip(found, (right,) if part == "decoder" else right, strict=True):
                np.testing.assert_allclose(np.asarray(one), other.numpy(), rtol=1e-4, atol=1e-4)
        assert [slot.shape[0] for slot in session.get_inputs()] == ["batch"] * len(program.takes)


@pytest.mark.parametrize(("name", "part"), [key for key in REFUSED if key[0] in ("graph-vae", "pixel-vae")])
def test_what_no_program_can_do_is_said_at_once(name: str, part: Any) -> None:
    with pytest.raises(UserError, match=f"{REFUSED[name, part]}.*; use the run from Python$"):
        run_of(name).export(parts=[part])


def raw_digits(run: Run, n: int) -> torch.Tensor:
    return run.data.test.x[:n]


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "discretised-logistic"])
def test_greys_go_in_and_come_out(likelihood: str) -> None:
    more = {"data.standardise": True} if likelihood == "gaussian" else {}
    run = train("vae", "digits", steps=30, set={"model.hidden": "8", "model.likelihood": likelihood} | more)
    raw = raw_digits(run, 5)
    assert raw.dtype == torch.uint8
    ends = parts(run.model, run.info, run.prepare)
    with torch.no_grad():
        mean, sd = ends["encoder"].module(raw)
        back = ends["decoder"].module(mean)
        q = run.model.encode(run.prepare.expected(raw))
        right = run.prepare.invert(run.model.decode(q.mean).mean) * (16 if likelihood == "bernoulli" else 1)
    torch.testing.assert_close(mean, q.mean)
    torch.testing.assert_close(sd, q.stddev)
    torch.testing.assert_close(back, right, atol=1e-4, rtol=1e-4)
    assert 4 < float(back.max()) < 17 and float((back - raw).abs().mean()) < float((raw - 5.0).abs().mean())


def test_real_values_go_in_and_come_out_in_their_units() -> None:
    x = (np.random.default_rng(0).standard_normal((200, 3)) * [1e-3, 1.0, 1e3] + [5, 0, -7e3]).astype(np.float32)
    run = train("vae", x, steps=100, lr=5e-3, set={"model.hidden": "16", "data.standardise": True}, pictures=False)
    ends = parts(run.model, run.info, run.prepare)
    with torch.no_grad():
        code = ends["encoder"].module(torch.from_numpy(x))[0]
        back = ends["decoder"].module(code)
    assert torch.allclose(code, run.encode(run.prepare.fixed(run.data.train.__class__(torch.from_numpy(x)))), atol=1e-5)
    assert (np.abs(back.numpy().mean(0) - x.mean(0)) < 0.2 * x.std(0)).all()


def test_cells_are_a_tables_own_preparation() -> None:
    run = run_of("tabular-vae")
    columns = run.info.facts["columns"]
    assert {column["type"] for column in columns} >= {"numeric", "categorical", "date"}
    columns = [*columns, {"name": "pay", "type": "positive", "mean": 2.0, "sd": 0.5}]
    rng = np.random.default_rng(0)
    raw = np.abs(rng.standard_normal((20, len(columns)))) * 3
    for j, column in enumerate(columns):
        if "levels" in column:
            raw[:, j] = rng.integers(0, len(column["levels"]), 20)
        elif column["type"] == "date":
            raw[:, j] = np.round(raw[:, j] * 1000 + 18_000)
    raw[::4] = np.nan
    cells = Cells(columns)
    seen = cells.seen(torch.from_numpy(raw))
    stored = np.stack([cols.store(raw[:, j], column) for j, column in enumerate(columns)], 1)
    np.testing.assert_allclose(seen.numpy(), stored, rtol=1e-6)
    restored = np.stack([cols.restore(seen.numpy()[:, j] + 0.3, column) for j, column in enumerate(columns)], 1)
    np.testing.assert_allclose(cells.raw(seen + 0.3).numpy(), restored, rtol=1e-5)


def test_codes_and_their_table_are_inside() -> None:
    run = run_of("vq-vae")
    ends = parts(run.model, run.info, run.prepare)
    raw = raw_digits(run, 4)
    with torch.no_grad():
        codes, z = ends["encoder"].module(raw)
        back = ends["decoder"].module(codes)
        assert codes.dtype == torch.int64 and isinstance(ends["decoder"].module, Decoder)
        torch.testing.assert_close(back, 16 * run.model.decode(z).mean)  # binary data, of greys up to 16
    assert torch.equal(codes, run.model.codes(run.prepare.expected(raw)))  # type: ignore[arg-type]


# -- the page ----------------------------------------------------------------------------------------------------------

BARE = """import sys
sys.modules["torch"] = sys.modules["vaekit"] = None  # neither can be imported
"""


@pytest.mark.slow
def test_the_page_deploys_with_onnxruntime_alone(tmp_path: Path) -> None:
    made = {"digits": run_of("vae"), "table": run_of("tabular-vae"), "codes": run_of("vq-vae")}
    for name, run in made.items():
        for part, data in run.export().items():
            (tmp_path / f"{name}.{part}.onnx").write_bytes(data)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    done = subprocess.run(
        [sys.executable, "-c", BARE + "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    facts = onnxruntime.InferenceSession(tmp_path / "table.encoder.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(facts["facts"])["columns"] == made["table"].info.facts["columns"]
