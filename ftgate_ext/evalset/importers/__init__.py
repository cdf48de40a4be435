"""Public and own data -> rows of the golden type: one module a source, and how rows are gathered."""

from __future__ import annotations

from ftgate_ext.evalset.importers.gather import Imported, gather, write_rows
from ftgate_ext.evalset.importers.imported import BadRow, Found, Group, ImportedRow, LeftOut

__all__ = [
    "BadRow",
    "Found",
    "Group",
    "Imported",
    "ImportedRow",
    "LeftOut",
    "gather",
    "write_rows",
]
