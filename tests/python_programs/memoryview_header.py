"""The header of each upload is kept as a view; the view keeps the whole upload."""
import time

headers = []


def upload(data):
    headers.append(memoryview(data)[:16])  # expect: unbounded-growth[list] headers; retained-object headers
    return len(data)


def main():
    for round in range(40):
        for number in range(4):
            upload(b"HEAD" + bytes([number]) * 20_000)
        time.sleep(0.015)


main()
