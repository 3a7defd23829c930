"""No provider is paid an atom for what did not come, whatever it tells.

The real openai package over the real transport, over TLS to a pinned key; beside each cheat stands an honest
provider that is twice as dear. What the payer's vouchers would pay the cheat is compared with the price of
the words that went over the wire.
"""

from dataclasses import replace
from typing import Any

import httpx2
import openai
import pytest
from openai import DefaultHttpxClient, OpenAI

from tallystick.client.client import Client
from tallystick.client.outcome import Outcome
from tallystick.client.transport import BASE_URL, Transport
from tallystick.ports import PostedOffer, Recount
from tallystick.protocol.errors import ReceiptMismatch
from tests.cheats import padders, providers, rude_providers
from tests.cheats.gains import Gain, Gains
from tests.cheats.padders import Padder
from tests.cheats.providers import (
    ASKED,
    Cheat,
    CountsInputByTheByte,
    DropsTheLastTokens,
    Equivocates,
    OvercountsOutput,
    PadsTokenIds,
    PadsUsage,
)
from tests.cheats.rude_providers import (
    ClosesAboveWhatWasAcknowledged,
    ClosesBelowWhatWasAcknowledged,
    CopiesAnEndpoint,
    DemandsAnAbsurdCap,
    DemandsAnAbsurdTotal,
    Redirects,
)
from tests.client.conftest import MODEL, World


def kinds(module: Any) -> list[type[Cheat]]:
    return [
        item
        for item in vars(module).values()
        if isinstance(item, type)
        and issubclass(item, Cheat)
        and item.__module__ == module.__name__
        and item.__name__ != "Padder"
    ]


PLAYS = [
    pytest.param(kind, streamed, id=f"{kind.__name__}-{'stream' if streamed else 'whole'}")
    for kind in kinds(providers) + kinds(rude_providers)
    if kind.__name__ not in ("Cheat", "FalseReceipt", "CopiesAnEndpoint")
    for streamed in kind.streamed
]


def ask(transport: Transport, cheat: type[Cheat], *, streamed: bool) -> str:
    """What an openai program gets; nothing more after an error."""
    text = "a " * 1_500 if cheat.interim else cheat.text
    limit = 1_500 if cheat.interim else ASKED["max_tokens"]
    timeout = httpx2.Timeout(cheat.bears, read=cheat.patience)
    http = DefaultHttpxClient(transport=transport)
    client = OpenAI(base_url=BASE_URL, api_key="-", http_client=http, max_retries=0, timeout=timeout)
    fields: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    said = ""
    try:
        if not streamed:
            answer = client.chat.completions.create(**fields, max_tokens=limit)
            return (answer.choices or [None])[0].message.content or ""
        for chunk in client.chat.completions.create(**fields, max_tokens=limit, stream=True):
            said += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    except (openai.APIError, AttributeError, TypeError, IndexError):
        pass
    return said


@pytest.mark.parametrize(("kind", "streamed"), PLAYS)
def test_it_is_paid_nothing_for_nothing(
    market: World, gains: Gains, kind: type[Cheat], streamed: bool
) -> None:
    credit = 8_000 if kind.interim else 1_000_000
    cheat = market.provider(kind, tls=True, **{"credit": credit} | kind.options)
    honest = market.provider(tls=True, price=2_000_000)
    transport = market.transport()
    for _ in range(kind.asks):
        ask(transport, kind, streamed=streamed)
    transport.session.close()
    assert cheat.bytes_seen, "it was never asked"
    gains.require(Gain(kind, cheat.bound(), cheat.gain(), "stream" if streamed else "whole"))
    assert honest.paid == honest.issued


PADDERS = [
    pytest.param(kind, streamed, id=f"{kind.__name__}-{'stream' if streamed else 'whole'}")
    for kind in (PadsTokenIds, PadsUsage, CountsInputByTheByte)
    for streamed in kind.streamed
]


def outcome_of(client: Client, kind: type[Cheat], *, streamed: bool) -> Outcome:
    if not streamed:
        return client.chat(MODEL, kind.text, **ASKED).outcome
    with client.stream_chat(MODEL, kind.text, **ASKED) as stream:
        assert "word3" in "".join(stream.texts())
        return stream.outcome


@pytest.mark.parametrize(("kind", "streamed"), PADDERS)
def test_a_payer_with_the_tokenizer_pays_no_padding(
    market: World, gains: Gains, tokenizer: Recount, kind: type[Cheat], streamed: bool
) -> None:
    """What goes unseen without one is refused and kept as evidence; the provider gets no second request."""
    cheat = market.provider(kind, tls=True)
    honest = market.provider(tls=True, price=2_000_000)
    with Client.of(market.session(tokenizers={MODEL: tokenizer})) as client:
        first, *others = [outcome_of(client, kind, streamed=streamed) for _ in range(kind.asks)]
    assert isinstance(first.refusal, ReceiptMismatch)
    assert isinstance(first.refusal.actual, int)
    assert first.refusal.actual > int(first.refusal.required or 0)
    assert [outcome.refusal for outcome in others] == [None] * len(others)
    assert cheat.worked == 1
    assert honest.paid == honest.issued > 0
    gains.require(Gain(kind, 0, cheat.gain(), "recounted"))


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", kinds(padders))
def test_a_payer_with_the_tokenizer_pays_the_slack_at_most(
    market: World, gains: Gains, tokenizer: Recount, kind: type[Padder], streamed: bool, over: int
) -> None:
    """Providers that know how it counts, and take all that it lets pass; or one token more."""
    cheat = market.provider(kind, tls=True)
    cheat.over = over
    market.provider(tls=True, price=2_000_000)
    with Client.of(market.session(tokenizers={MODEL: tokenizer})) as client:
        outcomes = [outcome_of(client, kind, streamed=streamed) for _ in range(kind.asks)]
    assert (outcomes[0].refusal is not None) == bool(over)
    gains.require(Gain(kind, 0 if over else cheat.bound(), cheat.gain(), "" if not over else "more"))


@pytest.mark.parametrize("streamed", [False, True])
def test_a_copied_endpoint_is_told_nothing(market: World, gains: Gains, streamed: bool) -> None:
    """Another machine answers for the honest provider's offer, certificate hash and all: it has not the key.

    It cannot even be found out that somebody asked."""
    honest = market.provider(tls=True, price=2_000_000)
    copy = market.provider(CopiesAnEndpoint, tls=True, pin=honest.offer.endpoint_key)
    transport = market.transport()
    assert "word3" in ask(transport, CopiesAnEndpoint, streamed=streamed)
    transport.session.close()
    assert (sum(copy.seen.values()), copy.bytes_seen) == (0, 0)
    gains.require(Gain(CopiesAnEndpoint, 0, copy.gain()))
    assert honest.paid == honest.issued > 0


def test_an_offer_that_points_at_somebody_else_s_gateway_gains_nothing(market: World, gains: Gains) -> None:
    """The gateway refuses an offer that is none of its own, and the payer moves on."""
    honest = market.provider(tls=True, price=2_000_000)
    thief = market.provider(CopiesAnEndpoint, tls=True)
    stolen = replace(thief.offer, endpoint=honest.offer.endpoint, endpoint_key=honest.offer.endpoint_key)
    posted = PostedOffer(offer=stolen, offer_hash=stolen.struct_hash(), stake=thief.stake)
    market.chain.posted[1] = posted
    transport = market.transport()
    assert "word3" in ask(transport, CopiesAnEndpoint, streamed=False)
    transport.session.close()
    gains.require(Gain(CopiesAnEndpoint, 0, thief.gain()))
    assert honest.paid == honest.issued > 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(market: World, status: int) -> None:
    """To a service of the payer's own network, say: neither body nor credential gets there."""
    inside = market.provider(context=1)  # It offers nothing that the payer would buy.
    cheat = market.provider(Redirects, tls=True)
    cheat.target, cheat.status = inside.offer.endpoint, status
    honest = market.provider(tls=True, price=2_000_000)
    transport = market.transport()
    assert "word3" in ask(transport, Redirects, streamed=False)
    assert inside.bytes_seen == 0
    assert honest.worked == 1


@pytest.mark.parametrize("kind", [DemandsAnAbsurdCap, DemandsAnAbsurdTotal])
def test_no_demand_makes_a_payer_grant_more_than_work_could_cost(
    market: World, kind: type[DemandsAnAbsurdCap]
) -> None:
    """Atoms in a channel are not lost, but they are of no use elsewhere until it is closed."""
    cheat = market.provider(kind, tls=True, credit=10_000)
    market.provider(tls=True, price=2_000_000)
    transport = market.transport()
    assert "word3" in ask(transport, kind, streamed=False)
    assert 0 < cheat.largest_grant() <= 4 * 10_000


@pytest.mark.parametrize("kind", [ClosesAboveWhatWasAcknowledged, ClosesBelowWhatWasAcknowledged])
def test_a_close_at_another_amount_is_no_consent(market: World, kind: type[Cheat]) -> None:
    cheat = market.provider(kind, tls=True)
    with Client.of(market.session()) as client:
        answer = client.chat(MODEL, kind.text, **ASKED)
        (closed,) = client.close_channels()
    assert closed.close is None
    assert closed.paid == answer.cost == cheat.paid > 0


@pytest.mark.parametrize("kind", [OvercountsOutput, DropsTheLastTokens, Equivocates])
def test_whoever_signs_what_is_false_gets_no_second_request(market: World, kind: type[Cheat]) -> None:
    cheat = market.provider(kind, tls=True)
    market.provider(tls=True, price=2_000_000)
    with Client.of(market.session()) as client:
        for _ in range(4):
            with client.stream_chat(MODEL, kind.text, **ASKED) as stream:
                assert "word3" in "".join(stream.texts())
    assert cheat.worked <= 2
    assert cheat.paid <= cheat.fair()
