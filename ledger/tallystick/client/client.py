"""The SDK for those who want prices, receipts and costs in their hands, from threads or an event loop.

with tallystick.Client(wallet, rpc=…, budget=…) as client:
    answer = client.chat("llama", "What is the capital of Kenya?")
    print(answer.text, answer.cost, answer.provider)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

import anyio.to_thread
import orjson

from tallystick.chain.deployment import Deployment
from tallystick.client.answers import Answer, AsyncStream, Stream, answer_in, outcome_in
from tallystick.client.ask import CHAT_PATH, COMPLETIONS_PATH
from tallystick.client.attempts import Call
from tallystick.client.audits import Audits
from tallystick.client.avoidance import Avoided
from tallystick.client.budget import Budget
from tallystick.client.choose import Rule
from tallystick.client.closing import ClosedChannel, close_channels
from tallystick.client.drivers import Asynchronous, Blocking, run_asynchronous, run_blocking
from tallystick.client.duel import Duel
from tallystick.client.findings import HeldFinding
from tallystick.client.outcome import OutcomeListener
from tallystick.client.pairs import Pair
from tallystick.client.purse import HeldReceipt
from tallystick.client.rules import quoted
from tallystick.client.session import Session, open_session
from tallystick.client.tables import Durability
from tallystick.ports import PostedOffer, Signer
from tallystick.protocol.units import Atoms

TIMEOUT: Final = {"connect": 10.0, "read": 600.0, "write": 60.0, "pool": 600.0}
"""Seconds, unless the caller says otherwise."""

Messages = str | Sequence[Mapping[str, Any]]
"""What the user says, or a whole conversation in OpenAI's shape."""


class _Face:
    """What both clients say about the purse and the market."""

    def __init__(
        self,
        wallet: Signer,
        *,
        rpc: str,
        deployment: Deployment | Path | str | None = None,
        budget: Budget,
        home: Path | str | None = None,
        rule: Rule = quoted,
        on_outcome: OutcomeListener | None = None,
        transactions: bool = False,
        durability: Durability = "process",
        tokenizers: Mapping[str, Path | str] = MappingProxyType({}),
        continues: bool = False,
        hedges: bool = False,
        duel: Duel | None = None,
        audits: Audits | None = None,
    ):
        """Arguments and errors as of `tallystick.transport`."""
        self._session = open_session(
            wallet,
            rpc=rpc,
            deployment=deployment,
            budget=budget,
            home=home,
            rule=rule,
            on_outcome=on_outcome,
            transactions=transactions,
            durability=durability,
            tokenizers=tokenizers,
            continues=continues,
            hedges=hedges,
            duel=duel,
            audits=audits,
        )

    @classmethod
    def of(cls, session: Session) -> Self:
        """Over a session made elsewhere; closing the client closes it."""
        client = cls.__new__(cls)
        client._session = session
        return client

    @property
    def spent(self) -> Atoms:
        """Atoms of the budget used so far, by all processes of this purse."""
        return self._session.purse.spending()[0]

    @property
    def left(self) -> Atoms:
        """Atoms of the budget that are neither spent nor reserved for requests that run."""
        return Atoms(self._session.purse.budget.total - sum(self._session.purse.spending()))

    def receipts(self) -> list[HeldReceipt]:
        """All receipts accepted, oldest first."""
        return self._session.purse.held_receipts()

    def duels(self) -> list[Pair]:
        """Of its requests, oldest first: how each stands, both receipts with their answers (those of old ones
        are forgotten), what the judges said, and what it cost."""
        return self._session.purse.pairs.held()

    def findings(self) -> list[HeldFinding]:
        """What auditors said of the providers that answered, oldest first."""
        return self._session.purse.findings.all()

    def avoided(self) -> list[Avoided]:
        """Providers that it goes elsewhere from, why, and until when."""
        return list(self._session.purse.evidence.avoidance.all())

    def _call(self, path: str, fields: Mapping[str, Any], timeout: Mapping[str, float | None] | None) -> Call:
        return Call(path=path, body=orjson.dumps(fields), timeout=timeout or TIMEOUT)


class Client(_Face):
    """Buys on the market from threads. Any number of them may share it; close it, or use it in a `with`."""

    def models(self) -> list[str]:
        """Names of all models that are offered now; raises ChainUnavailable."""
        return sorted({posted.offer.model for posted in self.offers()})

    def offers(self, model: str | None = None) -> list[PostedOffer]:
        """Those that hold now, as the rule orders them for a short question; raises ChainUnavailable."""
        offers = run_blocking(self._session.pools, self._session.payer.listing.offers())
        return self._session.in_order(offers, model)

    def chat(
        self,
        model: str,
        messages: Messages,
        *,
        timeout: Mapping[str, float | None] | None = None,
        **options: Any,
    ) -> Answer:
        """A chat completion; `options` are OpenAI's (`max_tokens`, `tools`, `temperature`, …).

        Raises
        ------
        BudgetError :
            The budget does not cover the request in the worst case; nothing was sent.
        NoEligibleOffer, DepositTooSmall :
            Nobody offers it on terms that can be met; nothing was sent.
        ProviderRefused :
            The engine refused it, or every provider did; nothing is charged.
        AnswerCut :
            The provider ended the answer before its end; what came of it is paid.
        ProviderUnreachable, httpx2.TransportError :
            No provider could be reached, or the answer was lost on its way and not found again.
        """
        fields = {**options, "model": model, "messages": _messages(messages), "stream": False}
        return self._whole(self._call(CHAT_PATH, fields, timeout))

    def complete(
        self, model: str, prompt: str, *, timeout: Mapping[str, float | None] | None = None, **options: Any
    ) -> Answer:
        """A text completion; options and errors as of `chat`."""
        fields = {**options, "model": model, "prompt": prompt, "stream": False}
        return self._whole(self._call(COMPLETIONS_PATH, fields, timeout))

    def stream_chat(
        self,
        model: str,
        messages: Messages,
        *,
        timeout: Mapping[str, float | None] | None = None,
        **options: Any,
    ) -> "Stream":
        """As `chat`, piece by piece; AnswerCut comes after the last piece that came."""
        fields = {**options, "model": model, "messages": _messages(messages), "stream": True}
        return self._stream(self._call(CHAT_PATH, fields, timeout))

    def stream_complete(
        self, model: str, prompt: str, *, timeout: Mapping[str, float | None] | None = None, **options: Any
    ) -> "Stream":
        """As `complete`, piece by piece."""
        fields = {**options, "model": model, "prompt": prompt, "stream": True}
        return self._stream(self._call(COMPLETIONS_PATH, fields, timeout))

    def close_channels(self) -> list[ClosedChannel]:
        """Ends every channel that no other process uses, with its provider's consent, so that the rest of its
        cap can go back to the account at once. Where the provider is away or refuses, `close` is None."""
        return close_channels(self._session)

    def close(self) -> None:
        """Acknowledges what is left to acknowledge, and gives the channels back."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def _whole(self, call: Call) -> Answer:
        driver = Blocking(self._session.pools, self._session.payer.call(call))
        head = driver.advance()
        assert driver.advance() is None
        return answer_in(head)

    def _stream(self, call: Call) -> "Stream":
        driver = Blocking(self._session.pools, self._session.payer.call(call))
        return Stream(driver, outcome_in(driver.advance()))


class AsyncClient(_Face):
    """As `Client`, under an event loop: any number of tasks may share it; close it, or use `async with`."""

    async def models(self) -> list[str]:
        return sorted({posted.offer.model for posted in await self.offers()})

    async def offers(self, model: str | None = None) -> list[PostedOffer]:
        offers = await run_asynchronous(self._session.pools, self._session.payer.listing.offers())
        return self._session.in_order(offers, model)

    async def chat(
        self,
        model: str,
        messages: Messages,
        *,
        timeout: Mapping[str, float | None] | None = None,  # noqa: ASYNC109  # httpx's own four
        **options: Any,
    ) -> Answer:
        fields = {**options, "model": model, "messages": _messages(messages), "stream": False}
        return await self._whole(self._call(CHAT_PATH, fields, timeout))

    async def complete(
        self,
        model: str,
        prompt: str,
        *,
        timeout: Mapping[str, float | None] | None = None,  # noqa: ASYNC109
        **options: Any,
    ) -> Answer:
        fields = {**options, "model": model, "prompt": prompt, "stream": False}
        return await self._whole(self._call(COMPLETIONS_PATH, fields, timeout))

    async def stream_chat(
        self,
        model: str,
        messages: Messages,
        *,
        timeout: Mapping[str, float | None] | None = None,  # noqa: ASYNC109
        **options: Any,
    ) -> "AsyncStream":
        fields = {**options, "model": model, "messages": _messages(messages), "stream": True}
        return await self._stream(self._call(CHAT_PATH, fields, timeout))

    async def stream_complete(
        self,
        model: str,
        prompt: str,
        *,
        timeout: Mapping[str, float | None] | None = None,  # noqa: ASYNC109
        **options: Any,
    ) -> "AsyncStream":
        fields = {**options, "model": model, "prompt": prompt, "stream": True}
        return await self._stream(self._call(COMPLETIONS_PATH, fields, timeout))

    async def close_channels(self) -> list[ClosedChannel]:
        return await anyio.to_thread.run_sync(close_channels, self._session)

    async def close(self) -> None:
        await self._session.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.close()

    async def _whole(self, call: Call) -> Answer:
        driver = Asynchronous(self._session.pools, self._session.payer.call(call))
        head = await driver.advance()
        assert await driver.advance() is None
        return answer_in(head)

    async def _stream(self, call: Call) -> "AsyncStream":
        driver = Asynchronous(self._session.pools, self._session.payer.call(call))
        return AsyncStream(driver, outcome_in(await driver.advance()))


def _messages(messages: Messages) -> Sequence[Mapping[str, Any]]:
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
