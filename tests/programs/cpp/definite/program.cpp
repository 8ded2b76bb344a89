#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#define NOINLINE __attribute__((noinline, noclone))

struct Shape {
    virtual ~Shape() = default;
    double corner[8] = {};
};

static NOINLINE Shape *make() {
    return new Shape();
}

static NOINLINE double work() {
    double sum = 0;
    for (int i = 0; i < 10; i++) {
        Shape *it = make();
        sum += it->corner[i % 8];
    }
    return sum;
}

static NOINLINE void scrub() {
    volatile char dead[16384];
    for (unsigned i = 0; i < sizeof dead; i++) dead[i] = 0;
}

int main() {
    std::printf("%.1f\n", work());
    scrub();
}
