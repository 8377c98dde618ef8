"""Every recipe and every part, in every use, on one device: whatever computes where its data are not shows here.

    python tests/device_sweep.py --device far          the make-believe device of far_device.py, on any machine
    python tests/device_sweep.py --device cuda --jobs 8      a real one
    python tests/device_sweep.py --device cuda --jobs 8 --tests      and the quick tests there too

Prints one line a failure, with its place, and the counts; exit status 1 if there is a failure. A use that a model
refuses (a UserError) is counted as refused. tests/test_devices.py runs a selection of the same uses.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions.utils import lazy_property

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)] if str(HERE) not in sys.path else []

import contracts  # noqa: E402
from recipes import examples  # noqa: E402
from vaekit import bounds  # noqa: E402
from vaekit.conditional import Posterior  # noqa: E402
from vaekit.distributions.base import in_support  # noqa: E402
from vaekit.distributions.kl import closed_form_kl  # noqa: E402
from vaekit.errors import UserError  # noqa: E402
from vaekit.explorer.session import Session  # noqa: E402
from vaekit.inference import batches, device_of, inference, joined  # noqa: E402
from vaekit.latents.arithmetic import combine  # noqa: E402
from vaekit.latents.interpolate import Kind, interpolate  # noqa: E402
from vaekit.latents.traverse import traverse  # noqa: E402
from vaekit.models.base import point  # noqa: E402
from vaekit.priors.base import PRIORS  # noqa: E402
from vaekit.recipes.base import RECIPES  # noqa: E402
from vaekit.runs.run import Augmentation, Run  # noqa: E402
from vaekit.runs.train import train  # noqa: E402
from vaekit.tasks.anomaly import SCORES  # noqa: E402
from vaekit.tasks.clustering import Kind as ClusterKind  # noqa: E402
from vaekit.tasks.export import Format  # noqa: E402
from vaekit.tasks.imputation import Method  # noqa: E402

STEPS = 4


@dataclass
class Outcome:
    """What the uses of one subject came to: lines of failures, and how many passed and were refused."""

    failures: list[str] = field(default_factory=list)
    passed: int = 0
    refused: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def attempt(self, name: str, call: Callable[[], Any]) -> Any:
        """Return what the call returns, None if it fails or is refused; its tensors must be on the CPU."""
        try:
            value = call()
        except UserError as refusal:
            # An error that is told in a sentence is no refusal if it tells of devices.
            told = self.failures if "device" in str(refusal) else self.refused
            told.append(f"{name}: {refusal}")
            return None
        except Exception as error:
            self.failures.append(f"{name}: {type(error).__name__}: {str(error)[:200]} ({place(error)})")
            return None
        away = {str(tensor.device) for tensor in tensors_in(value)} - {"cpu"}
        if away:
            self.failures.append(f"{name}: gives a result on {', '.join(sorted(away))}, not on the CPU")
        else:
            self.passed += 1
        return value


def place(error: Exception) -> str:
    """Return the innermost place within the package that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/vaekit/" in frame.filename] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}, called from {Path(own[0].filename).name}:{own[0].lineno}"


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in a result, however it holds them."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(tensors_in, value.values()))
    elif isinstance(value, (list, tuple)):
        yield from itertools.chain.from_iterable(map(tensors_in, value))
    elif hasattr(value, "__dict__") and not isinstance(value, (Run, type, torch.nn.Module)):
        yield from tensors_in(vars(value))


@contextlib.contextmanager
def opened(device: str) -> Iterator[None]:
    """Open the device, where it is the make-believe one."""
    if device != "far":
        yield
        return
    import far_device

    with far_device.opened():
        yield


# -- parts -------------------------------------------------------------------------------------------------------------


def use_part(case: contracts.Case, device: str) -> Outcome:
    """Compare all that a part's distribution computes on the device with the CPU's numbers."""
    outcome = Outcome()
    module, context = case.build()
    x = contracts.data_for(module.eval(), context)
    there = x.to(device), *(c.to(device) if hasattr(c, "to") else c for c in context)
    with inference(module):
        here = values_of(module(*context), x)
        d = module.to(device)(*there[1:])
        for name, call in facts_of(d, there[0]):
            if name in here:
                check = partial(same, call, here[name], device, "sample" in name)
                outcome.attempt(f"{case.id} {name}", check)
    if isinstance(module, Posterior):
        module.train()
        outcome.attempt(f"{case.id} gradients", lambda: contracts.loss_of(module, there[1:], None).backward())
    elif contracts.is_float(x):
        module.train()
        if list(module.parameters()):
            outcome.attempt(f"{case.id} gradients", lambda: contracts.loss_of(module, there[1:], there[0]).backward())
    return outcome


def facts_of(d: Any, x: Tensor) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield (name, call) of what a distribution computes: of x, its samples, its properties and closed forms."""
    yield "log_prob", lambda: d.log_prob(x)
    yield "in_support", lambda: in_support(d, x)
    yield "sample", lambda: seeded_draw(d.sample)
    if d.has_rsample:
        yield "rsample", lambda: seeded_draw(d.rsample)
    if hasattr(d, "log_prob_elements"):
        yield "log_prob_elements", lambda: d.log_prob_elements(x)
    for name in sorted(dir(type(d))):
        member = getattr(type(d), name)
        if isinstance(member, (property, lazy_property)) and not name.startswith("_"):
            yield name, lambda name=name: getattr(d, name)
        elif name in ("entropy", "perplexity"):
            yield name, getattr(d, name)
    for case in contracts.cases(PRIORS):
        with contextlib.suppress(ValueError, UserError, pytest.skip.Exception):
            module, context = case.build(tuple(d.event_shape))
            if not context:
                yield f"kl to {case.entry.name}", lambda module=module: closed_form_kl(d, module.to(x.device)())


def values_of(d: Any, x: Tensor) -> dict[str, Any]:
    """Return what a distribution computes; what it does not offer is left out."""
    values = {}
    for name, call in facts_of(d, x):
        with contextlib.suppress(NotImplementedError, AttributeError, ValueError):
            values[name] = call()
    return values


def seeded_draw(draw: Callable[[torch.Size], Tensor]) -> Tensor:
    """Return three draws from a fixed seed."""
    torch.manual_seed(3)
    return draw(torch.Size((3,)))


def same(call: Callable[[], Any], here: Any, device: str, drawn: bool) -> None:
    """Compare a value on the device with the CPU's; a real device's random numbers are its own."""
    there = call()
    if isinstance(there, Tensor) and isinstance(here, Tensor):
        assert there.device.type == torch.device(device).type, f"is on {there.device}, not {device}"
        if device == "far" or not drawn:
            torch.testing.assert_close(there.cpu(), here, rtol=1e-4, atol=1e-4, equal_nan=True)


# -- recipes -----------------------------------------------------------------------------------------------------------


def train_on(name: str, device: str, out: Path, **more: Any) -> Run:
    """Train a recipe for a few steps, into a run folder."""
    few = {"train.batch_size": 16, "train.checkpoint_steps": 2, "data.limit": 300}
    settings = few | dict(examples.SETTINGS.get(name, {})) | more
    settings.pop("train.steps", None)
    return train(name, examples.source(name), out=out, steps=STEPS, set=settings, device=device, pictures=False)


def model_uses(run: Run) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield (name, call) of what every model offers, on test examples."""
    model: Any = run.model
    device, split = device_of(model), run.test.first(6)

    def each(call: Callable[[Any, Tensor | None], Any]) -> Any:
        at_once = 6 if run.info.kind == "graph" else 4  # a batch's codes are as wide as its largest graph
        with inference(model):
            return joined([call(x, y) for x, y in batches(model, split.x, split.y, size=at_once)])

    def traced(read: Callable[[Any], Tensor], hard: bool, k: int = 2) -> Any:
        def call(x: Any, y: Tensor | None) -> Tensor:
            trace = model.trace(x, y, k=k, hard=hard)
            bounds.require(trace)
            return read(trace)

        return each(call)

    def drawn(temperature: float, draw: bool) -> Any:
        label = run.labels(5)
        with inference(model):
            return joined([model.sample(5, None if label is None else label.to(device), temperature, draw)])

    yield "features", lambda: each(model.features)
    yield "posterior mean", lambda: each(model.posterior_mean)
    yield "posterior", lambda: each(lambda x, y: model.encode(x, y).sample())
    yield "reconstruct", lambda: each(model.reconstruct)
    yield "reconstruct a sample", lambda: each(lambda x, y: model.reconstruct(x, y, sample=True))
    yield "decode", lambda: each(lambda x, y: point(model.decode(model.posterior_mean(x, y), y)))
    for hard in (False, True):
        yield f"trace hard={hard}", lambda hard=hard: traced(lambda t: t.log_px.T, hard)
    yield "kl", lambda: traced(lambda t: torch.stack([kl.mean() for kl in t.kl.values()]), True)
    yield "elbo", lambda: traced(lambda t: bounds.elbo(t), True)
    yield "importance weighted", lambda: traced(lambda t: bounds.importance_weighted(t), True)
    yield "sample", lambda: drawn(1.0, False)
    yield "sample draws", lambda: drawn(1.0, True)
    yield "sample cooler", lambda: drawn(0.7, False)
    if model.gives_label:
        yield "class probabilities", lambda: each(lambda x, y: model.class_log_probs(x))


def run_uses(run: Run) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield (name, call) of what a run offers."""
    few, many = run.test.first(6), run.test.first(40)
    labels = few.y if run.model.takes_label else None
    yield "evaluate", lambda: run.evaluate(limit=30, k=3)
    yield "evaluate a function", lambda: run.evaluate({"own": lambda trace: trace.log_px}, data=few)
    yield "values of the evaluation", run.values
    yield "sample", lambda: run.sample(4)
    yield "sample draws", lambda: run.sample(4, draw=True)
    yield "sample cooler", lambda: run.sample(4, temperature=0.7)
    if run.info.classes:
        yield "sample a class", lambda: run.sample(4, run.info.classes[1])
    if run.model.takes_label:
        yield "sample by condition", lambda: run.given(4, asked(run))
    if run.info.kind == "table":
        yield "sample rows by rejection", lambda: run.given(4, {"stars": "2..4"})
        yield "sample rows by importance", lambda: run.given(4, {"joined": "2021-06-15"})
        yield "sample rows by rules", lambda: run.given(4, None, ["stars >= 2"])
        if not run.model.takes_label:
            yield "sample rows like some", lambda: run.rows_like({"stars": [3]}, 4)
        yield "rows as columns", lambda: run.columns(run.drawn(4))
    yield "sample the aggregate", lambda: run.sample_aggregate(4, components=2)
    yield "encode", lambda: run.encode(few)
    yield "codes and back", lambda: run.decode(run.codes(few), labels)
    yield "reconstruct", lambda: run.reconstruct(few)
    if run.info.is_array:
        yield "as pictures", lambda: run.picture(run.reconstruct(few))
    if run.info.kind == "graph":
        yield "node codes", lambda: run.node_codes(few)
    else:
        a, b = few.first(3), few.take(torch.tensor([3, 4, 5]))
        for kind in get_args(Kind):
            yield f"interpolate {kind}", lambda kind=kind: run.interpolate(a, b, steps=3, kind=kind)
        yield "interpolate examples", lambda: run.interpolate_examples([(0, 1), (2, 3)], few, steps=3)
    yield "traverse", lambda: run.traverse(many, top=2, steps=3)
    yield "traverse by number", lambda: run.traverse(many, dimensions=[0], steps=3, reach=2.0)
    yield "manifold", lambda: run.manifold(3)
    yield "arithmetic", lambda: run.arithmetic([0, 1, 2], many)
    if run.info.classes:
        yield "arithmetic by class", lambda: run.arithmetic([0, 1], many, attribute=run.info.classes[0])
    for score in SCORES:
        yield f"detect {score}", lambda score=score: run.detect(few, score=score, k=4, contamination=0.3)
    yield "label columns", lambda: run.label_columns(many.y)
    yield "classes", lambda: run.classes_of(many, "the sweep")
    if names := run.label_names(many):
        yield "of a class", lambda: run.of_classes(many, names[:1])
        yield "detect a class", lambda: run.detect(many, anomalous=names[:1], score="reconstruction", k=4)
    yield "detect contributions", lambda: run.detect(few, score="elbo", k=4, contributions=True, threshold="data")
    yield "reference", lambda: run.reference("reconstruction")
    yield "keep reference", run.keep_reference
    yield "detect against", lambda: run.detect(few, against=many.first(3), score="reconstruction")
    for method in get_args(Method):
        yield f"impute {method}", lambda method=method: run.impute(gaps(run), method=method, draws=2, k=8)
    if run.info.kind == "series":
        yield "forecast", lambda: run.forecast(gaps(run), 2, draws=2, k=8)
        yield "impute series", lambda: run.impute_series(gaps(run), 2, draws=2, k=8)
        yield "band", lambda: run.band(run.codes(few))
        yield "gaps of series", lambda: len(run.gaps_of(gaps(run)).series)
        yield "write filled series", lambda: filled(run)
        yield "draw reconstructions", lambda: len(run.draw_reconstructions(few).axes)
    for method in get_args(Augmentation):
        yield f"augment {method}", lambda method=method: run.augment(many, method=method, n=4)
    for kind in get_args(ClusterKind):
        yield f"cluster {kind}", lambda kind=kind: run.cluster(many, k=2, kind=kind, bootstraps=1)
    yield "classify", lambda: run.classify(few, labels=20)
    yield "classify by a few of each class", lambda: run.few_shot(many, shots=1)
    yield "more like some", lambda: run.sample_like(few, 3)
    yield "a set's bound", lambda: run.set_log_likelihood(few, k=4)
    yield "intervene", lambda: run.intervene(few, light=0.5)
    yield "make modalities", lambda: run.impute_views(few, draws=2, k=4)
    yield "optimise", lambda: run.optimise(few, n=3, steps=2)
    yield "compress and back", lambda: run.decompress(run.compress(run.stored_levels()[0][:6]))
    for form in get_args(Format):
        yield f"export {form}", lambda form=form: sorted(run.export(form))
    yield "explorer", lambda: explored(run)
    yield "figures", run.write_figures
    yield "report", run.write_report
    yield "save", lambda: saved(run)


def saved(run: Run) -> list[str]:
    """Return the files of a run that is kept in another folder; it stays one of its own."""
    before = run.path
    try:
        with tempfile.TemporaryDirectory() as folder:
            return sorted(path.name for path in run.save(Path(folder) / "run", pictures=False).path.iterdir())  # type: ignore[union-attr]
    finally:
        run.path = before


def asked(run: Run) -> dict[str, str]:
    """Return conditions that test examples have."""
    y = run.test.y
    assert y is not None
    one = y[(y >= 0).nonzero()[:1, 0]] if y.dim() == 1 else y[:1]
    return {name: texts[0] for name, texts in run.conditions.texts(one).items()}


def filled(run: Run) -> list[str]:
    """Return the files of filled series, in every form that they are written in."""
    made = run.impute_series(gaps(run), 2, draws=2, k=8)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("npz", "csv", "png"):
            run.write_imputed(made, Path(folder) / f"filled.{suffix}")
        return sorted(path.name for path in Path(folder).iterdir())


def gaps(run: Run) -> Any:
    """Return four examples of the run's data with entries missing."""
    if run.info.kind == "table":
        return examples.table()
    if run.info.kind == "series":
        return [np.where(np.arange(12) % 3 == 0, np.nan, np.ones((run.info.shape[0], 12)))] * 4
    if not run.info.is_array:
        return np.full((4, *run.info.shape), np.nan)
    rows = np.array(run.prepare.invert(run.test.first(4).inputs).double())
    rows.reshape(4, -1)[:, ::3] = np.nan
    return rows


def explored(run: Run) -> list[Any]:
    """Return what the explorer's page is told, by everything it asks for."""
    session = Session(run)
    told: list[Any] = [session.facts]
    if session.facts["n_test"]:
        first, second = session.encode(0), session.encode(1)
        codes = session.code([first["z"], second["z"]])
        a, b = codes
        told += [first, session.decode(codes, first["label"]), session.infer(session.example(0)[0], first["label"])]
        if not session.discrete:
            told += [interpolate(a, b, 3), combine(a, b, a), traverse(a, 0, [0.0, 1.0])[0]]
        told += [session.latent_map(), session.lift([0.1, 0.2], None), session.npz(codes, first["label"])]
    return [*told, session.random(0 if run.model.takes_label else None, 1), session.scores()]


def use_recipe(name: str, device: str, whole: bool = True) -> Outcome:
    """Train a recipe on the device and use the run in every way; if not the `whole`, what all models offer."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        run = outcome.attempt(f"{name} train", lambda: train_on(name, device, Path(folder) / "run"))
        if run is None:
            return outcome
        wanted = torch.device(device).type
        if device_of(run.model).type != wanted:
            outcome.failures.append(f"{name} train: the model is on {device_of(run.model)}, not on {wanted}")
        for use, call in model_uses(run):
            outcome.attempt(f"{name} model {use}", call)
        for use, call in run_uses(run) if whole else ():
            outcome.attempt(f"{name} {use}", call)
    return outcome


# -- the whole ---------------------------------------------------------------------------------------------------------


def cases() -> list[contracts.Case]:
    """Return the parts that are looked at alone; the others have no contract, and recipes of their own."""
    return [case for case in contracts.cases() if "no_contract" not in case.entry.facts]


def jobs() -> dict[str, Callable[[str], Outcome]]:
    """Return every job by name: a function of the device."""
    parts = {case.id: partial(use_part, case) for case in cases()}
    return parts | {name: partial(use_recipe, name) for name in RECIPES.names}


def work(name: str, device: str) -> Outcome:
    """Do one job, in a process of its own if there are several."""
    torch.set_num_threads(1)
    start = time.monotonic()
    with opened(device), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            outcome = jobs()[name](device)
        except Exception as error:
            outcome = Outcome([f"{name}: {type(error).__name__}: {str(error)[:200]} ({place(error)})"])
    outcome.seconds = time.monotonic() - start
    return outcome


def sweep(names: Sequence[str], device: str, count: int, refused: bool = False) -> int:
    """Do the jobs, print each failure, and return how many there are."""
    start, total = time.monotonic(), Outcome()
    with ProcessPoolExecutor(count, get_context("spawn")) if count > 1 else contextlib.nullcontext() as pool:
        outcomes = (pool.map if pool else map)(work, names, [device] * len(names))
        for outcome in outcomes:
            for line in [*outcome.failures, *(outcome.refused if refused else [])]:
                print(line, flush=True)
            total.failures += outcome.failures
            total.refused += outcome.refused
            total.passed += outcome.passed
    print(
        f"{device}: {len(names)} recipes and parts, {total.passed} uses passed, {len(total.refused)} refused, "
        f"{len(total.failures)} failed, {time.monotonic() - start:.0f} s"
    )
    return len(total.failures)


def quick_tests(count: int) -> int:
    """Run the quick tests, in which "auto" is this machine's best device; return pytest's exit status."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-n", str(count), "-rfE", "--tb=no"]
    return subprocess.run(command, cwd=HERE.parent, check=False).returncode


def main() -> int:
    """Read the command line, sweep, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="far", help="far, cuda, cuda:1, mps, cpu")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once")
    parser.add_argument("--only", nargs="*", help="recipes and parts by name; all by default")
    parser.add_argument("--refused", action="store_true", help="print what models refuse, too")
    parser.add_argument("--tests", action="store_true", help="run the quick tests as well")
    arguments = parser.parse_args()
    failed = sweep(arguments.only or list(jobs()), arguments.device, arguments.jobs, arguments.refused)
    tested = quick_tests(arguments.jobs) if arguments.tests else 0
    return int(failed > 0 or tested != 0)


if __name__ == "__main__":
    sys.exit(main())
