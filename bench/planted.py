"""Plant each fault that numbers were known for back into a copy of the package, and see the test that catches it.

    python bench/planted.py [--only WORDS]

A fault is a piece of a file and what stood there, or might have, in its place. Its tests pass on the package as it is,
and at least one must fail with the fault. `results/planted.json` has which; docs/trust.md shows it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vaekit.atomic import write_json

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results" / "planted.json"
KNOWN, COVERAGE = "tests/metrics/test_known_faults.py", "tests/metrics/test_coverage.py"
COMPARED = "tests/runs/test_comparable.py"


@dataclass(frozen=True)
class Fault:
    """A fault in words, its file below src/vaekit, what stands there, what is put there, and its tests (path, -k)."""

    words: str
    path: str
    before: str
    after: str
    tests: tuple[str, str]


FAULTS = (
    Fault("a pair of β-VAE's score may be one row twice", "metrics/interventions.py",
          "start + (first - start + 1 + generator.integers(size - 1)) % size", "start + generator.integers(size)",
          (KNOWN, "know_nothing or distinct")),
    Fault("FactorVAE's votes and tests are of the same rows", "metrics/interventions.py",
          "return Groups(factors, order[: len(order) // 2]), Groups(factors, order[len(order) // 2 :])",
          "return Groups(factors, order), Groups(factors, order)", (KNOWN, "know_nothing")),
    Fault("FactorVAE's pruning is relative to the largest code", "metrics/interventions.py",
          "sd >= PRUNED", "sd >= PRUNED * sd.max()", (KNOWN, "unequal_scales")),
    Fault("intervals of β-VAE's and FactorVAE's scores are over batches alone", "metrics/disentanglement.py",
          "stderr = (by_examples**2 + value * (1 - value) / len(right)) ** 0.5",
          "stderr = (value * (1 - value) / len(right)) ** 0.5", (COVERAGE, "factor_vae_score")),
    Fault("errors of precision, recall, density and coverage are of samples alone", "metrics/samples.py",
          "both(features.real[rows], features.fake[rows])", "both(features.real, features.fake[rows])",
          (COVERAGE, "precision or density")),
    Fault("FID's error is of halves and not of all examples", "metrics/uncertainty.py",
          "(values[:, 0] - values[:, 1]) ** 2 / 4", "(values[:, 0] - values[:, 1]) ** 2 * 1.5",
          (COVERAGE, "fid or halves_give")),
    Fault("FID is not extrapolated", "metrics/samples.py", "extrapolated = 2 * value - float(half[..., 0].mean())",
          "extrapolated = value", (COVERAGE, "extrapolated")),
    Fault("a cluster's interval shrinks with the number of bootstraps", "tasks/clustering.py",
          "low, high = np.quantile(self.stability, [0.025, 0.975])",
          "low, high = self.stability.mean() + np.array([-2, 2]) * self.stability.std() / len(self.stability) ** 0.5",
          (KNOWN, "shrink")),
    Fault("AUROC's interval is by the variance of a handful of positives", "intervals.py",
          "    low = 0.0 if area <= 0 else float(brentq(off, 0.0",
          "    wide = Z * auroc_error(score, positive)\n    return area - wide, area + wide\n"
          "    low = 0.0 if area <= 0 else float(brentq(off, 0.0", (COVERAGE, "few_positives")),
    Fault("MS-SSIM halves odd sides down", "metrics/similarity.py", "F.avg_pool2d(x, 2, ceil_mode=True)",
          "F.avg_pool2d(x, 2)", (KNOWN, "ms_ssim")),
    Fault("a metric's failure ends the evaluation", "metrics/base.py", "    except Exception as error:\n        reason",
          "    except KeyError as error:\n        reason", (KNOWN, "costs_it_alone")),
    Fault("neighbours are found in single precision about the origin", "metrics/distances.py",
          "return points.double() - middle, reference.double() - middle", "return points.float(), reference.float()",
          (KNOWN, "far_from_the_origin")),
    Fault("balls of neighbours are closed", "metrics/distances.py", "* (1 - 1e-9)", "* (1 + 1e-9)",
          (KNOWN, "identical_sets")),
    Fault("an error of few effective samples is printed as any other", "metrics/likelihood.py",
          'if facts["ess"] < FEW:', 'if facts["ess"] < 0:', (KNOWN, "few_effective")),
    Fault("total correlation does not say that log N limits it", "metrics/kl_decomposition.py",
          "if information.value > math.log(n) - NEAR:", "if information.value > math.log(n):", (KNOWN, "upper_bound")),
    Fault("mutual information may be above the KL", "metrics/kl_decomposition.py",
          "upper = min(left_out, kl, key", "upper = max(left_out, kl, key", (KNOWN, "upper_bound")),
    Fault("total correlation has no lower end", "metrics/kl_decomposition.py",
          "lower = None if wise is None or wise.value is None else", "lower = None if True else",
          (KNOWN, "upper_bound")),
    Fault("ranks break ties by order", "metrics/mcc.py", "rankdata(x.numpy(), axis=0)",
          "rankdata(x.numpy(), axis=0, method='ordinal')", (KNOWN, "share_their_rank")),
    Fault("a limit takes the first examples", "data/shuffling.py",
          "return torch.randperm(total, generator=torch.Generator().manual_seed(0))[:n].sort().values",
          "return torch.arange(total)[:n]", (KNOWN, "sorted_data")),
    Fault("gaps stop after a fixed number of steps", "metrics/gaps.py", "ROUNDS, CONVERGED = 40, 0.01",
          "ROUNDS, CONVERGED = 1, 0.01", (KNOWN, "run_to_their_end")),
    Fault("codes that are given the label are probed for it", "metrics/base.py", "        if self.labelled_codes:",
          "        if False:", (KNOWN, "given_the_label")),
    Fault("importance weights of heavy tails are not told from others", "bounds.py",
          "k_hat = (m * k_hat + 10 * 0.5) / (m + 10)", "k_hat = 0 * k_hat",
          (KNOWN, "known_tails or cannot_be_trusted")),
    Fault("bounds on log p(x|y) are called bounds on log p(x)", "runs/comparable.py",
          '"log p(x|y), the label given" if given_label else "log p(x)"', '"log p(x)"', (COMPARED, "")),
    Fault("numbers of differently prepared data are compared", "runs/comparable.py",
          "values = VALUES.get(prepare.mode, prepare.mode)", 'values = "values"', (COMPARED, "different_things")),
    Fault("numbers of other test examples are compared", "runs/comparable.py",
          '"examples": f"{result.n} {SIMULATED}" if simulated else f"{result.n} of {split}, {examples}"',
          '"examples": f"{result.n}"', (COMPARED, "other_examples")),
    Fault("bounds of other K are compared", "runs/comparable.py", 'for name in ("k", "features"):',
          'for name in ("features",):', (COMPARED, "fewer_examples")),
    Fault("differences are not paired", "report/content.py",
          "each = [x - y for x, y in zip(a.values, b.values, strict=True)]",
          "each = [x - y for x, y in zip(a.values, sorted(b.values), strict=True)]", (COMPARED, "paired")),
    Fault("the KL of two full normals adds its dimension", "distributions/kl.py",
          "0.5 * (quadratic - q.loc.shape[-1])", "0.5 * (quadratic + q.loc.shape[-1])",
          ("tests/distributions/test_kl.py", "")),
    Fault("the sampled KL is summed over samples", "distributions/kl.py",
          "(q.log_prob(z) - p.log_prob(z)).mean(0)", "(q.log_prob(z) - p.log_prob(z)).sum(0)",
          ("tests/distributions/test_kl.py", "")),
    Fault("explicitness by factor is a difference of its halves", "metrics/disentanglement.py",
          "zip(names, ((a + b) / 2).tolist())", "zip(names, ((a - b) / 2).tolist())",
          ("tests/metrics/test_disentanglement.py", "explicit")),
)  # fmt: skip
"""Every fault of a number that was found, and three that no test saw when they were planted first."""


def failing(source: Path, tests: Sequence[tuple[str, str]]) -> list[str]:
    """Run tests against a copy of the package; return the names of those that fail.

    Raises:
        RuntimeError: no test ran, or pytest itself failed.
    """
    paths = sorted({path for path, _ in tests})
    words = " or ".join(f"({k})" for _, k in tests if k)
    every = any(not k for _, k in tests)
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:xdist", *paths]
    command += [] if every or not words else ["-k", words]
    env = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1", "VAEKIT_THOROUGH": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if ended.returncode not in (0, 1):
        raise RuntimeError(ended.stdout + ended.stderr)
    return re.findall(r"^FAILED \S+?::(.+?)(?: - .*)?$", ended.stdout, re.MULTILINE)


def planted(fault: Fault, folder: Path) -> list[str]:
    """Return the tests that fail with a fault in a copy of the package made in `folder`."""
    copy = Path(shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__")))
    file = copy / "vaekit" / fault.path
    text = file.read_text(encoding="utf-8")
    if text.count(fault.before) != 1:
        raise RuntimeError(f"{fault.path} has {text.count(fault.before)} of {fault.before!r}, not 1")
    file.write_text(text.replace(fault.before, fault.after), encoding="utf-8")
    return failing(copy, [fault.tests])


def main() -> None:
    """Plant each, one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="faults with these words")
    given = parser.parse_args()
    chosen = [fault for fault in FAULTS if given.only in fault.words]
    rows, sound = [], dict[tuple[str, str], list[str]]()
    for fault in chosen:
        if fault.tests not in sound:
            sound[fault.tests] = failing(ROOT / "src", [fault.tests])
        if sound[fault.tests]:
            raise RuntimeError(f"these fail without a fault: {', '.join(sound[fault.tests])}")
        with tempfile.TemporaryDirectory(prefix="planted-") as folder:
            caught = planted(fault, Path(folder))
        rows.append({"fault": fault.words, "file": fault.path, "caught_by": caught})
        print(f"{'caught' if caught else 'MISSED'}  {fault.words}: {', '.join(caught)}", flush=True)
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.is_file() else []
    known = {row["fault"]: row for row in [*kept, *rows]}
    write_json(RESULTS, {"rows": [known[fault.words] for fault in FAULTS if fault.words in known]})
    sys.exit(not all(row["caught_by"] for row in rows))


if __name__ == "__main__":
    main()
