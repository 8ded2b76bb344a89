#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#define NOINLINE __attribute__((noinline, noclone))

struct Item {
    long value[4];
};

static NOINLINE void drop(Item *it) {
    delete it;
}

int main() {
    Item *volatile it = new Item[3]();
    it->value[0] = 5;
    std::printf("%ld\n", it->value[0]);
    std::fflush(stdout);
    drop(it);
}
