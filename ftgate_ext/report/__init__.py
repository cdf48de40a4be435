"""The report that a manager signs: a run's files in, Markdown and self-contained HTML out."""

from __future__ import annotations

from ftgate_ext.report.render import render_template
from ftgate_ext.report.view import ReportInput, build_view

__all__ = ["ReportInput", "render_html", "render_markdown"]


def render_markdown(material: ReportInput) -> str:
    """The report as Markdown; nothing that a model or a user wrote becomes markup."""
    return render_template("report.md.j2", view=build_view(material))


def render_html(material: ReportInput) -> str:
    """The report as one HTML file with nothing to load; its one script only sorts and filters."""
    return render_template("report.html.j2", view=build_view(material))
