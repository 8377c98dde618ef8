"""The storage of a study, by its URL."""

from __future__ import annotations

from pathlib import Path

from vaekit.errors import UserError
from vaekit.studies.postgres import PostgresStorage
from vaekit.studies.storage import FolderStorage, Storage, hidden


def open_storage(folder: Path, url: str | None, key: str) -> Storage:
    """Return the storage of a URL: a PostgreSQL database, or without one the study's own folder."""
    if url is None:
        return FolderStorage(folder)
    if not url.startswith(("postgresql://", "postgres://")):
        raise UserError(f"--storage {hidden(url)}: write postgresql://user@host/database, or leave it out for a folder")
    return PostgresStorage(url, key)
