"""The market as an HTTP transport: any program that speaks OpenAI through httpx2 pays by it.

OpenAI(base_url=tallystick.BASE_URL, api_key="-",
       http_client=DefaultHttpxClient(transport=tallystick.transport(...)))
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import httpx2
import orjson

from tallystick.chain.deployment import Deployment
from tallystick.chain.keys import Keystore
from tallystick.client.ask import CHAT_PATH, COMPLETIONS_PATH
from tallystick.client.attempts import Call
from tallystick.client.audits import Audits
from tallystick.client.budget import Budget
from tallystick.client.choose import Rule
from tallystick.client.drivers import Asynchronous, Blocking
from tallystick.client.duel import Duel
from tallystick.client.errors import AnswerCut, AnswerLost, BudgetError, MalformedRequest, ProviderRefused
from tallystick.client.flow import Emit, Flow, Outward, Respond
from tallystick.client.outcome import OutcomeListener
from tallystick.client.purse import HeldReceipt
from tallystick.client.rules import quoted
from tallystick.client.session import Session, open_session
from tallystick.client.tables import Durability
from tallystick.ports import PostedOffer, Signer
from tallystick.protocol.errors import MarketError
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Atoms, to_hex

BASE_URL: Final = "https://market.tallystick.invalid/v1"
"""For an OpenAI program's `base_url`. It names no machine: the transport chooses one for each request."""
SEED: Final = "tallystick_seed"
"""An HTTP request's extension: the seed of a `Call`."""


def transport(
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
) -> "Transport":
    """An HTTP transport that pays on the market: for `httpx2.Client(transport=…)`, `OpenAI(http_client=…)`.

    Parameters
    ----------
    wallet :
        The payer's key (see `open_wallet`), or anything that signs for it. Its account needs a deposit.
    rpc :
        URL of a node of the chain.
    deployment :
        The market, or its deployment file; by default `deployment.json` in `home`.
    budget :
        Atoms that may be spent, in total and by one request.
    home :
        Folder that holds the purse (channels, receipts, what is left of the budget) and the deployment; the
        same that `tally` uses. By default `~/.tallystick`.
    rule :
        Which provider first; by default `quoted`, which weighs price and time, and is `cheapest` where
        nothing is known of anybody.
    on_outcome :
        Called with each request's `Outcome` when it is done.
    transactions :
        Whether the wallet may send transactions (and pay gas), to get the rest of a channel back whose
        provider was caught cheating, and to have duels judged, for a fee out of its balance. The deposit is
        the only transaction that a payer needs otherwise.

    durability :
        What the purse survives: `process`, the end of the process at any moment; `power`, a power cut too,
        for some fsyncs of milliseconds a request. See "What a crash costs" in docs/trust.md.
    tokenizers :
        By model, the folder with its `tokenizer.json`, `tokenizer_config.json` and chat template, as Hugging
        Face lays them out. Receipts for that model are recounted with it. Needs `tallystick[tokenizer]`.
    continues :
        Whether an answer that breaks off is gone on with by another provider, unless a request says otherwise
        (`extra_body={"tallystick": {"continue": false}}`).
    hedges :
        Whether a second provider is asked where the first one is late by its own word, unless a request says
        otherwise (`{"hedge": false}` there). Both are paid for what they sent.
    duel :
        Which share of the requests a second provider answers too, behind the caller's back, for judges to say
        which answer is better; None: none. Judges read them: one that says `{"duel": false}` there becomes no
        duel.
    audits :
        That answers are held against the promised model, behind the caller's back, and what that may cost;
        None: none are. Auditors read what the lottery draws: one that says `{"audit": false}` there is not
        shown to them. `{"private": true}` says both: neither judges nor auditors read it.

    Raises
    ------
    TokenizerUnavailable :
        One cannot be read, or its packages are not installed.
    NoContract :
        The deployment's file cannot be read.
    WrongWallet :
        The purse is another wallet's.
    """
    return Transport(
        open_session(
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
    )


def open_wallet(path: Path | str, password: str) -> Key:
    """The key in a Keystore V3 file, as `tally wallet` and `cast wallet` write them.

    Raises
    ------
    WalletUnknown :
        There is no such file.
    WrongPassword :
        It opens with another password.
    """
    path = Path(path)
    return Keystore(path.parent).load(path.name.removesuffix(".json"), password)


class Transport(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Pays for what goes through it: for `httpx2.Client` and `AsyncClient`, any number of threads and tasks.

    Answers carry the headers `tallystick-provider` and, unless they are streamed, `tallystick-cost` (atoms),
    and their JSON a member `tallystick` (`completion.tallystick["cost"]`; of a stream, its last chunk).
    The whole `Outcome` is `tallystick.outcome_of(response)`, and goes to `on_outcome`.

    What the market refuses comes as an OpenAI error: 402 with code `request-budget-exceeded` or
    `total-budget-exceeded` before anything is sent, 503 `no-eligible-offer`, `provider-unreachable` or
    `deposit-too-small`; or it is the engine's own. A receipt that does not add up is never paid: the answer
    is delivered all the same, with `tallystick-refused` and `Outcome.refusal` saying why. An answer that its
    provider cuts short is 502 `answer-cut`, or at the end of a stream an event with that error (openai raises
    it as APIError) in place of `[DONE]`; what came of it is paid.
    """

    def __init__(self, session: Session):
        self.session = session

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        driver = Blocking(self.session.pools, self._serve(request, request.read()))
        head = driver.advance()
        assert isinstance(head, Respond)
        if head.body is not None:
            assert driver.advance() is None
            return _response(head, httpx2.ByteStream(head.body))
        return _response(head, _Stream(driver))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        driver = Asynchronous(self.session.pools, self._serve(request, await request.aread()))
        head = await driver.advance()
        assert isinstance(head, Respond)
        if head.body is not None:
            assert await driver.advance() is None
            return _response(head, httpx2.ByteStream(head.body))
        return _response(head, _AsyncStream(driver))

    def close(self) -> None:
        self.session.close()

    async def aclose(self) -> None:
        await self.session.aclose()

    @property
    def spent(self) -> Atoms:
        """Atoms of the budget used so far, by all processes of this purse."""
        return self.session.purse.spending()[0]

    def receipts(self) -> list[HeldReceipt]:
        """All receipts accepted, oldest first."""
        return self.session.purse.held_receipts()

    def _serve(self, request: httpx2.Request, body: bytes) -> Flow[None]:
        try:
            yield from self._route(request, body)
        except MarketError as problem:
            response = error_response(problem)
            if isinstance(problem, AnswerCut) and problem.streamed:
                yield Emit(b"data: " + (response.body or b"") + b"\n\n")
            else:
                yield response

    def _route(self, request: httpx2.Request, body: bytes) -> Flow[None]:
        path = request.url.path
        for known in (CHAT_PATH, COMPLETIONS_PATH):
            if request.method == "POST" and path.endswith(known.removeprefix("/v1")):
                call = Call(
                    path=known,
                    body=body,
                    timeout=request.extensions.get("timeout", {}),
                    retry=request.headers.get("x-stainless-retry-count", "0") != "0",
                    idempotency_key=request.headers.get("idempotency-key", ""),
                    seed=request.extensions.get(SEED),
                )
                yield from self.session.payer.call(call)
                return
        if request.method == "GET" and path.endswith("/models"):
            offers = yield from self.session.payer.listing.offers()
            yield _json(200, {"object": "list", "data": model_list(offers)})
            return
        yield _json(404, _error(f"{request.method} {path} is not sold here.", "not-found", None, None))


class _Stream(httpx2.SyncByteStream):
    def __init__(self, driver: Blocking):
        self._driver = driver

    def __iter__(self) -> Iterator[bytes]:
        while (effect := self._driver.advance()) is not None:
            yield _data(effect)

    def close(self) -> None:
        self._driver.close()


class _AsyncStream(httpx2.AsyncByteStream):
    def __init__(self, driver: Asynchronous):
        self._driver = driver

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (effect := await self._driver.advance()) is not None:
            yield _data(effect)

    async def aclose(self) -> None:
        await self._driver.close()


def model_list(offers: Sequence[PostedOffer]) -> list[dict[str, object]]:
    """OpenAI's model objects, one a model, with its offers; prices in atoms per million tokens."""
    models: dict[str, list[dict[str, object]]] = {}
    for posted in offers:
        offer = posted.offer
        models.setdefault(offer.model, []).append(
            {
                "provider": to_hex(offer.provider),
                "offer": to_hex(posted.offer_hash),
                "input_price": offer.input_price,
                "cached_input_price": offer.cached_input_price,
                "output_price": offer.output_price,
                "context_length": offer.context_length,
                "valid_until": offer.valid_until,
            }
        )
    return [
        {"id": model, "object": "model", "created": 0, "owned_by": "tallystick", "offers": sold}
        for model, sold in sorted(models.items())
    ]


def error_response(problem: MarketError) -> Respond:
    """As OpenAI's clients read errors."""
    headers = {"x-should-retry": "true" if problem.retryable else "false"}
    if isinstance(problem, ProviderRefused):
        head = _json(problem.status, {})
        return Respond(problem.status, {**head.headers, **headers}, problem.body)
    match problem:
        case BudgetError():
            status = 402
        case MalformedRequest():
            status = 400
        case AnswerCut():
            status = 502
        case _:
            status = 503
    return Respond(status, {"content-type": "application/json", **headers}, error_body(problem))


async def ending_in_words(blocks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """A stream that breaks ends in an event that says so, as one does that its provider cuts: not every
    program can tell a broken connection from an end."""
    try:
        async for block in blocks:
            yield block
    except httpx2.TransportError as error:
        yield b"data: " + error_body(answer_lost(error)) + b"\n\n"


def answer_lost(error: httpx2.TransportError) -> AnswerLost:
    """The same, for whoever waits for the whole of it."""
    late = isinstance(error, httpx2.TimeoutException)
    return AnswerLost(f"The answer {'does not come' if late else 'was lost on its way'}: {error}")


def error_body(problem: MarketError) -> bytes:
    """In OpenAI's shape."""
    return orjson.dumps(_error(problem.message, problem.code, problem.required, problem.actual))


def _error(
    message: str, code: str, required: int | str | None, actual: int | str | None
) -> dict[str, object]:
    told = {"message": message, "type": "tallystick_error", "code": code, "param": None}
    return {"error": {**told, "required": required, "actual": actual}}


def _json(status: int, data: object) -> Respond:
    return Respond(status, {"content-type": "application/json"}, orjson.dumps(data))


def _response(head: Respond, stream: httpx2.ByteStream | _Stream | _AsyncStream) -> httpx2.Response:
    headers = dict(head.headers)
    if head.body is not None:
        headers["content-length"] = str(len(head.body))
    return httpx2.Response(head.status, headers=headers, stream=stream, extensions=dict(head.extensions))


def _data(effect: Outward) -> bytes:
    assert isinstance(effect, Emit)
    return effect.data
