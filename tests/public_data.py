"""Public data sets to test against, where they lie beside the checkout; none is part of ftgate."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(
    os.environ.get(
        "FTGATE_PUBLIC_DATA", Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    )
)

needs_public_data = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="no public data beside the checkout; set FTGATE_PUBLIC_DATA"
)
