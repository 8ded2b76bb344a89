#include <stdlib.h>
#include <string.h>

struct node {
    struct node *next;
    long number;
};

static __attribute__((noinline)) struct node *large(void) {
    struct node *it = malloc(300000);
    memset(it, 0, 300000);
    return realloc(it, sizeof *it);
}

static __attribute__((noinline)) struct node *small(void) {
    return calloc(1, 40);
}

static __attribute__((noinline)) void work(void) {
    struct node *volatile head = large();
    head->next = small();
    head = NULL;
}

static __attribute__((noinline)) void scrub(void) {
    volatile char dead[8192];
    for (unsigned i = 0; i < sizeof dead; i++) dead[i] = 0;
}

int main(void) {
    work();
    scrub();
    return 0;
}
