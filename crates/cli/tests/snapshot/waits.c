/* 64 threads, each in a wait of one kind. None may be told that it was interrupted. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 64, SECONDS = 3 };

static atomic_int failures, running, is_over;
static int quiet[2], hung_up[2], sockets[2], set;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t over = PTHREAD_COND_INITIALIZER;
static sem_t never;

static void expect(const char *call, int is_right) {
    if (is_right) return;
    printf("%s: %s\n", call, strerror(errno));
    failures++;
}

static struct timespec later(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    at.tv_sec += SECONDS;
    return at;
}

static void in_nanosleep(void) {
    struct timespec time = {SECONDS, 0};
    expect("nanosleep", nanosleep(&time, NULL) == 0);
}

static void in_clock_nanosleep(void) {
    struct timespec at = later(CLOCK_MONOTONIC);
    expect("clock_nanosleep", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == 0);
}

static void in_poll(void) {
    struct pollfd fd = {quiet[0], POLLIN, 0};
    expect("poll", poll(&fd, 1, SECONDS * 1000) == 0);
}

static void in_select(void) {
    fd_set fds;
    FD_ZERO(&fds);
    FD_SET(quiet[0], &fds);
    struct timeval time = {SECONDS, 0};
    expect("select", select(quiet[0] + 1, &fds, NULL, NULL, &time) == 0);
}

static void in_epoll(void) {
    struct epoll_event event;
    expect("epoll_wait", epoll_wait(set, &event, 1, SECONDS * 1000) == 0);
}

static void in_read(void) {
    char byte;
    expect("read", read(hung_up[0], &byte, 1) == 0);
}

static void in_recv_with_timeout(void) {
    char byte;
    expect("recv", recv(sockets[0], &byte, 1, 0) == -1 && errno == EAGAIN);
}

static void in_sigtimedwait(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR2);
    struct timespec time = {SECONDS, 0};
    expect("sigtimedwait", sigtimedwait(&signals, NULL, &time) == -1 && errno == EAGAIN);
}

static void in_semaphore(void) {
    struct timespec at = later(CLOCK_REALTIME);
    expect("sem_timedwait", sem_timedwait(&never, &at) == -1 && errno == ETIMEDOUT);
}

static void in_mutex(void) {
    struct timespec at = later(CLOCK_REALTIME);
    expect("pthread_mutex_timedlock", pthread_mutex_timedlock(&held, &at) == ETIMEDOUT);
}

static void in_condition(void) {
    pthread_mutex_lock(&lock);
    while (!is_over) pthread_cond_wait(&over, &lock);
    pthread_mutex_unlock(&lock);
}

static void in_malloc(void) {
    while (!is_over) free(memset(malloc(64), 1, 64));
}

static void (*const waits[])(void) = {
    in_nanosleep, in_clock_nanosleep, in_poll,      in_select, in_epoll,     in_read,
    in_recv_with_timeout, in_sigtimedwait, in_semaphore, in_mutex,  in_condition, in_malloc,
};

static void *work(void *number) {
    running++;
    errno = 0;
    waits[(long)number % (sizeof waits / sizeof *waits)]();
    return NULL;
}

__attribute__((noinline)) static void lose(void) {
    *(volatile char *)malloc(777) = 1;
}

__attribute__((noinline)) static void scrub(void) {
    volatile char dead[8192];
    for (unsigned i = 0; i < sizeof dead; i++) dead[i] = 0;
}

int main(void) {
    pthread_t threads[THREADS];
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    if (pipe(quiet) || pipe(hung_up) || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets)) return 2;
    struct timeval limit = {SECONDS, 0};
    setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sem_init(&never, 0, 0);
    set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(set, EPOLL_CTL_ADD, quiet[0], &event);
    pthread_mutex_lock(&held);
    lose();
    scrub();
    for (long i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i)) return 2;
    while (running < THREADS) usleep(1000);
    usleep(100000);
    puts("ready");
    fflush(stdout);
    getchar();
    pthread_mutex_lock(&lock);
    is_over = 1;
    pthread_cond_broadcast(&over);
    pthread_mutex_unlock(&lock);
    close(hung_up[1]);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    printf("%d failed\n", (int)failures);
    return failures != 0;
}
