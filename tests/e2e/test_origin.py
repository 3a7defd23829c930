"""A node with users of its own, on a real market: it serves them, buys for them, earns and spends, and every
atom adds up. The policy is one of the operator's own, found by dotted path beside the configuration."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
import pytest

import tallystick
from tallystick.chain.keys import Keystore
from tallystick.client.choose import Candidate, Choice, Wanted
from tallystick.client.transport import BASE_URL
from tallystick.protocol.units import Atoms, to_hex
from tallystick_node.local.engines import EngineKind
from tallystick_node.local.market import LocalMarket, LocalProvider, Make
from tests.warm import Warm

pytestmark = pytest.mark.e2e

DEPOSIT = Atoms(20_000_000)
KEY = "tk-of-somebody-at-home"
SETTINGS = """
[users]
keys_env = "HOME_USERS"

[offload]
total = 10_000_000
per_request = 50_000

[policy]
name = "home_policy.ByLength"
path = "{folder}"
price_every_s = 1
options = {{ price_at = 1_000 }}
"""
POLICY = '''
from dataclasses import dataclass

from tallystick_node.network.policies import ByLoad


@dataclass(frozen=True, kw_only=True)
class ByLength(ByLoad):
    """Answers its own users by a word, and sells and buys what is longer."""

    price_at: int

    def accept(self, request, state):
        return request.output_tokens != 1

    def offload(self, request, state):
        return request.output_tokens != 1 and state.providers > 0

    def price(self, state):
        return state.base.scaled_up(self.price_at)
'''


@dataclass
class Place:
    """A market of two providers, one of them the home of users."""

    market: LocalMarket

    @property
    def home(self) -> LocalProvider:
        return self.market.providers[0]

    @property
    def other(self) -> LocalProvider:
        return self.market.providers[1]

    def configure(self, before: str, after: str) -> None:
        """The home node, which stops for it."""
        self.market.stop_gateways(except_for=(self.other,))
        settings = self.home.config.read_text()
        assert before in settings
        self.home.config.write_text(settings.replace(before, after))
        self.market.start_gateway(self.home)

    def user(self, key: str = KEY) -> openai.OpenAI:
        http = openai.DefaultHttpxClient(verify=False, trust_env=False)
        return openai.OpenAI(base_url=f"{self.home.url}/v1", api_key=key, http_client=http, max_retries=0)

    def payer(self) -> httpx2.Client:
        """A stranger who would rather buy at home."""
        market, home = self.market, self.home.address

        def home_first(candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
            rest = sorted(candidates, key=lambda item: item.posted.offer.provider != home)
            return [Choice(posted=item.posted) for item in rest]

        transport = tallystick.transport(
            market.payer,
            rpc=market.chain.url,
            deployment=market.deployment,
            home=market.home,
            budget=tallystick.Budget(total=2_000_000, per_request=50_000),
            rule=home_first,
        )
        return httpx2.Client(transport=transport, timeout=60)

    def balance(self, provider: LocalProvider) -> int:
        return self.market.market_of(self.market.payer).balance_of(provider.address)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    (folder / "home_policy.py").write_text(POLICY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME_USERS", KEY)
        makes = (
            Make(name="home", deposit=DEPOSIT, settings=SETTINGS.format(folder=folder)),
            Make(name="other"),
        )
        market = LocalMarket(folder=folder / "market", engine=EngineKind.ECHO, makes=makes, popen=warm.popen)
        with market:
            yield Place(market)


def question(text: str = "one two three") -> dict[str, Any]:
    return {"model": "echo", "messages": [{"role": "user", "content": text}], "max_tokens": len(text.split())}


def until_bought(client: openai.OpenAI) -> Any:
    """The first answer that another provider sold: the node looks around as it starts."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        answer = client.chat.completions.create(**question())
        if getattr(answer, "tallystick", None):
            return answer
        time.sleep(0.2)
    raise AssertionError("nothing is bought")


def test_what_users_ask_for_is_bought_and_what_payers_ask_for_is_not(place: Place) -> None:
    market, spent = place.market, 0
    with place.user() as client:
        answer = until_bought(client)
        assert answer.choices[0].message.content.strip() == "one two three"
        assert answer.tallystick["provider"] == to_hex(place.other.address)
        spent += answer.tallystick["cost"]
        chunks = list(client.chat.completions.create(**question("four five six"), stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).split() == [
            "four",
            "five",
            "six",
        ]
        spent += chunks[-1].tallystick["cost"]
        assert "echo" in [model.id for model in client.models.list()]

        seen = httpx2.get(f"{place.home.url}/metrics", verify=False, trust_env=False).text
        assert "tallystick_bought_answers 2.0" in seen
        assert "tallystick_own_running 0.0" in seen

        assert not getattr(client.chat.completions.create(**question("one")), "tallystick", None)

    earned = {place.home.address: 0, place.other.address: spent}
    with place.payer() as payer:
        for _ in range(3):
            paid = payer.post(f"{BASE_URL}/chat/completions", json=question("paid for")).json()["tallystick"]
            assert paid["provider"] == to_hex(place.home.address)
            earned[place.home.address] += paid["cost"]

    market.stop_gateways()
    assert place.balance(place.other) == earned[place.other.address]
    assert place.balance(place.home) == earned[place.home.address]
    market.start_gateways()


def test_where_the_market_fails_the_node_s_own_engine_answers(place: Place) -> None:
    with place.user() as client:
        until_bought(client)
        place.other.running.kill()
        answers = [client.chat.completions.create(**question("all alone")) for _ in range(2)]
        assert [answer.choices[0].message.content.split() for answer in answers] == [["all", "alone"]] * 2
        assert not any(getattr(answer, "tallystick", None) for answer in answers)
        chunks = list(client.chat.completions.create(**question("all alone"), stream=True))
        assert any(chunk.choices[0].finish_reason for chunk in chunks if chunk.choices)
        place.market.start_gateway(place.other)
        until_bought(client)


def test_a_key_that_is_none_buys_nothing(place: Place) -> None:
    with place.user("tk-of-somebody-else") as client, pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(**question())


def test_what_the_policy_declines_goes_elsewhere(place: Place) -> None:
    with place.payer() as payer:
        answers = [payer.post(f"{BASE_URL}/chat/completions", json=question("one")) for _ in range(2)]
    assert {answer.json()["tallystick"]["provider"] for answer in answers} == {to_hex(place.other.address)}


def test_prices_follow_the_policy_in_new_offers(place: Place) -> None:
    def price() -> int:
        offers = place.market.market_of(place.market.payer).offers()
        (offer,) = (item.offer for item in offers if item.offer.provider == place.home.address)
        return offer.output_price

    for before, after, expected in (("1_000", "1_500", 9_000_000), ("1_500", "1_000", 6_000_000)):
        place.configure(f"price_at = {before}", f"price_at = {after}")
        deadline = time.monotonic() + 180
        while price() != expected and time.monotonic() < deadline:
            time.sleep(0.2)
        assert price() == expected


def test_what_is_earned_by_serving_is_spent_on_what_is_passed_on(place: Place) -> None:
    """Last: from here on the node has the provider's own key, and one account."""
    market, home = place.market, place.home
    chain = market.market_of(market.payer)
    with place.payer() as payer:
        for _ in range(5):
            assert payer.post(f"{BASE_URL}/chat/completions", json=question("word " * 500)).is_success
    market.stop_gateways()
    earned = place.balance(home)
    assert earned > 0
    Keystore(home.config.parent, scrypt_n=1 << 12).save("wallet", home.key, market.password)
    settings = home.config.read_text().replace("[keys]", '[keys]\nwallet = "wallet.json"')
    home.config.write_text(settings.replace("[offload]", '[offload]\nhome = "own"\ndeposit = 1_000_000'))
    market.start_gateways()
    deadline = time.monotonic() + 180
    while chain.account(home.address).free < earned and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (chain.account(home.address).free, place.balance(home)) == (earned, 0)

    sold = place.balance(place.other)
    with place.user() as client:
        cost = until_bought(client).tallystick["cost"]
    market.stop_gateways()
    assert place.balance(place.other) == sold + cost
    caps = earned - chain.account(home.address).free
    assert caps >= cost, "what it bought is out of what it had earned"
