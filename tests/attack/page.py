"""docs/reliability.md, made from the counts of an attack and the measured bombs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "bench" / "results", ROOT / "docs" / "reliability.md"
HEAD = """# Reliability

What was tried in order to break vaekit, how it ended, and what is promised. `make attack` tries again and writes this
page. A try **works** or is **refused** in one sentence; anything else (a traceback, a hang, memory beyond the bound, a
damaged file that is used, a run that is not whole afterwards) is **bad**. Every try is made again by its area and seed
(`PYTHONPATH=src:tests python -m attack --area readers.npz --seed 17`); the seeds of tries that were bad once are kept
in `tests/attack/corpus.json` and are tried first, in the test suite too.
"""
TAIL = """
## What is promised

- A kill at any instant leaves each file as it was or as it is to be, and a run that can be loaded or resumed; on the
  same processor a resumed run ends in the same bits.
- One writer at a time in a run's folder; runs started together get a folder each; `--overwrite` touches only what
  vaekit wrote, and not before the new run has ended.
- Damaged weights, checkpoints, records and archives are told by file and field, and never used.
- A run knows what its data held: changed data are refused, or accepted by name and said.
- Bad input is one sentence that names the file, row or setting, before work starts.
- What is safe to do with a stranger's files is in [the security page](project/security.md).

## What is not promised

- File systems without locks (some network mounts) do not keep two writers apart; over NFS the server must grant locks.
- A disk that loses what it has confirmed. Files are flushed before they are renamed; the folder itself is not.
- Equal bits on another processor, another number of threads or another version of PyTorch.
- A recorded time: a bound on seconds is the harness's, for small inputs on one core.
"""


def write() -> None:
    """Write the page."""
    attack: dict[str, Any] = json.loads((RESULTS / "attack.json").read_text(encoding="utf-8"))
    bombs = json.loads((RESULTS / "readers.json").read_text(encoding="utf-8"))["rows"]
    areas: dict[str, dict[str, Any]] = attack["areas"]
    whole = {key: sum(area[key] for area in areas.values()) for key in ("tries", "works", "refused", "bad")}
    lines = [HEAD, f"## {whole['tries']:,} tries, {whole['bad']} bad", ""]
    lines += [f"{attack['about']['minutes']:g} minutes on one core.", ""]
    lines += ["| area | tries | work | refused | bad | slowest, s | memory, MB |", "|---|---|---|---|---|---|---|"]
    for name, area in areas.items():
        counts = " | ".join(f"{area[key]:,}" for key in ("tries", "works", "refused", "bad"))
        lines.append(f"| {name} | {counts} | {area['slowest']:.1f} | {area['peak_mb']:.0f} |")
    lines += ["", "Memory is how far one try raised the process's peak.", ""]
    lines += ["## Files that promise or become more than there is", ""]
    lines += ["| reader | file | its bytes | seconds | peak, MB | answer |", "|---|---|---|---|---|---|"]
    for row in bombs:
        said = str(row["said"]).replace("|", "\\|")
        lines.append(
            f"| {row['reader']} | {row['bomb']} | {row['bytes']:,} | {row['seconds']} | {row['peak_mb']} | {said} |"
        )
    PAGE.write_text("\n".join(lines) + "\n" + TAIL, encoding="utf-8")
