"""What is around every page: errors in both kinds, headers, the limit, and that nothing can be written."""

from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tallystick_node.explorer.app import make_app
from tallystick_node.explorer.guard import Buckets, Limit, neighbourhood
from tallystick_node.explorer.live import Head
from tallystick_node.explorer.site import Site
from tests.explorer.conftest import asked, asked_without_index


def test_a_page_says_how_far_the_index_reads(client: TestClient) -> None:
    text = client.get("/").text
    assert '<a href="/block/120">120</a>, 12 s ago' in text


def test_a_page_has_a_json_twin(client: TestClient) -> None:
    page = client.get("/")
    assert 'href="/api/overview"' in page.text
    assert client.get("/api/overview").json()["totals"]["settlements"] == 0


def test_what_is_not_there_is_said_in_both_kinds(client: TestClient) -> None:
    page, twin = client.get("/nothing"), client.get("/api/nothing")
    assert (page.status_code, twin.status_code) == (404, 404)
    assert page.headers["content-type"].startswith("text/html")
    assert twin.json() == {"code": "not-found", "message": "There is no page at this address."}


def test_every_answer_keeps_the_browser_from_running_what_is_not_ours(client: TestClient) -> None:
    for path in ("/", "/nothing", "/api/overview", "/static/app.css"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';"), path
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in headers


def test_no_page_can_write(client: TestClient, site: Site) -> None:
    async def write() -> None:
        async with site.database.begin() as connection:
            await connection.execute(text("DELETE FROM progress"))

    assert client.portal is not None
    with pytest.raises(DBAPIError, match="readonly"):
        client.portal.call(write)
    assert client.get("/").status_code == 200


def test_nothing_read_yet_is_no_page_but_a_reason(tmp_path: Path, site: Site) -> None:
    with asked_without_index(site, tmp_path) as client:
        page, twin = client.get("/"), client.get("/api/overview")
    assert (page.status_code, twin.status_code) == (503, 503)
    assert twin.json()["code"] == "index-empty"
    assert twin.headers["retry-after"] == "5"


def test_who_asks_too_much_is_refused_and_static_files_are_free(site: Site) -> None:
    with asked(site, Limit(rate=0.0, burst=2)) as client:
        assert [client.get("/nothing").status_code for _ in range(3)] == [404, 404, 429]
        assert client.get("/api/overview").json()["code"] == "too-many-requests"
        assert client.get("/static/app.css").status_code == 200


def test_behind_a_proxy_each_visitor_has_its_own_limit_and_nobody_else_is_believed(site: Site) -> None:
    limit = Limit(rate=0.0, burst=1)

    def asks(client: TestClient, forwarded: str) -> int:
        return client.get("/nothing", headers={"X-Forwarded-For": forwarded}).status_code

    app = make_app(site, limit=limit, proxies=["192.0.2.0/24"])
    proxied = TestClient(app, client=("192.0.2.7", 1))
    assert [asks(proxied, who) for who in ("203.0.113.1", "203.0.113.2")] == [404, 404]
    assert asks(proxied, "198.51.100.9, 203.0.113.1") == 429, "What a visitor puts before it is not believed."
    stranger = TestClient(app, client=("203.0.113.3", 1))
    assert [asks(stranger, who) for who in ("203.0.113.4", "203.0.113.5")] == [404, 429]


def test_a_bucket_fills_by_the_clock() -> None:
    now = 0.0
    buckets = Buckets(Limit(rate=2.0, burst=2), clock=lambda: now)
    assert [buckets.take("a") for _ in range(3)] == [True, True, False]
    assert buckets.take("b")
    now = 0.5
    assert [buckets.take("a") for _ in range(2)] == [True, False]


def test_a_bucket_forgets_who_was_silent_longest() -> None:
    buckets = Buckets(Limit(rate=0.0, burst=1, addresses=2), clock=lambda: 0.0)
    assert all(buckets.take(address) for address in "abc")
    assert buckets.take("a"), "It was forgotten when the third came."
    assert not buckets.take("c")


def test_a_household_has_one_bucket() -> None:
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:2")
    assert neighbourhood("192.0.2.1") != neighbourhood("192.0.2.2")


def test_a_defect_says_nothing_of_itself_and_is_as_safe_as_a_page(site: Site) -> None:
    def broken() -> float:
        raise AssertionError("secret of the code")

    app = make_app(replace(site, now=broken), limit=None)
    with TestClient(app, raise_server_exceptions=False) as client:
        page, twin = client.get("/"), client.get("/api/overview")
        assert client.portal is not None
        client.portal.call(site.database.dispose)
    for answer in (page, twin):
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert twin.json()["code"] == "defect"


def test_an_index_that_lags_says_so_on_every_page_and_fails_its_health(
    client: TestClient, site: Site
) -> None:
    assert client.get("/api/health").json() == {"block": 120, "behind": 0}
    assert client.portal is not None
    client.portal.call(site.live.publish, Head(block=120, timestamp=0, chain_head=140))
    assert client.get("/api/health").json() == {"block": 120, "behind": 20}
    assert "blocks behind its node" not in client.get("/").text
    client.portal.call(site.live.publish, Head(block=120, timestamp=0, chain_head=1_141))
    behind = client.get("/api/health")
    assert (behind.status_code, behind.json()["code"]) == (503, "index-behind")
    page = client.get("/")
    assert page.status_code == 200
    assert "The index is 1,021 blocks behind its node." in page.text


def test_an_index_that_does_not_go_on_says_why_on_every_page(client: TestClient, site: Site) -> None:
    assert client.portal is not None
    trouble = "The node refused: <script>."
    client.portal.call(site.live.publish, Head(block=120, timestamp=0, chain_head=120, trouble=trouble))
    page = client.get("/").text
    assert "The index does not go on: The node refused: &lt;script&gt;. What is shown" in page
    client.portal.call(site.live.publish, Head(block=120, timestamp=0, chain_head=120))
    assert "does not go on" not in client.get("/").text
