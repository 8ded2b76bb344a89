"""A C function returns a string that the caller has to free; `c_char_p` converts it, and the pointer is gone."""
import ctypes
import time

libc = ctypes.CDLL(None)
libc.strdup.argtypes = [ctypes.c_char_p]
libc.strdup.restype = ctypes.c_char_p


def copy(text):
    return libc.strdup(text.encode()).decode()  # expect: memory-leak[definite|possible]


def main():
    for round in range(40):
        for number in range(50):
            assert copy(f"{number:>120}").strip() == str(number)
        time.sleep(0.015)


main()
