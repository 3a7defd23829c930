"""A small market, written into the explorer's tables by hand: every case that a page tells apart, once.

Two payers, two providers; a channel that was closed and opened again, one that is closing, one that closed
with a last payment; a slash, a refused report, a skipped row; published receipts; hostile words.
"""

import json
from typing import Any, Final

from sqlalchemy import Connection, Table, create_engine, insert

from tallystick.chain import contracts
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.units import Address
from tallystick_node.explorer import schema

HOUR: Final = 3_600
START: Final = 1_760_000_400 - 1_760_000_400 % HOUR
"""Of the first hour."""
NOW: Final = START + 10 * HOUR
MARKET, ASSET = bytes([0xAA]) * 20, bytes([0xAB]) * 20

ALICE, BOB = (Address(bytes([n]) * 20) for n in (0xA1, 0xB0))
"""Payers."""
CARL, DORA = (Address(bytes([n]) * 20) for n in (0xC0, 0xD0))
"""Providers: Dora was slashed."""
EVE = Address(b"\xee" * 20)
"""Who reported her."""

HOSTILE_MODEL: Final = '<script>alert("m")</script>\u202e=1+1\n"quoted\' onerror=x'
HOSTILE_ENDPOINT: Final = 'https://evil.example/"><img src=x onerror=alert(1)>' + "é" * 100
MODEL: Final = "small-model"
DUELS: Final = ("duels_won", "duels_lost", "duels_tied", "prizes_won", "prizes_lost", "penalties")
"""Columns of providers, of whom none ever duelled here."""


def key(payer: bytes, provider: bytes, session: int, epoch: int = 0) -> ChannelKey:
    return ChannelKey(
        payer=Address(payer),
        provider=Address(provider),
        session_key=Address(bytes([session]) * 20),
        epoch=epoch,
    )


FIRST, AGAIN = key(ALICE, CARL, 0x51), key(ALICE, CARL, 0x51, 1)
"""Two lives of one channel."""
CLOSING = key(BOB, CARL, 0x52)
LAST = key(BOB, DORA, 0x53)
"""Closed by its payer, above what was settled."""


def hash_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


ACKNOWLEDGED: Final = hash_of(0xACC)
"""By the settlements."""
OFFERED, HOSTILE_OFFER = hash_of(0x0FFE), hash_of(0x0FFF)


def settle_call() -> bytes:
    """Carl's, of the vouchers of two channels, one of them presented twice."""
    rows = [
        (life.payer, life.session_key, life.epoch, total, ACKNOWLEDGED, hash_of(1), hash_of(2))
        for life, total in ((FIRST, 150), (CLOSING, 200), (FIRST, 150))
    ]
    return contracts.market().call(Address(MARKET), "settle", CARL, rows).data


class Small:
    """Rows by table, in the order in which they were put."""

    def __init__(self) -> None:
        self.rows: dict[Table, list[dict[str, Any]]] = {table: [] for table in schema.METADATA.sorted_tables}
        self._fill()

    def put(self, table: Table, **row: Any) -> None:
        self.rows[table].append(row)

    def write(self, url: str) -> None:
        """Into a database that is empty, by a driver that is not asynchronous."""
        engine = create_engine(url)
        with engine.begin() as connection:
            self.insert(connection)
        engine.dispose()

    def insert(self, connection: Connection) -> None:
        schema.METADATA.create_all(connection)
        for table, rows in self.rows.items():
            if rows:
                connection.execute(insert(table), rows)

    def _fill(self) -> None:
        self._chain()
        self._parties()
        self._offers()
        self._channels()
        self._disputes()
        self._receipts()

    def block(self, number: int, hour: int, *, transactions: int = 1, events: int = 1) -> None:
        self.put(
            schema.blocks,
            number=number,
            hash=hash_of(0xB000 + number),
            parent=hash_of(0xB000 + number - 1),
            timestamp=START + hour * HOUR,
            base_fee=7,
            gas_used=100_000,
            transactions=transactions,
            events=events,
            transfers=0,
            held=10**9,
            owed=10**9,
            duels_held=0,
            duels_owed=0,
            audits_held=0,
            audits_owed=0,
        )

    def sent(self, block: int, position: int, call: str, sender: bytes, **more: Any) -> None:
        row = {
            "recipient": MARKET,
            "input": b"\x01\x02\x03\x04",
            "succeeded": True,
            "error": None,
            "gas_used": 50_000,
            "gas_price": 10,
            "cost": 500_000,
            "events": 1,
            "timestamp": START + block * HOUR // 10,
        }
        place = {"block": block, "position": position, "hash": hash_of(0x7000 + 100 * block + position)}
        self.put(schema.transactions, call=call, sender=sender, **place, **{**row, **more})

    def event(self, block: int, log_index: int, name: str, arguments: dict[str, Any], **whose: Any) -> None:
        row = {"payer": None, "provider": None, "channel_id": None, "position": 0}
        place = {"block": block, "log_index": log_index, "transaction_hash": hash_of(0x7000 + 100 * block)}
        text = {"name": name, "arguments": json.dumps(arguments)}
        self.put(schema.events, timestamp=START + block * HOUR // 10, **place, **text, **{**row, **whose})

    def _chain(self) -> None:
        self.put(
            schema.progress,
            id=1,
            version=schema.VERSION,
            chain_id=31337,
            market=MARKET,
            block=100,
            hash=hash_of(0xB064),
            timestamp=NOW,
            final=37,
        )
        for number in (10, 20, 30, 40, 50, 60):
            self.block(number, number // 10, events=3)
        for number in (97, 98, 99, 100):
            self.block(number, 10, transactions=0, events=0)
        self.sent(10, 0, "postOffer", CARL)
        self.sent(20, 0, "openChannels", ALICE)
        self.sent(30, 0, "settle", CARL, events=3, input=settle_call())
        self.sent(30, 1, "slashOvercharge", EVE, succeeded=False, error="The provider has nothing at stake.")
        self.sent(40, 0, "slashOvercharge", EVE)
        self.sent(50, 0, "", BOB, recipient=EVE)
        self.sent(60, 0, "settle", CARL)

    def _parties(self) -> None:
        ends = {"first_block": 20, "last_block": 60}
        for address, free, exiting, deposited, exited, paid, channels in (
            (ALICE, 700, 100, 2_000, 50, 350, 2),
            (BOB, 200, 0, 1_000, 0, 300, 2),
        ):
            amounts = {"free": free, "exiting": exiting, "deposited": deposited, "exited": exited}
            self.put(
                schema.accounts,
                address=address,
                **amounts,
                paid=paid,
                exits_at=NOW + HOUR if exiting else 0,
                channels=channels,
                **ends,
            )
        for address, staked, exiting, earned, slashed, slashes in (
            (CARL, 5_000, 1_000, 550, 0, 0),
            (DORA, 0, 0, 100, 4_000, 1),
        ):
            self.put(
                schema.providers,
                address=address,
                staked=staked,
                exiting=exiting,
                exits_at=NOW + HOUR if exiting else 0,
                balance=earned,
                earned=earned,
                withdrawn=0,
                slashed=slashed,
                receipt_key=address,
                minimum_sequence=0,
                offers=2 if address == CARL else 0,
                channels=2,
                settlements=3,
                slashes=slashes,
                **dict.fromkeys(DUELS, 0),
                **ends,
            )
        for number, made in enumerate((CARL, ALICE)):
            place = {"block": 10 + number, "log_index": 0, "timestamp": START}
            self.put(schema.receipt_keys, **place, provider=CARL, receipt_key=made)

    def _offers(self) -> None:
        for number, (name, model, endpoint) in enumerate(
            ((OFFERED, MODEL, "https://carl.example"), (HOSTILE_OFFER, HOSTILE_MODEL, HOSTILE_ENDPOINT))
        ):
            self.put(
                schema.offers,
                block=10,
                log_index=number,
                offer_hash=name,
                provider=CARL,
                sequence=(1 << 62) + number,
                endpoint=endpoint,
                endpoint_key=hash_of(1),
                model=model,
                model_hash=hash_of(0),
                input_price=1_000_000,
                cached_input_price=100_000,
                output_price=2_000_000,
                credit=10_000,
                context_length=4_096,
                valid_until=2**64 - 1,
                timestamp=START + HOUR // 2,
            )
            arguments = {"provider": f"0x{CARL.hex()}", "offer": {"model": model, "endpoint": endpoint}}
            self.event(10, number, "OfferPosted", arguments, provider=CARL)

    def _channels(self) -> None:
        for life, cap, settled, returned, settlements, opened, closes_at, closed in (
            (FIRST, 500, 150, 350, 1, 20, 0, 30),
            (AGAIN, 1_000, 200, 0, 1, 40, 0, 0),
            (CLOSING, 700, 200, 0, 1, 20, NOW + HOUR, 0),
            (LAST, 300, 100, 200, 0, 20, 0, 50),
        ):
            self.put(
                schema.channels,
                channel_id=life.id,
                payer=life.payer,
                provider=life.provider,
                session_key=life.session_key,
                epoch=life.epoch,
                cap=cap,
                settled=settled,
                returned=returned,
                settlements=settlements,
                opened_block=opened,
                opened_at=START + HOUR,
                closes_at=closes_at,
                closed_block=closed,
                closed_at=START + 5 * HOUR if closed else 0,
                last_block=60,
            )
        self._lives()
        for hour, settlements, paid in ((START + 3 * HOUR, 2, 350), (START + 6 * HOUR, 1, 200)):
            self.put(schema.provider_hours, provider=CARL, hour=hour, settlements=settlements, paid=paid)

    def _lives(self) -> None:
        def happened(life: ChannelKey, block: int, log_index: int, name: str, **arguments: str) -> None:
            whose = {"payer": life.payer, "provider": life.provider, "channel_id": life.id}
            named = {"channelId": f"0x{life.id.hex()}", **arguments}
            self.event(block, log_index, name, named, **whose)

        def settled(life: ChannelKey, block: int, log_index: int, paid: int, total: int) -> None:
            acknowledged = f"0x{ACKNOWLEDGED.hex()}"
            happened(life, block, log_index, "Settled", settled=str(total), acknowledgementHash=acknowledged)
            self.put(
                schema.settlements,
                block=block,
                log_index=log_index,
                position=0,
                transaction_hash=hash_of(0x7000 + 100 * block),
                channel_id=life.id,
                payer=life.payer,
                provider=life.provider,
                paid=paid,
                settled=total,
                acknowledgement_hash=ACKNOWLEDGED,
                timestamp=START + block * HOUR // 10,
            )

        for number, (life, cap) in enumerate(((FIRST, 500), (CLOSING, 700), (LAST, 300))):
            happened(life, 20, number, "ChannelOpened", cap=str(cap))
        settled(FIRST, 30, 0, 150, 150)
        settled(CLOSING, 30, 1, 200, 200)
        happened(FIRST, 30, 2, "RowSkipped", reason="NOT_GREATER")
        happened(FIRST, 30, 3, "ChannelClosed", settled="150", returned="350")
        happened(AGAIN, 40, 0, "ChannelOpened", cap="800")
        happened(AGAIN, 40, 1, "CapRaised", cap="1000")
        happened(CLOSING, 40, 2, "CloseRequested", closesAt=str(NOW + HOUR))
        happened(LAST, 50, 0, "ChannelClosed", settled="100", returned="200")
        settled(AGAIN, 60, 0, 200, 200)

    def _disputes(self) -> None:
        proof = {"receiptHash": f"0x{hash_of(7).hex()}", "price": "10", "cost": "20"}
        self.put(
            schema.frauds,
            block=40,
            log_index=4,
            transaction_hash=hash_of(0x7000 + 4_000),
            provider=DORA,
            kind="overcharge",
            reporter=EVE,
            evidence=json.dumps(proof),
            reward=2_000,
            burnt=2_000,
            timestamp=START + 4 * HOUR,
        )
        self.event(40, 3, "OverchargeProven", proof, provider=DORA)
        self.event(40, 4, "Slashed", {"reward": "2000", "burnt": "2000"}, provider=DORA)
        self.event(60, 1, "GrantSkipped", {"reason": "EXPIRED"}, payer=BOB, provider=DORA)

    def _receipts(self) -> None:
        """Three of the first life of a channel: 60 + 90 of 150 settled, and one that was not settled."""
        for sequence, (cost, cumulative, hour, finish) in enumerate(
            ((60, 60, 1, 0), (90, 150, 2, 1), (50, 200, 9, 1))
        ):
            self.put(
                schema.receipts,
                channel_id=FIRST.id,
                sequence=sequence,
                struct_hash=hash_of(0x4EC0 + sequence),
                offer_hash=OFFERED,
                model=MODEL,
                provider=CARL,
                payer=ALICE,
                input_tokens=20,
                cached_input_tokens=10,
                output_tokens=(cost - 11) // 2,
                finish=finish,
                received_at=(START + hour * HOUR) * 1_000,
                first_token_at=(START + hour * HOUR) * 1_000 + 250,
                finished_at=(START + hour * HOUR) * 1_000 + 2_250,
                cost=cost,
                cumulative_cost=cumulative,
                acknowledgement_hash=ACKNOWLEDGED,
                text=json.dumps({"receipt": {"channelId": f"0x{FIRST.id.hex()}"}}),
            )
        self.put(
            schema.published,
            channel_id=FIRST.id,
            provider=CARL,
            receipts=3,
            requests=2,
            input_tokens=60,
            cached_input_tokens=30,
            output_tokens=83,
            cost=200,
        )
