"""How `tally proxy` serves: the SDK's transport behind its proxy, and what it says on the way."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer

from tallystick.client.audits import Audits
from tallystick.client.budget import Budget
from tallystick.client.choose import Rule
from tallystick.client.duel import Duel
from tallystick.client.proxy import Door, Proxy
from tallystick.client.rules import RULES, Judged
from tallystick.client.spending import Share
from tallystick.client.strengths import strengths
from tallystick.client.transport import transport
from tallystick.protocol.units import Atoms
from tallystick.wallet.desk import Desk
from tallystick.wallet.money import AmountError, show_exactly
from tallystick.wallet.purses import open_purse
from tallystick.wallet.view import Course, View, lines

JUDGED: Final = "judged"
"""Beside `RULES`: it has to be read from the chain first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a proxy buys, unless a request says otherwise."""

    rule_name: str
    continues: bool
    hedges: bool
    duel_share: float
    """Of requests."""
    duel_budget: Atoms
    audit_budget: Atoms
    """Zero: there are none."""
    transactions: bool

    def rule(self, desk: Desk) -> Rule:
        """Raises NoContract or ChainUnavailable where the market's duels cannot be read."""
        if self.rule_name == JUDGED:
            return Judged(strengths=strengths(rpc=desk.settings.rpc, deployment=desk.deployment))
        if self.rule_name not in RULES:
            known = ", ".join((*RULES, JUDGED))
            raise typer.BadParameter(f"There is no rule {self.rule_name!r}: write one of {known}.")
        return RULES[self.rule_name]

    @property
    def duel(self) -> Duel | None:
        """None: no share is wished for, nor can a request wish for one itself."""
        if self.duel_share and not self.duel_budget:
            raise typer.BadParameter("Duels cost something: say how much they may, with --duel-budget.")
        return Duel(share=self.duel_share, budget=self.duel_budget) if self.duel_budget else None

    @property
    def audits(self) -> Audits | None:
        return Audits(budget=self.audit_budget) if self.audit_budget else None


def proxied(
    desk: Desk,
    *,
    budget: Atoms,
    most: Atoms,
    host: str,
    port: int,
    api_key_file: Path | None,
    tokenizers: Sequence[str],
    manner: Manner,
) -> Course:
    """Where it serves, and at the end what came in and what it cost.

    Raises
    ------
    KeyRequired :
        Others could reach it, and no key is asked of them.
    CannotListen :
        The port is taken.
    """
    assert desk.market  # Checked before a password is asked for.
    if not budget or not most:
        raise AmountError("A proxy that may spend nothing buys nothing.")
    door = Door(key=desk.proxy_key(api_key_file))
    door.require_safe(host)
    duel, audits, folders = manner.duel, manner.audits, _folders(tokenizers)
    rule = manner.rule(desk)
    with open_purse(desk) as purse:
        before, _ = purse.spending()
    paying = transport(
        desk.key(),
        rpc=desk.settings.rpc,
        deployment=desk.deployment,
        budget=Budget(total=before + budget, per_request=min(most, budget)),
        home=desk.settings.home,
        rule=rule,
        tokenizers=folders,
        continues=manner.continues,
        hedges=manner.hedges,
        duel=duel,
        audits=audits,
        transactions=manner.transactions,
    )
    return Course(_served(desk, Proxy(paying, door), paying.session.purse.share, host, port))


def _served(desk: Desk, proxy: Proxy, share: Share, host: str, port: int) -> Iterator[View]:
    with asyncio.Runner() as runner:
        try:
            runner.run(proxy.start(host, port))
            yield lines({"url": proxy.url}, f"Serving {proxy.url} until Ctrl-C.")
            runner.run(proxy.serve())
        finally:
            runner.run(proxy.aclose())
    data = {"requests": proxy.answered, "spent": str(share.spent)}
    yield lines(
        data,
        f"{proxy.answered} requests came in, refused ones among them. Their answers cost "
        f"{show_exactly(share.spent, desk.asset)}.",
    )


def _folders(given: Sequence[str]) -> Mapping[str, Path]:
    pairs = [item.partition("=") for item in given]
    if any(not model or not folder for model, _, folder in pairs):
        raise typer.BadParameter("Write a tokenizer as MODEL=FOLDER.")
    return {model: Path(folder) for model, _, folder in pairs}
