"""The commands `ftgate evalset ...`: the tools for eval sets, and no logic."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Optional

import typer

from ftgate_ext.options_cli import AsJson
from ftgate_ext.terminal import answer, show

app = typer.Typer(
    help="Build, prove, measure and version eval sets.",
    no_args_is_help=True, add_completion=False, rich_markup_mode=None,
)  # fmt: skip

Sources = Annotated[
    Optional[Path],
    typer.Option(help="Folder of YAML sources; the package's own when left out."),
]
Files = Annotated[
    Optional[list[Path]],
    typer.Argument(metavar="SET.jsonl...", help="The shipped sets when left out."),
]
TrainingRows = Annotated[
    list[Path], typer.Option(metavar="TRAIN.jsonl...", help="Training rows: chat format.")
]
MoreTrainingRows = Annotated[
    Optional[list[Path]],
    typer.Argument(metavar="[TRAIN.jsonl...]", help="More files of training rows."),
]


def _golden() -> Path:
    from ftgate_ext.assets import asset_dir

    return asset_dir("golden")


@app.command()
def build(
    sources: Sources = None,
    output: Annotated[
        Optional[Path], typer.Option(help="Where to write; the package's own folder when left out.")
    ] = None,
    seed: Annotated[
        Optional[int], typer.Option(help="Which cases are picked, and their order.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; exit with 1 where files differ or rows lack."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build the shipped sets from their sources: JSONL, manifest and the tables of the cards."""
    from ftgate_ext.evalset.build import SEED, build_sets

    folder = output or _golden()
    built = build_sets(sources or _golden() / "sources", folder, SEED if seed is None else seed)
    differing = built.differing(folder)
    if not check:
        built.write(folder)
    lines = [", ".join(f"{name} {n}" for name, n in built.rows.items()) + " rows", *built.lacking]
    if check:
        wrong = "not as the sources give it; run `ftgate evalset build`."
        lines += [f"{folder / name}: {wrong}" for name in differing]
    else:
        lines.append(f"{folder}: {len(differing)} of {len(built.files)} files written anew.")
    document = {"rows": built.rows, "lacking": built.lacking, "differing": differing}
    answer(document, "\n".join(lines), as_json=as_json)
    if check:
        raise typer.Exit(1 if differing or built.lacking else 0)


@app.command()
def verify(
    file: Annotated[
        Optional[Path],
        typer.Argument(metavar="SET.jsonl", help="The shipped golden set when left out."),
    ] = None,
    sources: Sources = None,
    every: Annotated[
        bool, typer.Option("--all", help="Prove every case of the sources, picked or not.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Prove labels again by running code in the sandbox. Exits with 1 where a proof fails."""
    from ftgate_ext.evalset.verify import verify_set, verify_sources

    folder = sources or _golden() / "sources"
    if every:
        found = verify_sources(folder)
    else:
        found = verify_set(file or _golden() / "codereview_golden.jsonl", folder)
    shown = ", ".join(f"{n} {outcome}" for outcome, n in sorted(found.outcomes.items()))
    head = f"{found.cases} cases labelled by execution, {found.proofs} proofs: {shown}."
    lines = [head, *found.failures, f"{len(found.failures)} failures."]
    answer(dataclasses.asdict(found), "\n".join(lines), as_json=as_json)
    raise typer.Exit(1 if found.failures else 0)


@app.command()
def report(files: Files = None, as_json: AsJson = False) -> None:
    """Measure sets: balance, lengths, near-duplicates, shortcuts, hints. Exits with 1 over a limit."""
    from ftgate_ext.evalset.quality import measure_sets
    from ftgate_ext.evalset.quality_words import quality_text

    measured = measure_sets(files or sorted(_golden().glob("codereview_*.jsonl")))
    answer(measured, quality_text(measured), as_json=as_json)
    raise typer.Exit(1 if measured.problems else 0)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="OLD", help="A JSONL file, or SET@VERSION.")],
    after: Annotated[str, typer.Argument(metavar="NEW", help="A JSONL file, or SET@VERSION.")],
    runs: Annotated[
        Optional[Path], typer.Option(help="Folder of run folders: name those that stand on OLD.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what changed between two versions of a set, and which runs that outdates."""
    from ftgate_ext.evalset.changes import changes_text, compare_states, read_state

    here = Path()
    found = compare_states(read_state(before, here), read_state(after, here), runs)
    answer(found, changes_text(found), as_json=as_json)


@app.command()
def freeze(
    files: Annotated[list[Path], typer.Argument(metavar="SET.jsonl...")],
    version: Annotated[
        Optional[str], typer.Option(help="major.minor.patch; chosen by what changed when left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give sets a version, in manifest.json and versions.jsonl beside them."""
    from ftgate_ext.evalset.versions import freeze as freeze_set

    frozen = [freeze_set(file, version) for file in files]
    lines = [f"{f.set}@{f.version}: {f.rows} rows, sha256 {f.sha256}" for f in frozen]
    answer([f.model_dump(mode="json") for f in frozen], "\n".join(lines), as_json=as_json)


@app.command()
def leakage(
    train: TrainingRows,
    more: MoreTrainingRows = None,
    sets: Annotated[
        Optional[list[Path]],
        typer.Option("--set", help="Eval sets to look for; the shipped ones when left out."),
    ] = None,
    column: Annotated[
        Optional[str],
        typer.Option("--field", help="Field of --set with the text: `question` for benchmarks."),
    ] = None,
    containment: Annotated[
        float, typer.Option(help="Share of a case's 8-grams from which it counts.", min=0.1, max=1)
    ] = 0.6,
    near: Annotated[
        float, typer.Option(help="Jaccard similarity from which a case counts.", min=0.1, max=1)
    ] = 0.7,
    reworded: Annotated[
        float, typer.Option(help="Share of tokens in the same order from which it counts.", min=0.5)
    ] = 0.85,
    processes: Annotated[
        Optional[int], typer.Option(help="All cores when left out.", min=1)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look for eval cases in training data. Exits with 1 where there are any."""
    from ftgate_ext.evalset.leak_index import Thresholds
    from ftgate_ext.evalset.leakage import find_leakage, load_texts, shipped_texts
    from ftgate_ext.evalset.leakage_words import leakage_text

    cases = [t for file in sets for t in load_texts(file, column)] if sets else shipped_texts()
    limits = Thresholds(containment, near, reworded)
    found = find_leakage(cases, [*train, *(more or ())], limits, processes)
    answer(found, leakage_text(found), as_json=as_json)
    raise typer.Exit(1 if found.cases else 0)


@app.command()
def hygiene(
    train: TrainingRows,
    more: MoreTrainingRows = None,
    valid: Annotated[
        Optional[list[Path]], typer.Option(help="Validation rows, which must not be trained on.")
    ] = None,
    near: Annotated[
        float, typer.Option(help="Jaccard similarity above which rows are near-duplicates.")
    ] = 0.8,
    max_tokens: Annotated[int, typer.Option(help="List rows that are longer.", min=1)] = 8192,
    max_duplicate_share: Annotated[float, typer.Option(help="Serious above it.")] = 0.05,
    max_class_share: Annotated[
        float, typer.Option(help="Serious where one label has more of the rows.")
    ] = 0.9,
    max_synthetic_share: Annotated[float, typer.Option(help="Serious above it.")] = 1.0,
    price_per_mtok: Annotated[
        Optional[float], typer.Option(help="US dollars per million training tokens.", min=0)
    ] = None,
    epochs: Annotated[int, typer.Option(help="How often every row is trained on.", min=1)] = 1,
    processes: Annotated[
        Optional[int], typer.Option(help="All cores when left out.", min=1)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check training data before paying for a fine-tune. Exits with 1 where something is serious."""
    from ftgate_ext.evalset.hygiene import HygieneLimits, Prices, check_training
    from ftgate_ext.evalset.hygiene_report import hygiene_text

    limits = HygieneLimits(
        near, max_tokens, max_duplicate_share, max_class_share, max_synthetic_share
    )
    prices = Prices(price_per_mtok, epochs)
    found = check_training([*train, *(more or ())], valid or (), limits, prices, processes)
    answer(found, hygiene_text(found), as_json=as_json)
    raise typer.Exit(1 if found.is_serious else 0)


@app.command("import")
def import_set(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="bugsinpy, sven, quixbugs, aacr, table, hub, git, real; of safety: advbench, harmbench, strongreject, xstest.",
        ),
    ],
    source: Annotated[
        Optional[str],
        typer.Argument(help="A local copy, a JSONL or CSV file, a hub id or a git repository."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The set to write.")
    ] = Path("imported.jsonl"),
    folder: Annotated[
        Optional[str],
        typer.Option("--from", metavar="DIR", help="For real: the folder with the local copies."),
    ] = None,
    limit: Annotated[Optional[int], typer.Option(help="Rows at most.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Which rows are chosen, and their order.")] = 0,
    mapping: Annotated[
        Optional[list[str]],
        typer.Option("--map", metavar="FIELD=COLUMN", help="For table and hub. Repeatable."),
    ] = None,
    licence: Annotated[
        Optional[str], typer.Option(help="Of the code, for table, hub and git.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="List bad rows, and import the others.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Turn public or own data into rows of an eval set."""
    from ftgate_ext.evalset.importers.choose import import_rows, write_imported

    place = folder if kind == "real" and folder else source
    if not place or (folder and (source or kind != "real")):
        raise typer.BadParameter("expected KIND SOURCE, or real --from DIR.")
    found = import_rows(
        kind, place, limit=limit, seed=seed, mapping=mapping or (), licence=licence
    )  # fmt: skip
    lines = write_imported(found, output, seed, with_card=kind == "real", skip_bad=skip_bad)
    document = {"file": str(output), "rows": len(found.rows), "lines": lines}
    answer(document, "\n".join(lines), as_json=as_json)


@app.command()
def label(
    file: Annotated[Path, typer.Argument(metavar="SET.jsonl")],
    labeller: Annotated[str, typer.Option(help="Who labels.")],
    page: Annotated[
        Optional[int],
        typer.Option(metavar="PORT", help="On a page of this machine; 0 takes a free port.", min=0),
    ] = None,
    overlap: Annotated[
        float, typer.Option(help="Share of the cases that two label.", min=0, max=1)
    ] = 0.2,
) -> None:
    """Let an expert label cases, in the terminal or on a local page; the same command goes on."""
    from ftgate_ext.evalset.label import Labelling

    labelling = Labelling(file, labeller, overlap)
    if page is None:
        from ftgate_ext.evalset.label_terminal import label_in_terminal

        label_in_terminal(labelling, input, show)
    else:
        from ftgate_ext.evalset.label_page import serve_page

        serve_page(labelling, page, show)
    show(f"Labels: {labelling.labels_file}")


@app.command()
def agreement(
    files: Annotated[list[Path], typer.Argument(metavar="LABELS.jsonl...")], as_json: AsJson = False
) -> None:
    """Say how far labellers agree (Cohen's kappa), and list the cases or pairs to adjudicate."""
    from ftgate_ext.evalset.agreement import agreement_text, measure_agreement
    from ftgate_ext.evalset.label import read_labels
    from ftgate_ext.evalset.label_pairs import are_pair_labels, read_pair_labels

    if are_pair_labels(files[0]):
        from ftgate_ext.evalset.pair_agreement import measure_pair_agreement, pair_agreement_text

        of_pairs = measure_pair_agreement(read_pair_labels(files))
        answer(of_pairs, pair_agreement_text(of_pairs), as_json=as_json)
        return
    found = measure_agreement(read_labels(files))
    answer(found, agreement_text(found), as_json=as_json)
