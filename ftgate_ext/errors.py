"""What a user can mend. Imports nothing, so that the command line starts at once.

FtgateError          what a user can mend: one line, exit code 2
├── EvalSetError     a row, a file or a task of an eval set
├── PolicyError      gate.yaml
└── RunError         an endpoint, a run folder, a file of a run
    └── RunStopped   asking ended early and goes on with the same command; exit code 3
"""

from __future__ import annotations

WRONG_USE = 2
"""Exit code where the user has to mend something."""
INCOMPLETE = 3
"""Exit code where evidence is missing: nothing is wrong with what was typed, and nothing may ship."""


class FtgateError(Exception):
    """Something a user can mend: where, what was found, what was expected, what to do."""

    exit_code: int = WRONG_USE


class EvalSetError(FtgateError):
    """A row, a file or a task of an eval set is not as it must be."""


class PolicyError(FtgateError):
    """gate.yaml is not as it must be."""


class RunError(FtgateError):
    """An endpoint, a run folder or a file of a run is not as it must be."""


class RunStopped(RunError):  # noqa: N818 - it is no fault of the user's
    """Asking ended early: an endpoint is gone or a budget is used up. The same command goes on."""

    exit_code = INCOMPLETE
