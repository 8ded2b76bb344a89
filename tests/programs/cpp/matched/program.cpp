#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#define NOINLINE __attribute__((noinline, noclone))

struct Item {
    long value[4] = {};
    std::unique_ptr<std::string> name = std::make_unique<std::string>(50, 'i');
};

int main() {
    auto *one = new Item();
    auto *many = new Item[7];
    auto *raw = static_cast<char *>(std::malloc(33));
    std::vector<std::shared_ptr<Item>> shared(5, std::make_shared<Item>());
    raw[0] = 'r';
    std::printf("%ld %c %zu\n", one->value[0] + many[6].value[1], raw[0], shared.size());
    std::free(raw);
    delete[] many;
    delete one;
}
