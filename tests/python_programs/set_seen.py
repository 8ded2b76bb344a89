"""A crawler that must not visit a page twice. The addresses carry a session number."""
import time


class Crawler:
    def __init__(self):
        self.seen = set()
        self.visited = 0

    def visit(self, url):
        if url in self.seen:
            return
        self.seen.add(url)  # expect: unbounded-growth[set] seen
        self.visited += 1


def main():
    crawler = Crawler()
    for round in range(40):
        for page in range(100):
            crawler.visit(f"http://example.org/articles/{page}?session={round:06}-{page:06}")
        time.sleep(0.015)
    print(crawler.visited > 0)


main()
