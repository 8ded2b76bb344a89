"""Repaired. A server remembers each reply in case the client asks again."""
import time


class Server:
    def __init__(self):
        self.replies = {}
        self.served = 0

    def handle(self, request_id, body):
        if request_id in self.replies:
            return self.replies[request_id]
        reply = {"id": request_id, "words": body.split(), "length": len(body)}
        self.replies[request_id] = reply
        if len(self.replies) > 200:
            del self.replies[next(iter(self.replies))]
        self.served += 1
        return reply


def main():
    server = Server()
    for round in range(40):
        for number in range(50):
            server.handle(round * 50 + number, f"item {number} of round {round} please")
        time.sleep(0.015)
    print(server.served)


main()
