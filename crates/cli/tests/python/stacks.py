"""Allocates blocks of sizes that occur once, and says from where."""

import asyncio
import json
import sys
import threading

KEPT = []
TRUTH = {}
SIZE = [600]


def block(size):
    """Size of the `bytes` object's content whose block has `size` bytes."""
    return size - sys.getsizeof(b"")


def note(size):
    frames = []
    frame = sys._getframe(1)
    while frame:
        code = frame.f_code
        frames.append([getattr(code, "co_qualname", code.co_name), frame.f_lineno])
        frame = frame.f_back
    TRUTH[size] = frames


def next_sizes():
    """One that the interpreter's allocator hands out, one that malloc does."""
    SIZE[0] += 1
    return SIZE[0] - 500, SIZE[0] + 100000


def plain():
    small, large = next_sizes()
    KEPT.append(bytes(block(small))); note(small)
    KEPT.append(bytes(block(large))); note(large)


def recursive(depth):
    if depth:
        return recursive(depth - 1)
    plain()


def generator():
    for _ in range(2):
        plain()
        yield


def through_c():
    sorted([2, 1], key=lambda it: plain() or it)
    list(map(lambda it: plain(), [1]))


class Meta(type):
    def __call__(cls):
        plain()
        return super().__call__()


class Thing(metaclass=Meta):
    plain()

    def __init__(self):
        plain()

    def __del__(self):
        plain()

    @property
    def attribute(self):
        return plain()

    def __eq__(self, other):
        plain()
        return True


def several_lines():
    plain() if [
        1,
        2,
    ] else (
        3
    )
    (
        plain
    )(
    )


def failing():
    try:
        raise ValueError
    except ValueError:
        plain()
    finally:
        plain()


async def inner():
    plain()
    await asyncio.sleep(0)
    plain()


async def outer():
    await asyncio.gather(inner(), inner())
    async for _ in agen():
        plain()


async def agen():
    yield plain()
    await asyncio.sleep(0)
    yield plain()


def delegating():
    yield from generator()


def compiled(count):
    for i in range(count):
        # Code objects that come and go at one address.
        exec(compile("\n" * i + "plain()", "<made %d>" % i, "exec"), globals())


def main():
    plain()
    recursive(3)
    recursive(500)
    recursive(300)
    for _ in generator():
        plain()
    for _ in delegating():
        pass
    through_c()
    thing = Thing()
    thing.attribute
    thing == thing
    del thing
    several_lines()
    failing()
    [plain() for _ in range(2)]
    (lambda: plain())()
    asyncio.run(outer())
    compiled(8)
    threads = [threading.Thread(target=recursive, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
        thread.join()
    for round in range(3):
        recursive(round); recursive(round)
        plain()


main()
with open(sys.argv[1], "w") as out:
    json.dump(TRUTH, out)
