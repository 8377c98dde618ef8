"""The files of hashes hold the versions of constraints.txt, each with a hash."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def pins(name: str) -> dict[str, str]:
    """Version by package of a file of requirements."""
    return dict(re.findall(r"^([\w.-]+)==([\w.+!]+)", (ROOT / name).read_text(), re.MULTILINE))


def test_the_locked_versions_are_those_of_the_constraints():
    locked = pins("requirements.lock") | {"torch": pins("requirements-torch.lock")["torch"]}
    assert {name.lower().replace("_", "-"): version for name, version in locked.items()} == {
        name.lower().replace("_", "-"): version for name, version in pins("constraints.txt").items()
    }


def test_every_locked_package_has_a_hash():
    for name in ("requirements.lock", "requirements-torch.lock"):
        text = (ROOT / name).read_text()
        blocks = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
        assert len(blocks) == len(pins(name)) > 20
        for block in blocks:
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block.splitlines()[0]
        assert "://" not in text, "hashes need no address"
