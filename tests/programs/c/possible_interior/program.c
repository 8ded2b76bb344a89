#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, noclone))

static char *cursor;

static NOINLINE void open_buffer(void) {
    char *buffer = malloc(1000);
    memset(buffer, 'b', 1000);
    cursor = buffer + 1;
}

static NOINLINE void scrub(void) {
    volatile char dead[16384];
    for (unsigned i = 0; i < sizeof dead; i++) dead[i] = 0;
}

int main(void) {
    open_buffer();
    printf("%c\n", *cursor);
    scrub();
    return 0;
}
