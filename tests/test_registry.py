from __future__ import annotations

import py_compile
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vaekit.data.datasets import DATASETS
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.posteriors.base import POSTERIORS
from vaekit.priors.base import PRIORS
from vaekit.recipes.base import RECIPES
from vaekit.registry import Registry


def shapes() -> Registry[type]:
    registry: Registry[type] = Registry("shape")

    @registry.register("square", summary="four equal sides", reference="Euclid I.46", sides=4)
    class Square: ...

    @registry.register("circle")
    class Circle:
        """All points at one distance.

        More about it.
        """

    return registry


def test_an_entry_keeps_its_part_and_what_is_known_of_it() -> None:
    entry = shapes()["square"]
    assert (entry.name, entry.part.__name__) == ("square", "Square")
    assert (entry.summary, entry.reference, dict(entry.facts)) == ("four equal sides", "Euclid I.46", {"sides": 4})


def test_the_summary_is_the_first_line_of_the_docstring_where_none_is_given() -> None:
    assert shapes()["circle"].summary == "All points at one distance."


def test_parts_are_listed_by_name_whatever_the_order_of_registration() -> None:
    registry = shapes()
    assert registry.names == ["circle", "square"] == [entry.name for entry in registry]
    assert len(registry) == 2
    assert "circle" in registry
    assert "triangle" not in registry


def test_the_decorator_returns_the_part_itself() -> None:
    registry: Registry[type] = Registry("shape")

    class Line: ...

    assert registry.register("line")(Line) is Line


def test_a_name_is_taken_once_and_the_first_part_stays() -> None:
    registry = shapes()
    first = registry["square"].part
    with pytest.raises(ValueError, match="shape 'square' is registered twice"):
        registry.register("square")(type("Other", (), {}))
    assert registry["square"].part is first


def test_a_part_may_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `module`, each subfolder registers by its module of that name, and by no other."""
    files = {
        "solids/__init__.py": "from vaekit.registry import Registry\nSOLIDS = Registry('solid', 'solids', 'shape')",
        "solids/plain.py": "raise RuntimeError('not a part')",
        "solids/empty/__init__.py": "",
        "solids/cube/__init__.py": "",
        "solids/cube/shape.py": "from solids import SOLIDS\nSOLIDS.register('cube', summary='six faces')(6)",
        "solids/cube/other.py": "raise RuntimeError('not a part')",
        "solids/ball/__init__.py": "",
        "solids/ball/shape.py": "from solids import SOLIDS\nSOLIDS.register('ball', summary='round')(1)",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    from solids import SOLIDS  # pyright: ignore[reportMissingImports]

    assert SOLIDS["cube"].part == 6 and "solids.ball.shape" not in sys.modules
    assert SOLIDS.names == ["ball", "cube"]


@pytest.mark.parametrize(("typed", "meant"), [("sqare", "square"), ("circel", "circle"), ("square ", "square")])
def test_a_near_name_is_suggested(typed: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"there is no shape '{typed}'; did you mean '{meant}'\\?"):
        shapes()[typed]


def test_a_far_name_gets_the_list_and_no_guess() -> None:
    with pytest.raises(UserError) as caught:
        shapes()["dodecahedron"]
    assert str(caught.value) == "there is no shape 'dodecahedron'; Known: circle, square"


def test_facts_cannot_be_changed() -> None:
    facts = shapes()["square"].facts
    with pytest.raises(TypeError):
        facts["sides"] = 5  # type: ignore[index]


@pytest.fixture
def garden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry[str]]:
    """A package of two modules that register a plant each, and a registry that has not looked yet."""
    package = tmp_path / "some_garden"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from vaekit.registry import Registry\nPLANTS = Registry('plant', package='some_garden')\n"
    )
    for plant in ("rose", "fern"):
        (package / f"{plant}.py").write_text(f"from some_garden import PLANTS\nPLANTS.register('{plant}')('{plant}')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import some_garden  # pyright: ignore[reportMissingImports]

    yield some_garden.PLANTS
    for name in [name for name in sys.modules if name.split(".")[0] == "some_garden"]:
        del sys.modules[name]


def planted() -> set[str]:
    """The modules of the garden that are imported."""
    return {name.removeprefix("some_garden.") for name in sys.modules if name.startswith("some_garden.")}


def test_a_part_looked_up_by_name_is_imported_alone(garden: Registry[str]) -> None:
    assert planted() == set()
    assert garden["rose"].part == "rose" and planted() == {"rose"}
    assert "rose" in garden and planted() == {"rose"}
    assert "fern" in garden and planted() == {"rose", "fern"}
    assert garden.names == ["fern", "rose"]


@pytest.mark.parametrize("look", [len, list, lambda r: r.names, lambda r: "oak" in r])
def test_a_listing_and_a_name_that_is_nowhere_import_all(
    garden: Registry[str], look: Callable[[Registry[str]], object]
) -> None:
    look(garden)
    assert planted() == {"rose", "fern"}


def test_a_name_that_is_nowhere_is_told_with_all_there_are(garden: Registry[str]) -> None:
    with pytest.raises(UserError, match=r"there is no plant 'ros'; did you mean 'rose'\? Known: fern, rose"):
        garden["ros"]


def test_a_module_that_only_calls_something_with_the_name_is_passed_over(garden: Registry[str], tmp_path: Path) -> None:
    (tmp_path / "some_garden" / "bee.py").write_text("print(\n    'rose')\n")
    assert garden["rose"].part == "rose" and planted() == {"bee", "rose"}


def test_parts_are_found_where_only_bytecode_is_kept(garden: Registry[str], tmp_path: Path) -> None:
    for plant in ("rose", "fern"):
        source = tmp_path / "some_garden" / f"{plant}.py"
        py_compile.compile(str(source), str(source.with_suffix(".pyc")))
        source.unlink()
    assert garden["rose"].part == "rose"


def test_a_module_that_fails_to_load_says_why_every_time(garden: Registry[str], tmp_path: Path) -> None:
    (tmp_path / "some_garden" / "weed.py").write_text("PLANTS.register('weed')\n")
    for _ in range(2):
        with pytest.raises(NameError, match="PLANTS"):
            garden["weed"]
    assert garden["rose"].part == "rose"


@pytest.mark.parametrize("registry", [RECIPES, LIKELIHOODS, POSTERIORS, PRIORS, DATASETS], ids=lambda r: r.kind)
def test_every_part_lies_where_its_name_leads(registry: Registry[object]) -> None:
    for entry in registry:
        modules = list(registry._likely(entry.name))
        assert 1 <= len(modules) <= 3, (entry.name, modules)


def test_a_recipe_brings_no_models_that_it_does_not_use() -> None:
    code = "import sys; from vaekit.recipes.base import RECIPES; RECIPES['vae'].part; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "vaekit.models.vae" in loaded
    assert not {"vaekit.models.hierarchy", "vaekit.models.graph", "vaekit.recipes.sequences"} & set(loaded)
