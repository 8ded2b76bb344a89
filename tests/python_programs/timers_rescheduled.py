"""Every watched file starts a timer that starts itself again, and unwatching does not stop it."""
import threading
import time


class Watch:
    def __init__(self, path):
        self.path = path
        self.ticks = 0
        self.schedule()

    def schedule(self):
        timer = threading.Timer(0.05, self.tick)
        timer.daemon = True
        timer.start()  # expect: thread-never-stopped[timer|thread]; retained-object[timer]

    def tick(self):
        self.ticks += 1
        self.schedule()

    def close(self):
        self.path = None


def main():
    for number in range(20):
        watch = Watch(f"/etc/file{number}")
        time.sleep(0.03)
        watch.close()


main()
