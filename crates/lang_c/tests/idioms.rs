//! Correct code as real projects write it, on which nothing may be reported; and how sure reports on wrong code are.

use heapwise_check::analysis::Options;
use heapwise_check::finding::Found;
use heapwise_check::models::Models;
use heapwise_check::program::Program;
use heapwise_lang_c::{Files, Unit, language_of, lower};
use heapwise_model::{Confidence, Rule, Severity};
use std::sync::Arc;

struct One(&'static str, &'static str);

impl Files for One {
    fn read(&self, path: &str) -> Option<Arc<[u8]>> {
        (path == self.0).then(|| self.1.as_bytes().into())
    }
}

fn found(path: &'static str, source: &'static str) -> Vec<Found> {
    let language = language_of(path).expect("a source of C or C++");
    let module = lower(&Unit { language, ..Unit::new(path) }, &One(path, source));
    let program = Program::link(vec![module]);
    heapwise_check::check(&program, &Models::bundled(), &Options::default()).found
}

fn assert_silent(path: &'static str, source: &'static str) {
    let loud: Vec<String> = found(path, source)
        .into_iter()
        .filter(|it| it.severity > Severity::Note)
        .map(|it| format!("{}: {}", it.rule.name(), it.message))
        .collect();
    assert_eq!(loud, Vec::<String>::new(), "{source}");
}

#[test]
fn a_null_pointer_with_length_zero() {
    assert_silent(
        "a.c",
        "#include <stddef.h>
unsigned long sum_all(unsigned long sum, const unsigned char *p, size_t n) {
    if (n == 1) { sum += p[0]; if (sum > 9) sum -= 9; return sum; }
    if (p == NULL) return 1;
    while (n--) sum += *p++;
    return sum;
}
unsigned long sum(unsigned long s, const unsigned char *p, unsigned n) { return sum_all(s, p, (size_t)n); }
int main(void) { return (int)sum(0, NULL, 0); }",
    );
}

#[test]
fn a_loop_that_is_not_entered_needs_nothing() {
    assert_silent(
        "a.c",
        "unsigned hash(const char *data, unsigned long n) {
    const char *limit = data + n;
    unsigned h = 1;
    while (data + 4 <= limit) { h += data[0] + data[3]; data += 4; }
    return h;
}
int main(void) { return hash(0, 0) == 1; }",
    );
}

#[test]
fn conditions_of_many_parts_hold_together() {
    let all = found(
        "a.c",
        "#include <stdlib.h>
struct stream { void *(*get)(int); void (*put)(void *, void *); struct state *state; };
struct state { struct stream *stream; int mode; char *window; };
static int is_bad(struct stream *s) {
    if (s == NULL || s->get == 0 || s->put == 0 || s->state == NULL) return 1;
    return (s->state->mode < 3 || s->state->mode > 9 || s->state->stream != s) ? 1 : 0;
}
int end(struct stream *s) {
    if (is_bad(s)) return -2;
    return s->state->window != NULL && s->get != 0 && s->state->mode == 4;
}
void *get(int n);
void put(void *a, void *b);
int main(void) { struct stream s; s.get = get; s.put = put; s.state = NULL; return end(&s); }",
    );
    assert!(all.iter().all(|it| it.severity < Severity::Error), "{all:?}");
    let all = found(
        "a.c",
        "#include <stdlib.h>
int main(int argc, char **argv) {
    int a = argc, b = argc + 1, c = argc + 2;
    if (a == 0 || b == 1 || c == 2) return 0;
    char *p = calloc(1, 8);
    if (!p) return 1;
    free(p);
    if (a != 0 && b != 1 && c != 2) free(p);
    return 0;
}",
    );
    let it = all.iter().find(|it| it.rule == Rule::DoubleFree).expect("freed twice");
    assert_eq!(it.severity, Severity::Error);
}

#[test]
fn strings_fill_the_rows_of_an_array() {
    assert_silent(
        "a.c",
        "#include <stdio.h>
static const char names[][24] = { \"NONE\", \"CRC32\", \"SHA256\" };
int main(void) { puts(names[2]); return 0; }",
    );
}

#[test]
fn a_path_is_searched_from_its_end() {
    assert_silent(
        "a.c",
        "#include <stdio.h>
#include <string.h>
static const char *base(const char *name) {
    for (const char *p = name + strlen(name); p > name; --p)
        if (*p == '/') return p + 1;
    return name;
}
int main(void) { printf(\"%s\\n\", base(\"tests/a.c\")); return 0; }",
    );
}

#[test]
fn library_functions_fill_what_they_are_given() {
    assert_silent(
        "a.c",
        "#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
int main(int argc, char **argv) {
    struct stat st;
    if (stat(argv[0], &st) != 0) { perror(NULL); return 1; }
    char *end;
    long n = strtol(argv[0], &end, 10);
    return st.st_size > n && *end == 0;
}",
    );
}

#[test]
fn a_read_returns_no_more_than_was_asked_for() {
    assert_silent(
        "a.c",
        "#include <unistd.h>
static char buffer[4096];
unsigned long fill(int fd) {
    unsigned long have = 0;
    long got;
    do {
        got = read(fd, buffer + have, sizeof buffer - have);
        if (got < 0) return 0;
        have += (unsigned long)got;
    } while (got != 0 && have < sizeof buffer);
    return have;
}
int main(void) { return fill(0) == 0; }",
    );
}

#[test]
fn the_length_of_a_formatted_text_is_asked_for() {
    assert_silent(
        "a.c",
        "#include <stdarg.h>
#include <stdio.h>
int length(const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    return n;
}
int main(void) { return length(\"%d\", 3) + snprintf(NULL, 0, \"%d\", 4); }",
    );
}

#[test]
fn a_conditional_that_is_returned_by_reference_is_a_place() {
    assert_silent(
        "a.cc",
        "template <class T> const T &least(const T &a, const T &b) { return (b < a ? b : a); }
int main() { int x = 3, y = 4; return least(x, y); }",
    );
}

#[test]
fn an_implicit_conversion_takes_one_constructor() {
    // A constructor that wants its own class of what is none would otherwise convert for ever.
    assert_silent(
        "a.cc",
        "struct wrapped { wrapped(const wrapped &other); int x; };
void take(const wrapped &it);
void give(int n) { take(n); }",
    );
}

#[test]
fn a_record_keeps_its_parts_on_its_way_through_calls() {
    assert_silent(
        "a.c",
        "#include <stdlib.h>
struct box { unsigned char kind; unsigned char pad; short off; int size; char *text; };
struct pair { int count; struct box inner; };
static struct box make(void) {
    struct box it = { 5, 0, 0, 0, malloc(8) };
    if (!it.text) exit(1);
    return it;
}
static void drop(struct box it) { if (it.kind == 5) free(it.text); }
static void fill(struct pair *p, struct box it) { p->count = 1; p->inner = it; }
int main(void) { struct pair p; fill(&p, make()); drop(p.inner); return 0; }",
    );
}

#[test]
fn what_holds_on_every_execution_is_proven() {
    let all = found(
        "a.c",
        "#include <stdlib.h>
int main(void) { char *p = malloc(8); if (!p) return 1; free(p); free(p); return 0; }",
    );
    let it = all.iter().find(|it| it.rule == Rule::DoubleFree).expect("freed twice");
    // That the block could be had was left open on the way.
    assert_eq!((it.severity, it.confidence), (Severity::Error, Confidence::Likely));
    let all = found("a.cc", "int main() { int *p = new int(3); delete p; delete p; return 0; }");
    let it = all.iter().find(|it| it.rule == Rule::DoubleFree).expect("freed twice");
    assert_eq!((it.severity, it.confidence), (Severity::Error, Confidence::Proven));
}

#[test]
fn an_assumption_makes_a_warning_and_is_named() {
    let all = found(
        "a.c",
        "#include <stdlib.h>
int ask(void);
int main(void) {
    char *p = malloc(8);
    if (!p) return 1;
    free(p);
    if (ask() == 7) free(p);
    return 0;
}",
    );
    let it = all.iter().find(|it| it.rule == Rule::DoubleFree).expect("freed twice");
    assert_eq!((it.severity, it.confidence), (Severity::Warning, Confidence::Likely));
    assert!(
        it.message.ends_with(", if what code that is not seen returns or writes allows it"),
        "{}",
        it.message
    );
}
