//! Programs with one bug each, and the same ones mended: the first are reported by the name given, the second are not
//! reported at all.

use heapwise_check::analysis::Options;
use heapwise_check::models::Models;
use heapwise_check::program::Program;
use heapwise_lang_c::{Files, Unit, language_of, lower};
use heapwise_model::Severity;
use std::sync::Arc;

struct One<'a>(&'a str, &'a str);

impl Files for One<'_> {
    fn read(&self, path: &str) -> Option<Arc<[u8]>> {
        (path == self.0).then(|| self.1.as_bytes().into())
    }
}

fn found(path: &str, source: &str) -> Vec<(String, Severity)> {
    let language = language_of(path).expect("a source of C or C++");
    let module = lower(&Unit { language, ..Unit::new(path) }, &One(path, source));
    let program = Program::link(vec![module]);
    let found = heapwise_check::check(&program, &Models::bundled(), &Options::default()).found;
    found.into_iter().map(|it| (it.rule.name().to_owned(), it.severity)).collect()
}

/// `source` holds `BUG` once; it is replaced by `bad`, and by `good`.
fn pair(path: &str, rule: &str, source: &str, bad: &str, good: &str) {
    let wrong = found(path, &source.replace("BUG", bad));
    assert!(wrong.iter().any(|it| it.0 == rule), "{rule} is missed, found: {wrong:?}\n{source}");
    let mut right = found(path, &source.replace("BUG", good));
    right.retain(|it| it.1 > Severity::Note);
    assert_eq!(right, [], "{rule}\n{source}");
}

#[test]
fn a_write_over_the_end_of_a_member() {
    let source = "#include <string.h>
#include <stdio.h>
struct card { char name[16]; void *next; };
void run(void) {
    struct card card;
    char text[40];
    memset(text, 'a', 39);
    text[39] = 0;
    card.next = text;
    BUG
    card.name[15] = 0;
    puts(card.name);
    puts((char *)card.next);
}";
    let rule = "stack-buffer-overflow";
    pair(
        "a.c",
        rule,
        source,
        "memcpy(card.name, text, sizeof card);",
        "memcpy(card.name, text, sizeof card.name);",
    );
    let fill = |to: &str| format!("for (int i = 0; i < {to}; i++) card.name[i] = text[i];");
    pair("a.c", rule, source, &fill("20"), &fill("16"));
}

#[test]
fn an_address_that_is_kept_beyond_its_function() {
    let source = "#include <stdio.h>
struct view { const int *at; int n; };
static const char *last;
static void fill(struct view *v) { BUG int local[3] = {1, 2, 3}; v->at = local; v->n = 3; }
static void set(void) { BUG char text[16] = \"abc\"; last = text; }
int show(void) { struct view v; fill(&v); set(); puts(last); return v.at[1]; }";
    pair("a.c", "dangling-stack-address", source, "", "static");
}

#[test]
fn a_member_of_a_record_by_value_that_was_never_written() {
    let source = "#include <stdio.h>
struct pair { int a; double b; };
static void show(struct pair p) { printf(\"%d %f\\n\", p.a, p.b); }
void run(void) { struct pair p; p.a = 3; BUG show(p); }";
    pair("a.c", "uninitialized-read", source, "", "p.b = 2.0;");
}

#[test]
fn a_stream_that_was_not_opened() {
    let source = "#include <stdio.h>
int first(const char *path) { FILE *f = fopen(path, \"r\"); BUG int c = fgetc(f); fclose(f); return c; }";
    pair("a.c", "null-dereference", source, "", "if (!f) return -1;");
}

#[test]
fn both_ends_of_a_pipe() {
    let source = "#include <unistd.h>
int run(void) {
    int p[2];
    if (pipe(p) < 0) return -1;
    if (write(p[1], \"x\", 1) != 1) { BUG return -2; }
    close(p[0]);
    close(p[1]);
    return 0;
}";
    pair("a.c", "resource-leak", source, "close(p[0]);", "close(p[0]); close(p[1]);");
}

#[test]
fn what_getline_provides() {
    let source = "#include <stdio.h>
#include <stdlib.h>
long run(void) {
    char *line = NULL;
    size_t n = 0;
    long total = 0;
    while (getline(&line, &n, stdin) > 0) total += line[0];
    BUG
    return total;
}";
    pair("a.c", "memory-leak", source, "", "free(line);");
}

#[test]
fn a_block_without_room_for_the_whole_text() {
    let source = "#include <stdlib.h>
#include <string.h>
#include <wchar.h>
char *narrow(const char *s) { char *p = malloc(strlen(s)BUG); if (p) strcpy(p, s); return p; }";
    pair("a.c", "undersized-allocation", source, "", " + 1");
    let source = "#include <stdlib.h>
int *ints(void) { int *p = malloc(BUG); if (p) p[0] = 1; return p; }";
    pair("a.c", "undersized-allocation", source, "10", "10 * sizeof(int)");
}

#[test]
fn a_format_into_its_own_argument() {
    let source = "#include <stdio.h>
int main(void) { char b[64] = \"abc\"; char c[128]; snprintf(BUG, \"%s-\", b); puts(b); return 0; }";
    pair("a.c", "overlapping-copy", source, "b, sizeof b", "c, sizeof c");
}

#[test]
fn a_function_that_is_handed_over() {
    let source = "#include <stdlib.h>
typedef void (*op)(char *);
static void drop(char *p) { free(p); }
static void touch(char *p) { p[0] = 'x'; }
static void run_op(op f, char *p) { f(p); }
static void twice(op f, char *p) { run_op(f, p); }
int main(void) { char *p = malloc(4); if (!p) return 1; twice(BUG return 0; }";
    pair("a.c", "use-after-free", source, "drop, p); p[0] = 1;", "touch, p); p[0] = 1; free(p);");
}

#[test]
fn a_virtual_method_of_a_known_class() {
    let source = "struct Base { virtual void act(int *p) = 0; virtual ~Base() {} };
struct A : Base { void act(int *p) override { delete p; } };
struct B : Base { void act(int *p) override { *p = 2; } };
int run() { int *p = new int(1); BUG delete b; return r; }";
    let call = |class: &str, end: &str| format!("Base *b = new {class}(); b->act(p); int r = *p; {end}");
    pair("a.cpp", "use-after-free", source, &call("A", ""), &call("B", "delete p;"));
}

#[test]
fn a_block_that_an_exception_leaves_behind() {
    let source = "#include <stdexcept>
static void check(int n) { if (n > 3) throw std::runtime_error(\"big\"); }
int run(int n) { int *p = new int[10]; p[0] = n; BUG int r = p[0]; delete[] p; return r; }
int main() { try { return run(7); } catch (const std::exception &) { return 1; } }";
    let caught = "try { check(n); } catch (...) { delete[] p; throw; }";
    pair("a.cpp", "memory-leak", source, "check(n);", caught);
}

#[test]
fn what_containers_and_texts_no_longer_hold() {
    let rule = "use-after-free";
    let source = "#include <string>
int run(const std::string &x) { std::string s = x + \"tail\"; const char *p = s.c_str(); BUG return p[0]; }";
    pair("a.cpp", rule, source, "s += \"more\";", "s += \"more\"; p = s.c_str();");
    let source = "#include <string>
#include <stdio.h>
static std::string name() { return std::string(\"a name\"); }
int run() { BUG return puts(p); }";
    let kept = "std::string s = name(); const char *p = s.c_str();";
    pair("a.cpp", rule, source, "const char *p = name().c_str();", kept);
    let source = "#include <vector>
int run(int n) { std::vector<int> v(4); BUG p[0] = n; return v[0]; }";
    pair("a.cpp", rule, source, "int *p = v.data(); v.resize(100);", "v.resize(100); int *p = v.data();");
    let source = "#include <list>
void drop(std::list<int> &l) { for (std::list<int>::iterator it = l.begin(); it != l.end();) { BUG } }";
    let good = "if (*it == 3) it = l.erase(it); else ++it;";
    pair("a.cpp", rule, source, "if (*it == 3) l.erase(it); ++it;", good);
    pair(
        "a.cpp",
        rule,
        source,
        "if (*it == 3) l.erase(it); ++it;",
        "if (*it == 3) l.erase(it++); else ++it;",
    );
}

#[test]
fn what_smart_pointers_own() {
    let source = "#include <memory>
int run() { int *raw; { std::unique_ptr<int> p(new int(4)); raw = p.get(); BUG } return *raw; }";
    pair("a.cpp", "use-after-free", source, "", "return *raw;");
    let source = "#include <memory>
struct Big { int a[10]; };
int run() { std::unique_ptr<Big> p(new Big()); p->a[0] = 3; Big *raw = p.BUG(); return raw->a[0]; }";
    pair("a.cpp", "memory-leak", source, "release", "get");
}

/// Ownership that is handed on in the ways that C++ has is not lost.
#[test]
fn smart_pointers_that_move_and_share() {
    let source = "#include <memory>
#include <vector>
struct T { int v; };
std::unique_ptr<T> make() { std::unique_ptr<T> p(new T); p->v = 1; return p; }
int use_made() { auto p = make(); return p->v; }
static void eat(std::unique_ptr<T> p) { p->v = 2; }
void moved() { std::unique_ptr<T> p(new T()); eat(std::move(p)); }
void twice() { std::unique_ptr<T> p(new T()); std::unique_ptr<T> q(std::move(p)); q->v = 1; p.reset(new T()); p->v = 2; }
void shared() { std::shared_ptr<T> a(new T()); std::shared_ptr<T> b = a; T *raw = a.get(); a.reset(); raw->v = b->v; }
void kept(std::vector<std::shared_ptr<T>> &all) { std::shared_ptr<T> a(new T()); T *raw = a.get(); all.push_back(a); a.reset(); raw->v = 1; }
T *given() { std::unique_ptr<T> p(new T()); p->v = 1; return p.release(); }
struct Base { virtual int f() { return 1; } virtual ~Base() {} };
struct Derived : Base { int *p; Derived() : p(new int(1)) {} ~Derived() override { delete p; } int f() override { return *p; } };
int of_base() { std::unique_ptr<Base> x(new Derived()); return x->f(); }
class Own { int *a; public: Own(int n) : a(new int[n]) { a[0] = 1; } ~Own() { delete[] a; } int v() const { return a[0]; } };
class Whole { Own o; public: Whole(int n) : o(n) { if (n > 3) throw n; } int v() { return o.v(); } };
int whole(int n) { try { Whole *c = new Whole(n); int r = c->v(); delete c; return r; } catch (int) { return 1; } }
";
    let mut found = found("a.cpp", source);
    found.retain(|it| it.1 > Severity::Note);
    assert_eq!(found, []);
}

#[test]
fn a_lock_that_a_failing_way_keeps() {
    let source = "#include <pthread.h>
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static int shared;
int add(int n) {
    pthread_mutex_lock(&m);
    if (n < 0) { BUG return -1; }
    shared += n;
    pthread_mutex_unlock(&m);
    return 0;
}
int begin(int n) {
    pthread_mutex_lock(&m);
    if (n < 0) { pthread_mutex_unlock(&m); return -1; }
    return 0;
}
static void done(void) { pthread_mutex_unlock(&m); }
int set(int n) {
    pthread_mutex_lock(&m);
    if (n < 0) { done(); return -1; }
    shared = n;
    pthread_mutex_unlock(&m);
    return 0;
}";
    pair("a.c", "resource-leak", source, "", "pthread_mutex_unlock(&m);");
}

#[test]
fn an_index_beyond_a_vector() {
    let source = "#include <vector>
int run() { std::vector<int> v(10); for (int i = 0; i BUG 10; i++) v[i] = i; v.push_back(4); return v[10]; }
int inserted(std::vector<int> w) { std::vector<int> v(2); v.insert(v.begin(), 5); if (v.size() == 2) return 0; return v[2]; }
int filled() { std::vector<int> v{0}; return v[0]; }";
    pair("a.cpp", "heap-overflow", source, "<=", "<");
}

/// Found by mutation: reading went back to before the item that was read, for ever.
#[test]
fn a_class_whose_brackets_do_not_match_is_read_to_its_end() {
    let source = "struct A { void *p) = 0; vi act(int = new Item();
    it->value[0] = 5;
t *p) over";
    found("a.cpp", source);
}

/// Found by mutation: the members that a constructor gives values were looked for beyond the end of the file.
#[test]
fn a_constructor_whose_members_end_with_the_file() {
    for source in [
        "class Two { p; Two() : aX;\n",
        "struct S { int a; S() : a",
        "struct S { int a; S() : a<",
        "struct S { int a; S() : a(",
    ] {
        found("a.cpp", source);
    }
}

/// Found by mutation: each argument was copied by a call with an argument that had to be copied.
#[test]
fn a_copy_constructor_that_takes_its_argument_by_value() {
    let source =
        "struct Owner { int *p; Owner() : p(new int(1)) {} ~Owner() { delete p; } Owner(const Owner p)) {} };
static int read(Owner o) { return *o.p; }
int main() { Owner o; return read(o); }";
    found("a.cpp", source);
}

/// Found by mutation.
#[test]
fn a_list_of_values_that_begins_where_the_file_ends() {
    found("a.c", "int main(void) { int a[8] = {");
}
