#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, noclone))

static NOINLINE unsigned render(int i) {
    char *line = malloc(200);
    snprintf(line, 200, "%d", i);
    unsigned first = line[0];
    free(line);
    return first;
}

int main(void) {
    unsigned sum = 0;
    for (int i = 0; i < 400000; i++) sum += render(i);
    printf("%u\n", sum);
    return 0;
}
