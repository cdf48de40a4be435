"""Views and tables -> Markdown and HTML through the package's templates.

Escaping is the default, not a habit: every value that a template prints passes through the
environment's `finalize`, and only text made here may pass as it is.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from jinja2.filters import do_mark_safe

from ftgate_ext.report.text import (
    clean_block,
    code_markdown,
    escape_markdown,
    fence_markdown,
    prose_markdown,
    split_code,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def render_template(name: str, **values: Any) -> str:
    """Render a template of this package; `.md.j2` escapes for Markdown, `.html.j2` for HTML."""
    environment = _markdown() if name.endswith(".md.j2") else _html()
    return environment.get_template(name).render(**values)


def _load_template(name: str) -> str:
    return (files("ftgate_ext.report") / "templates" / name).read_text(encoding="utf-8")


def _environment(finalize: Any) -> Environment:
    return Environment(
        loader=FunctionLoader(_load_template), autoescape=True, undefined=StrictUndefined,
        finalize=finalize, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def _is_marked_safe(value: Any) -> bool:
    return hasattr(value, "__html__")


@lru_cache(maxsize=1)
def _html() -> Environment:
    """Jinja escapes; control characters go first, because no browser needs them."""
    environment = _environment(_finalize_html)
    environment.filters["split_code"] = split_code
    for name, asset in (("style", "report.css"), ("script", "report.js")):
        text = _load_template(asset)
        digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
        environment.globals[name] = do_mark_safe(text)
        # The page's policy lets a browser run this very text and no other.
        environment.globals[f"{name}_source"] = do_mark_safe(f"'sha256-{digest}'")
    return environment


def _finalize_html(value: Any) -> Any:
    return clean_block(value) if isinstance(value, str) and not _is_marked_safe(value) else value


@lru_cache(maxsize=1)
def _markdown() -> Environment:
    """Jinja's own escaping is for HTML; text that is already escaped for Markdown is exempt."""
    environment = _environment(_finalize_markdown)
    for name, write in (
        ("fence", fence_markdown),
        ("code", code_markdown),
        ("prose", prose_markdown),
    ):
        environment.filters[name] = _marking(write)
    return environment


def _marking(write: Callable[[str], str]) -> Callable[[str], Any]:
    return lambda text: do_mark_safe(write(text))


def _finalize_markdown(value: Any) -> Any:
    return value if _is_marked_safe(value) else do_mark_safe(escape_markdown(str(value)))
