"""A quality report in words and tables, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftgate_ext.evalset.quality import QualityReport, SetQuality

_VALUES = 14


def quality_text(report: QualityReport) -> str:
    """What `ftgate evalset report` prints."""
    parts = [_set_text(measured) for measured in report.sets]
    across = len(report.near_across_sets)
    parts.append(f"Near-duplicates between sets: {across} (limit 0)")
    if report.problems:
        parts.append("\n".join(["Broken limits:", *(f"  {p}" for p in report.problems)]))
    else:
        parts.append("Every figure is inside its limit.")
    return "\n\n".join(parts)


def _set_text(found: SetQuality) -> str:
    clusters = f" in {found.clusters} clusters" if found.clusters else ""
    lines = [f"{found.file}: {found.rows} rows{clusters}"]
    for key, counts in found.strata.items():
        shown = [f"{value} {n}" for value, n in list(counts.items())[:_VALUES]]
        if len(counts) > _VALUES:
            shown.append(f"and {len(counts) - _VALUES} more")
        lines.append(f"  {key:15} {', '.join(shown)}")
    size = found.lengths
    lines.append(
        f"  {'lengths':15} lines {size.lines_min} to {size.lines_max}, median {size.lines_median:g}, 90 % up to {size.lines_p90:g}; median {size.characters_median:g} characters"
    )
    lines.append(f"  {'near-duplicates':15} {len(found.near_duplicates)} outside twins (limit 0)")
    if found.hints or found.shortcuts:
        lines.append(f"  {'hints':15} {len(found.hints)} rows (limit 0)")
    if found.shortcuts:
        lines.append("  shortcuts: AUC of defect against clean, folds by cluster, 95 % limits")
        for s in found.shortcuts:
            area = (
                "cannot be computed"
                if s.auc is None
                else f"{s.auc:.3f} [{s.lower:.3f}, {s.upper:.3f}]"
            )
            mark = "" if s.holds else "  OVER THE LIMIT"
            lines.append(
                f"    {s.cases:12} {s.features:10} {area}  n {s.n}, limit {s.limit:.2f}{mark}"
            )
        lines.append(f"    most telling words: {', '.join(found.telling[:8])}")
    if found.agreement:
        a = found.agreement
        lines.append(
            f"  {'double labels':15} {a.cases} cases, verdict agrees in {a.verdict_share:.1%}{f' (kappa {a.verdict_kappa:.2f})' if a.verdict_kappa is not None else ''}, category in {a.category_share:.1%} of the defects"
        )
    return "\n".join(lines)
