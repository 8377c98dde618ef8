"""The `vaekit` command. Nothing heavy is imported until a command runs, so that --help is instant."""

from __future__ import annotations

import sys
from typing import Any

from cyclopts import App, CycloptsError
from cyclopts.help import PlainFormatter

from vaekit import __version__, _env
from vaekit.errors import TrainingFailed, UserError

app = App(
    name="vaekit",
    help="Variational autoencoders from a few shared parts: train, evaluate, use and see them.",
    version=f"vaekit {__version__}",
    help_formatter=PlainFormatter(),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

for _name, _where in {
    "train": "train:train",
    "evaluate": "evaluate:evaluate",
    "sample": "use:sample",
    "encode": "use:encode",
    "reconstruct": "use:reconstruct",
    "interpolate": "use:interpolate",
    "traverse": "tasks:traverse",
    "manifold": "tasks:manifold",
    "arithmetic": "tasks:arithmetic",
    "detect": "tasks:detect",
    "impute": "tasks:impute",
    "augment": "tasks:augment",
    "cluster": "tasks:cluster",
    "classify": "tasks:classify",
    "compress": "compress:compress",
    "decompress": "compress:decompress",
    "export": "export:export",
    "report": "use:report",
    "explore": "explore:explore",
    "recipes": "lists:recipes",
    "datasets": "lists:datasets",
    "show": "lists:show",
}.items():
    app.command(f"vaekit.cli.{_where}", name=_name)


def run(arguments: list[str] | None = None) -> Any:
    """Run the command line and exit: 0 done, 2 bad arguments or data (one sentence), 1 failure, 130 interrupted."""
    _env.prepare()
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except (UserError, CycloptsError) as error:
        _say(error)
        sys.exit(2)
    except TrainingFailed as error:
        _say(error)
        sys.exit(1)
    except KeyboardInterrupt:
        _say("interrupted; a training run is saved and goes on with 'vaekit train --resume --out RUN'")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    sys.exit(0)


def _say(message: object) -> None:
    print(f"vaekit: {' '.join(str(message).split())}", file=sys.stderr)
