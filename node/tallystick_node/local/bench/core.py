"""CPU time of what the protocol core does per request, beside eth-account doing the same, and what it takes
to keep a request. Medians of rounds, in microseconds."""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from functools import partial, reduce
from pathlib import Path
from statistics import median
from typing import Final

from eth_account import Account
from eth_account.messages import encode_typed_data

from tallystick.protocol.eip712 import digest, keccak
from tallystick.protocol.merkle import Mountains
from tallystick.protocol.signed import Key, Signed, recover, sign, verify
from tallystick.protocol.units import ZERO_HASH, Milliseconds
from tallystick.protocol.voucher import Tally, Voucher
from tallystick.protocol.wire import Credential, authorization, read_authorization, receipt_text
from tallystick_node.local.bench.row import Row
from tallystick_node.local.bench.samples import DOMAIN, channel_of, receipt_of, typed_data, voucher_of
from tallystick_node.store.records import (
    ChannelSaved,
    ReceiptIssued,
    RequestEnded,
    RequestStarted,
    Store,
    VoucherSaved,
)
from tallystick_node.store.sqlite import SqliteStore

_SECTION: Final = "signatures and storage, one core"
_ANSWER: Final = b"x" * 600
"""Of the size of a short answer with its frame."""
_DURABILITIES: Final[dict[str, Callable[[Path], Store]]] = {
    "process": partial(SqliteStore, durability="process"),
    "power": partial(SqliteStore, durability="power"),
}


def measure_core(rounds: int, folder: Path) -> list[Row]:
    key = Key(keccak(b"a session key"))
    rows = [*_checking(key, rounds), *_signing(key, rounds), *_merkle(rounds)]
    rows += [
        row for name, opened in _DURABILITIES.items() for row in _durable(key, name, opened, folder, rounds)
    ]
    return rows


def _checking(key: Key, rounds: int) -> Iterator[Row]:
    signed = sign(voucher_of(key), DOMAIN, key).signed
    hashed = digest(DOMAIN, signed.message.struct_hash())
    header = authorization(Credential(voucher=signed, offer_hash=keccak(b"offer")))

    def theirs() -> None:
        data = typed_data(read_authorization(header).voucher.message)
        signer = Account.recover_message(encode_typed_data(full_message=data), signature=signed.signature)
        assert bytes.fromhex(signer[2:]) == key.address

    yield _row(
        "check a voucher: read the header, verify",
        lambda: verify(read_authorization(header).voucher, DOMAIN, signer=key.address),
        rounds,
        target=100,
        theirs=theirs,
    )
    yield _row("  read the header", lambda: read_authorization(header), rounds)
    yield _row("  hash", lambda: digest(DOMAIN, signed.message.struct_hash()), rounds)
    yield _row("  recover", lambda: recover(hashed, signed.signature), rounds)


def _signing(key: Key, rounds: int) -> Iterator[Row]:
    receipt = receipt_of(key)
    data, account = typed_data(receipt), Account.from_key(key.secret)
    yield _row(
        "sign a receipt",
        lambda: sign(receipt, DOMAIN, key),
        rounds,
        target=60,
        theirs=lambda: account.sign_message(encode_typed_data(full_message=data)),
    )
    yield _row("  hash", lambda: digest(DOMAIN, receipt.struct_hash()), rounds)
    signed = sign(receipt, DOMAIN, key).signed
    yield _row("  write it for the wire", lambda: receipt_text(signed), rounds)
    voucher = sign(voucher_of(key), DOMAIN, key).signed
    credential = Credential(voucher=voucher, offer_hash=ZERO_HASH)
    yield _row("write a voucher's header", lambda: authorization(credential), rounds)


def _merkle(rounds: int) -> Iterator[Row]:
    mountains = reduce(Mountains.append, [keccak(bytes([i % 256])) for i in range(1_023)], Mountains())
    yield _row("append to the receipts' Merkle range", lambda: mountains.append(ZERO_HASH), rounds)
    yield _row("  its root, after 1,023", lambda: mountains.root, rounds)


def _row(
    name: str,
    act: Callable[[], object],
    rounds: int,
    *,
    target: float | None = None,
    theirs: Callable[[], object] | None = None,
) -> Row:
    return Row(
        section=_SECTION,
        name=name,
        value=_microseconds(act, rounds=rounds, calls=400),
        unit="µs",
        target=target,
        baseline=None if theirs is None else _microseconds(theirs, rounds=max(3, rounds // 5), calls=20),
        baseline_name="" if theirs is None else "eth-account",
    )


def _microseconds(act: Callable[[], object], *, rounds: int, calls: int) -> float:
    """Median over rounds of the mean CPU time of one call."""
    times = []
    act()
    gc.disable()
    for _ in range(rounds):
        start = time.process_time_ns()
        for _ in range(calls):
            act()
        times.append((time.process_time_ns() - start) / calls / 1000)
    gc.enable()
    return median(times)


def _durable(
    key: Key, name: str, opened: Callable[[Path], Store], folder: Path, rounds: int
) -> Iterator[Row]:
    """By the clock, for it may wait for the disk: one request after another, nothing to share a commit
    with."""
    store = opened(folder / f"{name}.db")
    times = asyncio.run(_requests(store, key, max(200, 20 * rounds)))
    yield Row(
        section=_SECTION,
        name=f"a durable request ({name}): check, save, sign, save",
        value=median(times) * 1e6,
        unit="µs",
        target=1_000 if name == "process" else None,
    )
    if isinstance(store, SqliteStore):
        store.close()


async def _requests(store: Store, key: Key, count: int) -> list[float]:
    tally, times = Tally(), []
    channel = channel_of(key)
    await store.save(
        ChannelSaved(key=channel, channel_id=channel.id, grant=None, closed=False, refusing=False)
    )
    for nonce in range(1, count + 1):
        hashed = keccak(nonce.to_bytes(8, "big"))
        voucher = sign(tally.voucher(channel.id, request_hash=hashed, request_nonce=nonce), DOMAIN, key)
        begun = time.perf_counter()
        tally = await _request(store, key, voucher.signed, tally)
        times.append(time.perf_counter() - begun)
    return times


async def _request(store: Store, key: Key, signed: Signed[Voucher], tally: Tally) -> Tally:
    """What a gateway does for one between its socket and its engine, and back; the tally afterwards."""
    voucher = verify(signed, DOMAIN, signer=key.address).message
    nonce = voucher.acknowledgement.request_nonce
    channel_id = voucher.channel_id
    await store.save(
        VoucherSaved(voucher=signed, tally=tally),
        RequestStarted(channel_id=channel_id, nonce=nonce, request_hash=voucher.acknowledgement.request_hash),
    )
    receipt = receipt_of(key, sequence=tally.count, cumulative_cost=tally.amount + 196)
    issued = sign(receipt, DOMAIN, key).signed
    await store.save(
        ReceiptIssued(receipt=issued, text=receipt_text(issued), nonce=nonce, content=_ANSWER),
        RequestEnded(
            channel_id=channel_id,
            nonce=nonce,
            media_type="application/json",
            content=b"",
            ended_at=Milliseconds(1),
        ),
    )
    return tally.append(receipt)
