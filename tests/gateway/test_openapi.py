"""The document is true: whatever a program makes of it, the real gateway answers with what it promises."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core import NotSet
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tallystick.protocol.speed import Speed
from tallystick.protocol.units import ZERO_HASH, Tokens, to_hex
from tallystick.protocol.wire import AUDIT_PATH, EXPECT, JUDGE_PATH, QUOTES_PATH, RECEIPT
from tallystick_node.gateway.openapi import OPENAPI_PATH, PAID_PATHS, document
from tallystick_node.gateway.promises import Claims
from tests.audits.drawing import always
from tests.audits.test_inspector import inspecting
from tests.gateway.conftest import World
from tests.gateway.test_judging import Chain, judging
from tests.gateway.test_showing import Docket, showing

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
SPEED = Speed(fixed=10**9, sequence=0, weights=0, token=0, context=0, capacity=Tokens(0), chunk=Tokens(0))
EXPECTATIONS = (
    "first-us=1000000, token-us=1000000, input=10, output=8",
    "first-us=0, token-us=0, input=10, output=100000",
    "quote=0x" + "00" * 32,
    "soon",
)
PAID = (*PAID_PATHS, JUDGE_PATH, AUDIT_PATH)
OWNED = [label for label in OPERATIONS if label.startswith("POST")]


class Running:
    """A gateway in a thread of its own: schemathesis and hypothesis know no event loop."""

    def __init__(self, folder: Path):
        self.world = World(folder)
        self.world.claims = Claims(speed=SPEED)
        self.world.bench = lambda world: judging(world, Chain(()))
        self.world.auditing = lambda world: inspecting(world, always(None))
        self.world.errand = lambda world: showing(world, Docket())
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        self.do(self._start())
        self.url = str(self.world.http.base_url)
        self.payer = self.do(self.world.payer())

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _start(self) -> None:
        await self.world.engine.__aenter__()
        await self.world.start()

    async def _stop(self) -> None:
        await self.world.stop()
        await self.world.engine.__aexit__()

    def stop(self) -> None:
        self.do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("gateway"))
    yield running
    running.stop()


def asked(gateway: Running, http: httpx2.Client, case: Any, headers: dict[str, str], body: bytes) -> Any:
    """The answer, once it is as the document says."""
    response = http.request(case.method, gateway.url + case.formatted_path, content=body, headers=headers)
    assert response.headers["cache-control"] == "no-store"
    assert response.status_code != 500
    case.validate_response(response, checks=CHECKS)
    return response


def written(case: Any) -> bytes:
    try:
        return b"" if isinstance(case.body, NotSet) else json.dumps(case.body).encode()
    except TypeError:
        return repr(case.body).encode()


def thorough(test: Callable[..., None]) -> Any:
    return settings(
        max_examples=settings().max_examples // 4,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(test)


@pytest.mark.parametrize("label", OPERATIONS)
def test_whatever_a_stranger_sends_is_answered_as_documented(gateway: Running, label: str) -> None:
    with httpx2.Client(trust_env=False) as http:

        @thorough
        @given(OPERATIONS[label].as_strategy(), st.sampled_from([None, "Payment", "Payment e30", "Bearer x"]))
        def holds(case: Any, header: str | None) -> None:
            headers = {} if header is None else {"Authorization": header}
            asked(gateway, http, case, headers | {"Content-Type": "application/json"}, written(case))

        holds()


@pytest.mark.parametrize("label", OWNED)
def test_whatever_a_payer_signs_is_answered_as_documented(gateway: Running, label: str) -> None:
    """Its voucher is for these very bytes, so that they are read."""
    served = []
    with httpx2.Client(trust_env=False) as http:

        @thorough
        @given(OPERATIONS[label].as_strategy(), st.booleans(), st.none() | st.sampled_from(EXPECTATIONS))
        def holds(case: Any, named: bool, expected: str | None) -> None:
            payer, body = gateway.payer, written(case)
            if named and case.path in PAID and isinstance(case.body, dict):
                body = json.dumps(case.body | {"model": payer.offer.model}).encode()
            if named and case.path == QUOTES_PATH and isinstance(case.body, dict):
                body = json.dumps(case.body | {"offerHash": to_hex(payer.offer_hash)}).encode()
            kind = None if case.path.endswith("vouchers") else body
            offer = payer.offer_hash if case.path in PAID else ZERO_HASH
            headers = payer.headers(kind, offer_hash=offer) | {"Content-Type": "application/json"}
            if expected is not None:
                headers[EXPECT] = expected
            response = asked(gateway, http, case, headers, body)
            served.append(response.status_code == 200)
            if response.headers.get(RECEIPT):
                payer.take_whole(body, response)

        holds()
    assert any(served) or label.endswith(
        ("vouchers", "close", "restore", "gossip", "ratings", "judge", "ballots", "audit", "dossiers")
    )


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/chat", "/docs", OPENAPI_PATH + "/x"])
def test_there_is_nothing_that_the_document_does_not_name(gateway: Running, path: str) -> None:
    assert httpx2.get(gateway.url + path, trust_env=False).status_code == 404


def test_the_document_is_served_as_it_is_made(gateway: Running) -> None:
    assert httpx2.get(gateway.url + OPENAPI_PATH, trust_env=False).json() == document()
