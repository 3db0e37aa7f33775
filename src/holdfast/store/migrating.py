"""Migrations: numbered SQL files, applied forward only, each in one transaction with its line in the ledger.

The ledger keeps the SHA-256 of every file that was applied, so a release that changed one is noticed.
"""

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

from holdfast.store.port import SchemaMismatch

LEDGER = """
create table if not exists schema_migration (
  version {integer} not null primary key,
  name text not null,
  sha256 text not null,
  applied_at_ms {integer} not null
)
"""


class Migration(NamedTuple):
    """One file: its number, its name and its statements."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """What the ledger keeps of it."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(dialect: str) -> list[Migration]:
    """All migrations of a dialect (`sqlite` or `postgres`), in order."""
    found = []
    for file in files("holdfast.store").joinpath("migrations", dialect).iterdir():
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if match is not None:
            found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    found.sort()
    assert len({each.version for each in found}) == len(found), "no two migrations have the same number"
    return found


def pending(dialect: str, applied: Sequence[tuple[int, str]]) -> list[Migration]:
    """The migrations that a database still lacks, given the (version, sha256) pairs of its ledger.

    Raises: SchemaMismatch where the database is newer than this release, or was migrated by other files.
    """
    known = migrations(dialect)
    if len(applied) > len(known):
        raise SchemaMismatch(
            f"The database has schema {len(applied)}; this release serves up to {len(known)}. "
            "Start the release that migrated it, or a later one."
        )
    for migration, (version, sha256) in zip(known, sorted(applied), strict=False):
        if (migration.version, migration.sha256) != (version, sha256):
            raise SchemaMismatch(
                f"The database was migrated with another {migration.version:04d}_{migration.name}.sql than this "
                "release has. Start the release that migrated it."
            )
    return known[len(applied) :]
