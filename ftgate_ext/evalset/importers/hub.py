"""A data set of the Hugging Face hub, or a local folder of one -> cases, by a map as for a table.

    owner/name              the split `test`
    owner/name@train        another split
    owner/name:config@train a configuration of it

Rows stream: nothing is downloaded that is not read. Code of a data set is never run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.importers.table import case_of
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ftgate_ext.evalset.importers.imported import Found

_NAME = re.compile(r"(?P<id>[^:@]+)(?::(?P<config>[^@]+))?(?:@(?P<split>[\w.-]+))?")


def read_hub(
    source: str, mapping: Mapping[str, str], licence: str = "not stated"
) -> Iterator[Found]:
    """One case a row of a data set.

    Args:
        source: See the head of this module.
        mapping: See `read_map` of a table.
        licence: Where neither rows nor data set state one.

    Raises:
        EvalSetError: There is no such data set or split, or it cannot be read.
    """
    named = _NAME.fullmatch(source)
    if named is None:
        raise EvalSetError(
            f"{source!r}: expected owner/name, owner/name:config or owner/name@split."
        )
    split = named["split"] or "test"
    import datasets
    from datasets.exceptions import DatasetsError

    failures = (DatasetsError, OSError, ValueError, KeyError, RuntimeError, ImportError)
    try:
        found = datasets.load_dataset(named["id"], named["config"], split=split, streaming=True)
        rows = iter(found)
    except failures as error:
        raise EvalSetError(f"{source}: {_told(error)}") from None
    licence = getattr(found.info, "license", "") or licence
    name = named["id"].rstrip("/").rpartition("/")[2]
    number = 0
    while True:
        number += 1
        try:
            row: dict[str, Any] = next(rows)
        except StopIteration:
            return
        except failures as error:
            raise EvalSetError(f"{source}: row {number}: {_told(error)}") from None
        yield case_of(row, f"{source}:{number}", mapping, name, licence)


def _told(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"cannot be loaded ({type(error).__name__}: {lines[0][:300] if lines else 'no reason'})."
