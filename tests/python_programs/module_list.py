"""Every request leaves a line in the audit trail."""
import time

audit_trail = []


def audit(user, action, **details):
    entry = {"at": time.time(), "user": user, "action": action, "details": details}
    audit_trail.append(entry)  # expect: unbounded-growth[list] audit_trail


def handle(number):
    user = f"user{number % 13}"
    audit(user, "read", document=number)
    return sum(range(number % 50))


def main():
    number = 0
    for _ in range(40):
        for _ in range(80):
            handle(number)
            number += 1
        time.sleep(0.015)


main()
