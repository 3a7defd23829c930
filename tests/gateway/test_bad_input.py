"""Everything wrong that can be sent: a stable code, a fitting status, and nothing changed."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import orjson
import pytest

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.signed import Key, Signed
from tallystick.protocol.units import Address, Atoms, Hash32
from tallystick.protocol.voucher import Tally
from tallystick.protocol.wire import VOUCHERS_PATH, Credential, authorization
from tallystick_node.gateway.gateway import Limits
from tests.gateway.conftest import DOMAIN, Make, World, until
from tests.gateway.payer import CHAT, Payer

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def refused(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The error, in OpenAI's shape."""
    error: dict[str, Any] = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code), response.text
    assert error["type"] == "tallystick_error"
    assert error["message"]
    assert error["param"] is None
    assert response.headers["cache-control"] == "no-store"
    if status == 402:
        assert response.headers["www-authenticate"].startswith("Payment ")
        assert set(error["terms"]) >= {"credit", "owed", "reserved", "required", "receiptCount", "cap"}
    return error


async def send(payer: Payer, credential: Credential, body: bytes, path: str = CHAT) -> httpx2.Response:
    return await payer.http.post(path, content=body, headers={"Authorization": authorization(credential)})


# ---------------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        (None, 402, "payment-required"),
        ("Bearer sk-123", 402, "payment-required"),
        ("Payment", 402, "payment-required"),
        ("Payment !!!", 400, "malformed-credential"),
        ("Payment bm90IGpzb24", 400, "malformed-credential"),
        ("Payment W10", 400, "malformed-credential"),
        ("Payment e30", 400, "malformed-credential"),
        ("Payment " + "A" * 8192, 431, "credential-too-large"),
    ],
)
async def test_a_header_that_is_no_credential(
    world: World, header: str | None, status: int, code: str
) -> None:
    payer = await world.payer()
    before = world.held()
    headers = {} if header is None else {"Authorization": header}
    for path in (CHAT, "/v1/completions"):
        refused(await payer.http.post(path, content=payer.body(), headers=headers), status, code)
    assert world.held() == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data["payload"]["voucher"].pop("channelId"),
        lambda data: data["payload"]["voucher"].update(surplus="1"),
        lambda data: data["payload"]["voucher"].update(cumulativeAmount="-1"),
        lambda data: data["payload"]["voucher"].update(cumulativeAmount=1),
        lambda data: data["payload"]["voucher"].update(cumulativeAmount=str(1 << 128)),
        lambda data: data["payload"]["voucher"].update(channelId="0x12"),
        lambda data: data["payload"]["voucher"]["acknowledgement"].update(requestNonce="1.5"),
        lambda data: data["payload"].update(signature=5),
    ],
)
async def test_a_credential_with_a_field_that_is_out_of_place(
    world: World, spoil: Callable[[dict[str, Any]], Any]
) -> None:
    from base64 import urlsafe_b64decode, urlsafe_b64encode

    payer = await world.payer()
    body = payer.body()
    text = payer.headers(body)["Authorization"].removeprefix("Payment ")
    data = orjson.loads(urlsafe_b64decode(text + "=="))
    spoil(data)
    spoilt = "Payment " + urlsafe_b64encode(orjson.dumps(data)).decode().rstrip("=")
    before = world.held()
    response = await payer.http.post(CHAT, content=body, headers={"Authorization": spoilt})
    assert response.status_code == 400
    assert response.json()["error"]["code"] in ("malformed-message", "malformed-credential")
    assert world.held() == before


# ---------------------------------------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"messages": []}',
        b'{"model": "stub", "messages": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"model": 5}',
        b'{"model": "stub", "n": "3"}',
        b'{"model": "stub", "n": 3.0}',
        b'{"model": "stub", "max_tokens": "3"}',
        b'{"model": "stub", "max_tokens": -1}',
        b'{"model": "stub", "stream": "true"}',
        b'{"model": "stub", "stream": 1}',
        b'{"model": "stub", "stream_options": []}',
        b'{"model": "stub", "best_of": true}',
    ],
)
async def test_a_body_that_no_bill_can_be_made_of(world: World, body: bytes) -> None:
    payer = await world.payer()
    before = world.held()
    refused(await payer.post(body), 400, "malformed-message")
    assert world.held() == before


async def test_a_body_over_the_limit(make_world: Make) -> None:
    world = await make_world(body_limit=1000)
    payer = await world.payer()
    body = payer.body(filler="x" * 2000)
    before = world.held()
    refused(await payer.post(body), 413, "body-too-large")

    async def pieces() -> Any:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    undeclared = await payer.http.post(CHAT, content=pieces(), headers=payer.headers(body))
    refused(undeclared, 413, "body-too-large")
    assert world.held() == before


async def test_bodies_that_are_too_many(make_world: Make) -> None:
    world = await make_world(bodies_limit=1000)
    payer = await world.payer()
    refused(await payer.post(payer.body(filler="x" * 2000)), 429, "busy")
    await payer.complete()


async def test_a_body_that_does_not_come(make_world: Make) -> None:
    world = await make_world(body_s=0.05)
    payer = await world.payer()
    before = world.held()
    never = asyncio.Event()

    async def pieces() -> Any:
        yield b"{"
        await never.wait()

    asked = payer.http.post(CHAT, content=pieces(), headers=payer.headers(payer.body()))
    reading = asyncio.create_task(asked)
    await until(lambda: 'code="body-too-slow"' in world.metrics.exposition(world.gateway).decode())
    never.set()
    refused(await reading, 408, "body-too-slow")
    assert world.held() == before


async def test_no_body_is_parsed_for_a_stranger(make_world: Make) -> None:
    world = await make_world(refusals_a_minute=2)
    payer = await world.payer()
    refused(await payer.post(b"{", key=Key.generate()), 401, "wrong-signer")
    refused(await payer.http.post(CHAT, content=b"{"), 402, "payment-required")
    refused(await payer.http.post(CHAT, content=b"{"), 429, "rate-limited")


async def test_a_request_that_fails_within(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("secret")

    payer = await world.payer()
    with monkeypatch.context() as patch:
        patch.setattr(world.relay, "serve", fail)
        response = await payer.post(payer.body())
    error = refused(response, 500, "internal-failure")
    assert "secret" not in error["message"]
    assert not world.gateway.running
    assert world.books.tabs[payer.channel.id].reserved == 0
    await payer.complete(nonce=payer.nonce)  # Nothing was billed under it.


async def test_a_route_that_is_none(world: World) -> None:
    refused(await world.http.post("/v1/embeddings", content=b"{}"), 404, "route-unknown")
    refused(await world.http.get(CHAT), 405, "route-unknown")


# ---------------------------------------------------------------------------------------------- channels


async def test_an_unknown_channel(world: World) -> None:
    stranger = world.stranger()
    before = world.held()
    refused(await stranger.post(stranger.body()), 404, "channel-unknown")
    refused(await stranger.acknowledge(), 404, "channel-unknown")
    refused(await stranger.resync(), 404, "channel-unknown")
    refused(await stranger.close(), 404, "channel-unknown")
    assert world.held() == before


@pytest.mark.parametrize(
    "domain",
    [
        Domain(chain_id=1, contract=DOMAIN.contract),
        Domain(chain_id=DOMAIN.chain_id, contract=Address(bytes(20))),
    ],
    ids=["chain", "contract"],
)
async def test_a_voucher_for_another_chain_or_contract(world: World, domain: Domain) -> None:
    payer = await world.payer()
    before = world.held()
    refused(await payer.post(payer.body(), domain=domain), 401, "wrong-signer")
    refused(await payer.acknowledge(domain=domain), 401, "wrong-signer")
    assert world.held() == before


async def test_a_voucher_of_another_channel(world: World) -> None:
    payer, other = await world.payer(), await world.payer()
    before = world.held()
    refused(await payer.post(payer.body(), channel=other.channel), 401, "wrong-signer")
    assert world.held() == before


async def test_a_voucher_of_an_epoch_that_was_closed(world: World) -> None:
    payer = await world.payer()
    world.chain.close(payer.channel)
    await world.watch.poll()
    before = world.held()
    refused(await payer.post(payer.body()), 409, "wrong-epoch")
    refused(await payer.acknowledge(), 409, "wrong-epoch")
    later = ChannelKey(
        payer=payer.wallet.address,
        provider=payer.offer.provider,
        session_key=payer.session.address,
        epoch=1,
    )
    refused(await payer.post(payer.body(), channel=later), 404, "channel-unknown")
    assert world.held() == before


async def test_a_channel_that_is_closing(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    world.chain.request_close(payer.channel)
    await world.watch.poll()
    before = world.held()
    refused(await payer.post(payer.body()), 409, "channel-not-open")
    refused(await payer.acknowledge(), 409, "channel-not-open")
    assert world.held() == before


# ---------------------------------------------------------------------------------------------- totals


async def test_a_bare_voucher_that_is_not_greater(world: World) -> None:
    payer = await world.payer()
    none = Tally()
    await payer.complete()
    one = payer.tally
    await payer.complete()
    refused(await payer.acknowledge(tally=none), 409, "voucher-not-greater")
    refused(await payer.acknowledge(tally=one), 409, "voucher-not-greater")
    assert (await payer.acknowledge()).status_code == 200
    before = world.held()
    for tally in (none, one, payer.tally):
        error = refused(await payer.acknowledge(tally=tally), 409, "voucher-not-greater")
        assert (error["required"], error["actual"]) == ("180", str(tally.amount))
    assert world.held() == before


async def test_a_request_whose_voucher_was_overtaken_is_served(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    await payer.complete()
    await payer.complete(tally=Tally())
    tab = world.books.tabs[payer.channel.id]
    assert (tab.acknowledged.amount, tab.issued.amount) == (90, 270)


async def test_a_voucher_over_the_cap(world: World) -> None:
    payer = await world.payer(cap=1000)
    await payer.complete()
    before = world.held()
    over = Tally(payer.tally.mountains, Atoms(1001))
    error = refused(await payer.acknowledge(tally=over), 409, "voucher-exceeds-cap")
    assert (error["required"], error["actual"]) == ("1000", "1001")
    refused(await payer.post(payer.body(), tally=over), 409, "voucher-exceeds-cap")
    assert world.held() == before


async def test_a_voucher_for_other_receipts_than_were_issued(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    await payer.complete()
    good, before = payer.tally, world.held()
    for tally in (
        Tally(good.mountains, Atoms(good.amount - 1)),
        Tally(good.mountains, Atoms(good.amount + 1)),
        Tally(good.mountains.append(Hash32(bytes(32))), good.amount),
        Tally(Tally().mountains.append(Hash32(bytes(32))), Atoms(90)),
    ):
        refused(await payer.acknowledge(tally=tally), 409, "acknowledgement-mismatch")
        refused(await payer.post(payer.body(), tally=tally), 409, "acknowledgement-mismatch")
    assert world.held() == before


# ---------------------------------------------------------------------------------------------- signatures


def signatures(credential: Credential) -> dict[str, tuple[bytes, str]]:
    good = credential.voucher.signature
    r, s = good[:32], int.from_bytes(good[32:64], "big")
    flipped = bytes((55 - good[64],))
    return {
        "empty": (b"", "malformed-signature"),
        "short": (good[:63], "malformed-signature"),
        "high-s": (r + (ORDER - s).to_bytes(32, "big") + flipped, "malformed-signature"),
        "64-bytes": (b"\x11" * 64, "malformed-signature"),
        "zero": (bytes(65), "malformed-signature"),
        "zero-with-v": (bytes(64) + b"\x1b", "malformed-signature"),
        "zero-compact": (bytes(64), "malformed-signature"),
        "ones": (b"\xff" * 65, "malformed-signature"),
        "ones-compact": (b"\xff" * 64, "malformed-signature"),
        "other-v": (r + s.to_bytes(32, "big") + flipped, "wrong-signer"),
        "long": (good + b"\0", "malformed-signature"),
    }


async def test_signatures_that_are_none(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    body = payer.body()
    credential = payer.credential(body)
    before = world.held()
    for name, (signature, code) in signatures(credential).items():
        spoilt = Credential(
            voucher=Signed(credential.voucher.message, signature), offer_hash=credential.offer_hash
        )
        response = await send(payer, spoilt, body)
        assert response.status_code == 401, name
        assert response.json()["error"]["code"] == code, name
    assert world.held() == before
    assert (await send(payer, credential, body)).status_code == 200


async def test_a_key_that_is_not_the_session_key(world: World) -> None:
    payer = await world.payer()
    before = world.held()
    for key in (payer.wallet, Key.generate(), world.key):
        refused(await payer.post(payer.body(), key=key), 401, "wrong-signer")
        refused(await payer.acknowledge(key=key), 401, "wrong-signer")
        refused(await payer.resync(key=key), 401, "wrong-signer")
        refused(await payer.close(key=key), 401, "wrong-signer")
    assert world.held() == before


async def test_guessing_is_slowed_down(make_world: Make) -> None:
    world = await make_world(refusals_a_minute=3)
    payer = await world.payer()
    for _ in range(3):
        refused(await payer.post(payer.body(), key=Key.generate()), 401, "wrong-signer")
    response = await payer.post(payer.body())
    refused(response, 429, "rate-limited")
    assert response.headers["retry-after"] == "1"
    world.clock.advance(60)
    await payer.complete()


# ---------------------------------------------------------------------------------------------- requests


async def test_a_request_hash_that_is_not_the_bodys(world: World) -> None:
    payer = await world.payer()
    body, other = payer.body(), payer.body(seed=1)
    before = world.held()
    refused(await send(payer, payer.credential(body), other), 400, "request-hash-mismatch")
    swapped = Credential(voucher=payer.credential(body).voucher, offer_hash=Hash32(bytes(32)))
    refused(await send(payer, swapped, body), 400, "request-hash-mismatch")
    refused(await send(payer, payer.credential(), body), 400, "request-hash-mismatch")
    bare = await payer.http.post(VOUCHERS_PATH, headers=payer.headers(body))
    refused(bare, 400, "request-hash-mismatch")
    refused(await payer.post(body, nonce=0), 400, "request-hash-mismatch")
    assert world.held() == before


async def test_a_model_that_is_not_offered(world: World) -> None:
    payer = await world.payer()
    before = world.held()
    refused(await payer.post(payer.body(model="another")), 404, "model-not-offered")
    refused(await payer.post(payer.body(), offer_hash=Hash32(b"\1" * 32)), 404, "offer-unknown")
    assert world.held() == before


async def test_an_offer_that_expired(world: World) -> None:
    payer = await world.payer()
    before = world.held()
    world.clock.advance(86_400)
    world.gateway.head_at = world.books.now
    error = refused(await payer.post(payer.body()), 410, "offer-expired")
    assert error["required"] == str(world.offer.valid_until)
    assert world.held() == before


async def test_an_offer_that_was_withdrawn(world: World) -> None:
    payer = await world.payer()
    before = world.held()
    world.chain.withdraw_offers(2, world.key.address)
    await world.watch.poll()
    refused(await payer.post(payer.body()), 410, "offer-withdrawn")
    assert world.held() == before


async def test_max_tokens_beyond_the_context(world: World) -> None:
    payer = await world.payer()
    before = world.held()
    error = refused(await payer.post(payer.body(max_tokens=4096)), 400, "context-too-long")
    assert error["required"] == "4095"
    refused(await payer.post(payer.body(max_completion_tokens=5000)), 400, "context-too-long")
    assert world.held() == before


async def test_a_worst_case_over_the_credit(world: World) -> None:
    payer = await world.payer()
    before = world.held()
    error = refused(await payer.post(payer.body(max_tokens=4000, n=100)), 402, "worst-case-exceeds-credit")
    assert error["terms"]["credit"] == "100000"
    refused(await payer.post(payer.body(max_tokens=4000, n=100)), 402, "worst-case-exceeds-credit")
    assert world.held() == before
    many = orjson.dumps({"model": "stub", "prompt": ["a", "b"] * 20, "max_tokens": 500})
    refused(await payer.post(many, "/v1/completions"), 402, "worst-case-exceeds-credit")


async def test_a_request_over_the_cap(world: World) -> None:
    payer = await world.payer(cap=100)
    before = world.held()
    error = refused(await payer.post(payer.body()), 402, "cap-exceeded")
    assert int(error["terms"]["cap"]) > 100
    assert world.held() == before


async def test_a_hundred_parallel_requests_over_the_credit(make_world: Make) -> None:
    world = await make_world(credit=1000)
    payer = await world.payer()
    world.engine.gate = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(payer.post(payer.body(max_tokens=8))) for _ in range(100)]
    account = world.books.accounts[payer.wallet.address]
    await until(lambda: sum(task.done() for task in tasks) + len(world.gateway.running) == 100)
    most = account.exposure
    for _ in range(8 * 100):
        world.engine.gate.release()
    responses = await asyncio.gather(*tasks)
    served = [response for response in responses if response.status_code == 200]
    assert 0 < len(served) < 100
    assert most <= 1000
    for response in responses:
        if response.status_code != 200:
            error = refused(response, 402, "credit-exceeded")
            assert error["retryable"] is True
    assert world.engine.started == len(served)
    assert account.owed == 90 * len(served)
    assert account.reserved == 0


async def test_too_many_requests_at_a_time(make_world: Make) -> None:
    world = await make_world(limits=Limits(running=1, unsecured=Atoms(0), head_age_s=120))
    payer = await world.payer()
    world.engine.gate = asyncio.Semaphore(0)
    first = asyncio.create_task(payer.complete())
    await until(lambda: world.engine.started > 0)
    response = await payer.post(payer.body())
    refused(response, 429, "busy")
    assert response.headers["retry-after"] == "1"
    for _ in range(8):
        world.engine.gate.release()
    await first


async def test_a_chain_that_is_gone(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    world.chain.gone = True
    world.clock.advance(121)
    before = world.held()
    error = refused(await payer.post(payer.body()), 503, "chain-stale")
    assert error["retryable"] is True
    assert (error["required"], error["actual"]) == ("120", "121")
    assert world.held() == before
    health = await world.http.get("/healthz")
    assert health.status_code == 503
    chain = health.json()["chain"]
    assert (chain["ok"], chain["disputed"], chain["headAgeSeconds"]) == (False, False, 121)
    assert (await payer.acknowledge()).status_code == 200  # It costs nothing to be paid.
    stranger = world.stranger()
    grant = stranger.grant(10_000, deadline=world.clock.now // 1000 + 3600)
    refused(await stranger.post(stranger.body(), grant=grant), 503, "chain-stale")


async def test_nothing_secret_in_an_error(world: World) -> None:
    payer = await world.payer()
    body = payer.body(messages=[{"role": "user", "content": "SECRET-PROMPT"}], max_tokens=5000)
    credential = payer.credential(body)
    response = await send(payer, credential, body)
    assert "SECRET-PROMPT" not in response.text
    assert credential.voucher.signature.hex() not in response.text
