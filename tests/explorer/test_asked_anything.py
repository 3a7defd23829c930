"""Whatever is asked of a page or its twin: an answer as the OpenAPI document has it, and never a defect."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
import schemathesis
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tallystick.chain.errors import ChainUnavailable
from tallystick.chain.rpc import Rpc
from tallystick_node.explorer.node import Node
from tallystick_node.explorer.pages import (
    accounts,
    blocks,
    channels,
    disputes,
    providers,
    receipts,
    settlements,
    transactions,
)
from tests.explorer import small
from tests.explorer.small import hash_of
from tests.explorer.test_thing_pages import asking_at

CHECKS: Final = [status_code_conformance, content_type_conformance, response_schema_conformance]
ROUTES: Final = [
    route
    for module in (accounts, blocks, channels, disputes, providers, receipts, settlements, transactions)
    for route in module.pages.router.routes
    if isinstance(route, APIRoute)
]
HASHES: Final = [hash_of(0x7000 + 3_000), hash_of(0xB000 + 30), small.FIRST.id, small.AGAIN.id, hash_of(3)]
ADDRESSES: Final = [small.ALICE, small.CARL, small.DORA, small.EVE, small.MARKET, bytes(20)]
NAMES: Final = [f"0x{name.hex()}" for name in HASHES + ADDRESSES] + [
    "0",
    "1",
    "30",
    "60",
    str(2**63),
    "-1",
    "9" * 30,
]
NONSENSE: Final = st.sampled_from(NAMES) | st.text(min_size=1, max_size=80) | st.integers().map(str)


class Absent(Rpc):
    """A node that knows nothing, or does not answer."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.gone = False

    def call(self, method: str, *params: Any) -> Any:
        if self.gone:
            raise ChainUnavailable("The node does not answer.")

    def batch(self, requests: Any) -> list[Any]:
        return [self.call(method, *params) for method, params in requests]


RPC: Final = Absent()


@pytest.fixture(scope="module")
def market(small_url: str) -> Iterator[TestClient]:
    with asking_at(small_url, Node(RPC)) as client:
        client.follow_redirects = False
        yield client


def thorough(test: Any) -> Any:
    return settings(
        max_examples=settings().max_examples // 4,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(test)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_whatever_a_page_is_asked_it_answers(market: TestClient, route: APIRoute) -> None:
    """Ids of every kind in every place, keys of other lists, numbers that no database holds."""
    names = list(route.param_convertors)
    queries = ("before", "sender", "block", "failed", "channel", "payer", "provider", "receiptsBelow")

    @thorough
    @given(
        st.fixed_dictionaries(dict.fromkeys(names, NONSENSE)),
        st.dictionaries(st.sampled_from(queries), NONSENSE | st.just("30-0") | st.just(""), max_size=3),
        st.booleans(),
    )
    def holds(path: dict[str, str], query: dict[str, str], gone: bool) -> None:
        RPC.gone = gone
        answer = market.get(route.path.format(**{k: quoted(v) for k, v in path.items()}), params=query)
        assert answer.status_code in (200, 307, 400, 404, 503), answer.text
        assert "Traceback" not in answer.text

    holds()


def quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def test_every_operation_of_the_document_holds(market: TestClient) -> None:
    schema = schemathesis.openapi.from_dict(market.get("/api/openapi.json").json())
    ours = {route.path for route in ROUTES}
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len([found for found in operations if found.path in ours]) > 20

    for operation in operations:
        if operation.path not in ours:
            continue

        @thorough
        @given(operation.as_strategy())
        def holds(case: Any) -> None:
            RPC.gone = False
            answer = market.request(case.method, case.formatted_path, params=case.query)
            assert answer.status_code != 500
            case.validate_response(answer, checks=CHECKS)

        holds()
