"""A connection per request, kept for "reuse" under a key that does not come again."""
import os
import sqlite3
import tempfile
import time


class Store:
    def __init__(self, path):
        self.path = path
        self.connections = {}

    def connection(self, request):
        if request not in self.connections:
            self.connections[request] = sqlite3.connect(self.path)  # expect: unbounded-growth[map|cache] connections; resource-leak
        return self.connections[request]

    def add(self, request, text):
        connection = self.connection(request)
        connection.execute("insert into notes values (?, ?)", (request, text))
        connection.commit()


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "notes.db")
        with sqlite3.connect(path) as connection:
            connection.execute("create table notes (id integer, text text)")
        connection.close()
        store = Store(path)
        for number in range(60):
            store.add(number, f"note {number}")
            time.sleep(0.01)


main()
