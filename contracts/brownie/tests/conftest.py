"""anvil counts a transaction for its sender a moment before it shows it, or its receipt. On a slow machine brownie
looks in between, and takes it for dropped: here it looks again."""

import time

import pytest
from brownie import web3
from web3.exceptions import TransactionNotFound

PATIENCE_S = 5.0


def patient(look):
    def look_until_shown(txid):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return look(txid)
            except TransactionNotFound:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    return look_until_shown


@pytest.fixture(scope="session", autouse=True)
def patience():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("get_transaction", "get_transaction_receipt"):
            patch.setattr(web3.eth, name, patient(getattr(web3.eth, name)))
        yield
