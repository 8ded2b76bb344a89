"""Repaired. The header of each upload is kept as a view; the view keeps the whole upload."""
import time

headers = []


def upload(data):
    headers.append(bytes(data[:16]))
    del headers[:-30]
    return len(data)


def main():
    for round in range(40):
        for number in range(4):
            upload(b"HEAD" + bytes([number]) * 20_000)
        time.sleep(0.015)


main()
