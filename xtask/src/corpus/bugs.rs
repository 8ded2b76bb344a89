//! The bugs: what comes from a source, and what a sink does with it.
//!
//! A bug happens when the bad source's value reaches the bad sink. Its repaired twin has another source or another
//! sink. Both are statements over a variable `data` of one type, in the common subset of C and C++ unless said.

/// A pair of statements that go wrong together.
pub struct Bug {
    /// Also the name of its folder.
    pub name: &'static str,
    /// What `check` has to call it.
    pub rule: &'static str,
    /// Type of `data`.
    pub ty: &'static str,
    pub is_cpp: bool,
    /// Declarations that source and sink need.
    pub prelude: &'static str,
    pub source: &'static str,
    pub sink: &'static str,
    pub repair: Repair,
}

/// What the repaired twin has instead.
pub enum Repair {
    Source(&'static str),
    Sink(&'static str),
    Prelude(&'static str),
}

use Repair::{Prelude, Sink, Source};

const fn c(
    name: &'static str,
    rule: &'static str,
    ty: &'static str,
    source: &'static str,
    sink: &'static str,
    repair: Repair,
) -> Bug {
    Bug { name, rule, ty, is_cpp: false, prelude: "", source, sink, repair }
}

const fn cpp(
    name: &'static str,
    rule: &'static str,
    ty: &'static str,
    source: &'static str,
    sink: &'static str,
    repair: Repair,
) -> Bug {
    Bug { name, rule, ty, is_cpp: true, prelude: "", source, sink, repair }
}

const TEXT: &str = "data = (char *)malloc(100); if (data == NULL) exit(1); strcpy(data, \"text\");";

pub const BUGS: &[Bug] = &[
    c("leak", "memory-leak", "char *", TEXT, "puts(data);", Sink("puts(data); free(data);")),
    c(
        "leak_on_error",
        "memory-leak",
        "char *",
        TEXT,
        "if (puts(data) < 0) return; free(data);",
        Sink("if (puts(data) < 0) { free(data); return; } free(data);"),
    ),
    c(
        "leak_overwritten",
        "memory-leak",
        "char *",
        TEXT,
        "puts(data); data = (char *)calloc(4, 1); free(data);",
        Sink("puts(data); free(data); data = (char *)calloc(4, 1); free(data);"),
    ),
    cpp(
        "leak_new",
        "memory-leak",
        "int *",
        "data = new int(5);",
        "printf(\"%d\\n\", *data);",
        Sink("printf(\"%d\\n\", *data); delete data;"),
    ),
    c(
        "use_after_free_read",
        "use-after-free",
        "char *",
        "data = (char *)malloc(100); if (data == NULL) exit(1); strcpy(data, \"text\"); free(data);",
        "puts(data);",
        Source(TEXT),
    ),
    c(
        "use_after_free_write",
        "use-after-free",
        "int *",
        "data = (int *)calloc(10, sizeof(int)); if (data == NULL) exit(1); free(data);",
        "data[3] = 7;",
        Source("data = (int *)calloc(10, sizeof(int)); if (data == NULL) exit(1);"),
    ),
    cpp(
        "use_after_delete",
        "use-after-free",
        "int *",
        "data = new int[10]; data[0] = 1; delete[] data;",
        "printf(\"%d\\n\", data[0]);",
        Source("data = new int[10]; data[0] = 1;"),
    ),
    c(
        "double_free",
        "double-free",
        "char *",
        "data = (char *)malloc(100); if (data == NULL) exit(1); free(data);",
        "free(data);",
        Source("data = (char *)malloc(100); if (data == NULL) exit(1);"),
    ),
    cpp(
        "double_delete",
        "double-free",
        "int *",
        "data = new int(1); delete data;",
        "delete data;",
        Source("data = new int(1);"),
    ),
    c(
        "free_global",
        "invalid-free",
        "char *",
        "static char buffer[100]; data = buffer;",
        "free(data);",
        Source("data = (char *)malloc(100); if (data == NULL) exit(1);"),
    ),
    c(
        "free_interior",
        "invalid-free",
        "char *",
        "data = (char *)malloc(100); if (data == NULL) exit(1); data += 4;",
        "free(data);",
        Source("data = (char *)malloc(100); if (data == NULL) exit(1);"),
    ),
    cpp(
        "free_of_new",
        "mismatched-free",
        "char *",
        "data = new char[100];",
        "free(data);",
        Source("data = (char *)malloc(100); if (data == NULL) exit(1);"),
    ),
    cpp(
        "delete_of_array",
        "mismatched-free",
        "int *",
        "data = new int[10];",
        "delete data;",
        Sink("delete[] data;"),
    ),
    c(
        "heap_loop",
        "heap-overflow",
        "char *",
        "data = (char *)malloc(50); if (data == NULL) exit(1);",
        "for (int i = 0; i < 100; i++) data[i] = 'A'; free(data);",
        Source("data = (char *)malloc(100); if (data == NULL) exit(1);"),
    ),
    c(
        "heap_memcpy",
        "heap-overflow",
        "char *",
        "data = (char *)malloc(50); if (data == NULL) exit(1);",
        "char from[100]; memset(from, 'A', 100); memcpy(data, from, 100); free(data);",
        Source("data = (char *)malloc(100); if (data == NULL) exit(1);"),
    ),
    c(
        "heap_strcpy",
        "heap-overflow",
        "char *",
        "data = (char *)malloc(10); if (data == NULL) exit(1);",
        "strcpy(data, \"AAAAAAAAAA\"); free(data);",
        Source("data = (char *)malloc(11); if (data == NULL) exit(1);"),
    ),
    c(
        "heap_read",
        "heap-overflow",
        "int *",
        "data = (int *)calloc(5, sizeof(int)); if (data == NULL) exit(1);",
        "int to[10]; memcpy(to, data, 10 * sizeof(int)); printf(\"%d\\n\", to[1]); free(data);",
        Source("data = (int *)calloc(10, sizeof(int)); if (data == NULL) exit(1);"),
    ),
    c(
        "heap_count",
        "heap-overflow",
        "int",
        "data = 10;",
        "int *p = (int *)calloc(10, sizeof(int)); if (p == NULL) exit(1); for (int i = 0; i <= data; i++) p[i] = i; free(p);",
        Source("data = 9;"),
    ),
    c(
        "heap_size",
        "heap-overflow",
        "size_t",
        "data = 10;",
        "int *p = (int *)malloc(data); if (p == NULL) exit(1); for (int i = 0; i < 10; i++) p[i] = i; free(p);",
        Source("data = 10 * sizeof(int);"),
    ),
    c(
        "stack_index",
        "stack-buffer-overflow",
        "int",
        "data = 10;",
        "int buffer[10] = {0}; if (data >= 0) { buffer[data] = 1; printf(\"%d\\n\", buffer[0]); }",
        Sink(
            "int buffer[10] = {0}; if (data >= 0 && data < 10) { buffer[data] = 1; printf(\"%d\\n\", buffer[0]); }",
        ),
    ),
    c(
        "stack_negative",
        "stack-buffer-overflow",
        "int",
        "data = -5;",
        "int buffer[10] = {0}; if (data < 10) { buffer[data] = 1; printf(\"%d\\n\", buffer[0]); }",
        Source("data = 5;"),
    ),
    c(
        "stack_read",
        "stack-buffer-overflow",
        "int",
        "data = 10;",
        "int buffer[10] = {0}; printf(\"%d\\n\", buffer[data]);",
        Source("data = 3;"),
    ),
    c(
        "stack_snprintf",
        "stack-buffer-overflow",
        "size_t",
        "data = 20;",
        "char buffer[10]; snprintf(buffer, data, \"%s\", \"AAAAAAAAAAAAAAAA\"); puts(buffer);",
        Source("data = 10;"),
    ),
    c(
        "global_strcpy",
        "stack-buffer-overflow",
        "const char *",
        "data = \"a text of more than ten\";",
        "char buffer[10]; strcpy(buffer, data); puts(buffer);",
        Source("data = \"short\";"),
    ),
    Bug {
        name: "undersized",
        rule: "undersized-allocation",
        ty: "size_t",
        is_cpp: false,
        prelude: "struct point { double x, y, z; };",
        source: "data = sizeof(struct point *);",
        sink: "struct point *p = (struct point *)malloc(data); if (p == NULL) exit(1); free(p);",
        repair: Source("data = sizeof(struct point);"),
    },
    c("uninitialized", "uninitialized-read", "int", ";", "if (data > 3) puts(\"big\");", Source("data = 5;")),
    c(
        "uninitialized_heap",
        "uninitialized-read",
        "int *",
        "data = (int *)malloc(10 * sizeof(int)); if (data == NULL) exit(1);",
        "if (data[3] > 2) puts(\"big\"); free(data);",
        Source("data = (int *)calloc(10, sizeof(int)); if (data == NULL) exit(1);"),
    ),
    c(
        "null",
        "null-dereference",
        "int *",
        "data = NULL;",
        "printf(\"%d\\n\", *data);",
        Source("static int one = 1; data = &one;"),
    ),
    c(
        "unchecked",
        "null-dereference",
        "char *",
        "data = (char *)malloc(100);",
        "data[0] = 'A'; free(data);",
        Sink("if (data != NULL) data[0] = 'A'; free(data);"),
    ),
    Bug {
        name: "dangling",
        rule: "dangling-stack-address",
        ty: "char *",
        is_cpp: false,
        prelude: "static char *text(void) { char buffer[10]; strcpy(buffer, \"text\"); char *p = buffer; return p; }",
        source: "data = text();",
        sink: "puts(data);",
        repair: Prelude(
            "static char *text(void) { static char buffer[10]; strcpy(buffer, \"text\"); char *p = buffer; return p; }",
        ),
    },
    c(
        "overlap",
        "overlapping-copy",
        "int",
        "data = 2;",
        "char buffer[100]; memset(buffer, 'A', 100); memcpy(buffer, buffer + data, 40); printf(\"%c\\n\", buffer[0]);",
        Source("data = 50;"),
    ),
    c(
        "file",
        "resource-leak",
        "FILE *",
        "data = fopen(\"/dev/null\", \"r\"); if (data == NULL) exit(1);",
        "printf(\"%d\\n\", fgetc(data));",
        Sink("printf(\"%d\\n\", fgetc(data)); fclose(data);"),
    ),
    c(
        "descriptor",
        "resource-leak",
        "int",
        "data = open(\"/dev/null\", O_RDONLY); if (data < 0) exit(1);",
        "char byte; printf(\"%d\\n\", (int)read(data, &byte, 1));",
        Sink("char byte; printf(\"%d\\n\", (int)read(data, &byte, 1)); close(data);"),
    ),
    Bug {
        name: "member_overrun",
        rule: "stack-buffer-overflow",
        ty: "int",
        is_cpp: false,
        prelude: "struct card { char name[16]; void *next; };",
        source: "data = (int)sizeof(struct card);",
        sink: "struct card card; char text[32]; memset(text, 'A', 31); text[31] = 0; card.next = text; memcpy(card.name, text, data); puts((char *)card.next);",
        repair: Source("data = 16;"),
    },
    c(
        "file_unchecked",
        "null-dereference",
        "FILE *",
        "data = fopen(\"/dev/null\", \"r\");",
        "printf(\"%d\\n\", fgetc(data)); fclose(data);",
        Sink("if (data != NULL) { printf(\"%d\\n\", fgetc(data)); fclose(data); }"),
    ),
    Bug {
        name: "dangling_store",
        rule: "dangling-stack-address",
        ty: "int",
        is_cpp: false,
        prelude: "static const char *last; static void set(int n) { char buffer[10]; strcpy(buffer, \"text\"); if (n > 2) last = buffer; }",
        source: "data = 5;",
        sink: "set(data); if (last) puts(last);",
        repair: Prelude(
            "static const char *last; static void set(int n) { static char buffer[10]; strcpy(buffer, \"text\"); if (n > 2) last = buffer; }",
        ),
    },
    cpp(
        "c_str_of_grown",
        "use-after-free",
        "const char *",
        "std::string text(\"a text\"); data = text.c_str(); text += \" that grows and grows\";",
        "puts(data);",
        Source("static std::string text(\"a text\"); data = text.c_str();"),
    ),
    cpp(
        "owned_pointer",
        "use-after-free",
        "int *",
        "{ std::unique_ptr<int> owner(new int(5)); data = owner.get(); }",
        "printf(\"%d\\n\", *data);",
        Source("static int one = 1; data = &one;"),
    ),
    cpp(
        "erased_node",
        "use-after-free",
        "int",
        "data = 1;",
        "std::list<int> all; all.push_back(3); std::list<int>::iterator it = all.begin(); if (data == 1) { all.erase(it); } printf(\"%d\\n\", *it);",
        Source("data = 2;"),
    ),
];
