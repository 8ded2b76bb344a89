#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>
#include <malloc.h>
// Blocks are handed from thread to thread; each knows what must be in it.
constexpr int slots = 4096;
static std::atomic<unsigned char *> shared[slots];
static std::atomic<long> errors{0};
static uint64_t next(uint64_t &s) { s ^= s << 13; s ^= s >> 7; s ^= s << 17; return s; }
struct Head { size_t size; uint64_t tag; };
static unsigned char *make(uint64_t &seed) {
    unsigned kind = next(seed) % 100;
    size_t size = sizeof(Head) + (kind < 80 ? next(seed) % 400 : kind < 98 ? next(seed) % 9000 : next(seed) % 700000);
    unsigned char *p;
    switch (next(seed) % 4) {
    case 0: p = (unsigned char *)calloc(1, size); for (size_t i = 0; i < size; i++) if (p[i]) { errors++; break; } break;
    case 1: { void *q = nullptr; if (posix_memalign(&q, 64, size) || (uintptr_t)q % 64) errors++; p = (unsigned char *)q; break; }
    default: p = (unsigned char *)malloc(size);
    }
    if (!p || (uintptr_t)p % 16 || malloc_usable_size(p) < size) { errors++; abort(); }
    Head h{size, next(seed)};
    memcpy(p, &h, sizeof h);
    memset(p + sizeof h, (int)(h.tag & 255), size - sizeof h);
    return p;
}
static void check(unsigned char *p, size_t upto) {
    Head h; memcpy(&h, p, sizeof h);
    for (size_t i = sizeof h; i < upto; i++) if (p[i] != (h.tag & 255)) { errors++; return; }
}
static void work(int id, int rounds) {
    uint64_t seed = 88172645463325252ull + 1000003ull * (uint64_t)id;
    for (int i = 0; i < rounds; i++) {
        unsigned char *p = make(seed);
        if (next(seed) % 8 == 0) {
            Head h; memcpy(&h, p, sizeof h);
            size_t size = sizeof h + next(seed) % 20000, kept = size < h.size ? size : h.size;
            p = (unsigned char *)realloc(p, size);
            check(p, kept);
            h.size = size; memcpy(p, &h, sizeof h);
            memset(p + sizeof h, (int)(h.tag & 255), size - sizeof h);
        }
        unsigned char *old = shared[next(seed) % slots].exchange(p);
        if (old) { Head h; memcpy(&h, old, sizeof h); check(old, h.size); free(old); }
    }
}
int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 2000;
    for (int wave = 0; wave < 4; wave++) {
        std::vector<std::thread> threads;
        for (int i = 0; i < 64; i++) threads.emplace_back(work, wave * 64 + i, rounds);
        for (auto &t : threads) t.join();
        malloc_trim(0);
    }
    for (auto &slot : shared) if (auto *p = slot.load()) { Head h; memcpy(&h, p, sizeof h); check(p, h.size); free(p); }
    printf("%ld errors\n", errors.load());
    return errors.load() != 0;
}
