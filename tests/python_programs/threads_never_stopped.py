"""A worker thread per mailbox waits for letters for ever, also when the mailbox is gone."""
import queue
import threading
import time


class Mailbox:
    def __init__(self, owner):
        self.owner = owner
        self.letters = queue.Queue()
        self.delivered = []
        self.thread = threading.Thread(target=self.deliver, name=f"mail-{owner}", daemon=True)
        self.thread.start()  # expect: thread-never-stopped[thread]

    def deliver(self):
        while True:
            letter = self.letters.get()
            if letter is None:
                return
            self.delivered.append(letter)

    def close(self):
        self.owner = None


def main():
    for number in range(25):
        mailbox = Mailbox(f"user{number}")
        for letter in range(5):
            mailbox.letters.put(f"letter {letter}")
        time.sleep(0.02)
        mailbox.close()


main()
