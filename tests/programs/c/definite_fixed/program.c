#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, noclone))

static NOINLINE char *copy(const char *text) {
    char *made = malloc(44);
    strcpy(made, text);
    return made;
}

static NOINLINE unsigned work(void) {
    unsigned sum = 0;
    for (int i = 0; i < 20; i++) {
        char *text = copy("forty-four bytes hold this text well enough");
        sum += text[i];
        free(text);
    }
    return sum;
}

static NOINLINE void scrub(void) {
    volatile char dead[16384];
    for (unsigned i = 0; i < sizeof dead; i++) dead[i] = 0;
}

int main(void) {
    printf("%u\n", work());
    scrub();
    return 0;
}
