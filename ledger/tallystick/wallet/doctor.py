"""What may be wrong, found before it costs anything: each check a line, with what to do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.wallet.command import command

if TYPE_CHECKING:
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.view import View


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's."""

    name: str
    ok: bool
    text: str
    """What was found, or what to do."""
    optional: bool = False
    """Somebody may well live without it."""


def register(app: typer.Typer) -> None:
    command(app)(doctor)


def doctor(
    desk: "Desk",
    engine: Annotated[
        list[str] | None, typer.Option(help="An engine's URL to try; may be given more than once.")
    ] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option(help="A gateway's URL to try; may be given more than once.")
    ] = None,
) -> "View":
    """Check chain, market, wallets, machines; say what to do."""
    from tallystick.wallet.view import View

    checks = list(_checks(desk, engine or [], endpoint or []))
    data = {
        "ok": all(check.ok or check.optional for check in checks),
        "checks": [
            {"name": check.name, "ok": check.ok, "optional": check.optional, "text": check.text}
            for check in checks
        ],
    }
    marks = {(True, True): "ok  ", (True, False): "ok  ", (False, True): "--  ", (False, False): "FAIL"}
    text = [f"{marks[check.ok, check.optional]}  {check.name:<12} {check.text}" for check in checks]
    return View(data, "\n".join(text))


def _checks(desk: "Desk", engines: list[str], endpoints: list[str]) -> Iterator[Check]:
    from tallystick.chain.local import find_anvil
    from tallystick.wallet.probes import engine_trouble

    yield _check("chain", lambda: _chain(desk))
    yield _check("deployment", lambda: _deployment(desk))
    yield _check("keystore", lambda: _keystore(desk))
    yield _check("wallet", lambda: _wallet(desk))
    yield _check("offers", lambda: _offers(desk))
    yield from _stake(desk)
    yield _check("anvil", lambda: str(find_anvil()), optional=True)
    for url in engines:
        trouble = engine_trouble(url)
        yield Check("engine", trouble is None, trouble or f"{url} answers")
    for url in endpoints:
        yield _endpoint(desk, url)


def _check(name: str, look: Callable[[], str], *, optional: bool = False) -> Check:
    from tallystick.protocol.errors import MarketError

    try:
        return Check(name, True, look(), optional)
    except MarketError as error:
        return Check(name, False, str(error), optional)


def _chain(desk: "Desk") -> str:
    from tallystick.chain.rpc import quantity

    chain_id = quantity(desk.rpc.call("eth_chainId"))
    number = quantity(desk.rpc.call("eth_blockNumber"))
    return f"{desk.settings.rpc} follows chain {chain_id}, at block {number}"


def _deployment(desk: "Desk") -> str:
    from tallystick.protocol.units import to_hex

    desk.market.check()
    notices = desk.market.notices()
    seconds = notices.exit_s, notices.close_s, notices.unstake_s
    exit_, close, unstake = (timedelta(seconds=each) for each in seconds)
    return (
        f"the market {to_hex(desk.deployment.market)} settles in {desk.asset.symbol}; "
        f"notices: exit {exit_}, close {close}, unstake {unstake}"
    )


def _keystore(desk: "Desk") -> str:
    from tallystick.chain.errors import KeystoreError

    folder, wallets = desk.keystore.folder, desk.keystore.list()
    if not wallets:
        raise KeystoreError(f"There is no wallet in {folder}. Make one with `tally wallet new NAME`.")
    open_to_others = [wallet.name for wallet in wallets if wallet.path.stat().st_mode & 0o077]
    if open_to_others:
        raise KeystoreError(
            f"Others can read {', '.join(open_to_others)} in {folder}. Run chmod 600 on their files."
        )
    return f"{len(wallets)} in {folder}"


def _wallet(desk: "Desk") -> str:
    from tallystick.chain.errors import GasUnaffordable
    from tallystick.protocol.units import to_hex
    from tallystick.wallet.money import show_amount, show_coins

    wallet = desk.wallet
    coins = desk.market.gas_balance(wallet.address)
    if coins == 0:
        raise GasUnaffordable(
            f"{wallet.name} ({to_hex(wallet.address)}) holds no gas, so it can send no transaction. Send it "
            "some (on a local chain: tally faucet)."
        )
    free = show_amount(desk.market.account(wallet.address).free, desk.asset)
    return f"{wallet.name} {to_hex(wallet.address)} has {show_coins(coins)} for gas and {free} free"


def _offers(desk: "Desk") -> str:
    found = desk.market.offers()
    return f"{len(found)} hold now, of {len({posted.offer.provider for posted in found})} providers"


def _stake(desk: "Desk") -> Iterator[Check]:
    """Of a wallet that ever offered anything: payers see no offer without it."""
    from tallystick.protocol.errors import MarketError
    from tallystick.wallet.money import show_exactly

    try:
        own, market = desk.wallet.address, desk.market
        if not any(market.offers_of(own)):
            return
        staked, required = market.stake(own).staked, market.minimum_stake()
    except MarketError:
        return  # Said above.
    held = f"{show_exactly(staked, desk.asset)} are staked"
    needed = f"and the market's minimum is {show_exactly(required, desk.asset)}"
    if staked >= required:
        yield Check("stake", True, f"{held}, {needed}")
        return
    yield Check(
        "stake",
        False,
        f"{held}, {needed}: payers do not see your offers, and your node does not sell. If you did not take "
        "it out, it was slashed: before you stake again, find out what signed falsely and name another "
        "receipt key.",
    )


def _endpoint(desk: "Desk", url: str) -> Check:
    from tallystick.protocol.errors import MarketError
    from tallystick.protocol.units import ZERO_HASH
    from tallystick.wallet.probes import endpoint_trouble

    url = url.rstrip("/")
    try:
        keys = [posted.offer.endpoint_key for posted in desk.market.offers() if posted.offer.endpoint == url]
    except MarketError as error:
        return Check("endpoint", False, str(error))
    if not keys:
        said = (
            f"No offer that holds now names {url}. Its node posts one as it starts, and so does `tally join`."
        )
        return Check("endpoint", False, said)
    trouble = endpoint_trouble(url, keys[-1] if keys else ZERO_HASH)
    return Check("endpoint", trouble is None, trouble or f"{url} answers with the key that its offer names")
