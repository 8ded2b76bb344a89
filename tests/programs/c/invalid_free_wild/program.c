#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, noclone))

static NOINLINE void drop(void *address) {
    free(address);
}

int main(void) {
    char *volatile block = malloc(100);
    memset(block, 'x', 100);
    printf("%c\n", block[7]);
    fflush(stdout);
    drop((void *)0x123450);
    drop(block);
    return 0;
}
