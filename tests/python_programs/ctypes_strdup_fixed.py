"""Repaired. A C function returns a string that the caller has to free; `c_char_p` converts it, and the pointer is gone."""
import ctypes
import time

libc = ctypes.CDLL(None)
libc.strdup.argtypes = [ctypes.c_char_p]
libc.strdup.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]


def copy(text):
    pointer = libc.strdup(text.encode())
    try:
        return ctypes.string_at(pointer).decode()
    finally:
        libc.free(pointer)


def main():
    for round in range(40):
        for number in range(50):
            assert copy(f"{number:>120}").strip() == str(number)
        time.sleep(0.015)


main()
