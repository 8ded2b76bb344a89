/* A program that does little but allocate and free.
 *
 * micro ALLOCATIONS THREADS SCENARIOS
 *
 * Each thread walks call trees, 3 to 30 frames deep. The shape of a tree and what its sites ask for come from
 * one of SCENARIOS seeds, lifetimes from a second generator: a block lives until its slot is drawn again, so
 * lifetimes are geometrically distributed. 16 scenarios make some 10,000 distinct pairs of stack and size, as a
 * large program has. With 64 (95,000 pairs) the interpreter of heaptrack 1.4 ends in std::bad_alloc.
 * Prints a checksum that depends on sizes and order only, never on addresses. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 8192
#define NOINLINE __attribute__((noinline, noclone))

struct thread {
    uint64_t shape, data, sum;
    long left;
    unsigned limit;
    struct { unsigned char *block; size_t size; } slots[SLOTS];
};

static unsigned scenarios = 16;

static uint64_t next(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

/* From 1 to 512, some larger. A site has four sizes. */
static size_t draw_size(uint64_t site, uint64_t bits) {
    size_t size = 1 + ((site >> 4) & 127) * 4 + (bits & 3);
    unsigned big = (site >> 16) & 255;
    if (big == 0) return size * 64;     /* up to 32 KiB */
    if (big < 4) return size * 8;       /* up to 4 KiB */
    return size;
}

static NOINLINE uint64_t replace(struct thread *t, uint64_t site) {
    uint64_t bits = next(&t->data);
    unsigned slot = (bits >> 32) % SLOTS;
    size_t size = draw_size(site, bits);
    uint64_t seen = 0;
    if (t->slots[slot].block) {
        seen = t->slots[slot].block[0] + t->slots[slot].size;
        free(t->slots[slot].block);
    }
    unsigned char *block = malloc(size);
    if (!block) abort();
    block[0] = (unsigned char)size;
    block[size - 1] = (unsigned char)size;
    t->slots[slot].block = block;
    t->slots[slot].size = size;
    t->left--;
    return seen + size;
}

typedef uint64_t level(struct thread *, unsigned);
static level parse, lower, visit, emit, link_in, merge, copy_out, index_in;

static NOINLINE uint64_t leaf_string(struct thread *t, uint64_t site) { return replace(t, site) * 3; }
static NOINLINE uint64_t leaf_node(struct thread *t, uint64_t site) { return replace(t, site) + replace(t, site >> 24) * 5; }

#define LEVEL(NAME, FIRST, SECOND, THIRD)                                              \
    static NOINLINE uint64_t NAME(struct thread *t, unsigned depth) {                  \
        uint64_t bits = next(&t->shape), sum = depth;                                  \
        if (t->left <= 0) return sum;                                                  \
        if (depth >= 3) sum += bits & 1 ? leaf_string(t, bits) : leaf_node(t, bits);             \
        if (depth >= t->limit) return sum;                                             \
        switch ((bits >> 8) % 5) {                                                     \
            case 0: return sum + 7 * FIRST(t, depth + 1);                              \
            case 1: return sum ^ (SECOND(t, depth + 1) + 1);                           \
            case 2: return sum + THIRD(t, depth + 1) * 11;                             \
            case 3: sum += FIRST(t, depth + 1); return sum * 3 + THIRD(t, depth + 2);  \
            default: return sum - SECOND(t, depth + 1) / 2;                            \
        }                                                                              \
    }

LEVEL(parse, lower, visit, emit)
LEVEL(lower, visit, merge, link_in)
LEVEL(visit, parse, copy_out, index_in)
LEVEL(emit, merge, lower, visit)
LEVEL(link_in, emit, parse, copy_out)
LEVEL(merge, index_in, emit, parse)
LEVEL(copy_out, link_in, index_in, lower)
LEVEL(index_in, copy_out, link_in, merge)

static void *work(void *argument) {
    struct thread *t = argument;
    while (t->left > 0) {
        uint64_t pick = next(&t->data);
        t->shape = 0x9e3779b97f4a7c15ull * (1 + pick % scenarios);
        t->limit = 4 + (next(&t->shape) >> 20) % 25;
        t->sum = t->sum * 31 + (pick & 1024 ? parse(t, 0) : merge(t, 0));
    }
    for (int i = 0; i < SLOTS; i++) free(t->slots[i].block);
    return NULL;
}

int main(int argc, char **argv) {
    long allocations = argc > 1 ? atol(argv[1]) : 20000000;
    int threads = argc > 2 ? atoi(argv[2]) : 1;
    if (argc > 3) scenarios = atoi(argv[3]);
    if (scenarios < 1 || threads < 1 || threads > 64) return 2;
    struct thread *all = calloc(threads, sizeof *all);
    pthread_t ids[64];
    for (int i = 0; i < threads; i++) {
        all[i].data = 88172645463325252ull + i;
        all[i].left = allocations / threads;
    }
    for (int i = 1; i < threads; i++) pthread_create(&ids[i], NULL, work, &all[i]);
    work(&all[0]);
    for (int i = 1; i < threads; i++) pthread_join(ids[i], NULL);
    uint64_t sum = 0;
    for (int i = 0; i < threads; i++) sum = sum * 33 + all[i].sum;
    printf("%016llx\n", (unsigned long long)sum);
    free(all);
    return 0;
}
