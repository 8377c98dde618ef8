"""Mutation testing: plant one fault at a time in a copy of the package, and see which of them the tests catch.

    make mutants ARGS="--area bounds --per-file 3"

A fault is one operator, sign, number, comparison or reduction changed. Those of each file are drawn with a seed, and
each is met by its file's doctests and by the test files that import its module, or that TESTS names, until a test
fails. With --map, only tests that call the fault's function are run, the quickest first: which do is found by running
each test file once, and kept in that file; it pays from about five faults a file.
`results/mutants.json` has the survivors; those that `mutants_explained.json` gives a reason for change no number.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS, EXPLAINED = ROOT / "bench/results/mutants.json", ROOT / "bench/mutants_explained.json"
AREAS = {
    "bounds": "src/vaekit/bounds.py",
    "trace": "src/vaekit/trace.py",
    "distributions": "src/vaekit/distributions/*.py",
    "objectives": "src/vaekit/objectives/*.py",
    "metrics": "src/vaekit/metrics/*.py",
    "tasks": "src/vaekit/tasks/*.py",
}
TESTS: dict[str, list[str]] = {
    "bounds": [
        *("tests/test_bounds.py", "tests/test_log_likelihood.py"),
        *("tests/metrics/test_upper_bounds.py", "tests/test_tighter.py", "tests/metrics/test_known_faults.py"),
    ],
    "trace": ["tests/test_trace.py", "tests/test_bounds.py"],
    "distributions/base": [
        "tests/distributions/test_mixed.py",
        "tests/distributions/test_flow.py",
        "tests/test_bounds.py",
    ],
    "distributions/normal": [
        "tests/distributions/test_kl.py",
        "tests/distributions/test_real.py",
        "tests/test_trace.py",
    ],
    "distributions/categorical": ["tests/test_trace.py", "tests/models/test_discrete.py"],
    "distributions/kl": ["tests/distributions/test_kl.py", "tests/distributions/test_grey_levels.py"],
    "objectives/base": ["tests/objectives/test_importance.py", "tests/test_objectives.py"],
    "objectives/elbo": ["tests/test_objectives.py"],
    "objectives/samples": ["tests/objectives/test_scores.py", "tests/test_tighter.py"],
    "metrics/base": [
        *("tests/metrics/test_evaluate.py", "tests/metrics/test_basic.py", "tests/metrics/test_known_faults.py"),
    ],
    "metrics/distances": ["tests/metrics/test_samples.py", "tests/metrics/test_known_faults.py"],
    "metrics/features": ["tests/metrics/test_samples.py"],
    "metrics/likelihood": ["tests/metrics/test_basic.py", "tests/metrics/test_known_faults.py"],
    "metrics/upper_bounds": ["tests/metrics/test_upper_bounds.py"],
    "tasks/clustering": ["tests/tasks/test_codes.py", "tests/metrics/test_known_faults.py"],
    "tasks/imputation": ["tests/tasks/test_imputation.py", "tests/tasks/test_table_imputation.py"],
    "tasks/optimisation": ["tests/tasks/test_optimisation.py"],
    "distributions/autoregressive": ["tests/priors/test_codes.py", "tests/likelihoods/test_logistic_mixture.py"],
    "distributions/codes": ["tests/posteriors/test_vq.py", "tests/priors/test_codes.py"],
    "distributions/observed": ["tests/likelihoods/test_series.py"],
    "distributions/own": ["tests/models/test_own_modules.py"],
    "distributions/relaxed": ["tests/models/test_discrete.py"],
    "metrics/active_units": ["tests/metrics/test_basic.py"],
    "metrics/classification": ["tests/models/test_semisupervised.py", "tests/metrics/test_probes.py"],
    "metrics/reconstruction": ["tests/metrics/test_basic.py"],
    "tasks/compressed_file": [
        *("tests/tasks/test_compression.py", "tests/commands/test_compress_cli.py", "tests/attack/test_archives.py"),
    ],
    "tasks/compression": ["tests/tasks/test_compression.py", "tests/commands/test_compress_cli.py"],
    "tasks/array_imputation": ["tests/tasks/test_imputation.py", "tests/runs/test_units.py"],
    "tasks/augmentation": ["tests/tasks/test_codes.py", "tests/commands/test_tasks_cli.py"],
    "tasks/export": ["tests/runs/test_exporting.py", "tests/runs/test_deploying.py"],
    "tasks/table_imputation": [
        *("tests/tasks/test_table_imputation.py", "tests/runs/test_run_imputes.py", "tests/runs/test_tables.py"),
    ],
}
"""The test files of modules that none imports by name, or more than are needed."""
OF_ALL = {
    "distributions": [
        *("tests/distributions/test_support.py", "tests/distributions/test_family_contract.py"),
        "tests/test_contracts.py",
    ],
}
"""The contracts over every part of an area; a metric's module is met by those of its own metrics."""
METRICS_CONTRACT = "tests/metrics/test_contract.py"
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
PAIRS = (("mean", "sum"), ("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("any", "all"))
REDUCTIONS = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
PASSED_OVER = (ast.Raise, ast.Assert, ast.JoinedStr, ast.arguments, ast.AnnAssign)


@dataclass(frozen=True)
class Mutant:
    """One fault: where it is, what stands there and what is put in its place."""

    area: str
    path: str
    function: str
    line: int
    start: int
    end: int
    before: str
    after: str

    @property
    def name(self) -> str:
        """What it is known by in the list of explained ones, wherever its line moves to."""
        return f"{self.path.removeprefix('src/vaekit/')} {self.function}: {self.before} → {self.after}"


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node is changed to."""
    new: Any = copy.deepcopy(node)
    if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPS:
        if isinstance(node, ast.BinOp) and any(_is_text(side) for side in (node.left, node.right)):
            return
        new.op = SWAPS[type(node.op)]()
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        new = new.operand
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        new.ops[0] = SWAPS[type(node.ops[0])]()
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        new.value = _other(node.value)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in REDUCTIONS:
        new.func.attr = REDUCTIONS[node.func.attr]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
        new.func.id = REDUCTIONS[node.func.id]
    else:
        return
    yield new


def _other(value: Any) -> float:
    return value + 1 if type(value) is int else 2 * value or 1.0


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr | ast.List | ast.Tuple) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def mutants(area: str, path: Path) -> list[Mutant]:
    """Return every fault of a file; decorators, annotations, defaults, messages and assertions have none."""
    source = path.read_text(encoding="utf-8")
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: list[Mutant] = []

    def visit(node: ast.AST, function: str) -> None:
        if isinstance(node, PASSED_OVER) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            return
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            function = f"{function}.{node.name}".lstrip(".")
            children: Sequence[ast.AST] = node.body
        else:
            children = list(ast.iter_child_nodes(node))
        for new in changed(node):
            at: Any = node
            start, end = starts[at.lineno - 1] + at.col_offset, starts[at.end_lineno - 1] + at.end_col_offset
            relative = str(path.relative_to(ROOT))
            before, after = ast.unparse(node), ast.unparse(new)
            found.append(Mutant(area, relative, function or "module", at.lineno, start, end, before, after))
        for child in children:
            visit(child, function)

    visit(ast.parse(source), "")
    return found


def planted(source: bytes, mutant: Mutant) -> bytes:
    """Return the source with the fault in it; a new line in brackets keeps the lines after it where they were."""
    lines = source[mutant.start : mutant.end].count(b"\n")
    return source[: mutant.start] + f"({mutant.after}{chr(10) * lines})".encode() + source[mutant.end :]


def test_files(path: str) -> list[str]:
    """Return the source itself, for its doctests, and the test files of its module, those of its own area first."""
    module = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
    package, _, name = module.rpartition(".")
    imports = re.compile(rf"from {module} import|from {package} import [^\n]*\b{name}\b")
    area = path.split("/")[2]
    own = TESTS.get(path.removeprefix("src/vaekit/").removesuffix(".py"))
    if own is not None:
        return [path, *own, *contracts(path)]
    every = sorted(str(one.relative_to(ROOT)) for one in (ROOT / "tests").rglob("test_*.py"))
    texts = {one: (ROOT / one).read_text(encoding="utf-8") for one in every}
    met = [one for one, text in texts.items() if imports.search(text) or one.endswith(f"{area}/test_{name}.py")]
    met = met or [one for one in every if one.startswith(f"tests/{area}/")]
    near = [one for one in met if one.split("/")[1] == area or one.count("/") == 1]
    return [path, *near, *(one for one in met if one not in near), *contracts(path)]


def contracts(path: str) -> list[str]:
    """Return the tests that every part of the area of a file passes."""
    area = path.split("/")[2]
    if area != "metrics":
        return OF_ALL.get(area, [])
    metrics = re.findall(r'@metric\(\s*"(\w+)"', (ROOT / path).read_text(encoding="utf-8"))
    text = (ROOT / METRICS_CONTRACT).read_text(encoding="utf-8")
    tests = re.findall(r'parametrize\("metric", METRICS.names\)\ndef (\w+)', text)
    return [f"{METRICS_CONTRACT}::{test}[{name}]" for name in metrics for test in tests]


class Calls:
    """A pytest plugin that notes how long each test takes, whether it passes, and which functions it calls."""

    def __init__(self, source: str) -> None:
        self.source, self.tests, self.called = source, dict[str, dict[str, Any]](), set[str]()

    def _call(self, frame: Any, event: str, arg: Any) -> None:
        code = frame.f_code
        if code.co_filename.startswith(self.source):
            self.called.add(f"{code.co_filename[len(self.source) :]} {plain(code.co_qualname)}")

    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> None:
        """Begin to note, fixtures too."""
        self.called, self.begun = set(), time.process_time()
        sys.settrace(self._call)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep what was noted of a test that passed."""
        if report.when == "teardown":
            sys.settrace(None)
            entry = self.tests.setdefault(report.nodeid, {"passed": False})
            self.tests[report.nodeid] = entry | {
                "seconds": time.process_time() - self.begun,
                "calls": sorted(self.called),
            }
        elif report.when == "call":
            self.tests[report.nodeid] = {"passed": report.passed}


class First:
    """A pytest plugin that notes the first failure: the test, and what it was."""

    def __init__(self) -> None:
        self.tests: dict[str, str] = {}

    def _keep(self, report: Any) -> None:
        if report.failed and not self.tests:
            crash = getattr(report.longrepr, "reprcrash", None)
            text = str(report.longrepr).strip().splitlines()[-1] if crash is None else crash.message.split("\n")[0]
            self.tests = {"by": report.nodeid, "error": text[:120]}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Look at a test."""
        self._keep(report)

    def pytest_collectreport(self, report: Any) -> None:
        """Look at a file."""
        self._keep(report)


def plain(qualname: str) -> str:
    """Return a function's name without those defined within it, as mutants have it."""
    return re.sub(r"\.<(lambda|listcomp|genexpr|dictcomp|setcomp)>", "", qualname.replace(".<locals>", ""))


def forked(work: Path, arguments: Sequence[str], timeout: float, plugin: Any = None, out: Path | None = None) -> int:
    """Run pytest in a child of this process, whose libraries are loaded already; its status, below 0 if it was late.

    `timeout` is in seconds of the processor, so that a busy machine kills no fault; twenty times as many on the clock.
    """
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (int(timeout), int(timeout) + 5))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.chdir(work)
        sys.path[:0] = [str(work / "src"), str(work / "tests")]
        import pytest

        status = 70
        try:
            status = int(pytest.main([*arguments, "-q", "-p", "no:cacheprovider", "-p", "no:xdist"], [plugin]))
            if out is not None:
                out.write_text(json.dumps(plugin.tests), encoding="utf-8")
        finally:
            os._exit(status)
    end = time.monotonic() + 20 * timeout
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL


class Bed:
    """A copy of the tree to plant faults in, and what is known of its tests."""

    def __init__(self, work: Path, known: Path | None, timeout: float) -> None:
        self.work, self.known, self.timeout = work, known, timeout
        for name in ("src", "tests", "bench", "pyproject.toml"):
            here, there = ROOT / name, work / name
            if here.is_dir():
                shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy(here, there)
        self.map: dict[str, Any] = json.loads(known.read_text()) if known is not None and known.is_file() else {}
        self.clock = time.time()
        self.sound: set[str] = set()

    def tests_of(self, file: str) -> Mapping[str, Any]:
        """Return the tests of a file that pass, with their calls and seconds; it is run if it has changed."""
        stamp = (ROOT / file).stat().st_mtime
        if self.map.get(file, {}).get("stamp") != stamp:
            out = self.work / "calls.json"
            out.unlink(missing_ok=True)
            source = str(self.work) + "/"
            forked(self.work, [file, "-m", "not slow"], 10 * self.timeout, Calls(source), out)
            found = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
            self.map[file] = {"stamp": stamp, "tests": found}
            assert self.known is not None
            self.known.write_text(json.dumps(self.map), encoding="utf-8")
        return {name: test for name, test in self.map[file]["tests"].items() if test["passed"]}

    def chosen(self, mutant: Mutant) -> list[str]:
        """Return the test files, or the tests that call the mutant's function, quickest first, while there is time."""
        if self.known is None:
            return test_files(mutant.path)
        every = {name: test for file in test_files(mutant.path) for name, test in self.tests_of(file).items()}
        wanted = f"{mutant.path} {mutant.function}"
        met = every
        if "." in mutant.function or (mutant.function[0].islower() and mutant.function != "module"):
            met = {name: test for name, test in every.items() if wanted in test["calls"]}
        order = sorted(met, key=lambda name: met[name]["seconds"])
        out, spent = list[str](), 0.0
        for name in order:
            spent += met[name]["seconds"]
            if out and spent > self.timeout / 2:
                break
            out.append(name)
        return out

    def _write(self, path: str, source: bytes) -> None:
        self.clock += 2  # a time of its own, so that no compiled file passes for it
        (self.work / path).write_bytes(source)
        os.utime(self.work / path, (self.clock, self.clock))

    def verdict(self, mutant: Mutant) -> dict[str, str]:
        """Return what became of the fault: killed, and by which test, late, or survived."""
        tests, source = self.chosen(mutant), (ROOT / mutant.path).read_bytes()
        if not tests:
            return {"verdict": "survived"}
        out = self.work / "first.json"
        out.write_text("{}", encoding="utf-8")
        self._write(mutant.path, planted(source, mutant))
        try:
            for which in ("not slow", "slow"):
                status = forked(self.work, [*tests, "-x", "-m", which], self.timeout, First(), out)
                if status not in (0, 5):
                    break
            verdict = "survived" if status in (0, 5) else "late" if status < 0 else "killed"
            found = {"verdict": verdict, **json.loads(out.read_text(encoding="utf-8"))}
        finally:
            self._write(mutant.path, source)
        if verdict == "killed":
            self._require_sound(found.get("by", ""))
        return found

    def _require_sound(self, test: str) -> None:
        """Stop where the test that a fault is said to be caught by fails without it too."""
        if test and test not in self.sound:
            if forked(self.work, [test], self.timeout, First()) not in (0, 5):
                raise SystemExit(f"{test} fails without any fault; correct it first")
            self.sound.add(test)


def sample(areas: Sequence[str], files: str, per_file: int, seed: int) -> list[Mutant]:
    """Return the faults to plant: of each file of the areas so many, drawn with the seed."""
    out: list[Mutant] = []
    for area in areas:
        for path in sorted(ROOT.glob(AREAS[area])):
            every = mutants(area, path)
            if re.search(files, str(path.relative_to(ROOT))):
                out += random.Random(f"{seed} {path.name}").sample(every, min(per_file, len(every)))
    return out


def load() -> None:
    """Load what every test needs, pytest's plugins too, once for all children."""
    import numpy  # noqa: F401
    import pytest
    import scipy.stats  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import torch

    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", str(ROOT / "tests/bench/test_mutants.py")])


def main() -> None:
    """Plant, run, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--area", action="append", choices=list(AREAS), help="only this area; may be given again")
    parser.add_argument("--files", default="", help="only files whose path has this regular expression")
    parser.add_argument("--per-file", type=int, default=3, help="faults drawn in each file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--timeout", type=float, default=150, help="seconds of the processor for the tests of one fault"
    )
    parser.add_argument("--minutes", type=float, default=600, help="plant no more after so many")
    parser.add_argument("--map", type=Path, help="keep here which test calls what, and run those alone")
    parser.add_argument("--again", action="store_true", help="plant those that survived once more, and nothing else")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    explained = json.loads(EXPLAINED.read_text(encoding="utf-8")) if EXPLAINED.is_file() else {}
    os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    load()
    end, seen = time.monotonic() + 60 * given.minutes, list[dict[str, Any]]()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        bed = Bed(Path(folder), given.map, given.timeout)
        if given.again:
            plant_again(bed, given.out, explained)
            return
        for mutant in sample(given.area or list(AREAS), given.files, given.per_file, given.seed):
            if time.monotonic() > end:
                print("out of time", flush=True)
                break
            found = asdict(mutant) | bed.verdict(mutant)
            if found["verdict"] == "survived" and mutant.name in explained:
                found["verdict"] = "explained"
            seen.append(found)
            words = f"{found['verdict']:9} {mutant.path}:{mutant.line} {mutant.name.partition(' ')[2]}"
            print(f"{words}  [{found['by']}: {found['error']}]" if "by" in found else words, flush=True)
            write(seen, explained, given.out, given.seed)
    for area, counts in summary(seen).items():
        print(area, counts)


def plant_again(bed: Bed, out: Path, explained: Mapping[str, str]) -> None:
    """Plant what had survived, wherever its line has moved to, and note which test catches it since."""
    made = json.loads(out.read_text(encoding="utf-8"))
    for one in made["not_killed"]:
        same = ("path", "function", "before", "after")
        every = [m for m in mutants(one["area"], ROOT / one["path"]) if all(getattr(m, k) == one[k] for k in same)]
        if not every:
            one["verdict"] = "gone"
        elif every[0].name in explained:
            one |= {"verdict": "explained", "why": explained[every[0].name]}
        else:
            found = bed.verdict(min(every, key=lambda m: abs(m.line - one["line"])))
            one |= {"verdict": "survived" if found["verdict"] != "killed" else "killed since", "by": found.get("by")}
        print(f"{one['verdict']:12} {one['path']}:{one['line']} {one['before']} → {one['after']}", flush=True)
        out.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def summary(seen: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return how many faults of each area were planted, what became of them, and the share killed of those seen."""
    out: dict[str, dict[str, Any]] = {}
    for area in dict.fromkeys(one["area"] for one in seen):
        verdicts = [one["verdict"] for one in seen if one["area"] == area]
        counts = {name: verdicts.count(name) for name in ("killed", "late", "survived", "explained")}
        real = counts["killed"] + counts["survived"]
        out[area] = {
            "planted": len(verdicts),
            **counts,
            "share_killed": round(counts["killed"] / real, 3) if real else None,
        }
    return out


def write(seen: Sequence[Mapping[str, Any]], explained: Mapping[str, str], out: Path, seed: int) -> None:
    """Write the counts of each area and what was not killed; areas that were not run stay as they were."""
    left = [
        {key: one[key] for key in ("area", "path", "line", "function", "before", "after", "verdict")}
        | {
            "why": explained.get(
                f"{one['path'].removeprefix('src/vaekit/')} {one['function']}: {one['before']} → {one['after']}"
            )
        }
        for one in seen
        if one["verdict"] in ("survived", "explained")
    ]
    before = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {"areas": {}, "not_killed": []}
    areas = {**before["areas"], **{area: {"seed": seed, **counts} for area, counts in summary(seen).items()}}
    kept = [one for one in before["not_killed"] if one["area"] not in summary(seen)]
    made = {"areas": areas, "not_killed": kept + left}
    out.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
