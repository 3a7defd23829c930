"""What a command works with, each opened when it is first asked for: node, market, keystore, wallet, key.

Passwords and confirmations are asked for here, on standard error: standard output is the answer's.
"""

import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import typer

from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import KeystoreError
from tallystick.chain.keys import Keystore, Wallet
from tallystick.chain.local import LOCAL_CHAIN_IDS
from tallystick.chain.market import Asset, Market
from tallystick.chain.rpc import Rpc
from tallystick.chain.sender import Sender
from tallystick.chain.transaction import Mined, Preview
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Address, Atoms, address, to_hex
from tallystick.wallet.errors import NotLocal
from tallystick.wallet.money import read_amount
from tallystick.wallet.settings import Settings

RECEIPTS: Final = "-receipts"
"""Ends the name of the wallet that signs another one's receipts."""


class Desk:
    """One command's means."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self._passwords: dict[str, str] = {}
        self._keys: dict[str, Key] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "rpc" in self.__dict__:
            self.rpc.close()

    # ------------------------------------------------------------------------------------- the chain

    @cached_property
    def rpc(self) -> Rpc:
        return Rpc(self.settings.rpc)

    @cached_property
    def deployment(self) -> Deployment:
        return Deployment.load(self.settings.deployment)

    @cached_property
    def market(self) -> Market:
        """To read; it is where the deployment says."""
        market = Market(self.rpc, self.deployment)
        market.check()
        return market

    @cached_property
    def signing_market(self) -> Market:
        """To write, as the acting wallet: each transaction is shown and confirmed first."""
        assert self.market  # Checked before a password is asked for.
        sender = Sender(self.rpc, self.deployment.chain_id, self.key(), confirm=self._confirm)
        return Market(self.rpc, self.deployment, sender)

    @cached_property
    def asset(self) -> Asset:
        return self.market.asset()

    def amount(self, text: str) -> Atoms:
        """Raises AmountError."""
        return read_amount(text, self.asset)

    def require_local(self) -> None:
        """Raises NotLocal."""
        if self.deployment.chain_id not in LOCAL_CHAIN_IDS:
            raise NotLocal(
                f"Chain {self.deployment.chain_id} is no local one: get the asset from somebody who has it.",
                actual=self.deployment.chain_id,
            )

    # ------------------------------------------------------------------------------------- wallets

    @cached_property
    def keystore(self) -> Keystore:
        return Keystore(self.settings.keystore)

    @cached_property
    def wallet(self) -> Wallet:
        """The acting one; raises KeystoreError."""
        if self.settings.wallet is not None:
            return self.keystore.find(self.settings.wallet)
        everyone = self.keystore.list()
        names = {wallet.name for wallet in everyone}
        # What `join` made to sign receipts never acts for itself.
        wallets = [
            wallet for wallet in everyone if wallet.name.removesuffix(RECEIPTS) not in names - {wallet.name}
        ]
        if not wallets:
            raise KeystoreError(
                f"There is no wallet in {self.keystore.folder}. Make one with `tally wallet new NAME`."
            )
        if len(wallets) > 1:
            several = ", ".join(wallet.name for wallet in wallets)
            raise KeystoreError(
                f"There are several wallets ({several}). Say which acts: --wallet NAME or TALLYSTICK_WALLET."
            )
        return wallets[0]

    def key(self, name: str | None = None) -> Key:
        """Of the acting wallet, or of another; asks for the password once."""
        name = name or self.wallet.name
        if name not in self._keys:
            self.keystore.find(name)
            self._keys[name] = self.keystore.load(name, self.password(name))
        return self._keys[name]

    def party(self, text: str | None) -> Address:
        """An address, a wallet's name, or the acting wallet; raises WalletUnknown, or KeystoreError."""
        if text is None:
            return self.wallet.address
        if text.startswith("0x"):
            try:
                return address(text)
            except ValueError as error:
                raise KeystoreError(f"{text} is no address: {error}.") from error
        return self.keystore.find(text).address

    def password(self, name: str, *, new: bool = False) -> str:
        """From file or environment, else typed; a new one twice; raises KeystoreError."""
        given = self._given_password()
        if given is not None:
            return given
        if name not in self._passwords:
            if not sys.stdin.isatty():
                raise KeystoreError(
                    f"The password of {name} is needed: give --password-file or TALLYSTICK_PASSWORD."
                )
            self._passwords[name] = typer.prompt(
                f"Password of {name}", hide_input=True, confirmation_prompt=new, err=True
            )
        return self._passwords[name]

    def secret(self, what: str, path: Path | None) -> str:
        """The first line of a file, else typed and not shown; raises KeystoreError."""
        if path is not None:
            return _first_line(path)
        if not sys.stdin.isatty():
            raise KeystoreError(f"The {what} is needed and nobody is there to type it: give it in a file.")
        text: str = typer.prompt(f"The {what}", hide_input=True, confirmation_prompt="new" in what, err=True)
        return text

    def proxy_key(self, path: Path | None) -> str | None:
        """What programs must bring to the proxy, from file or environment; raises KeystoreError where it is
        empty."""
        key = self.settings.proxy_key if path is None else _first_line(path)
        if key is not None and not key.strip():
            raise KeystoreError("The proxy's API key is empty: anybody could guess it.")
        return key and key.strip()

    def _given_password(self) -> str | None:
        path = self.settings.password_file
        return self.settings.password if path is None else _first_line(path)

    # ------------------------------------------------------------------------------------- asking

    def confirm(self, question: str) -> None:
        """Goes on only with a yes: --yes, or typed. Raises Abort, or KeystoreError where nobody can type."""
        if self.settings.yes:
            return
        if not sys.stdin.isatty():
            raise KeystoreError("This needs a yes, and nobody is there to type it. Give --yes.")
        typer.confirm(question, abort=True, err=True)

    def _confirm(self, preview: Preview) -> None:
        from rich.console import Console

        from tallystick.wallet.render import preview_shown

        console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        console.print(preview_shown(preview, self.asset, self.deployment, self.wallet.name))
        self.confirm("Sign and send it?")


def _first_line(path: Path) -> str:
    try:
        content = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise KeystoreError(f"{path} cannot be read: {error}.") from error
    return content.splitlines()[0] if content else ""


def sent(data: dict[str, Any], mined: Sequence[Mined]) -> dict[str, Any]:
    """The JSON of a command that sent transactions."""
    return data | {
        "transactions": [
            {
                "hash": to_hex(item.transaction),
                "block": item.block,
                "gasUsed": item.gas_used,
                "fee": str(item.fee),
            }
            for item in mined
        ]
    }
