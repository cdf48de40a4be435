"""Tests of price lists: which entry wins, what is refused, and when a price is old."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK

from ftgate_ext.policy import load_policy, parse_policy
from ftgate_ext.prices import load_prices, resolve_price, write_price_list
from ftgate_ext.schema import PolicyError, Price

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """\
version: 1
name: a gate
models:
  candidate: {endpoint: http://localhost:1/v1, model: new, price: {usd_per_hour: 2}}
  frontier:
    endpoint: http://localhost:2/v1
    model: big
    price: {listed: gpt-4.1}
eval_sets: [{task: quiz, kind: golden}]
rules: [{name: good, kind: floor, task: quiz, metric: acc, threshold: 0.5}]
"""


def write_policy(folder: Path, price: str = "{listed: gpt-4.1}", own: str | None = None) -> Path:
    path = folder / "gate.yaml"
    path.write_text(POLICY.replace("{listed: gpt-4.1}", price), encoding="utf-8")
    if own is not None:
        (folder / "prices.yaml").write_text(own, encoding="utf-8")
    return path


def test_the_release_prices_of_gpt_4_1() -> None:
    """2.00 in, 0.50 cached, 8.00 out per million tokens, half of it in batches (2025-04-14)."""
    price = load_prices()["gpt-4.1"]

    assert price.token_usd(1e6, 0) == 2.0
    assert price.token_usd(0, 1e6) == 8.0
    assert price.token_usd(1e6, 0, 1e6) == 0.5
    assert (price.batch_discount, price.as_of) == (0.5, "2025-04-14")
    assert "OpenAI" in (price.source or "")


def test_a_listed_price_becomes_figures_with_date_and_source(tmp_path: Path) -> None:
    """And so does the judge's."""
    judge = "judge: {endpoint: http://localhost:3/v1, model: j, task: quiz, against: [frontier], price: {listed: gpt-4.1-mini}}\n"
    path = write_policy(tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + judge, encoding="utf-8")

    policy = load_policy(path)

    price = policy.models["frontier"].price
    assert (price.listed, price.output_usd_per_mtok, price.as_of) == ("gpt-4.1", 8.0, "2025-04-14")
    assert policy.judge is not None
    assert policy.judge.price.input_usd_per_mtok == 0.4
    assert policy.models["candidate"].price == Price(usd_per_hour=2)


def test_the_own_list_wins_entry_by_entry(tmp_path: Path) -> None:
    """A name of its own and a shipped one at another price; the others stay."""
    own = """\
as_of: 2026-05-01
source: our contract
models:
  gpt-4.1: {input_usd_per_mtok: 1.5, output_usd_per_mtok: 6}
  our box: {usd_per_gpu_hour: 2.5, gpus: 4, source: the hoster's page}
"""
    prices = load_prices(write_policy(tmp_path, own=own).parent)

    assert prices["gpt-4.1"].output_usd_per_mtok == 6
    assert (prices["gpt-4.1"].as_of, prices["gpt-4.1"].source) == ("2026-05-01", "our contract")
    assert prices["our box"].hourly_usd == 10
    assert prices["our box"].source == "the hoster's page"
    assert prices["gpt-4.1-mini"].output_usd_per_mtok == 1.6
    assert load_policy(tmp_path / "gate.yaml").models["frontier"].price == prices["gpt-4.1"]


def test_what_the_policy_says_besides_stays(tmp_path: Path) -> None:
    """The list has the figures, the policy how busy the machine is."""
    own = "models: {box: {usd_per_hour: 4, as_of: '2026-01-01', source: x}}"
    price = load_policy(write_policy(tmp_path, "{listed: box, utilisation: 0.5}", own)).models["frontier"].price  # fmt: skip

    assert (price.hourly_usd, price.utilisation) == (4, 0.5)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gpt-4.2", "did you mean 'gpt-4.1'"),
        ("gpt-4.1-mimi", "did you mean 'gpt-4.1-mini'"),
        ("something else", "it has gpt-4.1, gpt-4.1-mini, gpt-4.1-nano"),
    ],
)
def test_an_unknown_name_is_one_line_with_near_ones(tmp_path: Path, name: str, hint: str) -> None:
    """With the line of the policy, and where to put a price of one's own."""
    with pytest.raises(PolicyError) as error:
        load_policy(write_policy(tmp_path, f"{{listed: {name}}}"))

    message = str(error.value)
    assert "gate.yaml:8: " in message
    assert hint in message
    assert "prices.yaml beside gate.yaml" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ("models: {a: {usd_per_hour: 1, source: x}}", "a: no as_of"),
        ("models: {a: {usd_per_hour: 1, as_of: '2026-01-01'}}", "a: no source"),
        ("models: {a: {as_of: '2026-01-01', source: x}}", "a: no figure"),
        ("models: {a: {usd_per_hour: 1, as_of: soon, source: x}}", "as_of: 'soon' is no date"),
        ("models: {a: {usd_per_hour: -1, as_of: '2026-01-01', source: x}}", "usd_per_hour"),
        ("models: {a: {input_usd_per_mtok: 1, as_of: '2026-01-01', source: x}}", "go together"),
        ("models: {a: {usd: 1, as_of: '2026-01-01', source: x}}", "a: usd"),
        ("models: {a: 3}", "a: found 3"),
        ("- a", "expected `models:`"),
        ("models: {a: [", "no readable price list"),
    ],
)
def test_a_bad_list_is_one_line(tmp_path: Path, own: str, problem: str) -> None:
    """It names the file and the entry, and nothing is taken from it."""
    with pytest.raises(PolicyError) as error:
        load_policy(write_policy(tmp_path, own=own))

    assert "prices.yaml" in str(error.value)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_a_name_and_figures_are_two_prices(tmp_path: Path) -> None:
    """Which one holds would be a guess."""
    with pytest.raises(PolicyError, match="give one of"):
        load_policy(write_policy(tmp_path, "{listed: gpt-4.1, usd_per_hour: 3}"))


def test_a_run_keeps_the_prices_it_began_with(tmp_path: Path) -> None:
    """The list that stays with it gives the same policy when all other lists have changed."""
    own = "models: {box: {usd_per_hour: 4, gpus: 1, as_of: '2026-01-01', source: x}}"
    policy = load_policy(write_policy(tmp_path, "{listed: box, utilisation: 0.5}", own))

    kept = write_price_list(spec.price for spec in policy.models.values())

    assert kept is not None
    later = tmp_path / "run"
    later.mkdir()
    again = load_policy(write_policy(later, "{listed: box, utilisation: 0.5}", kept))
    assert again.policy_hash == policy.policy_hash
    assert write_price_list([Price(usd_per_hour=1)]) is None


def test_the_shipped_list_needs_no_folder() -> None:
    """A policy from a text, without a file beside it."""
    price = parse_policy(POLICY, "gate.yaml").models["frontier"].price
    assert price == load_prices()["gpt-4.1"]
    assert resolve_price(price, {}) == price


@pytest.mark.parametrize(("day", "is_old"), [("2026-04-14", False), ("2026-04-15", True)])
def test_a_price_is_old_after_a_year(day: str, is_old: bool) -> None:
    """365 days are no year too many; the warning says how old and where it was read."""
    warning = load_prices()["gpt-4.1"].age_warning(date.fromisoformat(day))

    assert (warning is not None) is is_old
    if warning:
        assert warning.startswith(
            "the listed price of gpt-4.1 is of 2025-04-14, 366 days old (OpenAI"
        )
    assert Price(usd_per_hour=1).age_warning(date.fromisoformat(day)) is None


@QUICK
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(-5, 2 * 10**6))
def test_cached_tokens_never_cost_more_nor_less_than_nothing(asked: int, answered: int, cached: int) -> None:  # fmt: skip
    """Whatever a server claims of its cache."""
    price = load_prices()["gpt-4.1"]
    full, usd = price.token_usd(asked, answered), price.token_usd(asked, answered, cached)
    assert full is not None
    assert usd is not None
    assert 0.25 * full - 1e-12 <= usd + answered * 6e-6 <= full + answered * 6e-6 + 1e-12
    assert usd >= answered * 8e-6
