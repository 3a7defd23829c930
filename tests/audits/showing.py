"""Samples and engines' replies for tests: an honest receipt over any answer, and a model that is a table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from tallystick.protocol.eip712 import Domain, keccak
from tallystick.protocol.evidence import Scales
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.sample import Sample
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.transcript import tokens_hash
from tallystick.protocol.units import Address, Hash32
from tallystick.protocol.voucher import request_hash

DOMAIN = Domain(chain_id=31337, contract=Address(bytes(19) + b"\1"))
PROVIDER = Key(keccak(b"the provider"))
CHAT = "/v1/chat/completions"
END = 1
PROMPT = [5, 6, 7]
OFFER = Offer(
    provider=PROVIDER.address,
    sequence=1,
    endpoint="https://provider.example",
    endpoint_key=Hash32(bytes(32)),
    model="tiny-good",
    model_hash=Hash32(bytes(32)),
    input_price=1_000_000,
    cached_input_price=1_000_000,
    output_price=1_000_000,
    context_length=1_024,
    credit=100_000,
    valid_until=2_000_000_000,
)

SCALES = Scales.read(
    orjson.dumps(
        {
            "model": "tiny-good",
            "precision": "float16",
            "sampler": "here",
            "ends": [END],
            "likelihood": {"mean": -3.0, "deviation": 2.0, "alarm": 5.0},
            "checks": {
                "rank": {
                    "edges": [0, 10_000],
                    "weights": {"worse": [-500_000, 0, 4_000_000]},
                    "strike": 10_000_000,
                },
                "replay": {"edges": [0], "weights": {"worse": [-500_000, 6_000_000]}, "strike": 10_000_000},
                "logprob": {
                    "edges": [2_000],
                    "weights": {"int8": [-1_000_000, 2_000_000]},
                    "strike": 10_000_000,
                },
            },
        }
    )
)


def body(**fields: object) -> bytes:
    asked = {"model": "tiny-good", "messages": [{"role": "user", "content": "Go."}], "max_tokens": 8}
    return orjson.dumps(asked | {"temperature": 0} | fields)


def sample(
    ids: Sequence[int],
    logprobs: Sequence[float] = (),
    *,
    asked: bytes | None = None,
    finish: Finish = Finish.STOP,
    sequence: int = 0,
    **changes: Any,
) -> Sample:
    """With a receipt that is true of it, but for `changes`."""
    asked = body() if asked is None else asked
    receipt = Receipt(
        channel_id=keccak(b"channel"),  # type: ignore[arg-type]
        sequence=sequence,
        offer_hash=OFFER.struct_hash(),
        request_hash=request_hash(OFFER.struct_hash(), asked),
        response_hash=keccak(b"response"),
        tokens_hash=tokens_hash(ids, logprobs),
        input_tokens=len(PROMPT),  # type: ignore[arg-type]
        cached_input_tokens=0,  # type: ignore[arg-type]
        output_tokens=len(ids),  # type: ignore[arg-type]
        finish=finish,
        received_at=1,  # type: ignore[arg-type]
        first_token_at=2,  # type: ignore[arg-type]
        finished_at=3,  # type: ignore[arg-type]
        cost=len(ids) + len(PROMPT),  # type: ignore[arg-type]
        cumulative_cost=1_000,  # type: ignore[arg-type]
    )
    signed = sign(replace(receipt, **changes), DOMAIN, PROVIDER).signed
    return Sample(
        path=CHAT, body=asked, ids=tuple(ids), logprobs=tuple(logprobs), offer=OFFER, receipt=signed
    )


def replay_reply(ids: Sequence[int]) -> bytes:
    return orjson.dumps({"prompt_token_ids": PROMPT, "choices": [{"token_ids": list(ids)}]})


def prefill_reply(ids: Sequence[int], behind: Sequence[float], own: float = -0.1) -> bytes:
    """Each token is `behind` the likeliest one by so much, which has `own`."""
    entries: list[Mapping[str, Any] | None] = [
        None,
        *({str(i): {"logprob": -1.0, "rank": 1}} for i in PROMPT[1:]),
    ]
    for token, gap in zip(ids, behind, strict=True):
        entry = {str(token): {"logprob": own - gap, "rank": 1 if gap == 0 else 2}}
        entries.append(entry if gap == 0 else entry | {"999": {"logprob": own, "rank": 1}})
    return orjson.dumps({"choices": [{"prompt_logprobs": entries, "token_ids": [3]}]})
