"""The notebook on a run's failures: what its cells call, and how it is written."""

from __future__ import annotations

from ftgate_ext.notebook.run import RunView, open_run
from ftgate_ext.notebook.write import write_notebook

__all__ = ["RunView", "open_run", "write_notebook"]
