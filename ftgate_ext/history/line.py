"""Which runs are builds of the same thing: the candidate line.

A line is the policy's name and the candidate's name without what says which build it is: a version
(`-v2`, `-1.3`), a date, a training step (`-step-1200`, `-ckpt3`), a commit (`-9f3c2ab1`), `-rc1`,
`:latest`. Two candidates that differ in anything else, a size (`8b`) or an adapter (`+final`), are
of two lines. Whoever wants another line names the policy or the candidate so.
"""

from __future__ import annotations

import re

_BUILD = re.compile(
    r"""[\s\-_.@:/+,]+(?:
        (?:v|ver|version|rc|r|rev|build|iter|run|step|epoch|ckpt|checkpoint|global[-_]step)[-_.\s]?\d+(?:[._]\d+)*
        | \d+(?:[._]\d+)*(?:rc\d+)?
        | \d{4}-\d{2}(?:-\d{2})?
        | (?=[0-9a-f]*\d)[0-9a-f]{7,40}
        | latest
    )$""",
    re.IGNORECASE | re.VERBOSE,
)


def without_build(name: str) -> str:
    """A model's name without what says which build it is; the whole name where nothing else is left."""
    while (shorter := _BUILD.sub("", name)) != name and shorter:
        name = shorter
    return name


def candidate_line(policy_name: str, candidate: str) -> str:
    """The line that a run of this policy with this candidate belongs to."""
    return f"{policy_name} / {without_build(candidate)}"
