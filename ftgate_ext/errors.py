"""What a user can mend. Imports nothing, so that the command line starts at once.

FtgateError          what a user can mend: one line, exit code 2
├── EvalSetError     a row, a file or a task of an eval set
├── PolicyError      gate.yaml
└── RunError         an endpoint, a run folder, a file of a run
"""

WRONG_USE = 2
"""Exit code of every error in here."""


class FtgateError(Exception):
    """Something a user can mend: where, what was found, what was expected, what to do."""


class EvalSetError(FtgateError):
    """A row, a file or a task of an eval set is not as it must be."""


class PolicyError(FtgateError):
    """gate.yaml is not as it must be."""


class RunError(FtgateError):
    """An endpoint, a run folder or a file of a run is not as it must be."""
