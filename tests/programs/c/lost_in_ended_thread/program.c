#include <pthread.h>
#include <stdlib.h>
#include <string.h>

__thread void *kept;

static __attribute__((noinline)) void *make(void) {
    return calloc(1, 1000);
}

static __attribute__((noinline)) void deep(void) {
    void *volatile stale[400];
    void *it = make();
    for (int i = 0; i < 400; i++) stale[i] = it;
}

static __attribute__((noinline)) void *make_kept(void) {
    return calloc(1, 500);
}

static void *work(void *unused) {
    (void)unused;
    deep();
    kept = make_kept();
    return NULL;
}

int main(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, NULL) != 0) return 1;
    pthread_join(thread, NULL);
    return 0;
}
