"""A hand-written binding takes a reference to each object and forgets to give it back."""
import ctypes
import time

api = ctypes.pythonapi
api.Py_IncRef.argtypes = [ctypes.py_object]
api.Py_DecRef.argtypes = [ctypes.py_object]


class Packet:
    def __init__(self, number):
        self.number = number
        self.payload = bytearray(300)


def send(packet):
    api.Py_IncRef(packet)
    size = len(packet.payload)
    return size


def main():
    for round in range(40):
        for number in range(30):
            send(Packet(number))  # expect: memory-leak; retained-object Packet
        time.sleep(0.015)


main()
