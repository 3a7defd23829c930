"""A tool call, paid for like any other answer."""

import json
import os

from openai import DefaultHttpxClient, OpenAI
from openai.types.chat import ChatCompletionToolParam

import tallystick

env = os.environ
transport = tallystick.transport(
    tallystick.open_wallet(f"{env['TALLYSTICK_HOME']}/keystore/payer.json", env["TALLYSTICK_PASSWORD"]),
    rpc=env["TALLYSTICK_RPC"],
    home=env["TALLYSTICK_HOME"],
    budget=tallystick.Budget(total=1_000_000, per_request=50_000),
)
weather: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
http_client = DefaultHttpxClient(transport=transport)
with OpenAI(base_url=tallystick.BASE_URL, api_key="-", http_client=http_client) as client:
    answer = client.chat.completions.create(
        model=env["TALLYSTICK_MODEL"],
        messages=[{"role": "user", "content": "How is the weather in Nairobi?"}],
        tools=[weather],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        max_tokens=64,
    )
    for call in answer.choices[0].message.tool_calls or ():
        if call.type == "function":
            print(call.function.name, json.loads(call.function.arguments))
    print(answer.choices[0].finish_reason, transport.spent, "atoms")
