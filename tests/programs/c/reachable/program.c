#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, noclone))

static long *table;

static NOINLINE void fill(void) {
    table = calloc(512, sizeof *table);
    for (long i = 0; i < 512; i++) table[i] = i * i;
}

int main(void) {
    fill();
    printf("%ld\n", table[100]);
    return 0;
}
