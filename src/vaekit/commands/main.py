"""The `vaekit` command. Nothing heavy is imported until a command runs, so that --help is instant."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

from cyclopts import App, CycloptsError
from cyclopts.help import PlainFormatter

from vaekit import __version__, _env
from vaekit.errors import PeerLost, TrainingFailed, UserError

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
    ("explore", "explore:explore", "Explore a run's latent space in the browser."),
    ("recipes", "lists:recipes", "List the recipes."),
    ("datasets", "lists:datasets", "List the known data sets."),
    ("parts", "parts:parts", "List the parts and their options."),
    ("show", "lists:show", "Show a recipe's settings and defaults."),
):
    app.command(f"vaekit.commands.{_where}", name=_name, help=_help)


def run(arguments: list[str] | None = None) -> Any:
    """Run the command line and exit: 0 done, 2 bad arguments or data (one sentence), 1 failure, 130 interrupted."""
    _env.prepare()
    _env.heed_parent()
    _env.arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            app(arguments, exit_on_error=False, print_error=False)
    except (UserError, CycloptsError) as error:
        _say(error)
        sys.exit(2)
    except TrainingFailed as error:
        _say(error)
        sys.exit(3 if "VAEKIT_PARENT" in os.environ else 1)  # a launcher starts again after a 1
    except PeerLost:
        sys.exit(71)  # the one that was lost is the news
    except KeyboardInterrupt:
        _say("interrupted; a training run is saved and goes on with 'vaekit train --resume --out RUN'")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception:
        if "RANK" not in os.environ or _env.speaker():
            raise
        sys.exit(1)  # another process of this run has said it
    if arguments is None:
        _env.leave()
    sys.exit(0)


def _warn(message: Any, category: type[Warning], filename: str, lineno: int, *rest: Any) -> None:
    """Say what data or settings gave rise to in one sentence; other warnings with their place in the code."""
    _say(f"warning: {message}" if category is UserWarning else f"{filename}:{lineno}: {category.__name__}: {message}")


def _say(message: object) -> None:
    if _env.speaker():
        print(f"vaekit: {' '.join(str(message).split())}", file=sys.stderr)
