"""Runs in a model hub: a folder of run.json, model.safetensors and a card, on disk or in a Hugging Face repository."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from vaekit.atomic import write_text
from vaekit.errors import UserError, optional
from vaekit.recipes.own import CUSTOM
from vaekit.runs import folder as files
from vaekit.runs import weights
from vaekit.runs.loading import load
from vaekit.runs.run import Run
from vaekit.training import checkpoint

CARD = "README.md"
HEAD = "---\nlibrary_name: vaekit"


def save_pretrained(run: Run, folder: str | Path) -> Path:
    """Write what `from_pretrained` needs into `folder`: the record, the weights, and a card.

    The record names no path of this machine: where the data lay is left out, and the data's name is kept.
    """
    target = Path(folder)
    _check_folder(target)
    target.mkdir(parents=True, exist_ok=True)
    record = dict(run.record)
    data = dict(record["data"])
    data |= {"source": _plain(data["source"]), "info": dict(data["info"]) | {"source": ""}}
    if "held_out" in data:
        data["held_out"] = {split: _plain(source) for split, source in data["held_out"].items()}
    record["data"] = data
    record.pop("command", None)
    weights.keep(target, checkpoint.model_tensors(run.model), record)
    write_text(target / CARD, card(run))
    return target


def _check_folder(target: Path) -> None:
    """Refuse a folder in which something would be lost."""
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file; name a folder")
    if (target / files.LOG).exists() or (target / files.CHECKPOINTS).exists():
        raise UserError(f"{target} is a run's own folder, whose record would lose its data's place; name another")
    card = target / CARD
    if card.is_file() and not card.read_text(encoding="utf-8", errors="replace").startswith(HEAD):
        raise UserError(f"{card} is not of this program, and would be replaced; name another folder")


def _plain(source: Any) -> str:
    """Return a source without a path of this machine: a known set's name, else "memory"."""
    return str(source) if source and not Path(str(source)).is_absolute() else "memory"


def from_pretrained(
    name: str | Path, *, revision: str | None = None, token: str | None = None, module: Any = None
) -> Run:
    """Return the run kept in a folder, or in the hub repository `name` (owner/name), whose files are cached.

    `module` is what makes a hand-made model, as for `vaekit.load`. Raises UserError where there is neither, or the
    repository holds no run.
    """
    path = Path(name)
    if path.is_dir():
        return load(path, module=module)
    if str(name).count("/") != 1 or str(name).startswith((".", "/")):
        raise UserError(f"there is no folder {name}, and it is not a repository's name, owner/name")
    hub = _hub()
    wanted = [files.RECORD, files.WEIGHTS]
    try:
        folder = hub.snapshot_download(str(name), revision=revision, token=token, allow_patterns=wanted)
    except Exception as error:
        raise UserError(f"the repository {name} could not be read ({_first_line(error)})") from error
    return load(folder, module=module)


def push_to_hub(
    run: Run, name: str, *, private: bool = False, token: str | None = None, message: str = "Add model"
) -> str:
    """Write the run to the hub repository `name` (owner/name), made if it is not there; return its address."""
    hub = _hub()
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(run, folder)
        try:
            api: Any = hub.HfApi(token=token)
            made = api.create_repo(name, private=private, exist_ok=True)
            api.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message=message)
        except Exception as error:
            raise UserError(f"the repository {name} could not be written ({_first_line(error)})") from error
    return str(made)


def card(run: Run) -> str:
    """Return the model card: what the model is, what it scored, and how to use it; Markdown with its YAML head."""
    result = run.record.get("result") or {}
    elbo = result.get("elbo")
    score = (
        f"Held-out ELBO: {elbo:.2f} nats/example ({result.get('held_out_n')} examples)."
        if elbo is not None
        else f"The model bounds no likelihood: {result.get('refused', 'not evaluated')}."
    )
    shape = " × ".join(map(str, run.info.shape))
    return f"""\
{HEAD}
tags: [variational-autoencoder, {run.recipe}]
---
# {run.recipe} on {run.info.name}

Examples of shape {shape}, {run.info.kind} values. {score}

```python
from vaekit.runs.hub import from_pretrained

run = from_pretrained("OWNER/NAME"{", module=make_model" if run.recipe == CUSTOM else ""})
run.sample(16)
```
"""


def _hub() -> Any:
    return optional("huggingface_hub", "the model hub needs huggingface_hub; run: pip install 'vaekit[hub]'")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
