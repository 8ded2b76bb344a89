"""Repaired. Measurements go through a queue to a thread that is slower than they come."""
import queue
import threading
import time

measurements = queue.Queue(maxsize=100)
stop = threading.Event()


def store():
    while not stop.is_set():
        try:
            measurement = measurements.get(timeout=0.1)
        except queue.Empty:
            continue
        time.sleep(measurement["sensor"] * 1e-6)


def main():
    worker = threading.Thread(target=store)
    worker.start()
    for round in range(40):
        for sensor in range(50):
            value = {"sensor": sensor, "round": round, "raw": bytes(200)}
            measurements.put(value)
        time.sleep(0.015)
    stop.set()
    worker.join()


main()
