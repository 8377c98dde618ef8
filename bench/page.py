"""docs/performance.md, made from what is in bench/results. python bench/page.py"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
NAMES = {
    "textbook": "textbook loop",
    "pythae": "pythae 0.1.2",
    "vaekit-fp32": "**vaekit, fp32**",
    "vaekit-bf16": "**vaekit, bf16**",
    "vaekit-auto": "**vaekit, default**",
    "limit-fp32": "the step's products and memory alone, fp32",
    "limit-bf16": "the same, bf16",
}


def found(name: str) -> dict[str, Any] | None:
    """Return a result, or None where it was not measured."""
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def ratio(value: dict[str, float] | None, inverse: bool = False) -> str:
    """Return a median with its quartiles."""
    if value is None:
        return "not measured"
    middle, low, high = value["median"], value["low"], value["high"]
    if inverse:
        middle, low, high = 1 / middle, 1 / high, 1 / low
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def machine(result: dict[str, Any]) -> str:
    """Return one sentence on the machine."""
    m = result["machine"]
    able = ", ".join(name.replace("_", "-") for name in m["instructions"])
    return (
        f"{m['cores']} cores of {m['processor']} ({able}), {m['memory_gib']:.0f} GiB, {m['system']}, "
        f"Python {m['python']}, torch {m['torch']}"
    )


def training(result: dict[str, Any]) -> str:
    """Return the tables of bench/run.py."""
    parts = [
        f"Measured on {machine(result)}, one thread a process, {result['rounds']} rounds; {result['images']:,} MNIST "
        "images, binarised once, the same for all."
        + (" A first look (`--quick`): few steps, wide quartiles." if result["quick"] else ""),
    ]
    for net, rows in result["nets"].items():
        out = []
        for name, row in rows.items():
            first = result["first"][net].get(name)
            elbo = f"{row['elbo']:.1f} ± {row['elbo_stderr']:.1f}" if "elbo" in row else ""
            label = NAMES[name] + (f" ({row['precision']})" if name == "vaekit-auto" else "")
            out.append(
                [
                    label,
                    f"{row['cpu_seconds_an_epoch']:.2f}",
                    f"{row['images_per_second']:,.0f}",
                    ratio(row.get("x_textbook")),
                    ratio(row.get("x_pythae")),
                    ratio(row.get("x_limit-fp32"), inverse=True),
                    "" if name.startswith("limit") else f"{row['peak_mib']:.0f}",
                    "" if first is None else f"{first['wall']:.1f}",
                    elbo,
                ]
            )
        header = [
            "", "CPU s an epoch", "images/s", "× textbook", "× pythae", "time over the fp32 limit", "peak MiB",
            "first epoch after, s", "held-out ELBO",
        ]  # fmt: skip
        parts.append(f"## {'MLP' if net == 'mlp' else 'Convolutions'}: {result['what'][net]}\n\n{table(header, out)}")
    traced, over = (", ".join(f"{p}: {ratio(v)}" for p, v in result[what].items()) for what in ("trace", "overhead"))
    parts.append(
        "CPU seconds an epoch are for 60,000 images; × are ratios of CPU time within a round, the median and the "
        'quartiles over rounds. "First epoch after" is from the start of the process to the end of its first epoch '
        f"over {result['images']:,} images. The ELBOs, one sample each on 2,000 held-out images after equally many "
        "steps, say that all do the same work; vaekit starts its output at the mean image.\n\n"
        "The limit is what the step's matrix products and convolutions take in its order, each alone by the library's "
        "kernel, with the fused update and the loss's memory: no program that makes these products by these kernels "
        "can be quicker.\n\n"
        "What a trace costs: the same model as a bare loop (its layers, one expression for the loss, one fused "
        "update), and that loop with `model.trace` and the objective in the expression's place, paired blocks in one "
        f"process (MLP, CPU time): {traced}. `fit` over the same bare loop: {over}. In that is everything a run has "
        "beside its arithmetic: the gradient's norm and the check that it is finite, the log's entries, schedules."
    )
    return "\n\n".join(parts)


def precision() -> str:
    """Return the evidence for bf16."""
    rows = []
    for net in ("mlp", "conv"):
        result = found(f"precision-{net}")
        if result is None or "mean" not in result["summary"]:
            continue
        what, s = result["what"], result["summary"]
        data = what["data"] + (f", {what['limit']:,} images" if what["limit"] else "")
        rows.append(
            [
                net, data, str(what["epochs"]), str(len(s["seeds"])), f"{s['fp32']:.2f}",
                f"{s['mean']:+.4f} ± {s['stderr']:.4f}", f"{s['fp32_sd_over_seeds']:.2f}",
            ]
        )  # fmt: skip
    if not rows:
        return "The evidence for bf16 was not measured, so `auto` is fp32.\n"
    header = ["network", "data", "epochs", "seeds", "ELBO in fp32", "bf16 less fp32, paired", "spread over seeds"]
    return table(header, rows)


def gpu() -> str:
    """Return what a GPU gave: milliseconds a step, whole commands, and which recipes graphs compute the same."""
    made = found("gpu")
    if made is None:
        return "On a GPU: not measured.\n"

    def cell(value: Any) -> str:
        return f"{value:.2f}" if isinstance(value, float) else "–"

    rows: list[list[str]] = []
    for row in made["steps"]:
        by_hand, ours = row.get("captured"), row.get("vaekit graph")
        times = [cell(row.get(mode)) for mode in ("eager", "captured", "vaekit", "vaekit graph")]
        over = f"{ours / by_hand:.2f}" if isinstance(by_hand, float) and isinstance(ours, float) else "–"
        rows.append([row["net"], str(row["batch"]), row["precision"], *times, over, f"{row.get('busy_share', 0):.0%}"])
    each, whole = made["equal"], made["whole"]
    same = [name for name, row in each.items() if row.get("weights") and row.get("resumed")]
    unsteady = [name for name, row in each.items() if name not in same and row.get("eager_repeats") is False]
    failed = {name: row["error"] for name, row in each.items() if "error" in row}
    without = [name for name, row in each.items() if row.get("without")]
    before, after = (whole[f"train, graph={on}"] for on in (False, True))
    about = made["machine"]
    header = ["network", "batch", "precision", "plain loop, ms", "captured by hand, ms", "vaekit without graphs, ms"]
    return (
        f"Measured on {about['cuda']} (torch {about['torch']}), milliseconds a step:\n\n"
        + table([*header, "vaekit, ms", "vaekit over by hand", "GPU busy"], rows)
        + f"\nTwenty epochs of MNIST (`vae`, default settings): {before['result']['seconds']:.1f} s of training "
        f"without graphs, {after['result']['seconds']:.1f} s with them (whole commands {before['seconds']:.0f} s and "
        f"{after['seconds']:.0f} s), and the same held-out ELBO. `evaluate --k 5000` on 10,000 images took "
        f"{whole['evaluate']['seconds']:.1f} s.\n\nOf {len(each)} recipes {len(same)} gave the same weights to the bit "
        f"without graphs, with them, and cut and resumed. {len(unsteady)} do not repeat themselves on the GPU with or "
        f"without graphs (their kernels add in no fixed order): {', '.join(unsteady)}. {len(without)} are computed "
        f"without graphs: {', '.join(without)}."
        + "".join(f" Not tried: {name} ({error.partition(':')[2].strip()})." for name, error in failed.items())
        + "\n"
    )


def page() -> str:
    """Return the page."""
    result, streaming, spin, startup = (found(name) for name in ("training", "streaming", "spin", "startup"))
    text = HEAD
    text += training(result) if result else "Not measured: run `make bench`."
    text += PRECISION + precision()
    text += STREAMING
    if streaming:
        what, rounds = streaming["what"], streaming["rounds"]
        anonymous = max(r["large"]["RssAnon"] for r in rounds)
        text += (
            f"A file of {what['bytes'] / 1e9:.0f} GB ({what['rows']:,} training rows of {what['row_bytes']} bytes), "
            f"cached by the system, trained at {streaming['speed_against_memory']:.2f} of the speed of 60,000 of its "
            f"rows in memory, with {streaming['peak_mib']:.0f} MiB resident at the highest (VmHWM: all of the process, "
            f"libraries too; {anonymous:.0f} MiB of it anonymous). {len(rounds)} rounds, turn about "
            "(`python bench/streaming.py`).\n"
        )
    else:
        text += "Speed and memory on a large file were not measured: `python bench/streaming.py`.\n"
    text += THREADS
    if spin:
        waiting = spin["waiting"]
        header = ["waiting", "ms a step, alone", "beside a busy core", "slow-down"]
        names = {"library": "OpenMP's own", "vaekit": "vaekit's"}
        text += table(
            header,
            [
                [names[k], f"{v['alone_ms']:.1f}", f"{v['beside_ms']:.1f}", f"{v['slow_down']:.2f}"]
                for k, v in waiting.items()
            ],
        )
    else:
        text += "Not measured: `python bench/spin.py`.\n"
    text += STARTUP
    if startup:
        r = startup["ratio"]
        text += (
            f"The whole command took {r['wall']:.2f} times as long as `import torch` and one epoch of the best loop "
            f"({r['cpu']:.2f} in CPU time; {startup['threads']} thread, {len(startup['rounds'])} rounds).\n"
        )
    else:
        text += "Not measured: `python bench/startup.py`.\n"
    return text + GRAPHS + gpu() + NOT_MEASURED


HEAD = """# Performance

<!-- Made by bench/page.py from bench/results: change those. -->

How fast vaekit trains against a loop as tutorials have it, pythae's own trainer, and what the machine can do at most.
`make bench` measures all of it anew, in about ten minutes (`make bench ARGS=--quick`: two); every contender is a
process with one thread, blocks of their steps are run in turns, and ratios are of CPU time within a round, so that
whatever else the machine does bears on all alike. All have the same layers, batch size, optimiser and images; the loops
are their own.

"""

PRECISION = """

## bf16

`--precision auto` (the default) trains in bf16 where the hardware has it and held-out ELBOs say that nothing is lost;
elsewhere in fp32. bf16 is inside networks only (autocast), and there not in the narrow layers about a latent (up to 128
inputs or outputs), through which codes pass: weights, samples, likelihoods, KLs, losses and the optimiser
are float32, and so is all evaluation. "Nothing is lost" is read off this table, for the family it was measured on (a
flat VAE with a diagonal normal posterior, a standard normal prior, a Bernoulli likelihood, and reconstruction and rate
as its objective), and no other: `vaekit.training.precision.EVIDENCE` holds the same numbers, and a test compares.
The difference must be no worse than two of its standard errors (`python bench/precision.py`; held-out split, nats).

"""

STREAMING = """
## Data larger than memory

NPY files, folders of NPY files and folders of images above 1 GiB stay on disk (`data.stream=yes` or `no` decides it).
Rows are read by their numbers into buffers, three batches ahead of training in a thread of its own; files are not
mapped, since a mapped file's pages would count as the process's memory. Splits, order and noise are those of the same
data in memory for the same seeds, and a run resumes to the bit. The order of an epoch is an exact shuffle of all rows,
up to 33,554,432 of them (8 bytes a row); above that, or with `data.shuffle=blocks` for slow disks, blocks of about 1 MB
are taken in random order and shuffled in groups of 64. What needs all rows in memory (which values occur, the mean
image, standardisation) is taken from 8,192 rows spread over the source; every batch is checked as it is read, and a bad
row is named.

"""

THREADS = """
## Threads, and what else the machine does

GNU OpenMP's threads spin while they wait for one another, and beside another program they keep the cores from those
that they wait for. The `vaekit` command bounds the spin (`GOMP_SPINCOUNT=500`) and keeps freed buffers in the heap
before torch loads; what you have set stays, and `VAEKIT_KEEP_ENV=1` keeps all as it was. Two threads, one core of two
taken by another program (`python bench/spin.py`; half of the machine is taken, so a slow-down of 2 is its share):

"""

STARTUP = """
## Start-up

`vaekit --help` loads no torch. A training run imports torch, reads its data, trains, evaluates on the held-out split,
and leaves eight figures and a report; importing Matplotlib and drawing take a second or two (`--no-figures` leaves both
out, `vaekit report RUN` makes them later). The command ends without taking torch apart object by object. For
`vaekit train vae --data mnist --epochs 1` (`python bench/startup.py`), beside
`python -c "import torch"` as a whole process, and the seconds of an epoch of the bare loop in the same arithmetic:

"""

GRAPHS = """
## Compiling

`--compile` hands the networks to `torch.compile` (samples, likelihoods and losses stay as they are, so that a compiled
run has an uncompiled one's noise). It takes 20 to 40 seconds at the start. On a processor it does not pay for the MLP
(5% of a step: some sixty epochs to earn back) nor for convolutions (its kernels were slower than the library's); on
CUDA it records a network's kernels as a graph and replays them.

## CUDA graphs

On CUDA the whole step is recorded (trace, objective, every player's gradients, clipping, the flag of a bad step, Adam,
codebooks, the log's numbers) after three steps of a batch's shape, and replayed from there on by one call
(`vaekit.training.graph`); `--set train.graph=false` leaves that out. Learning rates and annealed scalars are tensors on
the device, random numbers go on as they would: seeds, checkpoints and the log are those of a run without graphs. A
weight average (`train.ema`) is updated after each replay. A step that waits for the device is not recorded, and the
log says where it waits: batches that are no tensors, recurrent networks on packed sequences, branches on a computed
number. Nor is one of several processes, one in parts (`train.accumulate`), or one with `--compile`; nor one with
modules of other packages, unless `train.graph=true` asks for it: **a term or model of one's own whose Python changes
from step to step (a counter, say) is then recorded as it was at the recording: keep what changes in a buffer.** A
callback is called as always.

On a processor every replay is compared with the plain loop by a stand-in that replays a step's operations without its
Python (`tests/recorded_ops.py`). `bash bench/gpu.sh`, on a machine with a GPU, compares every recipe with and without
graphs, cut and resumed too, and prints the times of both beside a loop captured by hand.

"""

NOT_MEASURED = """
## Not measured

What else runs on CUDA is tested for its logic on a processor only: data on the device where they fit into half of its
free memory, TF32 (`--precision tf32`), compiled networks. Reading from a disk that has not cached the file depends on
the disk, and was not measured.
"""


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"written to {PAGE.relative_to(HERE.parent)}")
