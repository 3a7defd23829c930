"""An open market for LLM inference: pay per request, settle on chain, verify every atom.

    import tallystick
    from openai import OpenAI, DefaultHttpxClient

    budget = tallystick.Budget(total=1_000_000, per_request=20_000)
    paying = DefaultHttpxClient(transport=tallystick.transport(wallet, rpc=…, deployment=…, budget=budget))
    client = OpenAI(base_url=tallystick.BASE_URL, api_key="-", http_client=paying)

What is named here is the payer's SDK, and it stays. Names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tallystick.client.answers import Answer, AsyncStream, Stream
    from tallystick.client.audits import Audits
    from tallystick.client.avoidance import Avoided
    from tallystick.client.budget import Budget
    from tallystick.client.choose import Candidate, Choice, Rule, Wanted
    from tallystick.client.client import AsyncClient, Client
    from tallystick.client.closing import ClosedChannel
    from tallystick.client.duel import Duel, Known
    from tallystick.client.findings import HeldFinding
    from tallystick.client.outcome import Outcome, outcome_of
    from tallystick.client.pairs import Pair
    from tallystick.client.purse import HeldReceipt
    from tallystick.client.rules import Judged, Quoted, cheapest, fastest, quoted, stake_weighted
    from tallystick.client.strengths import strengths
    from tallystick.client.transport import BASE_URL, Transport, open_wallet, transport
    from tallystick.ports import PostedOffer
    from tallystick.protocol.errors import MarketError
    from tallystick.protocol.signed import Key

_HOMES = {
    "Answer": "client.answers",
    "AsyncClient": "client.client",
    "AsyncStream": "client.answers",
    "Audits": "client.audits",
    "Avoided": "client.avoidance",
    "BASE_URL": "client.transport",
    "Budget": "client.budget",
    "Candidate": "client.choose",
    "Choice": "client.choose",
    "Client": "client.client",
    "ClosedChannel": "client.closing",
    "Duel": "client.duel",
    "HeldFinding": "client.findings",
    "HeldReceipt": "client.purse",
    "Judged": "client.rules",
    "Key": "protocol.signed",
    "Known": "client.duel",
    "MarketError": "protocol.errors",
    "Outcome": "client.outcome",
    "Pair": "client.pairs",
    "PostedOffer": "ports",
    "Quoted": "client.rules",
    "Rule": "client.choose",
    "Stream": "client.answers",
    "Transport": "client.transport",
    "Wanted": "client.choose",
    "cheapest": "client.rules",
    "fastest": "client.rules",
    "open_wallet": "client.transport",
    "outcome_of": "client.outcome",
    "quoted": "client.rules",
    "stake_weighted": "client.rules",
    "strengths": "client.strengths",
    "transport": "client.transport",
}

__all__ = [
    "BASE_URL",
    "Answer",
    "AsyncClient",
    "AsyncStream",
    "Audits",
    "Avoided",
    "Budget",
    "Candidate",
    "Choice",
    "Client",
    "ClosedChannel",
    "Duel",
    "HeldFinding",
    "HeldReceipt",
    "Judged",
    "Key",
    "Known",
    "MarketError",
    "Outcome",
    "Pair",
    "PostedOffer",
    "Quoted",
    "Rule",
    "Stream",
    "Transport",
    "Wanted",
    "cheapest",
    "fastest",
    "open_wallet",
    "outcome_of",
    "quoted",
    "stake_weighted",
    "strengths",
    "transport",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
