"""What one request wishes of its provider, said as at OpenRouter."""

import os

from openai import DefaultHttpxClient, OpenAI

import tallystick

env = os.environ
transport = tallystick.transport(
    tallystick.open_wallet(f"{env['TALLYSTICK_HOME']}/keystore/payer.json", env["TALLYSTICK_PASSWORD"]),
    rpc=env["TALLYSTICK_RPC"],
    home=env["TALLYSTICK_HOME"],
    budget=tallystick.Budget(total=1_000_000, per_request=50_000),
)
wishes = {
    "sort": "latency",
    "max_price": {"prompt": 50, "completion": 50},
    "preferred_max_latency": {"p90": 2},
}
http_client = DefaultHttpxClient(transport=transport)
with OpenAI(base_url=tallystick.BASE_URL, api_key="-", http_client=http_client) as client:
    answer = client.chat.completions.create(
        model="a-model-that-nobody-sells",
        messages=[{"role": "user", "content": "What is the capital of Kenya?"}],
        max_tokens=32,
        extra_body={"provider": wishes, "models": [env["TALLYSTICK_MODEL"]]},
    )
    print(answer.choices[0].message.content, answer.model, transport.spent, "atoms")
