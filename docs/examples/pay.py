import os

from openai import DefaultHttpxClient, OpenAI

import tallystick

env = os.environ  # `scripts/demo --keep` prints what to export.
wallet = tallystick.open_wallet(f"{env['TALLYSTICK_HOME']}/keystore/payer.json", env["TALLYSTICK_PASSWORD"])
budget = tallystick.Budget(total=1_000_000, per_request=50_000)  # atoms
market = {
    "rpc": env["TALLYSTICK_RPC"],
    "deployment": env["TALLYSTICK_DEPLOYMENT"],
    "home": env["TALLYSTICK_HOME"],
}
paying = DefaultHttpxClient(transport=tallystick.transport(wallet, budget=budget, **market))
with OpenAI(base_url=tallystick.BASE_URL, api_key="-", http_client=paying) as client:
    question = [{"role": "user", "content": "What is the capital of Kenya?"}]
    answer = client.chat.completions.create(model=env["TALLYSTICK_MODEL"], messages=question, max_tokens=32)
    print(answer.choices[0].message.content, "for", answer.tallystick["cost"], "atoms")
