"""How `tally proxy` serves: the SDK's transport behind its proxy, and what it says on the way."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from tallystick.client.budget import Budget
from tallystick.client.choose import Rule
from tallystick.client.proxy import Door, Proxy
from tallystick.client.rules import RULES
from tallystick.client.spending import Share
from tallystick.client.transport import transport
from tallystick.protocol.units import Atoms
from tallystick.wallet.desk import Desk
from tallystick.wallet.money import AmountError, show_exactly
from tallystick.wallet.purses import open_purse
from tallystick.wallet.view import Course, View, lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a proxy buys, unless a request says otherwise."""

    rule_name: str
    continues: bool
    hedges: bool

    @property
    def rule(self) -> Rule:
        if self.rule_name not in RULES:
            raise typer.BadParameter(f"There is no rule {self.rule_name!r}: write one of {', '.join(RULES)}.")
        return RULES[self.rule_name]


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
    rule, folders = manner.rule, _folders(tokenizers)
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
