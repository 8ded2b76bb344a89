"""Correct: a pool of threads that is reused, with a queue that is emptied."""
import queue
import threading
import time


def work(tasks, results):
    while (task := tasks.get()) is not None:
        results.put((task, [task] * 50))
        tasks.task_done()


def main():
    tasks, results = queue.Queue(), queue.Queue()
    threads = [threading.Thread(target=work, args=(tasks, results)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for round in range(40):
        for number in range(100):
            tasks.put(round * 100 + number)
        tasks.join()
        while not results.empty():
            results.get()
        time.sleep(0.015)
    for _ in threads:
        tasks.put(None)
    for thread in threads:
        thread.join()


main()
