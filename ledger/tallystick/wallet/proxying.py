"""How `tally proxy` serves: the SDK's transport behind its proxy, and what it says on the way."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import typer

from tallystick.client.budget import Budget
from tallystick.client.proxy import Door, Proxy
from tallystick.client.transport import Transport, transport
from tallystick.protocol.units import Atoms
from tallystick.wallet.desk import Desk
from tallystick.wallet.money import AmountError, show_exactly
from tallystick.wallet.purses import open_purse
from tallystick.wallet.view import Course, View, lines


def proxied(
    desk: Desk,
    *,
    budget: Atoms,
    most: Atoms,
    host: str,
    port: int,
    api_key_file: Path | None,
    tokenizers: Sequence[str],
) -> Course:
    """Where it serves, and at the end what that cost.

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
    paying, before = _paying(desk, budget, most, _folders(tokenizers))
    return Course(_served(desk, Proxy(paying, door), before, host, port))


def _paying(
    desk: Desk, budget: Atoms, most: Atoms, tokenizers: Mapping[str, Path]
) -> tuple[Transport, Atoms]:
    """And what the purse spent in its life before, on top of which the budget is."""
    with open_purse(desk) as purse:
        before, _ = purse.spending()
    settings = desk.settings
    paying = transport(
        desk.key(),
        rpc=settings.rpc,
        deployment=desk.deployment,
        budget=Budget(total=before + budget, per_request=min(most, budget)),
        home=settings.home,
        tokenizers=tokenizers,
    )
    return paying, before


def _served(desk: Desk, proxy: Proxy, before: Atoms, host: str, port: int) -> Iterator[View]:
    with asyncio.Runner() as runner:
        try:
            runner.run(proxy.start(host, port))
            yield lines({"url": proxy.url}, f"Serving {proxy.url} until Ctrl-C.")
            runner.run(proxy.serve())
        finally:
            runner.run(proxy.aclose())
    with open_purse(desk) as purse:  # What was acknowledged last is in it.
        spent = Atoms(purse.spending()[0] - before)
    data = {"requests": proxy.answered, "spent": str(spent)}
    yield lines(data, f"{proxy.answered} requests, {show_exactly(spent, desk.asset)} spent.")


def _folders(given: Sequence[str]) -> Mapping[str, Path]:
    pairs = [item.partition("=") for item in given]
    if any(not model or not folder for model, _, folder in pairs):
        raise typer.BadParameter("Write a tokenizer as MODEL=FOLDER.")
    return {model: Path(folder) for model, _, folder in pairs}
