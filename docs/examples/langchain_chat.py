"""LangChain's OpenAI client, which knows nothing of the market, through the same transport."""

import os

from langchain_openai import ChatOpenAI
from openai import DefaultHttpxClient
from pydantic import SecretStr

import tallystick

env = os.environ
transport = tallystick.transport(
    tallystick.open_wallet(f"{env['TALLYSTICK_HOME']}/keystore/payer.json", env["TALLYSTICK_PASSWORD"]),
    rpc=env["TALLYSTICK_RPC"],
    home=env["TALLYSTICK_HOME"],
    budget=tallystick.Budget(total=1_000_000, per_request=50_000),
)
with DefaultHttpxClient(transport=transport) as http_client:
    chat = ChatOpenAI(
        model=env["TALLYSTICK_MODEL"],
        base_url=tallystick.BASE_URL,
        api_key=SecretStr("-"),
        http_client=http_client,
        max_completion_tokens=32,
    )
    print(chat.invoke("What is the capital of Kenya?").content)
    print("".join(str(chunk.content) for chunk in chat.stream("What is the capital of France?")))
    print(transport.spent, "atoms")
