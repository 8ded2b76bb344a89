"""Repaired. The permissions of each account are parsed again and again to the same tuple."""
import time

ROLES = ["read,write,share,comment,print", "read,comment,print,subscribe,export", "read,print,mail,fax,copy"]


parsed = {}


def permissions(text):
    if text in parsed:
        return parsed[text]
    return parsed.setdefault(text, tuple(text.split(",")))


class Account:
    def __init__(self, number):
        self.number = number
        self.permissions = permissions(ROLES[number % 3])


def main():
    accounts = [Account(number) for number in range(20_000)]
    for _ in range(30):
        sum(len(it.permissions) for it in accounts[:1000])
        time.sleep(0.02)
    print(len(accounts))


main()
