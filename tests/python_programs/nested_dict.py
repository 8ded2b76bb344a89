"""Statistics by day and user: few days, and ever more users in each."""
import time

statistics = {}


def count(day, user, seconds):
    of_day = statistics.setdefault(day, {})
    of_day[user] = of_day.get(user, 0) + seconds  # expect: unbounded-growth[map] statistics


def main():
    for round in range(40):
        for number in range(100):
            count(("saturday", "sunday")[number % 2], f"guest-{round}-{number}", 0.5 * number)
        time.sleep(0.015)


main()
