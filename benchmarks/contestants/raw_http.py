"""The floor: the same prompts sent over HTTP, and nothing else done."""

import asyncio

import aiohttp
from measure import QUESTION, asked, measured


async def _ask_all(address: str, at_once: int, examples: int) -> int:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:

        async def ask(number: int) -> bool:
            body = {"model": "scripted", "messages": [{"role": "user", "content": QUESTION.format(number) * 10}]}
            async with session.post(f"{address}/chat/completions", json=body) as reply:
                return "Seth" in (await reply.json())["choices"][0]["message"]["content"]

        return sum(await asyncio.gather(*map(ask, range(examples))))


address, at_once, examples = asked()
measured(lambda: asyncio.run(_ask_all(address, at_once, examples)))
