"""What the gateway needs of a judge: a case is a paid request, read before it is let in, and its answer is a
commitment. Who judges, and how, it does not know: that is `tallystick_node.quality`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from tallystick.chain.market import Market
from tallystick.ports import ChainReader
from tallystick.protocol.case import Case, Checked, checked, read_body
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.judging import ORDERS, requests
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Address
from tallystick_node.engine.upstream import Upstream
from tallystick_node.gateway.ask import Ask
from tallystick_node.store.records import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAsk(Ask):
    """A request to judge. It costs what the two questions to the engine cost."""

    case: Checked

    @classmethod
    def of(cls, body: bytes, domain: Domain) -> Self:
        """Raises MalformedMessage, or as `checked` does: what cannot be judged is not even reserved for."""
        fields = dict(read_body(body))
        model = fields.get("model")
        if not isinstance(model, str):
            raise MalformedMessage("The body names no model.", required="model")
        case = checked(Case.from_json(fields.get("case")), domain)
        return cls(
            fields=fields,
            size=sum(map(len, requests(model, case.question, *case.answers))),
            model=model,
            streamed=False,
            max_tokens=1,
            choices=ORDERS,
            prompts=ORDERS,
            case=case,
        )


class Bench(Protocol):
    """A judge, on this node."""

    async def judge(self, case: Checked, model: str, engine_model: str) -> bytes:
        """Its commitment in the shape of a completion, so that it is billed as one. It is saved with its
        ballot, and the same whoever asks again.

        Raises
        ------
        NotDrawn, ExhibitMismatch, Unjudgeable :
            It does not judge this.
        EngineGone :
            Its engine does not answer.
        ChainError :
            The chain does not.
        """

    async def ballot(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Its ballot, for whoever shows that all judges have committed.

        Raises
        ------
        MalformedMessage, BallotUnknown, BallotSealed :
            As they say.
        """

    async def answer_summons(self, *, clear: bool) -> None:
        """On chain, where it is summoned to; where it is not `clear` that nothing else is on its way, only
        what cannot wait. Raises ChainError."""


class Opens(Protocol):
    """Makes a node's judge."""

    def __call__(
        self,
        *,
        market: Market,
        reader: ChainReader,
        provider: Address,
        key: Key,
        store: Store,
        upstream: Upstream,
    ) -> Bench:
        """Raises NoContract where nobody duels on this market."""
