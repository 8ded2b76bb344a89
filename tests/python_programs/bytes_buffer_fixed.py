"""Repaired. A capture of the last packets in a BytesIO: always written at the end, never cut."""
import io
import time


class Capture:
    def __init__(self):
        self.buffer = io.BytesIO()

    def packet(self, data):
        if self.buffer.tell() > 10_000:
            self.buffer.seek(0)
            self.buffer.truncate()
        self.buffer.write(len(data).to_bytes(4, "big") + data)


def main():
    capture = Capture()
    for round in range(40):
        for number in range(40):
            capture.packet(bytes([number]) * 700)
        time.sleep(0.015)


main()
