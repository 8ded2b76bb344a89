"""Repaired. For each visitor a task waits for news that never come."""
import asyncio

waiting = set()


async def wait_for_news(visitor, news):
    page = {"visitor": visitor, "body": "x" * 500}
    await news.wait()
    return page


async def handle(visitor, news):
    task = asyncio.create_task(asyncio.wait_for(wait_for_news(visitor, news), timeout=0.05))
    waiting.add(task)
    task.add_done_callback(done)


def done(task):
    waiting.discard(task)
    if not task.cancelled():
        task.exception()


async def main():
    news = asyncio.Event()
    for round in range(40):
        for number in range(25):
            await handle(f"visitor{round}-{number}", news)
        await asyncio.sleep(0.015)
    await asyncio.sleep(0.1)
    print(len(waiting))


asyncio.run(main())
