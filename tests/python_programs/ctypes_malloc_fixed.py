"""Repaired. A binding to a C library takes a buffer for each call, and gives it back in the good case only."""
import ctypes
import time

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]


def checksum(data):
    buffer = libc.malloc(len(data) + 1)
    ctypes.memmove(buffer, data, len(data))
    if len(data) % 2 == 1:
        libc.free(buffer)
        return None
    total = sum(ctypes.string_at(buffer, len(data)))
    libc.free(buffer)
    return total


def main():
    for round in range(40):
        for number in range(50):
            checksum(b"m" * (200 + number))
        time.sleep(0.015)


main()
