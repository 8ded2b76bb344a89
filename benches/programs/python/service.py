"""service.py ROUNDS: an HTTP service and its clients in one event loop; the service keeps something of each request."""
import asyncio
import json
import sys

sessions = {}  # grows: the leak


async def handle(reader, writer):
    while line := await reader.readline():
        headers = {}
        while (header := await reader.readline()) not in (b"\r\n", b""):
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        path = line.split()[1].decode()
        sessions[path] = {"headers": headers, "path": path}
        body = json.dumps({"path": path, "known": len(sessions) % 1, "items": list(range(40))}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
    writer.close()


async def client(port, name, requests):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = 0
    for number in range(requests):
        writer.write(f"GET /{name}/{number} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nX-Number: {number}\r\n\r\n".encode())
        await reader.readline()
        length = int((await reader.readline()).split(b":")[1])
        await reader.readline()
        got += len(json.loads(await reader.readexactly(length))["items"])
    writer.close()
    return got


async def main(rounds):
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    got = 0
    for turn in range(rounds):
        got += sum(await asyncio.gather(*(client(port, f"{turn}-{it}", 60) for it in range(8))))
    server.close()
    print(got)


asyncio.run(main(int(sys.argv[1])))
