from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vaekit.errors import UserError
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


def test_a_package_is_imported_whole_at_the_first_look_up_and_not_before(garden: Registry[str]) -> None:
    assert "some_garden.rose" not in sys.modules
    assert garden["rose"].part == "rose"
    assert garden.names == ["fern", "rose"]


@pytest.mark.parametrize("look", [len, list, lambda r: "rose" in r, lambda r: r.names])
def test_every_kind_of_look_up_loads_the_package(
    garden: Registry[str], look: Callable[[Registry[str]], object]
) -> None:
    look(garden)
    assert {"some_garden.rose", "some_garden.fern"} <= sys.modules.keys()
