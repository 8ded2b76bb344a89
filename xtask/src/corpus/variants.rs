//! The flow variants: the ways that a value and control take from source to sink.
//!
//! Each writes one program, of one file or several, around a source and a sink. What a variant hides is its name.

/// What a variant is filled with.
pub struct Fill<'a> {
    pub ty: &'a str,
    pub prelude: &'a str,
    pub source: &'a str,
    pub sink: &'a str,
    pub is_cpp: bool,
}

/// A file's name and text.
pub type File = (String, String);

pub struct Variant {
    pub name: &'static str,
    pub is_cpp: bool,
    /// Data crosses files, containers or classes: the harder half.
    pub is_far: bool,
    pub write: fn(&Fill) -> Vec<File>,
}

const HEADERS: &str =
    "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <fcntl.h>\n#include <unistd.h>\n";

const fn near(name: &'static str, write: fn(&Fill) -> Vec<File>) -> Variant {
    Variant { name, is_cpp: false, is_far: false, write }
}

const fn far(name: &'static str, write: fn(&Fill) -> Vec<File>) -> Variant {
    Variant { name, is_cpp: false, is_far: true, write }
}

const fn cpp(name: &'static str, is_far: bool, write: fn(&Fill) -> Vec<File>) -> Variant {
    Variant { name, is_cpp: true, is_far, write }
}

/// One file: `top` before `run`, which has `body`.
fn file(fill: &Fill, top: &str, body: &str) -> Vec<File> {
    cpp_file(fill, "", top, body)
}

fn cpp_file(fill: &Fill, headers: &str, top: &str, body: &str) -> Vec<File> {
    let text = format!(
        "{HEADERS}{headers}\n{}\n{top}\nstatic void run(void)\n{{\n{body}}}\n\nint main(void)\n{{\n    run();\n    return 0;\n}}\n",
        fill.prelude
    );
    vec![(format!("main.{}", end(fill)), text)]
}

fn end(fill: &Fill) -> &'static str {
    if fill.is_cpp { "cpp" } else { "c" }
}

/// A second file, and the first with `run`.
fn files(fill: &Fill, others: &[String], top: &str, body: &str) -> Vec<File> {
    let mut all = file(fill, top, body);
    for (i, text) in others.iter().enumerate() {
        all.push((format!("part{}.{}", i + 1, end(fill)), format!("{HEADERS}\n{}\n{text}", fill.prelude)));
    }
    all
}

/// Declares `data` without reading anything of it.
fn declare(f: &Fill) -> String {
    format!("    {} data;\n", f.ty)
}

/// Both statements, each under its own condition.
fn guarded(f: &Fill, condition: &str) -> String {
    format!(
        "{}    if ({condition}) {{\n        {}\n    }} else {{\n        return;\n    }}\n    if ({condition}) {{\n        {}\n    }}\n",
        declare(f),
        f.source,
        f.sink
    )
}

/// `name` hands `data` on to the function called `next`, `depth` times; the last one is the sink.
fn chain(f: &Fill, depth: usize) -> String {
    let mut top = String::new();
    for level in (0..depth).rev() {
        let inner = match level + 1 == depth {
            true => f.sink.to_owned(),
            false => format!("step{}(data);", level + 1),
        };
        top += &format!("static void step{level}({} data)\n{{\n    {inner}\n}}\n\n", f.ty);
    }
    top
}

fn source_then(f: &Fill, rest: &str) -> String {
    format!("{}    {}\n    {rest}\n", declare(f), f.source)
}

fn sink_function(f: &Fill) -> String {
    format!("static void sink({} data)\n{{\n    {}\n}}\n", f.ty, f.sink)
}

fn source_function(f: &Fill) -> String {
    format!("static {} source(void)\n{{\n    {} data;\n    {}\n    return data;\n}}\n", f.ty, f.ty, f.source)
}

pub const VARIANTS: &[Variant] = &[
    near("straight", |f| file(f, "", &source_then(f, f.sink))),
    near("if_constant", |f| file(f, "", &guarded(f, "1"))),
    near("if_compare", |f| file(f, "", &guarded(f, "5 == 5"))),
    near("if_const_flag", |f| file(f, "static const int FLAG = 1;\n", &guarded(f, "FLAG"))),
    near("if_static_flag", |f| file(f, "static int flag = 5;\n", &guarded(f, "flag == 5"))),
    near("if_function", |f| file(f, "static int is_on(void)\n{\n    return 1;\n}\n", &guarded(f, "is_on()"))),
    near("if_global_set_once", |f| {
        let body = format!("    prepare();\n{}", guarded(f, "enabled"));
        file(f, "static int enabled;\nstatic void prepare(void)\n{\n    enabled = 1;\n}\n", &body)
    }),
    near("if_parameter", |f| {
        let top = format!(
            "static void work(int mode)\n{{\n{}    if (mode) {{\n        {}\n    }} else {{\n        return;\n    }}\n    if (mode) {{\n        {}\n    }}\n}}\n",
            declare(f),
            f.source,
            f.sink
        );
        file(f, &top, "    work(1);\n")
    }),
    near("switch", |f| {
        let body = format!(
            "{}    switch (6) {{\n    case 6:\n        {}\n        break;\n    default:\n        return;\n    }}\n    switch (7) {{\n    case 7: {{\n        {}\n        break;\n    }}\n    default:\n        break;\n    }}\n",
            declare(f),
            f.source,
            f.sink
        );
        file(f, "", &body)
    }),
    near("while_break", |f| {
        let body = format!(
            "{}    while (1) {{\n        {}\n        break;\n    }}\n    while (1) {{\n        {}\n        break;\n    }}\n",
            declare(f),
            f.source,
            f.sink
        );
        file(f, "", &body)
    }),
    near("do_while", |f| {
        let body = format!(
            "{}    do {{\n        {}\n    }} while (0);\n    do {{\n        {}\n    }} while (0);\n",
            declare(f),
            f.source,
            f.sink
        );
        file(f, "", &body)
    }),
    near("for_once", |f| {
        let body = format!(
            "{}    for (int k = 0; k < 1; k++) {{\n        {}\n    }}\n    for (int m = 0; m < 1; m++) {{\n        {}\n    }}\n",
            declare(f),
            f.source,
            f.sink
        );
        file(f, "", &body)
    }),
    near("loop_between", |f| {
        let body = format!(
            "{}    {}\n    int sum = 0;\n    for (int k = 0; k < 4; k++)\n        sum += k;\n    printf(\"%d\\n\", sum);\n    {}\n",
            declare(f),
            f.source,
            f.sink
        );
        file(f, "", &body)
    }),
    near("goto", |f| {
        // C++ lets no jump pass an initialization.
        let body = format!(
            "{}    {{\n        {}\n    }}\n    goto next;\nnext:\n    {{\n        {}\n    }}\n",
            declare(f),
            f.source,
            f.sink
        );
        file(f, "", &body)
    }),
    near("alias", |f| {
        let body = format!(
            "{}    {}\n    {} copy = data;\n    {{\n        {} data = copy;\n        {}\n    }}\n",
            declare(f),
            f.source,
            f.ty,
            f.ty,
            f.sink
        );
        file(f, "", &body)
    }),
    near("pointer_to_data", |f| {
        let body = format!(
            "{}    {} *first = &data;\n    {} *second = &data;\n    {{\n        {} data = *first;\n        {}\n        *first = data;\n    }}\n    {{\n        {} data = *second;\n        {}\n    }}\n",
            declare(f),
            f.ty,
            f.ty,
            f.ty,
            f.source,
            f.ty,
            f.sink
        );
        file(f, "", &body)
    }),
    near("argument", |f| file(f, &sink_function(f), &source_then(f, "sink(data);"))),
    near("result", |f| {
        let body = format!("    {} data = source();\n    {}\n", f.ty, f.sink);
        file(f, &source_function(f), &body)
    }),
    near("result_and_argument", |f| {
        let top = format!("{}\n{}", source_function(f), sink_function(f));
        file(f, &top, "    sink(source());\n")
    }),
    near("out_parameter", |f| {
        let top = format!(
            "static void fill({} *out)\n{{\n    {} data;\n    {}\n    *out = data;\n}}\n",
            f.ty, f.ty, f.source
        );
        file(f, &top, &format!("{}    fill(&data);\n    {}\n", declare(f), f.sink))
    }),
    near("two_calls", |f| file(f, &chain(f, 2), &source_then(f, "step0(data);"))),
    near("three_calls", |f| file(f, &chain(f, 3), &source_then(f, "step0(data);"))),
    near("five_calls", |f| file(f, &chain(f, 5), &source_then(f, "step0(data);"))),
    near("function_pointer", |f| {
        let body =
            format!("{}    void (*go)({}) = sink;\n    {}\n    go(data);\n", declare(f), f.ty, f.source);
        file(f, &sink_function(f), &body)
    }),
    near("struct_argument", |f| {
        let top = format!(
            "struct box {{\n    int id;\n    {} data;\n}};\n\nstatic void sink(struct box box)\n{{\n    {} data = box.data;\n    {}\n}}\n",
            f.ty, f.ty, f.sink
        );
        file(
            f,
            &top,
            &source_then(f, "struct box box;\n    box.id = 1;\n    box.data = data;\n    sink(box);"),
        )
    }),
    near("struct_pointer", |f| {
        let top = format!(
            "struct box {{\n    int id;\n    {} data;\n}};\n\nstatic void sink(const struct box *box)\n{{\n    {} data = box->data;\n    {}\n}}\n",
            f.ty, f.ty, f.sink
        );
        file(
            f,
            &top,
            &source_then(f, "struct box box;\n    box.id = 1;\n    box.data = data;\n    sink(&box);"),
        )
    }),
    near("union", |f| {
        let top = format!("union both {{\n    {} first;\n    {} second;\n}};\n", f.ty, f.ty);
        let rest = format!(
            "union both both;\n    both.first = data;\n    {{\n        {} data = both.second;\n        {}\n    }}",
            f.ty, f.sink
        );
        file(f, &top, &source_then(f, &rest))
    }),
    near("array_element", |f| {
        let top = format!(
            "static void sink({} all[])\n{{\n    {} data = all[2];\n    {}\n}}\n",
            f.ty, f.ty, f.sink
        );
        file(f, &top, &source_then(f, &format!("{} all[5];\n    all[2] = data;\n    sink(all);", f.ty)))
    }),
    near("static_variable", |f| {
        let top = format!(
            "static {} kept;\n\nstatic void sink(void)\n{{\n    {} data = kept;\n    {}\n}}\n",
            f.ty, f.ty, f.sink
        );
        file(f, &top, &source_then(f, "kept = data;\n    sink();"))
    }),
    far("file_argument", |f| {
        let other = format!("void sink({} data)\n{{\n    {}\n}}\n", f.ty, f.sink);
        files(f, &[other], &format!("void sink({} data);\n", f.ty), &source_then(f, "sink(data);"))
    }),
    far("file_result", |f| {
        let other = format!(
            "{} source(void)\n{{\n    {} data;\n    {}\n    return data;\n}}\n",
            f.ty, f.ty, f.source
        );
        let body = format!("    {} data = source();\n    {}\n", f.ty, f.sink);
        files(f, &[other], &format!("{} source(void);\n", f.ty), &body)
    }),
    far("file_global", |f| {
        let other = format!(
            "extern {} kept;\nvoid sink(void);\nvoid sink(void)\n{{\n    {} data = kept;\n    {}\n}}\n",
            f.ty, f.ty, f.sink
        );
        let top = format!("{} kept;\nvoid sink(void);\n", f.ty);
        files(f, &[other], &top, &source_then(f, "kept = data;\n    sink();"))
    }),
    far("file_chain", |f| {
        let pass = |from: usize| {
            format!(
                "void step{}({} data);\nvoid step{from}({} data);\nvoid step{from}({} data)\n{{\n    step{}(data);\n}}\n",
                from + 1,
                f.ty,
                f.ty,
                f.ty,
                from + 1
            )
        };
        let last = format!("void step3({} data);\nvoid step3({} data)\n{{\n    {}\n}}\n", f.ty, f.ty, f.sink);
        let others = [pass(0), pass(1), pass(2), last];
        files(f, &others, &format!("void step0({} data);\n", f.ty), &source_then(f, "step0(data);"))
    }),
    far("file_flag", |f| {
        let other = "int is_on;\nvoid prepare(void);\nvoid prepare(void)\n{\n    is_on = 1;\n}\n".to_owned();
        let body = format!("    prepare();\n{}", guarded(f, "is_on"));
        files(f, &[other], "extern int is_on;\nvoid prepare(void);\n", &body)
    }),
    far("file_pointer_table", |f| {
        let other = format!("void sink({} data);\nvoid sink({} data)\n{{\n    {}\n}}\n", f.ty, f.ty, f.sink);
        let top = format!("void sink({} data);\nstatic void (*const table[])({}) = {{sink}};\n", f.ty, f.ty);
        files(f, &[other], &top, &source_then(f, "table[0](data);"))
    }),
    cpp("reference", false, |f| {
        let body = format!(
            "{}    {} &other = data;\n    {}\n    {{\n        {} data = other;\n        {}\n    }}\n",
            declare(f),
            f.ty,
            f.source,
            f.ty,
            f.sink
        );
        file(f, "", &body)
    }),
    cpp("reference_parameter", false, |f| {
        let top = format!("static void fill({} &data)\n{{\n    {}\n}}\n", f.ty, f.source);
        file(f, &top, &format!("{}    fill(data);\n    {}\n", declare(f), f.sink))
    }),
    cpp("template", false, |f| {
        let top = format!("template <typename T> static void sink(T data)\n{{\n    {}\n}}\n", f.sink);
        file(f, &top, &source_then(f, "sink(data);"))
    }),
    cpp("lambda", false, |f| {
        let body = source_then(f, &format!("auto sink = [&]() {{\n        {}\n    }};\n    sink();", f.sink));
        file(f, "", &body)
    }),
    cpp("exception", false, |f| {
        let body = source_then(
            f,
            &format!("try {{\n        throw 1;\n    }} catch (int) {{\n        {}\n    }}", f.sink),
        );
        file(f, "", &body)
    }),
    cpp("virtual_method", true, |f| {
        let top = format!(
            "struct Base {{\n    virtual ~Base() {{}}\n    virtual void sink({} data) const = 0;\n}};\n\nstruct Derived : Base {{\n    void sink({} data) const override\n    {{\n        {}\n    }}\n}};\n",
            f.ty, f.ty, f.sink
        );
        file(
            f,
            &top,
            &source_then(f, "Derived derived;\n    const Base &base = derived;\n    base.sink(data);"),
        )
    }),
    cpp("member", true, |f| {
        let top = format!(
            "class Holder {{\n    {} kept;\n\npublic:\n    explicit Holder({} data) : kept(data) {{}}\n    void sink()\n    {{\n        {} data = kept;\n        {}\n    }}\n}};\n",
            f.ty, f.ty, f.ty, f.sink
        );
        file(f, &top, &source_then(f, "Holder holder(data);\n    holder.sink();"))
    }),
    cpp("destructor", true, |f| {
        let top = format!(
            "class Holder {{\n    {} kept;\n\npublic:\n    explicit Holder({} data) : kept(data) {{}}\n    ~Holder()\n    {{\n        {} data = kept;\n        {}\n    }}\n}};\n",
            f.ty, f.ty, f.ty, f.sink
        );
        file(f, &top, &source_then(f, "Holder holder(data);"))
    }),
    cpp("vector", true, |f| {
        let rest = format!(
            "std::vector<{0}> all;\n    all.push_back(data);\n    {{\n        {0} data = all[0];\n        {1}\n    }}",
            f.ty, f.sink
        );
        cpp_file(f, "#include <vector>\n", "", &source_then(f, &rest))
    }),
    cpp("list_argument", true, |f| {
        let top = format!(
            "static void sink(std::list<{0}> all)\n{{\n    {0} data = all.front();\n    {1}\n}}\n",
            f.ty, f.sink
        );
        let rest = format!("std::list<{}> all;\n    all.push_back(data);\n    sink(all);", f.ty);
        cpp_file(f, "#include <list>\n", &top, &source_then(f, &rest))
    }),
    cpp("map", true, |f| {
        let rest = format!(
            "std::map<int, {0}> all;\n    all[1] = data;\n    {{\n        {0} data = all[1];\n        {1}\n    }}",
            f.ty, f.sink
        );
        cpp_file(f, "#include <map>\n", "", &source_then(f, &rest))
    }),
];
