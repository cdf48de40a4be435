"""Was it one and the same server all along? Responses of a run in, sentences about a change out.

What counts: the `model` and the `system_fingerprint` that answers carry, and the models that a
server lists. A fingerprint that is new with every answer, as some servers send it, names no server
and is passed over. Knows nothing of policies or scores.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftgate_ext.inference.journal import read_lines
from ftgate_ext.schema import UNSCORED_STATUSES, Response, RunManifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ftgate_ext.schema import ServedModel

MODEL, FINGERPRINT = "model", "system_fingerprint"
LONG_STAY = 10
"""So many answers a value must last on average to name a server, where it never comes back."""
MAX_LISTED = 8
"""A server that lists more models is a catalogue: it changes without touching one of them."""
MAX_KINDS = 1000
"""Nobody runs more versions of one server in one run."""
MAX_NAMED = 4
MAX_CHARS = 60
CHANGED = "the server changed in mid-run"
IN_TURN = "several versions of the server answered in turn"
DIFFER = "the replicas differ"
OTHER_NAME = "answers carry the name of another model"
FROM_JOURNAL = (CHANGED, IN_TURN, DIFFER, OTHER_NAME)
"""What the sentences say that are made anew from the journal each time."""


@dataclass
class _Stay:
    """One value of a field: in how many answers it stood, and since when."""

    first_at: str
    count: int = 0
    endpoints: dict[str | None, int] = field(default_factory=lambda: defaultdict(int))


@dataclass
class _Trail:
    """The values of one field in the order in which they were first seen."""

    stays: dict[str, _Stay] = field(default_factory=dict)
    answers: int = 0
    switches: int = 0
    _last: dict[str | None, str] = field(default_factory=dict)

    def add(self, value: str | None, response: Response) -> None:
        if value is None or len(self.stays) > MAX_KINDS:
            return
        stay = self.stays.setdefault(value, _Stay(response.finished_at))
        stay.count += 1
        stay.endpoints[response.endpoint] += 1
        self.answers += 1
        before = self._last.get(response.endpoint, value)
        self.switches += value != before
        self._last[response.endpoint] = value

    @property
    def came_back(self) -> bool:
        """Whether a value was seen again after another one had taken its place."""
        least = sum(len(stay.endpoints) for stay in self.stays.values()) - len(self._last)
        return self.switches > least

    @property
    def names_servers(self) -> bool:
        """Whether values come back or last: else they are numbers of answers, not of servers."""
        kinds = len(self.stays)
        least = 2 if self.came_back or kinds == 2 else LONG_STAY
        return 1 < kinds <= MAX_KINDS and self.answers >= least * kinds


def identity_warnings(
    model: str, responses: Iterable[Response], served_models: Sequence[str] = ()
) -> list[str]:
    """What speaks against one and the same server having answered everything, one sentence each.

    Args:
        model: The name that was asked for.
        responses: Of one model's run, in the order in which they came.
        served_models: What the server lists.
    """
    names, fingerprints = _Trail(), _Trail()
    for response in responses:
        if response.status not in UNSCORED_STATUSES:
            names.add(response.model_answered, response)
            fingerprints.add(response.system_fingerprint, response)
    found = [_foreign(model, names, served_models)] if len(names.stays) else []
    # A model's name is never the number of an answer: two of them are always worth a word.
    found += [_change(MODEL, names)] if len(names.stays) > 1 else []
    found += [_change(FINGERPRINT, fingerprints)] if fingerprints.names_servers else []
    return [sentence for sentence in found if sentence]


def _foreign(model: str, names: _Trail, served_models: Sequence[str]) -> str:
    """Answers in the name of another model that the same server serves too."""
    others = {v: s.count for v, s in names.stays.items() if v != model and v in served_models}
    if not others:
        return ""
    named = ", ".join(f"{_shown(name)} in {n} of {names.answers}" for name, n in others.items())
    return (
        f"{_shown(model)} was asked, but {OTHER_NAME} that the server serves: {named}; "
        f"make sure that both names are one model."
    )


def _change(what: str, trail: _Trail) -> str:
    by_endpoint = _by_endpoint(trail)
    if by_endpoint:
        listed = "; ".join(f"{url} {value} ({_answers(n)})" for url, value, n in by_endpoint)
        return f"{DIFFER} in `{what}`: {listed}."
    stays = list(trail.stays.items())
    parts = [
        f"{_shown(value)} in {_answers(stay.count)} from {stay.first_at} on"
        for value, stay in stays[:MAX_NAMED]
    ]
    more = f", and {len(stays) - MAX_NAMED} more" if len(stays) > MAX_NAMED else ""
    how = IN_TURN if trail.came_back else CHANGED
    return f"{how}: `{what}` was {', then '.join(parts)}{more}."


def _by_endpoint(trail: _Trail) -> list[tuple[str, str, int]]:
    """(URL, its one value, answers) where every endpoint kept a value of its own."""
    seen: dict[str | None, list[tuple[str, int]]] = defaultdict(list)
    for value, stay in trail.stays.items():
        for url, count in stay.endpoints.items():
            seen[url].append((value, count))
    if len(seen) < 2 or any(len(values) > 1 for values in seen.values()):
        return []
    return [(str(url), _shown(values[0][0]), values[0][1]) for url, values in seen.items()]


def resume_warnings(before: ServedModel | None, now: ServedModel | None, at: str) -> list[str]:
    """What a server lists otherwise than at the beginning of the run.

    Args:
        before: What `run.json` says.
        now: What the server says now.
        at: Time of the resumption.
    """
    if before is None or now is None or len(before.served_models) > MAX_LISTED:
        return []
    gone = [_shown(m) for m in before.served_models if m not in now.served_models]
    new = [_shown(m) for m in now.served_models if m not in before.served_models]
    if not gone and not new:
        return []
    changes = [f"no longer lists {', '.join(gone)}"] if gone else []
    changes += [f"now lists {', '.join(new[:MAX_NAMED])}"] if new else []
    return [
        f"when the run was resumed at {at}, the server {' and '.join(changes)}; it may have been set up anew."
    ]


def note_resumption(manifest: RunManifest, resumed: RunManifest, at: str) -> RunManifest:
    """The resumed manifest with a warning for every server that is no longer what it was.

    Args:
        manifest: As `run.json` has it.
        resumed: The same run, its warnings and what the servers say now.
        at: Time of the resumption.
    """
    before = {card.role: card.served for card in manifest.models}
    found = [
        f"{card.role}: {sentence}"
        for card in resumed.models
        for sentence in resume_warnings(before.get(card.role), card.served, at)
    ]
    return resumed.model_copy(update={"warnings": [*resumed.warnings, *found]})


def note_changes(manifest: RunManifest, run_dir: Path) -> RunManifest:
    """The manifest with a warning for every model whose journal shows a change of its server.

    Raises:
        RunError: A journal is broken.
    """
    kept = [w for w in manifest.warnings if not any(mark in w for mark in FROM_JOURNAL)]
    found = []
    for card in manifest.models:
        path = run_dir / card.role / "responses.jsonl"
        if path.is_file():
            served = card.served.served_models if card.served else []
            responses = (response for _, response in read_lines(path))
            sentences = identity_warnings(card.model, responses, served)
            found += [f"{card.role}: {sentence}" for sentence in sentences]
    return manifest.model_copy(update={"warnings": kept + found})


def _answers(n: int) -> str:
    return "1 answer" if n == 1 else f"{n} answers"


def _shown(value: str) -> str:
    """A name that a server gave, so that it can do nothing in a terminal."""
    return repr(value if len(value) <= MAX_CHARS else value[: MAX_CHARS - 3] + "...")
