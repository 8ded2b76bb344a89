#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, noclone))

static NOINLINE unsigned render(char *line, int i) {
    snprintf(line, 200, "%d", i);
    return line[0];
}

int main(void) {
    unsigned sum = 0;
    char *line = malloc(200);
    for (int i = 0; i < 400000; i++) sum += render(line, i);
    free(line);
    printf("%u\n", sum);
    return 0;
}
