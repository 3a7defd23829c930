"""Moves what the provider earned to where its policy wants it: into the account that buys, and into stake.

Its functions wait for the chain, and so run in a thread. Each looks before it sends: done twice, it does
nothing.
"""

from typing import Protocol

import structlog

from tallystick.ports import Account, Head
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import Address, Atoms

log = structlog.get_logger("tallystick.treasury")


class Vault(Protocol):
    """The contract, in the hands of one wallet. Raises ChainError."""

    def head(self) -> Head: ...

    def account(self, payer: Address) -> Account: ...

    def stake(self, provider: Address) -> Stake: ...

    def balance_of(self, provider: Address) -> Atoms: ...

    def asset_balance(self, address: Address) -> Atoms: ...

    def withdraw(self) -> object: ...

    def deposit(self, amount: Atoms) -> object: ...

    def add_stake(self, amount: Atoms) -> object: ...

    def request_unstake(self, amount: Atoms) -> object: ...

    def unstake(self) -> object: ...


def refill(vault: Vault, wallet: Address, keep: Atoms) -> Atoms:
    """What was moved so that `keep` are free on the wallet's account again: once half of it is gone, so that
    not each answer costs a transaction. Raises ChainError."""
    free = vault.account(wallet).free
    if free > keep // 2:
        return Atoms(0)
    moved = _gather(vault, wallet, Atoms(keep - free))
    if moved:
        vault.deposit(moved)
        log.info("account.refilled", atoms=moved, free=free + moved)
    return moved


def restake(vault: Vault, wallet: Address, wanted: Atoms) -> None:
    """Towards `wanted` at stake. What was asked back before is paid out first, once its notice is over, and
    nothing more is asked back until then. Raises ChainError."""
    stake = vault.stake(wallet)
    if stake.exiting and stake.exits_at <= vault.head().timestamp:
        vault.unstake()
    if wanted > stake.staked:
        moved = _gather(vault, wallet, Atoms(wanted - stake.staked))
        if moved:
            vault.add_stake(moved)
            log.info("stake.raised", staked=stake.staked + moved)
    elif wanted < stake.staked and not stake.exiting:
        vault.request_unstake(Atoms(stake.staked - wanted))
        log.info("stake.lowered", staked=wanted)


def _gather(vault: Vault, wallet: Address, needed: Atoms) -> Atoms:
    """So much in the wallet, or what there is."""
    held = vault.asset_balance(wallet)
    if held < needed and vault.balance_of(wallet):
        vault.withdraw()
        held = vault.asset_balance(wallet)
    return Atoms(min(needed, held))
