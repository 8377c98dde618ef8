"""The `vaekit` command. Nothing heavy is imported until a command runs, so that --help is instant."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from typing import Any

from cyclopts import App, CycloptsError, Group

from vaekit import __version__, _env
from vaekit.commands.help import Formatter, examples
from vaekit.commands.output import note, prepare_streams
from vaekit.errors import Missed, NotStored, OutOfMemory, PeerLost, TrainingFailed, UserError, said

NO_MEMORY_LEFT = "there is not enough memory for this: ask for less at once, or give fewer or smaller examples"

app = App(
    name="vaekit",
    help="Variational autoencoders from a few shared parts: train, evaluate, use and see them.",
    version=f"vaekit {__version__}",
    help_formatter=Formatter(),
    help_format="plaintext",
    help_epilogue=examples("train vae --data digits", "evaluate runs/digits-vae", "explore runs/digits-vae"),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

# Help stands here too, since a command's own module is imported only when it runs.
_COMMANDS: dict[str, tuple[tuple[str, str, str, tuple[str, ...]], ...]] = {
    "Train and measure": (
        (
            "train",
            "train:train",
            "Train a recipe on data into a run folder.",
            (
                "train vae --data mnist --epochs 20",
                "train beta-vae --data mnist --set objective.beta=4 --out runs/beta",
                "train tabular-vae --data customers.csv",
                "train vae --resume --out runs/mnist-vae --epochs 40",
            ),
        ),
        (
            "evaluate",
            "evaluate:evaluate",
            "Evaluate a run on its test split.",
            (
                "evaluate runs/mnist-vae",
                "evaluate runs/mnist-vae --metrics likelihood,latents --k 100",
                "evaluate runs/a runs/b --metrics udr",
            ),
        ),
        (
            "report",
            "report:report",
            "Write a run's report again, or compare runs.",
            ("report runs/mnist-vae", "report runs/mnist-vae runs/mnist-iwae --out comparison.html"),
        ),
        (
            "study",
            "study:study",
            "Run a study: settings that vary, with several seeds, and what was found.",
            ("study --list", "study beta --data digits --out studies/beta"),
        ),
        (
            "reproduce",
            "reproduce:reproduce",
            "Measure published tables again, and print ours beside theirs.",
            ("reproduce",),
        ),
        (
            "explore",
            "explore:explore",
            "Explore a run's latent space in the browser.",
            ("explore runs/mnist-vae", "explore runs/mnist-vae --port 0 --no-browser"),
        ),
    ),
    "Sample and look": (
        (
            "sample",
            "sample:sample",
            "Sample from a run's model.",
            (
                "sample runs/mnist-vae -n 64 --out samples.png",
                "sample runs/customers-tabular-vae -n 1000 --out rows.csv",
                "sample runs/mnist-cvae --label 7 --out sevens.png",
            ),
        ),
        (
            "reconstruct",
            "reconstruct:reconstruct",
            "Reconstruct examples.",
            (
                "reconstruct runs/mnist-vae --out reconstructions.png",
                "reconstruct runs/mnist-vae --data mine.png --out made.npz",
            ),
        ),
        (
            "interpolate",
            "interpolate:interpolate",
            "Decode paths between examples.",
            ("interpolate runs/mnist-vae --out paths.png",),
        ),
        (
            "traverse",
            "traverse:traverse",
            "Decode along single latents.",
            (
                "traverse runs/mnist-vae --out traversals.png",
                "traverse runs/mnist-vae --example 3 --dimensions z1,z4 --out two.png",
            ),
        ),
        (
            "manifold",
            "manifold:manifold",
            "Decode a plane of the latent space.",
            ("manifold runs/mnist-vae --out plane.png",),
        ),
        (
            "arithmetic",
            "arithmetic:arithmetic",
            "Decode a - b + c of examples' codes.",
            ("arithmetic runs/mnist-vae --examples 3,17,42 --out sum.png",),
        ),
        (
            "intervene",
            "intervene:intervene",
            "Set concepts of examples, and decode what follows.",
            ("intervene runs/shadows-causal-vae light=0.9 --out lit.png",),
        ),
    ),
    "Use": (
        (
            "encode",
            "encode:encode",
            "Write the codes of data.",
            ("encode runs/mnist-vae --out codes.csv", "encode runs/mnist-vae --data new.npy --out codes.npz"),
        ),
        (
            "detect",
            "detect:detect",
            "Score data for anomalies.",
            ("detect runs/mnist-vae --data new.npy --out scores.csv",),
        ),
        (
            "impute",
            "impute:impute",
            "Fill missing values in.",
            ("impute runs/customers-tabular-vae --data gaps.csv --out filled.csv",),
        ),
        (
            "augment",
            "augment:augment",
            "Write new examples near given ones.",
            ("augment runs/mnist-vae --method near --out more.npz",),
        ),
        (
            "cluster",
            "cluster:cluster",
            "Cluster data by their codes.",
            ("cluster runs/mnist-vae --k 10 --out clusters.csv",),
        ),
        (
            "classify",
            "classify:classify",
            "Classify data by their codes.",
            ("classify runs/mnist-vae --labels 100 --out classes.csv",),
        ),
        (
            "optimise",
            "optimise:optimise",
            "Seek molecules with more of a property.",
            ("optimise runs/nci-molecule-vae --out better.csv",),
        ),
        (
            "compress",
            "compress:compress",
            "Compress data losslessly with a model.",
            ("compress runs/mnist-vae images.npy images.vkz",),
        ),
        (
            "decompress",
            "compress:decompress",
            "Undo compress, bit for bit.",
            ("decompress runs/mnist-vae images.vkz images.npy",),
        ),
        ("export", "export:export", "Write the model as ONNX or torch.export.", ("export runs/mnist-vae --out onnx",)),
    ),
    "What there is": (
        ("recipes", "lists:recipes", "List the recipes.", ("recipes", "recipes --json")),
        ("datasets", "lists:datasets", "List the known data sets.", ("datasets",)),
        ("parts", "parts:parts", "List the parts and their options.", ("parts", "parts prior")),
        ("show", "lists:show", "Show a recipe's settings and defaults.", ("show vae",)),
    ),
}
for _order, (_title, _rows) in enumerate(_COMMANDS.items()):
    _group = Group(_title, sort_key=_order)
    for _place, (_name, _where, _help, _examples) in enumerate(_rows):
        app.command(
            f"vaekit.commands.{_where}",
            name=_name,
            help=_help,
            group=_group,
            sort_key=_place,
            help_epilogue=examples(*_examples),
        )
app.register_install_completion_command(
    help="Complete commands and options by the Tab key in this shell.", group="Shell"
)


def run(arguments: list[str] | None = None) -> Any:
    """Run the command line and exit: 0 done, 2 bad arguments or data (one sentence), 1 failure, 130 interrupted."""
    _env.plain_in_notebooks()
    prepare_streams()
    try:
        code, sentence = outcome(arguments)
    except PeerLost:
        code, sentence = 1, None  # the one that was lost is the news
    if sentence is not None:
        _say(sentence)
    if arguments is None:
        gc.freeze()  # a last search for garbage among all that torch has made takes 0.4 s
    sys.exit(code)


def outcome(arguments: list[str] | None = None) -> tuple[int, str | None]:
    """Run the command line and return its exit code with the sentence that says why it is not 0, if one does."""
    _env.prepare()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            warnings.simplefilter("default", UserWarning)  # words for a person, whatever Python was told of others
            app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except (UserError, CycloptsError) as error:
        return 2, " ".join(str(error).split())
    except (TrainingFailed, NotStored, Missed) as error:
        return 1, " ".join(str(error).split())
    except (OutOfMemory, MemoryError) as error:
        return 1, str(error) if isinstance(error, OutOfMemory) else NO_MEMORY_LEFT
    except KeyboardInterrupt:
        return 130, "interrupted; a training run is saved and goes on with 'vaekit train --resume --out RUN'"
    except BrokenPipeError:
        # Python flushes once more at the end, which must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1, None
    except OSError as error:
        return 1, f"{error.filename}: {said(error)}" if error.filename else said(error)
    return 0, None


def _warn(message: Any, category: type[Warning], filename: str, lineno: int, *rest: Any) -> None:
    """Say what data or settings gave rise to in one sentence; other warnings with their place in the code."""
    place = "warning" if category is UserWarning else f"{filename}:{lineno}: {category.__name__}"
    if _env.is_first():
        _say(f"{place}: {message}")


def _say(sentence: str) -> None:
    """Say something on standard error; of several processes, all but the first say which they are."""
    name = "vaekit" if _env.is_first() else f"vaekit, process {os.environ['RANK']}"
    note(f"{name}: {sentence}")
