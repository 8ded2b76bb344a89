#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

struct entry {
    struct entry *next;
    char body[1000];
};

static struct entry *cache;
static int entries;

static NOINLINE void remember(int key) {
    struct entry *it = malloc(sizeof *it);
    memset(it->body, key, sizeof it->body);
    it->next = cache;
    cache = it;
    if (++entries > 100) {
        struct entry **last = &cache;
        while ((*last)->next) last = &(*last)->next;
        free(*last);
        *last = NULL;
        entries--;
    }
}

int main(void) {
    for (int turn = 0; turn < 300; turn++) {
        for (int i = 0; i < 50; i++) remember(turn);
        usleep(5000);
    }
    printf("%d\n", entries);
    return 0;
}
