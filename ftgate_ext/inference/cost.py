"""What one request cost, from the model's price and what the server counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftgate_ext.schema import Price


def request_cost_usd(
    price: Price,
    *,
    latency_s: float,
    in_flight: int,
    input_tokens: int | None,
    cached_tokens: int | None,
    output_tokens: int | None,
    batch: bool = False,
) -> float | None:
    """US dollars of one request, or None where price or tokens are unknown.

    On a machine paid by the hour a request costs its share of the paid time: its seconds in flight
    divided by the requests in flight, or one part of the declared throughput; the hours in which
    the machine stands idle are spread over the others.

    Args:
        price: Of the model.
        latency_s: Seconds in flight of the attempt that was answered.
        in_flight: Requests in flight to the model meanwhile, this one included.
        input_tokens: As the server counted them.
        cached_tokens: Of the input tokens, those from the server's cache.
        output_tokens: As the server counted them.
        batch: Asked through the batch API.
    """
    hourly = price.hourly_usd
    if hourly is not None:
        if price.requests_per_hour is not None:
            return hourly / price.requests_per_hour / price.utilisation
        return hourly / 3600 * latency_s / in_flight / price.utilisation
    if input_tokens is None or output_tokens is None:
        return None
    usd = price.token_usd(input_tokens, output_tokens, cached_tokens or 0)
    if usd is None:
        return None
    return usd * (1 - price.batch_discount) if batch else usd
