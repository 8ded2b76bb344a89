"""An HTTP service that keeps more with each request: sessions that never end, and a subscriber for each visitor.

    heapwise run -- python3 examples/service.py 8080 &
    python3 examples/load.py 8080 2000
    kill -TERM $!
"""
import asyncio
import json
import secrets
import signal
import sys
import time
from collections import deque
from urllib.parse import parse_qs, urlsplit

sessions = {}
last_visits = deque(maxlen=50)  # trimmed: no leak


class Session:
    def __init__(self, user):
        self.user = user
        self.since = time.time()
        self.pages = ["/login"]


class News:
    """Headlines, for all who want to hear of them."""

    def __init__(self):
        self.subscribers = []

    def subscribe(self, tell):
        self.subscribers.append(tell)

    def publish(self, headline):
        for tell in self.subscribers:
            tell(headline)


class Service:
    def __init__(self):
        self.news = News()
        self.pages = {"/login": self.login, "/headlines": self.headlines}

    def login(self, query):
        session = Session(query.get("user", ["guest"])[0])
        token = secrets.token_hex(8)
        sessions[token] = session
        last_visits.append(session.user)
        self.news.subscribe(lambda headline: session.pages.append(headline))
        return {"token": token, "welcome": session.user}

    def headlines(self, query):
        return {"headlines": ["nothing new"], "readers": len(last_visits)}

    async def connection(self, reader, writer):
        try:
            while line := await reader.readline():
                while await reader.readline() not in (b"\r\n", b"\n", b""):
                    pass
                url = urlsplit(line.split()[1].decode())
                page = self.pages.get(url.path)
                status, content = ("200 OK", page(parse_qs(url.query))) if page else ("404 Not Found", {})
                body = json.dumps(content).encode()
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
        except (ConnectionError, IndexError, ValueError):
            pass  # whoever speaks like that is not answered
        finally:
            writer.close()


async def main(port):
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = await asyncio.start_server(Service().connection, "127.0.0.1", port)
    print("ready", flush=True)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8080))
