"""Eight streams at a time, through one channel, each with its receipt."""

import asyncio
import os

from openai import AsyncOpenAI, DefaultAsyncHttpxClient

import tallystick


async def ask(client: AsyncOpenAI, number: int) -> str:
    stream = await client.chat.completions.create(
        model=os.environ["TALLYSTICK_MODEL"],
        messages=[{"role": "user", "content": f"What is {number} plus 4?"}],
        max_tokens=24,
        stream=True,
    )
    answer = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    outcome = tallystick.outcome_of(stream)
    assert outcome is not None
    return f"{answer!r} for {outcome.cost} atoms in {len(outcome.receipts)} receipt(s)"


async def main() -> None:
    env = os.environ
    transport = tallystick.transport(
        tallystick.open_wallet(f"{env['TALLYSTICK_HOME']}/keystore/payer.json", env["TALLYSTICK_PASSWORD"]),
        rpc=env["TALLYSTICK_RPC"],
        home=env["TALLYSTICK_HOME"],
        budget=tallystick.Budget(total=1_000_000, per_request=50_000),
    )
    http_client = DefaultAsyncHttpxClient(transport=transport)
    async with AsyncOpenAI(base_url=tallystick.BASE_URL, api_key="-", http_client=http_client) as client:
        for answer in await asyncio.gather(*(ask(client, number) for number in range(8))):
            print(answer)
        print(transport.spent, "atoms spent in all")


asyncio.run(main())
