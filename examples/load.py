"""Load for examples/service.py and examples/server.js: visitors who log in, some at a time, for some seconds.

    python3 examples/load.py PORT [VISITS] [SECONDS]
"""
import asyncio
import sys

AT_A_TIME = 8


async def visit(port, names, pause):
    """Logs in with one name after the other, over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for name in names:
        writer.write(f"GET /login?user={name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await writer.drain()
        length, chunked = 0, False
        while (header := await reader.readline()) not in (b"\r\n", b""):
            key, _, value = header.decode().lower().partition(":")
            length = int(value) if key == "content-length" else length
            chunked |= key == "transfer-encoding"
        if chunked:
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        else:
            await reader.readexactly(length)
        await asyncio.sleep(pause)
    writer.close()


async def main(port, visits, seconds):
    pause = seconds * AT_A_TIME / visits
    names = [f"user{number % 97}" for number in range(visits)]
    await asyncio.gather(*(visit(port, names[it::AT_A_TIME], pause) for it in range(AT_A_TIME)))
    print(f"{visits} visits")


if __name__ == "__main__":
    given = [int(it) for it in sys.argv[1:]] or sys.exit(__doc__)
    asyncio.run(main(*given, *(2000, 2)[len(given) - 1 :]))
