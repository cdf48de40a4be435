"""The commands `ftgate judge ...`: judging a run, examining a judge, and no logic.

`ftgate judge RUN` judges a run: whatever is no command of this group is taken for a run folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperGroup

from ftgate_ext.options_cli import AsJson
from ftgate_ext.terminal import answer

JUDGE_RUN = "judge-run"
"""A name that no run folder has: `ftgate judge run` judges the folder `run`."""
UNFIT = 3
"""Exit code for a judge that may not vote: its rules are INCONCLUSIVE."""


class RunByDefault(TyperGroup):
    """A group whose arguments are a run folder where they name no command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command that judges a run in front of a run folder and its options."""
        words = [word for word in args if not word.startswith("-")]
        if words and words[0] not in self.commands:
            args = [JUDGE_RUN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=RunByDefault, help="`ftgate judge RUN` judges the pairs of a run (`ftgate judge RUN --help`); the commands below are about the judge itself.",
    no_args_is_help=True, add_completion=False, rich_markup_mode=None,
)  # fmt: skip

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


@app.command(JUDGE_RUN, hidden=True)
def judge_run(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    batch: Annotated[
        bool,
        typer.Option("--batch", help="Through the Batch API: cheaper, and done within a day."),
    ] = False,
    batch_retry: Annotated[
        str,
        typer.Option(
            metavar="batch|direct", help="How lines that failed in a batch are asked again."
        ),
    ] = "batch",
    batch_poll: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="Longest time between two looks at a batch.", min=0.01
        ),
    ] = 60,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Examine the judge, then judge pairs of answers in both orders. The same command again resumes."""
    from ftgate_ext.gate import judge_policy
    from ftgate_ext.judge.batch_asking import wish
    from ftgate_ext.stages import load_qualification

    wanted = wish(batch_retry, batch_poll) if batch else None
    told = judge_policy(run_dir, quiet=quiet, batch=wanted)
    judge = load_qualification(run_dir) if as_json else None
    document = {"told": told, "judge": judge.model_dump(mode="json") if judge else None}
    answer(document, told, as_json=as_json)


@app.command()
def qualify(
    policy_file: Annotated[
        Path, typer.Argument(metavar="GATE.YAML", help="A policy with a judge.")
    ] = Path("gate.yaml"),
    pairs: Annotated[
        Optional[Path],
        typer.Option(help="JSONL of pairs with a known better answer; else the policy's or ours."),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Ask the judge about pairs with a known better answer, and about traps. Exits with 0 or 3."""
    from ftgate_ext.gate import qualify_policy
    from ftgate_ext.report.judge import qualification_text

    found = qualify_policy(policy_file, pairs, quiet=quiet)
    answer(found, qualification_text(found), as_json=as_json)
    if not found.fit:
        raise typer.Exit(UNFIT)


@app.command("import-llmbar")
def import_llmbar(
    cases: Annotated[Path, typer.Argument(metavar="PAIRS", help="LLMBar's pairs.")],
    decisions: Annotated[Path, typer.Argument(metavar="DECISIONS", help="Recorded decisions.")],
    subset: Annotated[str, typer.Option(help="Such as LLMBar/Natural.")],
    evaluator: Annotated[str, typer.Option(help="Such as GPT-4.")],
    strategy: Annotated[str, typer.Option(help="Such as Vanilla.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path(
        "llmbar"
    ),
    as_json: AsJson = False,
) -> None:
    """Turn decisions recorded by LLMBar into pairs and into verdicts for judge.replay."""
    from ftgate_ext.judge.llmbar import import_llmbar, write_llmbar

    pairs, verdicts = import_llmbar(cases, decisions, subset, evaluator, strategy)
    write_llmbar(pairs, verdicts, output)
    text = f"Wrote {len(pairs)} pairs and {len(verdicts)} verdicts to {output}; set judge.replay and qualify with --pairs."
    document = {"folder": str(output), "pairs": len(pairs), "verdicts": len(verdicts)}
    answer(document, text, as_json=as_json)
