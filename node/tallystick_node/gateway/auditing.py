"""What the gateway needs of an auditor: a dossier is a paid request, read before it is let in, and its answer
is a signed finding. Who audits, and how, it does not know: that is `tallystick_node.quality`."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from tallystick.chain.market import Market
from tallystick.ports import ChainReader, Clock
from tallystick.protocol.case import read_body
from tallystick.protocol.dossier import Dossier, signers
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import DossierMismatch, MalformedMessage
from tallystick.protocol.expense import Expense
from tallystick.protocol.finding import Verdict
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Address, Atoms
from tallystick_node.engine.upstream import Upstream
from tallystick_node.gateway.ask import Ask
from tallystick_node.network.posting import Post


@dataclass(frozen=True, slots=True, kw_only=True)
class DossierAsk(Ask):
    """A request to audit. It costs what the questions to the engine cost."""

    dossier: Dossier
    signers: frozenset[Address]
    """Of the receipts: whether these keys are the provider's is on the chain."""

    @classmethod
    def of(cls, body: bytes, domain: Domain) -> Self:
        """Raises MalformedMessage, or as `signers` does: what does not hold together is not even reserved
        for."""
        fields = dict(read_body(body))
        model, dossier = fields.get("model"), Dossier.from_json(fields.get("dossier"))
        if not isinstance(model, str):
            raise MalformedMessage("The body names no model.", required="model")
        if model != dossier.model:
            raise DossierMismatch("The answers are another model's.", required=model)
        signed_by = signers(dossier, domain)
        expense = Expense.of(dossier.samples)
        return cls(
            fields=fields,
            size=expense.input_tokens,
            model=model,
            streamed=False,
            max_tokens=expense.each,
            choices=expense.questions,
            prompts=expense.questions,
            dossier=dossier,
            signers=signed_by,
        )


class Auditing(Protocol):
    """An auditor, on this node."""

    async def audit(self, dossier: Dossier, signers: frozenset[Address], engine_model: str) -> bytes:
        """Its signed finding in the shape of a completion, so that it is billed as one. `signers`: of the
        receipts.

        Raises
        ------
        ReceiptMismatch, DossierMismatch, DrawPending, WrongSigner :
            It does not audit this.
        MalformedMessage :
            A request cannot be asked again, or the engine answers something else.
        EngineGone :
            Its engine does not answer.
        ChainError :
            The chain does not.
        """

    def knows(self, model: str) -> bool:
        """Whether it audits the model."""

    async def reaudit(
        self,
        dossier: Dossier,
        signers: frozenset[Address],
        engine_model: str,
        replies: MutableMapping[tuple[str, bytes], bytes],
    ) -> Verdict:
        """What it finds, and says to nobody. `replies`: what its engine said to the same questions before,
        by path and body: strikes of one channel rest on the same answers. Raises as `audit` does."""


class Errand(Protocol):
    """What a node looks after on chain, whether it judges or not."""

    def look(self) -> None:
        """Once, at what is due: slow, and raises ChainError."""

    @property
    def reaudits(self) -> bool:
        """Whether it audits what it is drawn to re-audit, by itself."""

    async def run(self, every_s: float) -> None:
        """Does that, for ever."""

    async def show(self, data: Mapping[str, Any]) -> bytes:
        """What a strike of this node's was found of, in JSON, for a signed `Viewing`.

        Raises
        ------
        MalformedMessage, SignatureError :
            As they say.
        DossierUnknown :
            Nothing of it is kept here.
        NotDrawn :
            Whoever asks is not drawn to re-audit it now.
        """


class OpensAuditor(Protocol):
    """Makes a node's auditor."""

    def __call__(
        self,
        *,
        market: Market,
        reader: ChainReader,
        provider: Address,
        key: Key,
        upstream: Upstream,
        scales: Sequence[Path],
        sampler: str,
        dossiers: Path,
        clock: Clock,
    ) -> Auditing:
        """Raises OSError or MalformedMessage where scales cannot be read. `dossiers`: folder of what its
        strikes were found of."""


class Cares(Protocol):
    """Makes what a node looks after on chain."""

    def __call__(
        self,
        *,
        market: Market,
        purse: Market,
        provider: Address,
        key: Key,
        answer: Atoms | None,
        auditing: Auditing | None,
        engine_models: Mapping[str, str],
        dossiers: Path,
        viewer: Post,
        clock: Clock,
    ) -> Errand | None:
        """None where the market has no audits. `purse`: in the hands of who pays to answer strikes, `answer`
        as the configuration has it. Raises ChainError."""
