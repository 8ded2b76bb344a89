"""Windows subscribe to the settings and are closed, but nobody unsubscribes them."""
import time


class Settings:
    def __init__(self):
        self.values = {"color": "white"}
        self.observers = []

    def subscribe(self, observer):
        self.observers.append(observer)  # expect: unbounded-growth[list|registry] observers; retained-object[listener] observers

    def change(self, key, value):
        self.values[key] = value
        for observer in self.observers[-3:]:
            observer(key, value)


class Window:
    def __init__(self, settings):
        self.settings = settings
        self.pixels = bytearray(2000)
        settings.subscribe(self.on_change)

    def on_change(self, key, value):
        self.pixels[0] = len(value)

    def close(self):
        self.settings = None


def main():
    settings = Settings()
    for round in range(40):
        for number in range(10):
            window = Window(settings)
            settings.change("color", f"color{number}")
            window.close()
        time.sleep(0.015)


main()
