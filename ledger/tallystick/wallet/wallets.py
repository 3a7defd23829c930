"""Wallets on this machine: Keystore V3 files, one a name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.wallet.command import command

if TYPE_CHECKING:
    from tallystick.protocol.signed import Key
    from tallystick.wallet.desk import Desk
    from tallystick.wallet.view import View

app = typer.Typer(no_args_is_help=True, help="Wallets on this machine: new, import, list, remove, …")

Name = Annotated[str, typer.Argument(help="Name of the wallet.", show_default=False)]
OptionalName = Annotated[str | None, typer.Argument(help="Name of the wallet; else the acting one.")]


@command(app, "new")
def new(desk: "Desk", name: Name) -> "View":
    """Make a new key and keep it under a password."""
    key = desk.keystore.create(name, desk.password(name, new=True))
    return _made(desk, name, key)


@command(app, "import")
def import_(
    desk: "Desk",
    name: Name,
    keystore: Annotated[
        Path | None, typer.Option(help="A Keystore V3 file to copy; else a private key is asked for.")
    ] = None,
    key_file: Annotated[Path | None, typer.Option(help="File that holds the private key as 0x….")] = None,
) -> "View":
    """Keep a key made elsewhere."""
    if keystore is not None:
        from tallystick.chain.keys import open_keystore

        key = open_keystore(keystore, desk.password(keystore.name))
    else:
        key = _secret(desk, key_file)
    desk.keystore.save(name, key, desk.password(name, new=True))
    return _made(desk, name, key)


@command(app, "list")
def list_(desk: "Desk") -> "View":
    """Name the wallets of this machine."""
    from tallystick.protocol.units import to_hex
    from tallystick.wallet.view import table

    wallets = desk.keystore.list()
    data = [{"name": wallet.name, "address": to_hex(wallet.address)} for wallet in wallets]
    rows = [(wallet.name, to_hex(wallet.address)) for wallet in wallets]
    return table(data, ("name", "address"), rows, empty="There is no wallet yet: tally wallet new NAME")


@command(app, "remove", signs=True)
def remove(desk: "Desk", name: Name) -> "View":
    """Delete a key from this machine."""
    from tallystick.protocol.units import to_hex
    from tallystick.wallet.view import lines

    wallet = desk.keystore.find(name)
    desk.confirm(
        f"Delete the key of {name} ({to_hex(wallet.address)})? "
        "What it owns is lost unless the key is kept elsewhere."
    )
    desk.keystore.remove(name)
    return lines({"removed": name, "address": to_hex(wallet.address)}, f"Removed {name}.")


@command(app, "change-password")
def change_password(
    desk: "Desk",
    name: Name,
    new_password_file: Annotated[
        Path | None, typer.Option(help="File whose first line is the new password; else a prompt.")
    ] = None,
) -> "View":
    """Put a wallet under another password."""
    from tallystick.wallet.view import lines

    desk.keystore.find(name)
    old = desk.password(name)
    new = desk.secret(f"new password of {name}", new_password_file)
    desk.keystore.change_password(name, old, new)
    return lines({"changed": name}, f"The password of {name} is changed.")


@command(app, "address")
def address(desk: "Desk", name: OptionalName = None) -> "View":
    """Say a wallet's address."""
    from tallystick.protocol.units import to_hex
    from tallystick.wallet.view import lines

    wallet = desk.wallet if name is None else desk.keystore.find(name)
    return lines({"name": wallet.name, "address": to_hex(wallet.address)}, to_hex(wallet.address))


def _secret(desk: "Desk", key_file: Path | None) -> "Key":
    from tallystick.chain.errors import KeystoreError
    from tallystick.protocol.signed import Key

    text = desk.secret("private key (0x…)", key_file)
    try:
        return Key(bytes.fromhex(text.strip().removeprefix("0x").rjust(64, "0")))
    except ValueError as error:
        raise KeystoreError("That is no private key: it should be 64 hex digits after 0x.") from error


def _made(desk: "Desk", name: str, key: "Key") -> "View":
    from tallystick.protocol.units import to_hex
    from tallystick.wallet.view import lines

    path = desk.keystore.find(name).path
    return lines(
        {"name": name, "address": to_hex(key.address), "path": str(path)},
        f"{name} is {to_hex(key.address)}.",
        f"Its key is in {path}: keep a copy of that file and of its password.",
    )
