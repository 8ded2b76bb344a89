"""A capture of the last packets in a BytesIO: always written at the end, never cut."""
import io
import time


class Capture:
    def __init__(self):
        self.buffer = io.BytesIO()

    def packet(self, data):
        self.buffer.write(len(data).to_bytes(4, "big") + data)  # expect: unbounded-growth buffer


def main():
    capture = Capture()
    for round in range(40):
        for number in range(40):
            capture.packet(bytes([number]) * 700)
        time.sleep(0.015)


main()
