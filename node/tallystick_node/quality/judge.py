"""A judge: it reads a case, asks its own engine in both orders, and keeps its ballot to itself until all
judges have committed.

One ballot a duel: it is saved before anything of it is told, and whoever asks again, with whatever answers,
gets the same commitment. What a ballot says of is fixed by the duel's name (`protocol.case`). It knows no
money: that a judgement is paid is the gateway's business.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self
from weakref import WeakValueDictionary

import orjson

from tallystick.chain.duels import Duels
from tallystick.chain.errors import ChainError
from tallystick.chain.market import Market
from tallystick.ports import ChainReader, Panels
from tallystick.protocol.case import Checked
from tallystick.protocol.eip712 import Domain, digest
from tallystick.protocol.errors import (
    BallotSealed,
    BallotUnknown,
    ExhibitMismatch,
    MalformedMessage,
    NotDrawn,
    SignatureError,
    Unjudgeable,
)
from tallystick.protocol.judging import letter_of, requests, vote_of
from tallystick.protocol.message import read_value
from tallystick.protocol.signed import Key, Signed, recover, sign
from tallystick.protocol.transcript import Counts
from tallystick.protocol.units import ZERO_ADDRESS, ZERO_HASH, Address, Hash32, to_hex
from tallystick.protocol.vote import VoteCommitment, choice_of
from tallystick.protocol.wire import signed_from_json, signed_to_json
from tallystick_node.engine.upstream import Upstream
from tallystick_node.quality.duty import Duty
from tallystick_node.quality.lookups import Lookups
from tallystick_node.store.records import BallotCast, BallotShown, Store

_CHAT: Final = "/v1/chat/completions"
_JUDGES: Final = 64
"""Commitments that one question for a ballot may show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Tokens that the engine counted, over both orders."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0

    @classmethod
    def by(cls, answers: Sequence[Mapping[str, Any]]) -> Self:
        counts = [Counts() for _ in answers]
        for count, answer in zip(counts, answers, strict=True):
            count.add(answer)
        return cls(
            input_tokens=sum(count.input_tokens for count in counts),
            cached_input_tokens=sum(count.cached_input_tokens for count in counts),
            output_tokens=sum(count.output_tokens for count in counts),
        )


class Judge:
    """Of one provider."""

    def __init__(
        self,
        *,
        provider: Address,
        key: Key,
        domain: Domain,
        panels: Panels,
        is_receipt_key: Callable[[Address, Address], bool],
        store: Store,
        upstream: Upstream,
        duty: Duty | None = None,
        salt: Callable[[], bytes] = lambda: secrets.token_bytes(32),
    ):
        self._provider = provider
        self._key = key
        self._domain = domain
        self._panels = panels
        self._is_receipt_key = is_receipt_key
        self._store = store
        self._upstream = upstream
        self._duty = duty
        self._salt = salt
        self._turns: WeakValueDictionary[Hash32, asyncio.Lock] = WeakValueDictionary()
        """Of whoever asks for a judgement of one duel."""
        self._drawing, self._seeing = Lookups(), Lookups()
        self._signed_last: dict[Address, Address] = {}
        """By judge, a key of its that signed: it is that one for good."""

    async def judge(self, case: Checked, model: str, engine_model: str) -> bytes:
        """As the gateway's `Bench` says."""
        async with self._turns.setdefault(case.duel, asyncio.Lock()):
            return await self._judged(case, model, engine_model)

    async def _judged(self, case: Checked, model: str, engine_model: str) -> bytes:
        """Of one at a time: whoever asked at the same time is answered by the ballot that is saved."""
        used = Used()
        cast = self._store.ballot(case.duel)
        if cast is None:
            panel = await self._drawing.made(lambda: self._require_drawn(case))
            letters, used = await self._letters(case, engine_model)
            choice = choice_of(vote_of(*letters))
            ballot = case.ballot(self._provider, choice, Hash32(self._salt()))
            await self._store.save(BallotCast(ballot=ballot, panel=panel))
            cast = self._store.ballot(case.duel)
            assert cast is not None
        return _completion(sign(cast.ballot.commitment, self._domain, self._key).signed, model, used)

    async def ballot(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """As the gateway's `Bench` says."""
        duel: Hash32 = read_value("bytes32", data.get("duel"), "duel")
        shown = data.get("commitments")
        if not isinstance(shown, list) or len(shown) > _JUDGES:
            raise MalformedMessage(f"Commitments are a list of at most {_JUDGES}.")
        commitments = [signed_from_json(VoteCommitment, item) for item in shown]
        by_judge = {signed.message.judge: signed for signed in commitments}
        if len(by_judge) < len(commitments):
            raise MalformedMessage("One commitment of each judge is shown.", required=len(by_judge))
        cast = self._store.ballot(duel)
        if cast is None:
            raise BallotUnknown("This provider has not judged the duel.", actual=to_hex(duel))
        others = sorted(set(cast.panel) - {self._provider})
        binding = [by_judge[judge] for judge in others if judge in by_judge and _binds(by_judge[judge], duel)]
        if len(binding) < len(others):
            raise _sealed(others, binding)
        try:
            held = await self._seeing.made(lambda: self._signed_by_judges(binding))
        except ChainError as error:
            raise BallotSealed("The chain does not say whose commitments these are.") from error
        if len(held) < len(others):
            raise _sealed(others, held)
        if not cast.shown:
            await self._store.save(BallotShown(duel=duel, commitments=tuple(held)))
        return {"ballot": cast.ballot.to_json()}

    async def answer_summons(self, *, clear: bool) -> None:
        """As the gateway's `Bench` says."""
        loop, store = asyncio.get_running_loop(), self._store

        async def kept(duel: Hash32) -> BallotCast | None:
            return store.ballot(duel)  # The store belongs to the loop's thread.

        if self._duty is not None:
            await asyncio.to_thread(
                self._duty.step,
                lambda duel: asyncio.run_coroutine_threadsafe(kept(duel), loop).result(),
                clear=clear,
            )

    # --------------------------------------------------------------------------------------------- the chain

    def _require_drawn(self, case: Checked) -> tuple[Address, ...]:
        """The panel, of which this is one; raises NotDrawn or ExhibitMismatch."""
        try:
            return self._drawn(case)
        except ChainError as error:
            raise NotDrawn("The chain does not say who judges the duel.") from error

    def _drawn(self, case: Checked) -> tuple[Address, ...]:
        exhibits = case.case.first, case.case.second
        drawn = self._panels.panel(case.duel, *(exhibit.provider for exhibit in exhibits))
        panel = tuple(judge for judge in drawn if judge != ZERO_ADDRESS)
        if self._provider not in panel:
            raise NotDrawn("This provider is no judge of the duel.", actual=to_hex(case.duel))
        for exhibit, signer in zip(exhibits, case.signers, strict=True):
            if not self._is_receipt_key(exhibit.provider, signer):
                raise ExhibitMismatch(
                    "A receipt is signed with no key of its provider's.",
                    required=to_hex(exhibit.provider),
                    actual=to_hex(signer),
                )
        return panel

    def _signed_by_judges(self, shown: Sequence[Signed[VoteCommitment]]) -> Sequence[Signed[VoteCommitment]]:
        """Those before the first that no key of its judge signed; the chain is asked of that one at most."""
        held: list[Signed[VoteCommitment]] = []
        for signed in shown:
            judge = signed.message.judge
            try:
                signer = recover(digest(self._domain, signed.message.struct_hash()), signed.signature)
            except SignatureError:
                break
            if signer != self._signed_last.get(judge) and not self._is_receipt_key(judge, signer):
                break
            self._signed_last[judge] = signer
            held.append(signed)
        return held

    # -------------------------------------------------------------------------------------------- the engine

    async def _letters(self, case: Checked, engine_model: str) -> tuple[tuple[str, str], Used]:
        """What the engine says in both orders, and what it counted."""
        bodies = requests(engine_model, case.question, *case.answers)
        answers = await asyncio.gather(*map(self._asked, bodies))
        letters = [letter_of(answer) for answer in answers]
        first, second = letters
        if first is None or second is None:
            raise Unjudgeable("The judge's engine says no verdict.")
        return (first, second), Used.by(answers)

    async def _asked(self, body: bytes) -> dict[str, Any]:
        reply = await self._upstream.post(_CHAT, body)
        try:
            content = await reply.read()
        finally:
            reply.release()
        try:
            answer = orjson.loads(content)
        except orjson.JSONDecodeError:
            answer = None
        if reply.status != 200 or not isinstance(answer, dict):
            raise Unjudgeable("The judge's engine refuses the question.", required=200, actual=reply.status)
        return answer


def _binds(signed: Signed[VoteCommitment], duel: Hash32) -> bool:
    """A judge that declines is bound to nothing, and could copy what it is shown."""
    return signed.message.duel == duel and signed.message.ballot_hash != ZERO_HASH


def _sealed(judges: Sequence[Address], shown: Sequence[Signed[VoteCommitment]]) -> BallotSealed:
    return BallotSealed(
        "Not all judges are shown to have committed to a ballot.", required=len(judges), actual=len(shown)
    )


def _completion(signed: Signed[VoteCommitment], model: str, used: Used) -> bytes:
    """In OpenAI's shape; its text is the ballot's hash."""
    usage = {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_input_tokens},
    }
    choice = {"index": 0, "text": to_hex(signed.message.ballot_hash), "finish_reason": "stop"}
    head = {"id": to_hex(signed.message.duel), "object": "tallystick.judgement", "model": model}
    return orjson.dumps({**head, "choices": [choice], "usage": usage, **signed_to_json(signed)})


def open_judge(
    *,
    market: Market,
    reader: ChainReader,
    provider: Address,
    key: Key,
    store: Store,
    upstream: Upstream,
) -> Judge:
    """By what the chain's node says; raises NoContract where nobody duels on this market."""
    duels, domain = Duels(market), market.deployment.domain
    return Judge(
        provider=provider,
        key=key,
        domain=domain,
        panels=duels,
        duty=Duty(provider=provider, key=key, domain=domain, duels=duels),
        is_receipt_key=reader.is_receipt_key,
        store=store,
        upstream=upstream,
    )
