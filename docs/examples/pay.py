import os

from openai import DefaultHttpxClient, OpenAI

import tallystick

rpc, home = os.environ["TALLYSTICK_RPC"], os.environ["TALLYSTICK_HOME"]  # `scripts/demo --keep` prints them.
wallet = tallystick.open_wallet(f"{home}/keystore/payer.json", os.environ["TALLYSTICK_PASSWORD"])
budget = tallystick.Budget(total=1_000_000, per_request=50_000)  # atoms
paying = DefaultHttpxClient(transport=tallystick.transport(wallet, rpc=rpc, home=home, budget=budget))
with OpenAI(base_url=tallystick.BASE_URL, api_key="-", http_client=paying) as client:
    question = [{"role": "user", "content": "What is the capital of Kenya?"}]
    model = client.models.list().data[0].id
    answer = client.chat.completions.create(model=model, messages=question, max_tokens=32)
    print(answer.choices[0].message.content, "for", answer.tallystick["cost"], "atoms")
