"""How a caller steers the choice: OpenRouter's `provider` object and `models`, read from the body and
applied.

Names and meanings are OpenRouter's. A provider is named by its address (`0x…`), or by the host of its
endpoint, with its port or without. Prices are in whole units of the asset per million tokens. Pure.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import exp
from typing import Final, Literal, TypeVar
from urllib.parse import urlsplit

from tallystick.client.errors import MalformedRequest
from tallystick.ports import PostedOffer, Seen
from tallystick.protocol.offer import Offer
from tallystick.protocol.speed import Pace
from tallystick.protocol.status import PARAMETERS
from tallystick.protocol.units import Atoms, to_hex

T = TypeVar("T")

PROVIDER, MODELS = "provider", "models"
"""Members of the body that are the payer's own: no provider gets them."""
QUANTIZATIONS: Final = frozenset(
    ("int4", "int8", "fp4", "fp6", "fp8", "fp16", "bf16", "fp32", "unknown"),
)
SORTS: Final = ("price", "throughput", "latency", "quality")
"""OpenRouter's three, and what duels say of each."""
STRICT: Final = ("only", "ignore", "max_price", "quantizations", "require_parameters")
"""Wishes that leave a provider out, in the order in which they are looked at."""
_DEVIATIONS: Final = {"p50": 0.0, "p75": 0.674, "p90": 1.282, "p99": 2.326}
"""Percentiles of a normal distribution."""
_MOST_NAMES, _LONGEST = 100, 300
_DECIMAL: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?").fullmatch
_NO_PARAMETERS: Final = frozenset(
    ("model", "models", "provider", "messages", "prompt", "stream", "stream_options", "user", "metadata"),
)
"""Of a body: everything else is a parameter."""

Sort = Literal["price", "throughput", "latency", "quality"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """What a caller wishes of the choice. As it stands here it wishes nothing."""

    order: tuple[str, ...] = ()
    """These first, in this order."""
    only: frozenset[str] = frozenset()
    """Nobody else; empty: anybody."""
    ignore: frozenset[str] = frozenset()
    allow_fallbacks: bool = True
    """Otherwise only those of `order` are tried, and without an order only the first of all."""
    required: int = 0
    """Bits of `PARAMETERS` that an engine has to understand."""
    unheard_of: tuple[str, ...] = ()
    """Parameters that it would have to understand and that no status can name."""
    quantizations: frozenset[str] = frozenset()
    """One of these; empty: any."""
    sort: Sort | None = None
    """By this alone, and not by the payer's rule."""
    across_models: bool = False
    """All models' candidates are ordered together, not model by model."""
    input_price: Fraction | None = None
    output_price: Fraction | None = None
    """Whole units of the asset per million tokens, at most."""
    least_rate: tuple[tuple[float, float], ...] = ()
    """(deviations, tokens a second): those that give less are tried after the others."""
    longest_wait: tuple[tuple[float, float], ...] = ()
    """(deviations, seconds until the first token): those that take longer are tried after the others."""

    def admits(self, posted: PostedOffer, seen: Seen, *, unit: Atoms) -> bool:
        """Whether it may serve at all; `unit`: atoms of one whole asset."""
        return self.unmet(posted, seen, unit=unit) is None

    def unmet(self, posted: PostedOffer, seen: Seen, *, unit: Atoms) -> str | None:
        """The first of `STRICT` that it does not meet; None: it may serve."""
        offer, status = posted.offer, seen.status
        if self.only or self.ignore:
            named = names(offer)
            if self.only and not self.only & named:
                return "only"
            if self.ignore & named:
                return "ignore"
        if not _within(max(offer.input_price, offer.cached_input_price), self.input_price, unit):
            return "max_price"
        if not _within(offer.output_price, self.output_price, unit):
            return "max_price"
        quantization, understood = ("", 0) if status is None else (status.quantization, status.parameters)
        if self.quantizations and (quantization or "unknown") not in self.quantizations:
            return "quantizations"
        return "require_parameters" if self.unheard_of or self.required & ~understood else None

    def prefers(self, expected: Pace | None, *, ratio: float, spread: float) -> bool:
        """Whether it is likely to be as fast as wished, at each percentile; `ratio` and `spread`: observed
        over quoted time, and the standard deviation of its logarithm."""
        if not self.least_rate and not self.longest_wait:
            return True
        if expected is None:
            return False
        token_s, first_s = expected.token_s * ratio, expected.first_s * ratio
        return all(
            token_s * exp(deviations * spread) * rate <= 1 for deviations, rate in self.least_rate
        ) and all(first_s * exp(deviations * spread) <= wait for deviations, wait in self.longest_wait)

    def arranged(self, items: Sequence[T], offer_of: Callable[[T], Offer]) -> Sequence[T]:
        """In the order that the caller named, the others behind them where fallbacks are allowed."""
        if not self.order:
            return items if self.allow_fallbacks else items[:1]
        places = {name: place for place, name in reversed(list(enumerate(self.order)))}

        def place(item: T) -> int:
            return min(
                (places[name] for name in names(offer_of(item)) & places.keys()), default=len(self.order)
            )

        placed = sorted(items, key=place)
        return placed if self.allow_fallbacks else [item for item in placed if place(item) < len(self.order)]


def names(offer: Offer) -> frozenset[str]:
    """What a caller may call its provider, in lower case."""
    try:
        parts = urlsplit(offer.endpoint)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        host, port = "", None
    found = {to_hex(offer.provider), host}
    if port is not None:
        found.add(f"{host}:{port}")
    return frozenset(found - {""})


# ------------------------------------------------------------------------------------------- reading the body


def read_steering(fields: Mapping[str, object]) -> Steering:
    """The wishes in a body.

    Raises
    ------
    MalformedRequest :
        A member is none of OpenRouter's, or of another type, or asks for what no provider of an open market
        can be held to.
    """
    wishes = fields.get(PROVIDER)
    if wishes is None:
        return Steering()
    if not isinstance(wishes, dict):
        raise MalformedRequest("`provider` is not an object.")
    if strange := sorted(wishes.keys() - _READERS.keys()):
        raise MalformedRequest(f"`provider.{strange[0]}` is not known here.")
    values: dict[str, object] = {}
    for name, value in wishes.items():
        if value is not None:
            values |= _READERS[name](f"provider.{name}", value)
    if values.pop("require_parameters", False):
        values |= _requirements(fields)
    return Steering(**values)  # type: ignore[arg-type]  # each reader makes what its field holds


def read_models(fields: Mapping[str, object]) -> tuple[str, ...]:
    """The models that may answer, the first one first: `model`, then those of `models`.

    Raises
    ------
    MalformedRequest :
        There is none, or one is not a name.
    """
    first = fields.get("model")
    others = fields.get(MODELS)
    if first is None and others is None:
        raise MalformedRequest("The body is not an object that names a model.")
    if first is not None and not isinstance(first, str):
        raise MalformedRequest("The body is not an object that names a model.")
    listed = [] if others is None else list(_names(MODELS, others))
    named = dict.fromkeys([*([first] if first is not None else []), *listed])
    if not named:
        raise MalformedRequest("`models` is empty, and there is no `model`.")
    return tuple(named)


def _requirements(fields: Mapping[str, object]) -> dict[str, object]:
    asked = [name for name, value in fields.items() if value is not None and name not in _NO_PARAMETERS]
    bits = sum(1 << PARAMETERS.index(name) for name in asked if name in PARAMETERS)
    return {"required": bits, "unheard_of": tuple(name for name in asked if name not in PARAMETERS)}


def _read_order(where: str, value: object) -> dict[str, object]:
    return {"order": tuple(name.lower() for name in _names(where, value))}


def _read_only(where: str, value: object) -> dict[str, object]:
    only = frozenset(name.lower() for name in _names(where, value))
    if not only:
        raise MalformedRequest(f"`{where}` is empty: nobody could serve.")
    return {"only": only}


def _read_ignore(where: str, value: object) -> dict[str, object]:
    return {"ignore": frozenset(name.lower() for name in _names(where, value))}


def _read_flag(where: str, value: object) -> dict[str, object]:
    return {where.removeprefix("provider."): _flag(where, value)}


def _read_quantizations(where: str, value: object) -> dict[str, object]:
    levels = frozenset(_names(where, value))
    if strange := sorted(levels - QUANTIZATIONS):
        known = ", ".join(sorted(QUANTIZATIONS))
        raise MalformedRequest(f"`{where}` has no level {strange[0][:40]!r}.", required=known)
    return {"quantizations": levels}


def _read_sort(where: str, value: object) -> dict[str, object]:
    partition: object = "model"
    if isinstance(value, dict):
        if strange := sorted(value.keys() - {"by", "partition"}):
            raise MalformedRequest(f"`{where}.{strange[0]}` is not known here.")
        partition = value.get("partition", "model")
        value = value.get("by")
    if value not in SORTS:
        raise MalformedRequest(f"`{where}` is none of the four.", required=", ".join(SORTS))
    if partition not in ("model", "none"):
        raise MalformedRequest(f"`{where}.partition` is neither of the two.", required="model, none")
    return {"sort": value, "across_models": partition == "none"}


def _read_max_price(where: str, value: object) -> dict[str, object]:
    """Offers have no price of a request, an image or a sound: such limits are always kept."""
    if not isinstance(value, dict):
        raise MalformedRequest(f"`{where}` is not an object.")
    if strange := sorted(value.keys() - {"prompt", "completion", "request", "image", "audio"}):
        raise MalformedRequest(f"`{where}.{strange[0]}` is not known here.")
    limits = {name: _price(f"{where}.{name}", item) for name, item in value.items() if item is not None}
    return {"input_price": limits.get("prompt"), "output_price": limits.get("completion")}


def _read_rate(where: str, value: object) -> dict[str, object]:
    return {"least_rate": _percentiles(where, value)}


def _read_wait(where: str, value: object) -> dict[str, object]:
    return {"longest_wait": _percentiles(where, value)}


def _read_data_collection(where: str, value: object) -> dict[str, object]:
    if value not in ("allow", "deny"):
        raise MalformedRequest(f"`{where}` is neither of the two.", required="allow, deny")
    return _refuse_promise(where) if value == "deny" else {}


def _read_promise(where: str, value: object) -> dict[str, object]:
    return _refuse_promise(where) if _flag(where, value) else {}


def _refuse_promise(where: str) -> dict[str, object]:
    raise MalformedRequest(f"`{where}`: no provider of an open market can be held to that.")


_READERS: Final[Mapping[str, Callable[[str, object], dict[str, object]]]] = {
    "order": _read_order,
    "only": _read_only,
    "ignore": _read_ignore,
    "allow_fallbacks": _read_flag,
    "require_parameters": _read_flag,
    "quantizations": _read_quantizations,
    "sort": _read_sort,
    "max_price": _read_max_price,
    "preferred_min_throughput": _read_rate,
    "preferred_max_latency": _read_wait,
    "data_collection": _read_data_collection,
    "zdr": _read_promise,
    "enforce_distillable_text": _read_promise,
}


def _names(where: str, value: object) -> Iterable[str]:
    if not isinstance(value, list) or len(value) > _MOST_NAMES:
        raise MalformedRequest(f"`{where}` is not a list of at most {_MOST_NAMES} names.")
    for name in value:
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST:
            raise MalformedRequest(f"`{where}` holds what is not a name.")
        yield name


def _flag(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise MalformedRequest(f"`{where}` is neither true nor false.")
    return value


def _percentiles(where: str, value: object) -> tuple[tuple[float, float], ...]:
    """A number holds for the median."""
    if not isinstance(value, dict):
        return ((0.0, _number(where, value)),)
    if strange := sorted(value.keys() - _DEVIATIONS.keys()):
        raise MalformedRequest(
            f"`{where}.{strange[0]}` is no percentile known here.", required=", ".join(_DEVIATIONS)
        )
    return tuple(
        (_DEVIATIONS[name], _number(f"{where}.{name}", item))
        for name, item in value.items()
        if item is not None
    )


def _number(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise MalformedRequest(f"`{where}` is not a number of zero or more.")
    return float(value)


def _price(where: str, value: object) -> Fraction:
    """Exactly what is written: 0.1 is a tenth. OpenRouter takes numbers in quotes too."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return Fraction(repr(value))
    if isinstance(value, str) and _DECIMAL(value):
        return Fraction(value)
    raise MalformedRequest(f"`{where}` is not a price of zero or more.")


def _within(price: int, limit: Fraction | None, unit: Atoms) -> bool:
    return limit is None or price <= limit * unit
