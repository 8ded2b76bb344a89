"""A chat room with a history for those who come late."""
import time
from collections import deque


class Room:
    def __init__(self, name):
        self.name = name
        self.history = deque()

    def say(self, who, text):
        self.history.append((time.time(), who, text.upper()))  # expect: unbounded-growth[queue|list] history

    def recent(self):
        return list(self.history)[-10:]


def main():
    rooms = [Room("lobby"), Room("games")]
    for round in range(40):
        for number in range(50):
            room = rooms[number % 2]
            room.say(f"guest{number}", f"hello number {number} in round {round}")
            room.recent()
        time.sleep(0.015)


main()
