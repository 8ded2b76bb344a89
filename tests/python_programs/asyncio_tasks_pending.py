"""For each visitor a task waits for news that never come."""
import asyncio

waiting = set()


async def wait_for_news(visitor, news):
    page = {"visitor": visitor, "body": "x" * 500}
    await news.wait()
    return page


async def handle(visitor, news):
    task = asyncio.create_task(wait_for_news(visitor, news))  # expect: thread-never-stopped[task]
    waiting.add(task)  # expect: unbounded-growth[set] waiting
    task.add_done_callback(done)


def done(task):
    waiting.discard(task)


async def main():
    news = asyncio.Event()
    for round in range(40):
        for number in range(25):
            await handle(f"visitor{round}-{number}", news)
        await asyncio.sleep(0.015)
    print(len(waiting) == 1000)


asyncio.run(main())
