"""Price lists -> the figures behind `price: {listed: NAME}` of a policy.

The shipped list, and above it a `prices.yaml` beside gate.yaml. Knows no policy and no run.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from ftgate_ext.assets import asset_dir
from ftgate_ext.schema import PolicyError, Price

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PRICE_LIST = "prices.yaml"
PriceList = dict[str, Price]
NEAR_NAMES = 3


def load_prices(folder: Path | None = None) -> PriceList:
    """The shipped price list, with the entries of `folder`/prices.yaml in place of its own.

    Args:
        folder: Where gate.yaml lies; None for the shipped list alone.

    Raises:
        PolicyError: A list cannot be read, or an entry of it is no dated price.
    """
    listed = read_price_list(asset_dir("configs") / PRICE_LIST)
    own = folder / PRICE_LIST if folder else None
    return listed | read_price_list(own) if own and own.is_file() else listed


def read_price_list(path: Path) -> PriceList:
    """One price list; every entry has a date and a source.

    Raises:
        PolicyError: The file cannot be read, or an entry is no dated price.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise PolicyError(f"{path}: no readable price list ({why}); mend the file.") from None
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, dict):
        raise PolicyError(
            f"{path}: expected `models:` with a name and its prices on each line below."
        )
    general = {key: content[key] for key in ("as_of", "source") if key in content}
    return {str(name): _entry(path, str(name), general, entry) for name, entry in models.items()}


def _entry(path: Path, name: str, general: dict[str, Any], entry: Any) -> Price:
    if not isinstance(entry, dict):
        raise PolicyError(
            f"{path}: {name}: found {entry!r}; expected prices, such as {{input_usd_per_mtok: 2, output_usd_per_mtok: 8}}."
        )
    # YAML makes a date of 2025-04-14, and a name of 4.1 a number.
    fields = {
        key: str(value) if key in ("as_of", "source") else value
        for key, value in (general | entry).items()
    }
    for needed in ("as_of", "source"):
        if not fields.get(needed):
            raise PolicyError(
                f"{path}: {name}: no {needed}; say when and where the price was read."
            )
    try:
        price = Price.model_validate(fields | {"listed": name})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "price"
        why = first["msg"].removeprefix("Value error, ")
        raise PolicyError(f"{path}: {name}: {field}: {why[:1].lower()}{why[1:]}.") from None
    if not price.is_known:
        raise PolicyError(
            f"{path}: {name}: no figure; expected prices per token, usd_per_hour or usd_per_gpu_hour."
        )
    return price


def resolve_price(price: Price, listed: PriceList) -> Price:
    """The figures behind `listed`; what else the policy says of the price stays as it says.

    Raises:
        KeyError: No such name in the list.
    """
    if price.listed is None or price.is_known:
        return price
    said = price.model_dump(exclude_unset=True, exclude={"listed"})
    return listed[price.listed].model_copy(update=said)


def unlisted(name: str, listed: PriceList) -> str:
    """That a name is not in the price list, with the names that come near."""
    close = difflib.get_close_matches(name, listed, n=NEAR_NAMES, cutoff=0.5)
    hint = (
        f"did you mean {' or '.join(map(repr, close))}?"
        if close
        else f"it has {', '.join(listed)}."
    )
    return f"{name!r} is not in the price list; {hint} Or give it a line in a {PRICE_LIST} beside gate.yaml"  # fmt: skip


def write_price_list(prices: Iterable[Price]) -> str | None:
    """The listed prices among these as a list of their own; None where none is listed.

    It stays with the run, so that its costs can be recomputed when the lists have changed.
    """
    models = {
        price.listed: price.model_dump(exclude_unset=True, exclude={"listed"}, exclude_none=True)
        for price in prices
        if price.listed and price.as_of
    }
    if not models:
        return None
    head = "# The listed prices as they were when this run began.\n"
    return head + yaml.safe_dump({"models": models}, sort_keys=False, allow_unicode=True)
