// What the functions promise beyond handing out memory. Prints what does not hold.
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;
#define HOLDS(it) do { if (!(it)) { failures++; printf("line %d: %s\n", __LINE__, #it); } } while (0)

static volatile size_t half = SIZE_MAX / 2 + 2;
static volatile size_t huge = SIZE_MAX - 4096;

static void *filled_by_thread(void *unused) {
    (void)unused;
    void **blocks = malloc(1000 * sizeof *blocks);
    for (int i = 0; i < 1000; i++) blocks[i] = malloc(24 + i % 300);
    return blocks;
}

static void sizes(void) {
    for (size_t size = 0; size < 3000000; size = size * 5 / 4 + 1) {
        char *p = malloc(size);
        HOLDS(p && (uintptr_t)p % 16 == 0 && malloc_usable_size(p) >= size);
        memset(p, 7, malloc_usable_size(p));
        char *q = calloc(size / 8 + 1, 8);
        for (size_t i = 0; i < size / 8 * 8 + 8; i++) if (q[i]) { HOLDS(!"calloc gives zeros"); break; }
        size_t grown = size * 3 + 10;
        p = realloc(p, grown);
        for (size_t i = 0; i < size; i++) if (p[i] != 7) { HOLDS(!"realloc keeps content"); break; }
        p = realloc(p, size / 3 + 1);
        for (size_t i = 0; i < size / 3; i++) if (p[i] != 7) { HOLDS(!"realloc keeps content"); break; }
        free(p);
        free(q);
    }
    void *zero = malloc(0), *other = malloc(0);
    HOLDS(zero && other && zero != other);
    free(zero);
    free(other);
    free(NULL);
    HOLDS(malloc_usable_size(NULL) == 0);
}

static void impossible(void) {
    void *p;
    errno = 0; HOLDS(malloc(huge) == NULL && errno == ENOMEM);
    errno = 0; HOLDS(calloc(half, 2) == NULL && errno == ENOMEM);
    errno = 0; HOLDS(reallocarray(NULL, half, 2) == NULL && errno == ENOMEM);
    errno = 0; HOLDS(pvalloc(huge + 4000) == NULL && errno == ENOMEM);
    char *kept = malloc(100);
    strcpy(kept, "kept");
    errno = 0; HOLDS(realloc(kept, huge) == NULL && errno == ENOMEM);
    HOLDS(strcmp(kept, "kept") == 0);
    free(kept);
    HOLDS(posix_memalign(&p, 24, 8) == EINVAL && posix_memalign(&p, 4, 8) == EINVAL && posix_memalign(&p, 0, 8) == EINVAL);
    HOLDS(posix_memalign(&p, 64, huge) == ENOMEM);
    errno = 0; HOLDS(memalign(24, 8) == NULL && errno == EINVAL);
    errno = 77;
    for (size_t size = 8; size < 8000000; size *= 3) free(malloc(size));
    HOLDS(errno == 77);
}

static void alignments(void) {
    for (size_t align = 8; align <= 8 << 20; align *= 2)
        for (size_t size = 1; size < 2000000; size = size * 7 + 1) {
            void *p = NULL;
            HOLDS(posix_memalign(&p, align, size) == 0 && (uintptr_t)p % align == 0 && malloc_usable_size(p) >= size);
            memset(p, 1, size);
            void *q = aligned_alloc(align, size);
            HOLDS((uintptr_t)q % align == 0);
            p = realloc(p, size * 2);
            HOLDS(p);
            free(q);
            free(p);
        }
    void *v = valloc(10), *w = pvalloc(10);
    HOLDS((uintptr_t)v % 4096 == 0 && (uintptr_t)w % 4096 == 0 && malloc_usable_size(w) >= 4096);
    free(v);
    free(w);
}

static void ended_threads(void) {
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        void **blocks;
        pthread_create(&thread, NULL, filled_by_thread, NULL);
        pthread_join(thread, (void **)&blocks);
        for (int k = 0; k < 1000; k++) free(blocks[k]);
        free(blocks);
    }
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    HOLDS(fscanf(statm, "%*d %ld", &pages) == 1);
    fclose(statm);
    // A thread has 0.2 MB of blocks: 40 MB for all, if they were not used again.
    HOLDS(pages * 4096 < 30 << 20);
}

static void forks(void) {
    char *before = malloc(50000);
    memset(before, 3, 50000);
    pid_t pid = fork();
    if (pid == 0) {
        int wrong = 0;
        for (int i = 0; i < 50000; i++) wrong |= before[i] != 3;
        free(before);
        for (int i = 0; i < 100000; i++) { char *p = malloc(i % 5000); if (!p) wrong = 1; free(p); }
        _exit(wrong ? 1 : 42);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    free(before);
}

static void trims(void) {
    enum { COUNT = 20000 };
    static void *blocks[COUNT];
    for (int i = 0; i < COUNT; i++) blocks[i] = memset(malloc(2000), 1, 2000);
    for (int i = 0; i < COUNT; i++) free(blocks[i]);
    HOLDS(malloc_trim(0) == 1);
}

int main(void) {
    sizes();
    impossible();
    alignments();
    ended_threads();
    forks();
    trims();
    printf("%d failures\n", failures);
    return failures != 0;
}
