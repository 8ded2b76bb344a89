#!/bin/sh
# Makes the seeds of the target "recording": small real recordings, and the same as unpacked blocks.
# Needs a built `heapwise` (its path as the first argument).
set -eu
heapwise=$1
out=$(cd "$(dirname "$0")" && pwd)/recording
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
cat > "$work/leaks.c" <<'C'
#include <stdlib.h>
struct node { struct node *next; char payload[40]; };
static struct node *kept;
static void **inside;
static struct node *push(struct node *head) {
    struct node *node = malloc(sizeof *node);
    node->next = head;
    return node;
}
int main(void) {
    for (int i = 0; i < 20; i++) kept = push(kept);
    struct node *lost = NULL;
    for (int i = 0; i < 5; i++) lost = push(lost);
    inside = (void **)malloc(256) + 4;
    lost = NULL;
    return kept == NULL;
}
C
cat > "$work/frees.c" <<'C'
#include <stdlib.h>
int main(void) {
    char *text = malloc(10);
    for (int i = 1; i < 30; i++) text = realloc(text, (size_t)i * 100);
    for (int i = 0; i < 50; i++) free(calloc(4, (size_t)i));
    free(text);
    return aligned_alloc(4096, 300000) == NULL;
}
C
cat > "$work/errors.c" <<'C'
#include <stdlib.h>
#include <unistd.h>
#include <sys/mman.h>
int global;
int main(void) {
    char *map = mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(map + 4096, 4096);
    char *block = malloc(100);
    char *volatile again = block;
    free(block);
    usleep(1000);
    free(again);
    return 3;
}
C
cat > "$work/wild.c" <<'C'
#include <stdlib.h>
int global;
int main(void) {
    int local;
    void *volatile wild = &local;
    char *volatile block = malloc(64);
    if (!block) free(wild);
    free(block + 16);
}
C
for name in leaks frees errors wild; do
    gcc -g -O0 -w "$work/$name.c" -o "$work/$name"
    "$heapwise" run -o "$out/$name" -- "$work/$name" > /dev/null 2>&1 || :
    test -s "$out/$name"
    cargo run -q --manifest-path "$root/crates/trace/Cargo.toml" --features std --example fuzz_seed -- "$out/$name" "$out/$name-blocks"
done
# Events: what, time, address (2), size, stack, thread or second address.
printf '\1\0\7\20\0\10\1\1\4\7\20\0\0\1\1\4\7\20\0\0\1\1\13\0\20\0\0\1\1\15\0\0\0\0\1\0' > "$out/events"
printf '\1\60\7\20\0\200\1\1\7\0\120\0\277\0\0\10\0\0\0\0\0\0\6\310\20\0\37\1\22\14\0\40\0\1\1\20\16\0\40\0\0\2\0' > "$out/events2"
