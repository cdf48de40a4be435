"""Conversations: the user's next message follows what the model itself answered before.

Every turn is a request of its own with a line of its own in the journal. Knows how to go on; sending
is somebody else's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ftgate_ext.inference.payload import TEMPERATURE_FROM, TURNS_FROM
from ftgate_ext.schema import UNSCORED_STATUSES, Answer, Response, RunError
from ftgate_ext.scoring.mtbench import join_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ftgate_ext.inference.endpoint import Request
    from ftgate_ext.schema import ResponseStatus


@dataclass(frozen=True)
class Conversation:
    """The first request of a case, and what the user says afterwards."""

    first: Request
    later: tuple[str, ...] = ()
    """Nothing for a case that is one question."""


def later_turns(doc: Any, gen_kwargs: dict[str, Any]) -> tuple[str, ...]:
    """What the user says after the first answer.

    Args:
        doc: The row.
        gen_kwargs: Of the task; `turns_from` names the field that lists all that the user says.

    Raises:
        RunError: The row has no such list.
    """
    name = gen_kwargs.get(TURNS_FROM)
    if name is None:
        return ()
    turns = doc.get(name) if isinstance(doc, dict) else None
    if not isinstance(turns, list) or not turns or not all(isinstance(t, str) for t in turns):
        raise RunError(
            f"{TURNS_FROM}: {name!r} of a row is no list of texts; mend the task's YAML or its data."
        )
    return tuple(turns[1:])


def with_own_temperature(doc: Any, gen_kwargs: dict[str, Any]) -> dict[str, Any]:
    """The task's settings with the temperature that the row itself states, where it does."""
    name = gen_kwargs.get(TEMPERATURE_FROM)
    stated = doc.get(name) if name and isinstance(doc, dict) else None
    if stated is None:
        return gen_kwargs
    return {**gen_kwargs, "temperature": float(stated), "do_sample": float(stated) > 0}


def hold(
    conversations: Sequence[Conversation], ask: Callable[[list[Request]], list[Response]]
) -> list[Answer]:
    """Ask all first turns, then all second ones, and so on; a conversation ends where a request fails.

    Args:
        conversations: In the order in which answers are wanted.
        ask: Sends requests and returns their responses in order.

    Returns:
        One answer a conversation. With several turns its text is the JSON array of all answers; it
        is `failed` where a turn has no answer, and else has the status of the first turn that is
        not `ok`.
    """
    requests = [_numbered(c) for c in conversations]
    spoken = [[response] for response in ask(requests)]
    turn = 0
    while going := [
        i for i, c in enumerate(conversations)
        if len(c.later) > turn and spoken[i][-1].status not in UNSCORED_STATUSES
    ]:  # fmt: skip
        for i in going:
            requests[i] = _next(requests[i], spoken[i][-1], conversations[i].later[turn])
        for i, response in zip(going, ask([requests[i] for i in going]), strict=True):
            spoken[i].append(response)
        turn += 1
    return [_answer(c, said) for c, said in zip(conversations, spoken, strict=True)]


def _numbered(conversation: Conversation) -> Request:
    return replace(conversation.first, turn=0) if conversation.later else conversation.first


def _next(request: Request, response: Response, says: str) -> Request:
    messages = [
        *request.payload["messages"],
        {"role": "assistant", "content": response.text},
        {"role": "user", "content": says},
    ]
    payload = {**request.payload, "messages": messages}
    return replace(request, payload=payload, turn=(request.turn or 0) + 1)


def _answer(conversation: Conversation, spoken: list[Response]) -> Answer:
    if not conversation.later:
        return Answer(spoken[0].text, spoken[0].status)
    if spoken[-1].status in UNSCORED_STATUSES:
        return Answer("", spoken[-1].status)
    odd: ResponseStatus = next((r.status for r in spoken if r.status != "ok"), "ok")
    return Answer(join_answers([r.text for r in spoken]), odd)
