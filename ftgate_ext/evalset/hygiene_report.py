"""What `ftgate evalset hygiene` found: its types, and in words for the terminal."""

from __future__ import annotations

from ftgate_ext.schema import Row

MAX_LISTED = 20
MAX_PRIVATE = 1000
_EXAMPLES = 3


class HygieneCheck(Row):
    """One thing that was looked for."""

    name: str
    rows: int
    share: float
    serious: bool
    limit: str
    examples: list[str]
    """file:line and what is there; at most 20."""


class PrivateFinding(Row):
    """A secret or personal data; the value itself is never repeated."""

    file: str
    line: int
    kind: str
    secret: bool
    masked: str


class TokenCount(Row):
    """How much there is to train on; estimated without a tokenizer."""

    total: int
    trained: int
    """Of the assistant's turns: what the loss is taken on."""
    median: float
    p95: float
    longest: int
    epochs: int
    billed: int
    """Total times epochs."""
    usd_per_mtok: float | None
    cost_usd: float | None
    """None without a price."""


class HygieneReport(Row):
    """What `ftgate evalset hygiene --json` prints."""

    train: list[str]
    valid: list[str]
    rows: int
    valid_rows: int
    checks: list[HygieneCheck]
    labels: dict[str, int]
    sources: dict[str, int]
    synthetic_share: float | None
    """Of the rows that state a source or `synthetic`; None where none does."""
    stated_rows: int
    tokens: TokenCount
    private: list[PrivateFinding]
    """The first 1000."""

    @property
    def is_serious(self) -> bool:
        """Whether anything should be mended before money is spent."""
        return any(check.serious for check in self.checks)


def hygiene_text(found: HygieneReport) -> str:
    """What `ftgate evalset hygiene` prints."""
    beside = f", {found.valid_rows:,} validation rows" if found.valid else ""
    lines = [f"{found.rows:,} training rows of {len(found.train)} files{beside}.", ""]
    lines.append(f"{'check':42} {'rows':>9} {'share':>7}  {'limit':22}")
    for check in found.checks:
        mark = "SERIOUS" if check.serious else ""
        lines.append(
            f"{check.name:42} {check.rows:9,} {check.share:7.1%}  {check.limit:22} {mark}".rstrip()
        )
    for check in found.checks:
        if check.rows:
            lines += ["", f"{check.name}:"]
            lines += [f"  {example}" for example in check.examples[:_EXAMPLES]]
            if check.rows > _EXAMPLES and len(check.examples) > _EXAMPLES:
                lines.append("  ... --json lists more.")
    if found.synthetic_share is None:
        lines += [
            "",
            "No row states its `source` or `synthetic`: the synthetic share is not known.",
        ]
    lines += ["", _tokens_text(found.tokens)]
    serious = [check.name for check in found.checks if check.serious]
    lines.append(f"Serious: {', '.join(serious)}." if serious else "Nothing serious.")
    return "\n".join(lines)


def _tokens_text(tokens: TokenCount) -> str:
    if tokens.cost_usd is None:
        cost = "give --price-per-mtok for the cost"
    else:
        cost = f"about {tokens.cost_usd:,.2f} USD at {tokens.usd_per_mtok:g} USD per million"
    return (
        f"About {tokens.total:,} tokens ({tokens.trained:,} of them answers); a row has {tokens.median:,.0f} "
        f"(median), {tokens.p95:,.0f} (95 %), at most {tokens.longest:,}. {tokens.epochs} epochs: "
        f"{tokens.billed:,} tokens, {cost}."
    )
