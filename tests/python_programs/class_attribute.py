"""Connections are counted by a list that all of them share."""
import time


class Connection:
    every = []

    def __init__(self, host):
        self.host = host
        self.buffer = bytearray(512)
        Connection.every.append(self)  # expect: unbounded-growth[list|registry] every

    def request(self, path):
        self.buffer[: len(path)] = path.encode()
        return len(self.host) + len(path)

    def close(self):
        self.host = None


def main():
    for _ in range(40):
        for number in range(50):
            connection = Connection(f"10.0.0.{number}")
            connection.request("/status")
            connection.close()
        time.sleep(0.015)


main()
