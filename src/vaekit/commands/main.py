"""The `vaekit` command. Nothing heavy is imported until a command runs, so that --help is instant."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from typing import Any

from cyclopts import App, CycloptsError
from cyclopts.help import PlainFormatter

from vaekit import __version__, _env
from vaekit.commands.output import note, prepare_streams
from vaekit.errors import Missed, NotStored, OutOfMemory, PeerLost, TrainingFailed, UserError, said

NO_MEMORY_LEFT = "there is not enough memory for this: ask for less at once, or give fewer or smaller examples"

app = App(
    name="vaekit",
    help="Variational autoencoders from a few shared parts: train, evaluate, use and see them.",
    version=f"vaekit {__version__}",
    help_formatter=PlainFormatter(),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

# Help stands here too, since a command's own module is imported only when it runs.
for _name, _where, _help in (
    ("train", "train:train", "Train a recipe on data into a run folder."),
    ("evaluate", "evaluate:evaluate", "Evaluate a run on its test split."),
    ("sample", "sample:sample", "Sample from a run's model."),
    ("encode", "encode:encode", "Write the codes of data."),
    ("reconstruct", "reconstruct:reconstruct", "Reconstruct examples."),
    ("interpolate", "interpolate:interpolate", "Decode paths between examples."),
    ("traverse", "traverse:traverse", "Decode along single latents."),
    ("manifold", "manifold:manifold", "Decode a plane of the latent space."),
    ("arithmetic", "arithmetic:arithmetic", "Decode a - b + c of examples' codes."),
    ("detect", "detect:detect", "Score data for anomalies."),
    ("impute", "impute:impute", "Fill missing values in."),
    ("augment", "augment:augment", "Write new examples near given ones."),
    ("cluster", "cluster:cluster", "Cluster data by their codes."),
    ("classify", "classify:classify", "Classify data by their codes."),
    ("optimise", "optimise:optimise", "Seek molecules with more of a property."),
    ("compress", "compress:compress", "Compress data losslessly with a model."),
    ("decompress", "compress:decompress", "Undo compress, bit for bit."),
    ("export", "export:export", "Write the model as ONNX or torch.export."),
    ("report", "report:report", "Write a run's report again, or compare runs."),
    ("study", "study:study", "Run a study: settings that vary, with several seeds, and what was found."),
    ("reproduce", "reproduce:reproduce", "Measure published tables again, and print ours beside theirs."),
    ("explore", "explore:explore", "Explore a run's latent space in the browser."),
    ("recipes", "lists:recipes", "List the recipes."),
    ("datasets", "lists:datasets", "List the known data sets."),
    ("parts", "parts:parts", "List the parts and their options."),
    ("show", "lists:show", "Show a recipe's settings and defaults."),
):
    app.command(f"vaekit.commands.{_where}", name=_name, help=_help)


def run(arguments: list[str] | None = None) -> Any:
    """Run the command line and exit: 0 done, 2 bad arguments or data (one sentence), 1 failure, 130 interrupted."""
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
