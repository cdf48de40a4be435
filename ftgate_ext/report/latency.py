"""How long requests took, how many were in flight meanwhile, and what that is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Table
from ftgate_ext.report.figures import NOT_MEASURED, counted, end_sentence, format_seconds
from ftgate_ext.report.models import find_operations

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparisons, Operations, Role

CLEARLY_DIFFERENT = 1.5
"""Times the requests in flight of another model, from which latencies are not comparable."""
AT_DIFFERENT_TIMES = (
    "The models were measured one after the other, at different times: what a server was doing "
    "meanwhile is in the figures. `ftgate run --latency` measures them in turn."
)
CACHED_PROMPTS = (
    "The server had seen these prompts before, in the run itself: where it keeps a prompt cache, the "
    "time to the first token is that of a cached prompt."
)


def tabulate_latencies(comparisons: Comparisons) -> list[Table]:
    """Latency of every model over all tasks, and of every model on every eval set."""
    whole = [(r, o) for r in comparisons.roles if (o := find_operations(comparisons, r))]
    if not any(o.latency_p50_s is not None for _, o in whole):
        return []
    streamed = any(o.first_token_p50_s is not None for _, o in whole)
    first = ["First token p50", "p95"] if streamed else []
    table = Table(
        caption="Latency over all tasks: seconds in flight, without waiting in our own queue",
        columns=["Role", "Measured", "Requests", "p50", "p95", "p99", *first, "Tokens out a second", "In flight"],
        rows=[_row(role, o, streamed=streamed) for role, o in whole],
        numeric=tuple(range(2, 7 + len(first))),
        notes=_notes(comparisons, [o for _, o in whole]),
    )  # fmt: skip
    return [table, *_by_eval_set(comparisons)]


def _row(role: Role, o: Operations, *, streamed: bool) -> list[str]:
    n = NOT_MEASURED if o.n_latency is None else f"{o.n_latency:,}"
    failed = f" ({o.n_latency_failed:,} failed)" if o.n_latency_failed else ""
    first = [format_seconds(o.first_token_p50_s), format_seconds(o.first_token_p95_s)]
    speed = o.output_tokens_per_s
    return [
        role, "in turn" if o.latency_from == "interleaved" else "in the run", n + failed,
        format_seconds(o.latency_p50_s), format_seconds(o.latency_p95_s), format_seconds(o.latency_p99_s),
        *(first if streamed else []), NOT_MEASURED if speed is None else f"{speed:.3g}",
        write_concurrency(o),
    ]  # fmt: skip


def write_concurrency(o: Operations | None) -> str:
    """'16 (1 to 16)': median and range of the requests in flight when one was sent."""
    if o is None or o.concurrency is None:
        return NOT_MEASURED
    low, middle = o.concurrency_min, o.concurrency_median
    if low is None or middle is None:
        return f"{o.concurrency:,} at most"
    if low == o.concurrency:
        return f"{o.concurrency:,}"
    return f"{middle:g} ({low:,} to {o.concurrency:,})"


def _by_eval_set(comparisons: Comparisons) -> list[Table]:
    own = [o for o in comparisons.operations if o.task != "*" and o.latency_p50_s is not None]
    tasks = list(dict.fromkeys(o.task for o in own))
    if not own:
        return []
    return [
        Table(
            caption="Latency by eval set",
            columns=["Eval set", "Role", "Requests", "p50", "p95", "p99"],
            rows=[
                [
                    task, o.role, f"{o.n_latency or 0:,}", format_seconds(o.latency_p50_s),
                    format_seconds(o.latency_p95_s), format_seconds(o.latency_p99_s),
                ]
                for task in tasks for o in own if o.task == task
            ],
            numeric=(2, 3, 4, 5),
            is_folded=len(own) > 8,
        )
    ]  # fmt: skip


def _notes(comparisons: Comparisons, whole: list[Operations]) -> list[str]:
    run = comparisons.latency_run
    notes = []
    if run is not None:
        cases = counted(sum(run.n_cases.values()), "case")
        notes.append(
            f"In turn: measured interleaved at concurrency {run.concurrency}, the same requests as in the run, {cases} of each model; one model is asked at a time, and who begins changes."
        )
        if run.finished_at is None:
            notes.append(
                "That measurement is not finished; `ftgate run --latency` on the same run goes on."
            )
        notes += [
            f"{role} was not measured in turn: {end_sentence(why)}"
            for role, why in run.absent.items()
        ]
        notes.append(CACHED_PROMPTS)
    if sum(o.latency_from == "run" and o.latency_p50_s is not None for o in whole) > 1:
        notes.append(AT_DIFFERENT_TIMES)
    return notes


def warn_about_latency(comparisons: Comparisons) -> list[str]:
    """Models whose latencies were measured with clearly different numbers of requests in flight."""
    warnings = []
    mine = find_operations(comparisons, "candidate")
    for role in comparisons.roles:
        other = find_operations(comparisons, role)
        if role == "candidate" or mine is None or other is None:
            continue
        a, b = mine.concurrency_median, other.concurrency_median
        both = mine.latency_p50_s is not None and other.latency_p50_s is not None
        if both and a and b and max(a, b) >= CLEARLY_DIFFERENT * min(a, b):
            warnings.append(
                f"Latencies of candidate and {role} were measured at different concurrency: {a:g} and {b:g} requests in flight in the median. `ftgate run --latency` measures both alike."
            )
    return warnings
