"""Tiny Shakespeare: forty thousand lines of his plays."""

from __future__ import annotations

from pathlib import Path

from vaekit.data.datasets import DATASETS
from vaekit.data.download import Remote, local_file
from vaekit.data.lines import Lines, read_lines

FILE = "tiny-shakespeare.txt"
MIRROR = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"

SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


@DATASETS.register(
    "tiny-shakespeare",
    summary="40,000 lines of Shakespeare's plays",
    reference="Karpathy 2015, char-rnn; the plays: Shakespeare",
    licence="public domain",
    size="1.1 MB, 32,777 lines that are not empty",
    files=(Remote(FILE, (MIRROR,), SHA256, most=1_115_394),),
    folder="text",
    modality="text",
)
def tiny_shakespeare(folder: Path) -> Lines:
    """Return the lines."""
    path = local_file(folder, FILE)
    assert path is not None
    return read_lines(path, "tiny-shakespeare")
