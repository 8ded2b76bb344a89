#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, noclone))

struct node {
    struct node *next;
    long value;
};

static NOINLINE struct node *add(struct node *next, long value) {
    struct node *it = malloc(sizeof *it);
    it->next = next;
    it->value = value;
    return it;
}

static NOINLINE struct node *first(long value) {
    return add(NULL, value);
}

static NOINLINE long work(void) {
    struct node *list = first(0);
    for (long i = 1; i < 9; i++) list = add(list, i);
    struct node *head = calloc(1, sizeof *head + 8);
    head->next = list;
    /* The store is not dead. */
    __asm__ volatile("" : : "r"(head) : "memory");
    long sum = 0;
    for (struct node *it = head; it; it = it->next) sum += it->value;
    return sum;
}

static NOINLINE void scrub(void) {
    volatile char dead[16384];
    for (unsigned i = 0; i < sizeof dead; i++) dead[i] = 0;
}

int main(void) {
    printf("%ld\n", work());
    scrub();
    return 0;
}
