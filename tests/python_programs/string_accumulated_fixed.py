"""Repaired. A report's text is one string that gets longer with each event; it is mailed on Sundays."""
import time


class Report:
    def __init__(self):
        self.text = ""

    def add(self, event):
        self.text += f"{time.time():.3f} {event}\n"
        if len(self.text) > 4000:
            self.text = ""


def main():
    report = Report()
    for round in range(40):
        for number in range(50):
            report.add(f"event {number} of round {round}: nothing to worry about")
        time.sleep(0.015)


main()
