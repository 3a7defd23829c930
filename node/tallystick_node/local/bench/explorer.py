"""What the explorer costs over a large market that never was: `scripts/bench explorer`.

It fills a database by the writer that fills it from a chain, publishes receipts of most channels, and asks
for every kind of page. Exits with 1 where a target is missed.
"""

import argparse
import asyncio
import json
import random
import tempfile
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, create_engine, insert, select

from tallystick.protocol.eip712 import keccak
from tallystick_node.explorer import schema
from tallystick_node.explorer.database import writing
from tallystick_node.explorer.index.filling import fill
from tallystick_node.local.bench.page import as_text
from tallystick_node.local.bench.pages import measure_pages
from tallystick_node.local.progress import tell

_RECEIPTS: Final = 10
"""Of each channel that has any."""
_CHANNELS: Final = 20_000
_INPUT, _OUTPUT = 500, 200
"""Tokens of each receipt."""


def main() -> int:
    options = _parse()
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as folder:
        database = options.database or Path(folder) / "explorer.db"
        if not database.exists():
            tell(f"a market of {options.settlements:,} settlements is filled in")
            _fill(database, options.settlements)
            tell("receipts are published")
            _publish(database)
        tell(f"{options.each} requests of each kind of page")
        rows = measure_pages(database, options.each)
    print(as_text(rows))  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps([row.to_json() for row in rows], indent=1) + "\n", "utf-8")
    return 1 if any(row.missed for row in rows) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench explorer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--settlements", type=int, default=1_000_000, help="rows (default: a million)")
    parser.add_argument("--each", type=int, default=100, help="requests of each kind of page (default: 100)")
    parser.add_argument(
        "--database", metavar="FILE", type=Path, help="filled and kept there; asked as it is where it exists"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there too")
    return parser.parse_args()


def _fill(database: Path, settlements: int) -> None:
    async def filled() -> None:
        engine = writing(f"sqlite+aiosqlite:///{database}")
        await fill(engine, settlements)
        await engine.dispose()

    asyncio.run(filled())


def _publish(database: Path) -> None:
    """Receipts of channels that settled something. Nobody signed them, and no page asks who did."""
    channels = schema.channels.c
    engine = create_engine(f"sqlite:///{database}")
    rng = random.Random(3)
    with engine.begin() as connection:
        models = _models(connection)
        settled = select(schema.channels).where(channels.settled > _RECEIPTS).limit(_CHANNELS)
        for channel in connection.execute(settled).all():
            model = rng.choice(models.get(channel.provider, [""]))
            receipts = [_receipt(channel, model, number, rng) for number in range(_RECEIPTS)]
            connection.execute(insert(schema.receipts), receipts)
            connection.execute(insert(schema.published), _published(receipts))
    engine.dispose()


def _models(connection: Connection) -> dict[bytes, list[str]]:
    """What each provider ever offered."""
    found: dict[bytes, list[str]] = {}
    for row in connection.execute(select(schema.offers.c.provider, schema.offers.c.model).distinct()):
        found.setdefault(row.provider, []).append(row.model)
    return found


def _receipt(channel: Any, model: str, number: int, rng: random.Random) -> dict[str, Any]:
    cost = channel.settled // _RECEIPTS
    received = (channel.opened_at + number * 600) * 1_000
    times = {"received_at": received, "first_token_at": received + rng.randint(80, 900)}
    tokens = {"input_tokens": _INPUT, "cached_input_tokens": 0, "output_tokens": _OUTPUT}
    digest = keccak(channel.channel_id + bytes([number]))
    return {
        "channel_id": channel.channel_id,
        "sequence": number,
        "struct_hash": digest,
        "offer_hash": bytes(32),
        "model": model,
        "provider": channel.provider,
        "payer": channel.payer,
        "finish": 1,
        "finished_at": received + rng.randint(2_000, 9_000),
        "cost": cost,
        "cumulative_cost": cost * (number + 1),
        "acknowledgement_hash": digest,
        "text": "",
        **times,
        **tokens,
    }


def _published(receipts: list[dict[str, Any]]) -> dict[str, Any]:
    sums = ("input_tokens", "cached_input_tokens", "output_tokens", "cost")
    first = receipts[0]
    return {
        "channel_id": first["channel_id"],
        "provider": first["provider"],
        "receipts": len(receipts),
        "requests": len(receipts),
        **{name: sum(receipt[name] for receipt in receipts) for name in sums},
    }


if __name__ == "__main__":
    raise SystemExit(main())
