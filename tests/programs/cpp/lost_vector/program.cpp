#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#define NOINLINE __attribute__((noinline, noclone))

static NOINLINE std::vector<std::string> *make() {
    auto *names = new std::vector<std::string>();
    for (int i = 0; i < 30; i++) names->push_back(std::string(100, 'n'));
    return names;
}

static NOINLINE std::size_t work() {
    return make()->size();
}

static NOINLINE void scrub() {
    volatile char dead[16384];
    for (unsigned i = 0; i < sizeof dead; i++) dead[i] = 0;
}

int main() {
    std::printf("%zu\n", work());
    scrub();
}
