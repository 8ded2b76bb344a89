"""Repaired. A WebSocket-like service: each connection gets an inbox, and the inbox stays when the connection ends."""
import asyncio

inboxes = {}


async def connection(name):
    inboxes[name] = asyncio.Queue()
    for number in range(3):
        await inboxes[name].put({"number": number, "text": f"message {number} for {name}"})
    await asyncio.sleep(0.005)
    while not inboxes[name].empty():
        await inboxes[name].get()
    del inboxes[name]


async def main():
    for round in range(40):
        await asyncio.gather(*(connection(f"client-{round}-{it}") for it in range(25)))
        await asyncio.sleep(0.01)


asyncio.run(main())
