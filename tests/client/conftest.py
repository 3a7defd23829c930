"""A market in one test: see `provider` for whom the payer buys from."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import pytest

from tallystick.client import quotes, searching
from tallystick.client.budget import Budget
from tallystick.client.session import Session
from tallystick.client.transport import Transport
from tallystick.home import Home
from tallystick.protocol.signed import Key
from tests.client.echo import MODEL
from tests.client.fake_chain import DOMAIN, FakeChain
from tests.client.provider import FakeProvider

Made = TypeVar("Made", bound=FakeProvider)


class World:
    """A market in one test: a chain, providers, one wallet, and the transports that it pays by."""

    def __init__(self, home: Path):
        self.home = home
        self.chain = FakeChain()
        self.wallet = Key.generate()
        self.model = MODEL
        self._stack = ExitStack()
        self._open: list[Transport] = []

    def provider(self, kind: type[Made] = FakeProvider, **options: Any) -> Made:  # type: ignore[assignment]
        """An honest one, unless `kind` says otherwise."""
        provider = kind(self.chain, folder=self.home, **options)
        self._stack.callback(provider.close)
        return provider

    def session(self, *, total: int = 10**9, per_request: int = 10**8, **options: Any) -> Session:
        session = Session(
            self.wallet,
            chain=self.chain,
            directory=self.chain,
            domain=DOMAIN,
            budget=Budget(total=total, per_request=per_request),
            home=Home(self.home),
            **options,
        )
        self._stack.callback(session.close)
        return session

    def transport(self, **options: Any) -> Transport:
        return Transport(self.session(**options))

    def close(self) -> None:
        self._stack.close()

    def until(self, happened: Callable[[], object]) -> None:
        """Waits for what another thread or process does."""
        for _ in range(12_000):
            if happened():
                return
            Event().wait(0.005)
        raise AssertionError("it never happened")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of payers with who is slow to connect, or to say how long it takes: the machine may be busy."""
    monkeypatch.setattr(searching, "CONNECT_S", 10.0)
    monkeypatch.setattr(quotes, "ASKING_S", 30.0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def chat_body(text: str = "one two three", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 50, **more}


@pytest.fixture
def ask() -> Callable[..., dict[str, Any]]:
    return chat_body
