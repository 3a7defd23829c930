"""How the market's values read: to people with units and dates, to programs as JSON. It prints nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tallystick.chain.deployment import Deployment
from tallystick.chain.market import Asset
from tallystick.chain.transaction import Preview
from tallystick.ports import Account, PostedOffer
from tallystick.protocol.channel import Channel, Status
from tallystick.protocol.documents import ChannelDocument, document_to_json
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import Address, to_hex
from tallystick.protocol.wire import signed_to_json
from tallystick.wallet.money import show_amount, show_briefly, show_coins, show_exactly
from tallystick.wallet.view import View, facts, short, table

if TYPE_CHECKING:
    from tallystick.client.evidence import Refused
    from tallystick.client.purse import HeldReceipt

_AMOUNTS: Final = ("amount", "value", "cap", "cumulativeAmount", "credit")
_PRICES: Final = ("inputPrice", "cachedInputPrice", "outputPrice")
_TIMES: Final = ("deadline", "validUntil")
_SHOWN: Final = 5
"""Items of a list that are shown."""


def moment(timestamp: int) -> str:
    """`2027-01-15 08:00 UTC`; dates beyond the calendar stay numbers."""
    if timestamp >= 1 << 37:
        return str(timestamp)
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M:%S} UTC"


# ------------------------------------------------------------------------------------------ transactions


def preview_shown(preview: Preview, asset: Asset, deployment: Deployment, wallet: str) -> Any:
    """A transaction before it is signed: what it does, for whom, and what it costs."""
    call = preview.call
    pairs = [
        ("transaction", f"{call.contract}.{call.name}"),
        ("to", f"{to_hex(call.to)}" if call.to else "a new contract"),
        ("chain", str(deployment.chain_id)),
        ("from", f"{to_hex(preview.sender)} ({wallet})"),
    ]
    pairs += [pair for name, value in call.arguments for pair in _argument(name, value, asset, depth=1)]
    pairs.append(
        ("cost", f"{show_coins(preview.likely_fee)} likely, {show_coins(preview.highest_fee)} at most")
    )
    return facts(None, pairs).shown


def _argument(name: str, value: object, asset: Asset, *, depth: int) -> list[tuple[str, str]]:
    """Lines of name and text; fields of structs stand further in."""
    label = "  " * depth + name
    match value:
        case dict():
            fields = [line for item in value.items() for line in _argument(*item, asset, depth=depth + 1)]
            return [(label, ""), *fields]
        case list():
            shown = [line for item in value[:_SHOWN] for line in _argument(name, item, asset, depth=depth)]
            more = len(value) - _SHOWN
            return [*shown, (label, f"… and {more} more")] if more > 0 else shown
        case bytes():
            return [(label, to_hex(value) if len(value) <= 32 else short(value))]
        case int() if name in _AMOUNTS:
            return [(label, show_exactly(value, asset))]
        case int() if name in _PRICES:
            return [(label, f"{show_exactly(value, asset)} per million tokens")]
        case int() if name in _TIMES:
            return [(label, moment(value))]
        case _:
            return [(label, str(value))]


# ------------------------------------------------------------------------------------------ accounts


def account_data(account: Account) -> dict[str, Any]:
    return {
        "free": str(account.free),
        "exiting": str(account.exiting),
        "exitsAt": account.exits_at or None,
    }


def stake_data(stake: Stake) -> dict[str, Any]:
    return {
        "staked": str(stake.staked),
        "exiting": str(stake.exiting),
        "exitsAt": stake.exits_at or None,
        "receiptKey": to_hex(stake.receipt_key),
    }


def balance(
    holder: Address, coins: int, held: int, account: Account, stake: Stake, earned: int, asset: Asset
) -> View:
    """All that one address has, in the market and outside."""
    data = {
        "address": to_hex(holder),
        "asset": {"symbol": asset.symbol, "decimals": asset.decimals},
        "wei": str(coins),
        "wallet": str(held),
        "account": account_data(account),
        "stake": stake_data(stake),
        "earned": str(earned),
    }
    pairs = [
        ("address", to_hex(holder)),
        ("gas", show_coins(coins)),
        ("wallet", show_exactly(held, asset)),
        ("account, free", show_exactly(account.free, asset)),
        *_leaving("account", account.exiting, account.exits_at, asset),
        ("stake", show_exactly(stake.staked, asset)),
        *_leaving("stake", stake.exiting, stake.exits_at, asset),
        ("earned", show_exactly(earned, asset)),
    ]
    return facts(data, pairs)


def _leaving(name: str, exiting: int, exits_at: int, asset: Asset) -> list[tuple[str, str]]:
    return (
        [(f"{name}, exiting", f"{show_exactly(exiting, asset)} from {moment(exits_at)}")] if exiting else []
    )


# ------------------------------------------------------------------------------------------ offers


def offer_data(posted: PostedOffer) -> dict[str, Any]:
    return {
        "offerHash": to_hex(posted.offer_hash),
        "offer": posted.offer.to_json(),
        "stake": stake_data(posted.stake),
    }


def offers(found: Sequence[PostedOffer], asset: Asset) -> View:
    data = [offer_data(posted) for posted in found]
    columns = ("model", "provider", "input>", "cached>", "output>", "credit>", "stake>", "context>", "until")
    rows = [
        (
            posted.offer.model,
            to_hex(posted.offer.provider),
            *(show_briefly(price, asset) for price in _prices(posted.offer)),
            show_briefly(posted.offer.credit, asset),
            show_briefly(posted.stake.staked, asset),
            str(posted.offer.context_length),
            moment(posted.offer.valid_until)[:10],
        )
        for posted in found
    ]
    note = f"Prices are {asset.symbol} per million tokens; credit and stake are {asset.symbol}."
    return table(data, columns, rows, empty="No offer holds now.", note=note)


def offer_facts(offer: Offer, asset: Asset) -> list[tuple[str, str]]:
    """An offer as its provider should read it before it signs."""
    when = [("valid until", moment(offer.valid_until)), ("sequence", str(offer.sequence))]
    return [*offer_terms(offer, asset), *when]


def offer_terms(offer: Offer, asset: Asset) -> list[tuple[str, str]]:
    """What stays the same when it is renewed."""
    names = ("input", "cached input", "output")
    prices = [
        (f"{name} price", f"{show_exactly(price, asset)} per million tokens")
        for name, price in zip(names, _prices(offer), strict=True)
    ]
    return [
        ("model", offer.model),
        ("endpoint", offer.endpoint),
        ("endpoint key", to_hex(offer.endpoint_key) if any(offer.endpoint_key) else "a public certificate's"),
        *prices,
        ("context", f"{offer.context_length} tokens"),
        ("credit", show_exactly(offer.credit, asset)),
    ]


def _prices(offer: Offer) -> tuple[int, int, int]:
    return offer.input_price, offer.cached_input_price, offer.output_price


# ------------------------------------------------------------------------------------------ channels


def channel_data(channel: Channel) -> dict[str, Any]:
    return {
        "channelId": to_hex(channel.id),
        **channel.key.to_json(),
        "status": channel.status.value,
        "cap": str(channel.cap),
        "settled": str(channel.settled),
        "closesAt": channel.closes_at or None,
    }


def channels(found: Sequence[Channel], own: Address, asset: Asset) -> View:
    rows = [
        (
            to_hex(channel.id)[:12],
            "pays" if channel.key.payer == own else "earns from",
            to_hex(channel.key.provider if channel.key.payer == own else channel.key.payer),
            _status(channel),
            show_amount(channel.settled, asset),
            show_amount(channel.cap, asset),
        )
        for channel in found
    ]
    columns = ("channel", "", "with", "status", "settled>", "cap>")
    return table(
        [channel_data(channel) for channel in found], columns, rows, empty="No channel was opened yet."
    )


def _status(channel: Channel) -> str:
    match channel.status:
        case Status.NONE:
            return "closed"
        case Status.CLOSING:
            return f"closing until {moment(channel.closes_at)}"
        case Status.OPEN:
            return "open"


# ------------------------------------------------------------------------------------------ receipts


def receipt_data(signed: Signed[Receipt]) -> dict[str, Any]:
    return {"receiptHash": to_hex(signed.message.struct_hash()), **signed_to_json(signed)}


def receipts(found: "Sequence[HeldReceipt]", asset: Asset) -> View:
    """Those that a purse holds, oldest first."""
    data = [
        {
            **receipt_data(item.receipt),
            "provider": to_hex(item.provider),
            "model": item.model,
            "acknowledged": item.acknowledged,
            "receivedAt": item.received_at,
        }
        for item in found
    ]
    columns = ("received", "model", "provider", "n>", "input>", "cached>", "output>", "end", "cost>", "paid")
    rows = [
        (
            moment(item.received_at // 1000),
            item.model,
            short(item.provider),
            str(item.receipt.message.sequence),
            *_counts(item.receipt.message),
            show_amount(item.receipt.message.cost, asset),
            "yes" if item.acknowledged else "not yet",
        )
        for item in found
    ]
    return table(data, columns, rows, empty="This wallet has paid for nothing yet.")


def channel_document(document: ChannelDocument, asset: Asset) -> View:
    """A channel's receipts as one party holds them."""
    rows = [
        (
            moment(item.message.finished_at // 1000),
            str(item.message.sequence),
            *_counts(item.message),
            show_amount(item.message.cost, asset),
        )
        for item in document.receipts
    ]
    columns = ("finished", "n>", "input>", "cached>", "output>", "end", "cost>")
    note = f"Channel {to_hex(document.channel.id)}"
    return table(
        document_to_json(document), columns, rows, empty="No receipt is held of the channel.", note=note
    )


def refused_receipts(found: "Sequence[Refused]", asset: Asset) -> View:
    data = [{**receipt_data(item.signed), "code": item.code} for item in found]
    columns = ("channel", "n>", "input>", "cached>", "output>", "end", "cost>", "why")
    rows = [
        (
            short(item.signed.message.channel_id),
            str(item.signed.message.sequence),
            *_counts(item.signed.message),
            show_amount(item.signed.message.cost, asset),
            item.code,
        )
        for item in found
    ]
    return table(data, columns, rows, empty="No receipt was refused.")


def _counts(receipt: Receipt) -> tuple[str, str, str, str]:
    try:
        end = Finish(receipt.finish).name.lower().replace("_", " ")
    except ValueError:
        end = str(receipt.finish)
    return str(receipt.input_tokens), str(receipt.cached_input_tokens), str(receipt.output_tokens), end
