"""Samples of a run: from the prior, by label, and under conditions on attributes or columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from vaekit.data.conditions import named
from vaekit.data.constraints import Constraints, read_constraints
from vaekit.data.tables import columns as cols
from vaekit.data.tables.modality import Tables
from vaekit.data.where import Want, parse_where, want
from vaekit.errors import UserError
from vaekit.inference import inference, joined
from vaekit.runs.base import RunBase
from vaekit.runs.display import shown
from vaekit.tasks.given import Given, Wanted, rows_given
from vaekit.tasks.table_imputation import RowsLike, rows_like

AT_ONCE = 1000
"""Samples drawn at once."""
NEAREST = 100
"""Training examples nearest to a number asked for, from which what goes with it is drawn."""
Form = Literal["auto", "array", "pandas", "polars"]
FORMS: tuple[str, ...] = get_args(Form)
Where = Mapping[str, Any] | str | None
"""What is asked for, by name: a value, a range (low, high), a list of choices, None for missing; or all as text."""


class SamplingRun(RunBase):
    """A run that is sampled from: `data` is as for `RunBase`."""

    def sample(
        self,
        n: int = 64,
        label: Any = None,
        *,
        where: Where = None,
        constraints: Sequence[str] | str = (),
        temperature: float = 1.0,
        draw: bool = False,
        seed: int = 0,
        form: Form = "auto",
    ) -> Any:
        """Return `n` samples in the data's units (greys on [0, 1]), (n, *shape): means of p(x|z), or draws with `draw`.

        A conditional model takes a label (a class name or number, a number), or deals the classes out in turn; `where`
        asks for attributes by name, and of tables for columns: {"status": "fraud", "amount": (100, 500)}. See `given`.
        `constraints` are rules that rows are to meet, "start <= end", "net + tax == gross", "unique(id)",
        "seen(city, zip)"; see `vaekit.data.constraints`.

        `form` of a table's rows: "pandas" or "polars", a data frame with the columns' names, order and dtypes; "array",
        a tensor as the model stores rows; "auto", a frame where the run was trained on one, else a tensor.
        """
        library = self._library_of_samples(form)
        if where or constraints:
            if label is not None:
                raise UserError("'where' says all that samples are to have; leave the label out")
            given = self.given(n, where, constraints, temperature=temperature, draw=draw, seed=seed)
            made, y = given.x, given.y
        else:
            y = self.labels(n, label, seed=seed)
            made = self.prepare.values(self.drawn(n, y=y, temperature=temperature, draw=draw, seed=seed))
        if library is not None:
            return Tables().frame(made, self.info, y, library)
        return shown(made, self.picture, None if self.info.is_array else self.lines)

    def rows_like(self, table: Any, n: int | None = None, *, seed: int = 0) -> RowsLike:
        """Return rows that have the cells given in a table (a data frame, a dict, a file), and draw the others.

        There are as many as the table has, or `n` with its rows taken in turn. `.as_frame()` is a data frame, `.x` the
        rows as the model stores them. A column that the table lacks is drawn with its gaps; an empty cell of one that
        it has is drawn without. Latents are drawn from q(z|what is given) and from the prior, weighed by
        p(given|z) p(z) / (the density they were drawn from), and resampled.
        """
        if self.info.kind != "table":
            raise UserError(f"rows like given ones are of tables, and {self.info.name} is none; see sample_like")
        if self.model.takes_label:
            raise UserError(
                f"this run's model ({self.recipe}) is conditioned on {self.conditions}; ask for it by where"
            )
        return rows_like(self.model, self.info, self.settings.data, table, n, seed)

    def _library_of_samples(self, form: str) -> str | None:
        """Return whose data frame samples are to be, None where they are to be a tensor."""
        if form not in FORMS:
            raise UserError(f"the form of samples is one of {', '.join(FORMS)}, not '{form}'")
        if form == "array" or (form == "auto" and not isinstance(self.modality, Tables)):
            return None
        if not isinstance(self.modality, Tables):
            raise UserError(f"{self.info.name} is no table, so its samples are no data frame; leave the form out")
        return (self.info.facts.get("frame") or {}).get("library") if form == "auto" else form

    def drawn(
        self,
        n: int,
        label: Any = None,
        *,
        y: Tensor | None = None,
        temperature: float = 1.0,
        draw: bool = False,
        seed: int = 0,
    ) -> Tensor:
        """Return `n` samples as the model makes them: real data standardised, where it sees them so.

        `y` are their labels one by one, in place of one `label` for all.
        """
        return self._drawn(n, self.labels(n, label, seed=seed) if y is None else y, temperature, draw, seed)

    def _drawn(self, n: int, y: Tensor | None, temperature: float, draw: bool, seed: int) -> Tensor:
        parts: list[Any] = []
        with inference(self.model, seed):
            for start in range(0, n, AT_ONCE):
                own = None if y is None else y[start : start + AT_ONCE].to(self.device)
                parts.append(self.model.sample(min(AT_ONCE, n - start), own, temperature, draw))
        return joined(parts)

    def given(
        self,
        n: int,
        where: Where = None,
        constraints: Sequence[str] | str = (),
        *,
        temperature: float = 1.0,
        draw: bool = False,
        seed: int = 0,
    ) -> Given:
        """Return `n` samples that meet a condition, as `sample` does, what they are given, and how it was met.

        Attributes that the model is conditioned on are given to it: x ~ p(x|y). What is not said of y, and a value
        within a range, is taken from training examples that meet the rest (the nearest to a number). Other columns of a
        table are met by rejection, which is exact, or by importance resampling where rows that meet them are rarer than
        about one in a million draws for all `n`, or where a number is to have one value.

        Rows are kept likewise if they meet the `constraints`, but for a number that stands alone on one side of an
        equation with other columns: it is computed from them, and the row kept if it is in the column's range.

        Raises:
            UserError: there is no such name or value, a rule is misspelt, or what is asked for is too rare.
        """
        rules = self._rules([constraints] if isinstance(constraints, str) else constraints, n)
        wants = parse_where(where) if isinstance(where, str) else dict(where or {})
        ours = {name: value for name, value in wants.items() if self._is_condition(name)}
        rest = {name: value for name, value in wants.items() if name not in ours}
        asked = [(self.conditions.index(name), want(self.conditions.facts(name), v)) for name, v in ours.items()]
        if not rest and rules is None:
            y = self._conditions(n, dict(asked), seed)
            return Given(self.prepare.values(self._drawn(n, y, temperature, draw, seed)), y)
        wanted = self._wanted(rest) if rest else Wanted()
        if not wanted.wants and rules is None:  # constants, which every row has
            y = self._conditions(n, dict(asked), seed)
            return Given(self.prepare.values(self._drawn(n, y, temperature, draw, seed)), y)
        count = iter(range(seed, seed + 2**31))

        def condition(size: int) -> Tensor | None:
            return self._conditions(size, dict(asked), next(count))

        columns = len(self.info.facts["columns"])
        return rows_given(self.model, wanted, columns, n, condition, temperature=temperature, seed=seed, rules=rules)

    def _rules(self, constraints: Sequence[str], n: int) -> Constraints | None:
        """Return the rules for `n` rows of the run's table, None where there are none."""
        if not constraints:
            return None
        if self.info.kind != "table":
            raise UserError(f"constraints are rules for rows of a table, and {self.info.name} is none; leave them out")
        facts = self.info.facts["columns"]
        return read_constraints(constraints, facts, n, lambda: self.data.train.in_memory.x, f"'{self.info.name}'")

    def columns(self, x: Tensor, y: Tensor | None = None) -> dict[str, list[Any]]:
        """Return a table's rows, as `sample` gives them, as columns by name: `pandas.DataFrame(run.columns(x))`.

        `y` are their conditions, which become columns too (`given` returns both).
        """
        if not isinstance(self.modality, Tables):
            raise UserError(f"{self.info.name} is no table, so its examples have no columns")
        return self.modality.columns(x, self.info, y)

    # -- conditions ----------------------------------------------------------------------------------------------------

    def labels(self, n: int, label: Any = None, seed: int = 0) -> Tensor | None:
        """Return `n` labels for a conditional model: the one asked for, or every class in turn.

        Without a label, numbers and attributes are those of training examples drawn at random.
        """
        if not self.model.takes_label and (label is None or not self.model.gives_label):
            if label is not None:
                raise UserError(f"this run's model ({self.recipe}) is not conditioned on labels; leave the label out")
            return None
        if not len(self.conditions):  # of a hand-made model, whose labels are as they were given
            known = self.data.train.y
            rows = torch.from_numpy(np.random.default_rng(seed).integers(0, len(self.data.train), n))
            if known is None or label is not None:
                raise UserError("this run's labels are numbers as they were given; pass y to the model itself")
            return known[rows]
        if self.conditions.classes:
            if label is None:
                return torch.arange(n) % self.info.n_classes
            return torch.full((n,), self.class_number(label))
        if label is None:
            return self._conditions(n, {}, seed)
        if len(self.conditions) > 1:
            raise UserError(f"this run is conditioned on {self.conditions}: say which, where {self._example()}")
        return self._conditions(n, {0: want(self.conditions.attributes[0], label)}, seed)

    def _example(self) -> str:
        first = self.conditions.attributes[0]
        return f"{first['name']}={first['levels'][0] if 'levels' in first else cols.as_text(first['mean'], first)}"

    def _is_condition(self, name: str) -> bool:
        return (self.model.takes_label or self.model.gives_label) and self.conditions.has(name)

    def _conditions(self, n: int, wants: Mapping[int, Want], seed: int) -> Tensor | None:
        """Return `n` conditions that meet what is asked of each attribute; None where the model takes none."""
        if not self.model.takes_label and not wants:
            return None
        conditions, size = self.conditions, len(self.conditions)
        values = {j: one.value for j, one in wants.items() if one.value is not None}
        lacking = next((one for j, one in wants.items() if np.isnan(values.get(j, 0.0))), None)
        if lacking is not None and not self.model.optional_label:
            raise UserError(
                f"{lacking.words}: this run's model was never trained without it; train with model.drop_condition=0.1"
            )
        if len(values) == size:
            stored = np.tile([values[j] for j in range(size)], (n, 1))
        elif conditions.classes and not wants:
            return torch.arange(n) % self.info.n_classes
        else:
            stored = self._like_training(n, wants, values, seed)
        return conditions.encoded(stored)

    def _like_training(self, n: int, wants: Mapping[int, Want], values: Mapping[int, float], seed: int) -> np.ndarray:
        """Return stored conditions (n, A) of training examples that meet what is asked, numbers set to `values`."""
        known = self._training_conditions
        if known is None:
            if any(j not in values for j in wants):
                raise UserError("the run's training data were not found, from which values are drawn; give one value")
            if not self.model.optional_label:
                rest = [name for j, name in enumerate(self.conditions.names) if j not in values]
                raise UserError(f"the run's training data were not found; say {' and '.join(rest)} too")
            stored = np.full((n, len(self.conditions)), np.nan)
        else:
            rows = self._meeting(known, wants, values)
            stored = known[np.random.default_rng(seed).choice(rows, n)]
        for j, value in values.items():
            stored[:, j] = value
        return stored

    def _meeting(self, known: np.ndarray, wants: Mapping[int, Want], values: Mapping[int, float]) -> np.ndarray:
        """Return the training examples that meet ranges and choices, the nearest to the numbers asked for."""
        numbers = [j for j, v in values.items() if wants[j].levels is None and not np.isnan(v)]
        ok = np.ones(len(known), dtype=bool)
        for j, one in wants.items():
            if j not in numbers and not one.missing:
                ok &= one.met(torch.from_numpy(known[:, j])).numpy()
        ok &= ~np.isnan(known[:, numbers]).any(1)
        rows = np.flatnonzero(ok)
        if not len(rows):
            words = ",".join(one.words for one in wants.values())
            raise UserError(f"no training example has {words}; widen it, or say every attribute of {self.conditions}")
        if numbers:
            off = np.abs(known[rows][:, numbers] - [values[j] for j in numbers]).sum(1)
            rows = rows[np.argsort(off, kind="stable")[:NEAREST]]
        return rows

    @property
    def _training_conditions(self) -> np.ndarray | None:
        """The stored conditions of the training examples; None where the data are gone."""
        try:
            y = self.data.train.y
        except UserError:
            return None
        if y is None:
            return None
        if self._stored is None or len(self._stored) != len(y):
            self._stored = self.conditions.stored(y)
        return self._stored

    _stored: np.ndarray | None = None

    def _wanted(self, where: Mapping[str, Any]) -> Wanted:
        """Return what is asked of a table's columns; a UserError for other data, and for what the model has not."""
        if self.info.kind != "table":
            name = next(iter(where))
            if self.model.takes_label or self.model.gives_label:
                self.conditions.facts(name)
            raise UserError(
                f"this run's model ({self.recipe}) is not conditioned on '{name}', and {self.info.name} is no table; "
                "train cvae on labelled data"
            )
        facts, wants = self.info.facts, dict[int, Want]()
        names = [column["name"] for column in facts["columns"]]
        for name, value in where.items():
            if name in facts["constants"] and str(value) == facts["constants"][name]:
                continue
            if name in facts["constants"]:
                raise UserError(f"{name} is '{facts['constants'][name]}' in every training row, so never {value}")
            if self.conditions.has(name):
                raise UserError(
                    f"{name} is this run's label, which its model ({self.recipe}) does not know; train cvae with "
                    f"data.label={name}, or {self.recipe} with data.label=none"
                )
            own = want(named(facts["columns"], name, f"this run's table ({self.info.name})"), value)
            if own.missing:
                raise UserError(f"{name}=: a sample has every column; give a value, a range or choices")
            wants[names.index(name)] = own
        real = (j for j, column in enumerate(facts["columns"]) if column["type"] in cols.REAL)
        return Wanted(wants, frozenset(real))
