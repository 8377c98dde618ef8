"""Workers on several machines: a PostgreSQL database, whose advisory locks end with the connection that holds them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.numpy import load

from vaekit.atomic import finite
from vaekit.errors import UserError, optional
from vaekit.studies.storage import Outcome, hidden

TABLES = """
create table if not exists vaekit_outcome (
  study text, trial text, outcome text not null, example_values bytea, primary key (study, trial));
create table if not exists vaekit_kept (study text, name text, kept text not null, primary key (study, name));
"""
ALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "connect_timeout": 10}
"""A machine that is gone is noticed within a minute, and its locks are free."""
TRIES, PAUSE = 5, 2.0


class PostgresStorage:
    """Workers that share a database; `key` keeps studies in it apart."""

    def __init__(self, url: str, key: str) -> None:
        self._driver = optional("psycopg", "PostgreSQL needs its driver: pip install 'vaekit[studies]'")
        self._url, self._key = url, key
        self._held: set[str] = set()
        self._known: dict[str, Outcome] = {}
        self._connection = self._connected()
        with self._connection.transaction():
            self._ask("select pg_advisory_xact_lock(hashtextextended('vaekit_outcome', 0))")
            self._connection.execute(TABLES)

    def _connected(self) -> Any:
        alive = " ".join(f"-c tcp_{name}={value}" for name, value in ALIVE.items() if name.startswith("keepalives"))
        try:
            return self._driver.connect(self._url, autocommit=True, options=alive, **ALIVE)
        except self._driver.Error as error:
            why = " ".join(str(error).split())
            raise UserError(f"the database {hidden(self._url)} cannot be used: {why}") from None

    def _ask(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return a query's rows; a connection that was lost is made again, and its locks are lost with it."""
        for left in reversed(range(TRIES)):
            try:
                made = self._connection.execute(query, values)
                return made.fetchall() if made.description else []
            except self._driver.OperationalError:
                if not left:
                    raise
                time.sleep(PAUSE)
                self._again()
        return []

    def _again(self) -> None:
        try:
            self._connection.close()
            self._connection = self._connected()
        except UserError:
            pass  # the next try says it

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Yield whether the trial is this process's for the length of the block."""
        place = f"{self._key}/{name}"
        lock = "hashtextextended(%s, 0)"
        mine = name not in self._held and bool(self._ask(f"select pg_try_advisory_lock({lock})", [place])[0][0])
        if not mine:
            yield False
            return
        self._held.add(name)
        try:
            yield True
        finally:
            self._held.discard(name)
            self._ask(f"select pg_advisory_unlock({lock})", [place])

    def outcomes(self) -> dict[str, Outcome]:
        """Return the outcomes so far, by trial."""
        query = "select trial, outcome from vaekit_outcome where study = %s and not (trial = any(%s)) order by trial"
        for trial, text in self._ask(query, [self._key, list(self._known)]):
            self._known[trial] = Outcome(**json.loads(text))
        return dict(self._known)

    def record(self, outcome: Outcome, values: Path | None) -> None:
        """Keep an outcome and its examples' values; the first of a trial stays."""
        query = "insert into vaekit_outcome values (%s, %s, %s, %s) on conflict do nothing"
        data = None if values is None else values.read_bytes()
        self._ask(query, [self._key, outcome.trial, json.dumps(finite(asdict(outcome))), data])

    def values(self, trial: str) -> Mapping[str, Any]:
        """Return the values of the trial's test examples, by number."""
        query = "select example_values from vaekit_outcome where study = %s and trial = %s"
        rows = self._ask(query, [self._key, trial])
        return load(bytes(rows[0][0])) if rows and rows[0][0] is not None else {}

    def recall(self, name: str) -> Any:
        """Return what was kept under `name`, None before that."""
        rows = self._ask("select kept from vaekit_kept where study = %s and name = %s", [self._key, name])
        return json.loads(rows[0][0]) if rows else None

    def keep(self, name: str, value: Any) -> None:
        """Keep a value under `name` for all workers."""
        query = (
            "insert into vaekit_kept values (%s, %s, %s) on conflict (study, name) do update set kept = excluded.kept"
        )
        self._ask(query, [self._key, name, json.dumps(value)])

    def for_search(self, optuna: Any) -> Any:
        """Return optuna's storage in the same database."""
        address = self._url.partition("://")[2]
        return optuna.storages.RDBStorage(f"postgresql+psycopg://{address}")

    def close(self) -> None:
        """Close the connection, which lets every lock go."""
        self._connection.close()
