"""docs/own-models.md and its notebook: every line runs, and the notebook is the page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test_layers import ROOT
from vaekit.commands.main import outcome

PAGE = (ROOT / "docs/own-models.md").read_text(encoding="utf-8")
NOTEBOOK = json.loads((ROOT / "docs/own-models.ipynb").read_text(encoding="utf-8"))
OPTIONAL = ("lightning", "accelerate")


def cells() -> list[str]:
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_the_page() -> None:
    blocks = [block.strip("\n") for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)]
    assert cells() == blocks, "run bench/notebook.py"
    assert NOTEBOOK["nbformat"] == 4 and all("id" in cell for cell in NOTEBOOK["cells"])


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the cells define, all of them run in an empty folder but those of packages that CI does not have."""
    folder, found = tmp_path_factory.mktemp("notebook"), {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for number, cell in enumerate(cells()):
            if not any(f"{name}" in cell for name in OPTIONAL):
                exec(compile(cell, f"cell {number}", "exec"), found)
    return found | {"folder": folder}


def test_every_cell_runs(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert names["again"].info.name == "bits" and names["run"].record["recipe"] == "custom"
    assert (names["folder"] / "runs/mine/report.html").is_file()


@pytest.mark.filterwarnings("ignore")  # of their own making
@pytest.mark.parametrize("name", OPTIONAL)
def test_the_cell_of_another_trainer_runs(names: dict[str, Any], name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    (cell,) = [cell for cell in cells() if name in cell]
    found = dict(names)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        exec(compile(cell, name, "exec"), found)
    assert found["run"].record["result"]["elbo"] > -64 * np.log(2)


def test_its_commands_run(names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = names["folder"]
    monkeypatch.chdir(folder)
    np.save("bits.npy", names["x"].numpy())
    Path("mine.py").write_text("\n".join(cells()[:1]), encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)
    for line in block.splitlines():
        assert outcome(line.split()[1:]) == (0, None), line
    assert json.loads((folder / "runs/mine/evaluation.json").read_text())["elbo"]["split"] == str(folder / "bits.npy")
    assert (folder / "scores.csv").is_file()
