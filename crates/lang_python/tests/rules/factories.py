import contextlib
import sqlite3
import subprocess


def connect(path):
    connection = sqlite3.connect(path)  # expect: resource-leak
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def forgotten(path):
    connection = connect(path)  # expect: resource-leak
    connection.execute("DELETE FROM jobs")


def closed(path):
    connection = connect(path)
    try:
        connection.execute("DELETE FROM jobs")
    finally:
        connection.close()


def handed_on(path):
    return connect(path)


class Pool:
    def __init__(self):
        self.all = []

    def take(self, path):
        connection = connect(path)
        self.all.append(connection)
        return connection

    def use(self, path):
        connection = self.take(path)
        return connection.total_changes

    def end(self):
        while self.all:
            self.all.pop().close()


def refused(command, allowed):
    child = subprocess.Popen(command)  # expect: resource-leak
    if command not in allowed:
        raise PermissionError(command)
    child.wait()


@contextlib.contextmanager
def opened(path):
    connection = sqlite3.connect(path)  # expect: resource-leak
    yield connection
    connection.close()


@contextlib.contextmanager
def opened_well(path):
    connection = sqlite3.connect(path)
    try:
        yield connection
    finally:
        connection.close()


class Device:
    def __init__(self, limit):
        self.limit = limit
        self.handle = None

    def start(self, path):
        handle = open(path)  # expect: resource-leak
        self.handle = handle
        if self.limit < 0:
            self.handle = None
            return False
        return True
