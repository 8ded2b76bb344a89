//! Generated inputs of the workloads: the same bytes on every machine, kept in a cache folder.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::rng::Rng;

/// Part of the file names: raise it when a generator changes.
const GENERATION: u32 = 1;

/// The file `name` of the cache, made by `generate` if it is not there.
pub fn cached(cache: &Path, name: &str, generate: impl FnOnce() -> String) -> Result<PathBuf, String> {
    let path = cache.join(format!("{GENERATION}-{name}"));
    if !path.is_file() {
        let part = path.with_extension("part");
        fs::write(&part, generate())
            .and_then(|()| fs::rename(&part, &path))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(path)
}

/// SQL: single inserts in one transaction, indexes, joins, updates, deletes.
pub fn sql() -> String {
    let mut rng = Rng::new(11);
    let mut text = String::from(
        "PRAGMA temp_store=memory;\nCREATE TABLE item(id INTEGER PRIMARY KEY, owner INT, name TEXT, price REAL, note TEXT);\n\
         CREATE TABLE owner(id INTEGER PRIMARY KEY, name TEXT UNIQUE, town TEXT);\nBEGIN;\n",
    );
    for id in 0..4_000 {
        let _ = writeln!(
            text,
            "INSERT INTO owner VALUES({id}, 'owner {:x}-{id}', 'town {}');",
            rng.next(),
            rng.below(97)
        );
    }
    for id in 0..150_000 {
        let note = "lorem ipsum dolor ".repeat(1 + rng.below(6) as usize);
        let _ = writeln!(
            text,
            "INSERT INTO item VALUES({id}, {}, 'item {:x}', {}.{:02}, '{note}');",
            rng.below(4_000),
            rng.next(),
            rng.below(1_000),
            rng.below(100)
        );
    }
    text.push_str(
        "COMMIT;\nCREATE INDEX item_name ON item(name);\nCREATE INDEX item_owner ON item(owner, price);\nANALYZE;\n\
         SELECT town, count(*), round(sum(price), 2), max(item.name) FROM item JOIN owner ON owner.id = item.owner GROUP BY town ORDER BY 3 DESC LIMIT 20;\n\
         UPDATE item SET note = upper(note) || id WHERE id % 7 = 0;\nDELETE FROM item WHERE owner % 13 = 0;\n\
         SELECT count(*), sum(length(note)), group_concat(name) FROM (SELECT * FROM item ORDER BY price, id LIMIT 30);\n\
         SELECT count(DISTINCT substr(name, 6, 3)) FROM item;\n",
    );
    text
}

/// About 40 MB of JSON: an array of nested records.
pub fn json() -> String {
    let mut rng = Rng::new(12);
    let mut text = String::with_capacity(42 << 20);
    text.push('[');
    while text.len() < 40 << 20 {
        if text.len() > 1 {
            text.push_str(",\n");
        }
        let _ = write!(
            text,
            "{{\"id\":{},\"name\":\"user {:x}\",\"active\":{},\"score\":{}.{},\"tags\":[",
            rng.below(1 << 30),
            rng.next(),
            rng.chance(60),
            rng.below(1_000),
            rng.below(1_000)
        );
        for at in 0..rng.below(6) {
            let _ = write!(text, "{}\"tag{}\"", if at > 0 { "," } else { "" }, rng.below(50));
        }
        text.push_str("],\"visits\":[");
        for at in 0..rng.below(5) {
            let _ = write!(
                text,
                "{}{{\"page\":\"/p/{}\",\"seconds\":{},\"from\":null}}",
                if at > 0 { "," } else { "" },
                rng.below(10_000),
                rng.below(900)
            );
        }
        text.push_str("]}");
    }
    text.push_str("]\n");
    text
}

/// About 20,000 lines of C that needs no header.
pub fn c_source() -> String {
    let mut rng = Rng::new(13);
    let mut text = String::from(
        "typedef unsigned long size_t;\ntypedef unsigned char byte;\nvoid *malloc(size_t);\nvoid free(void *);\n\
         void *memcpy(void *, const void *, size_t);\nint printf(const char *, ...);\n\n",
    );
    let mut unit = 0;
    while text.lines().count() < 20_000 {
        // Counting lines once per batch keeps this linear enough.
        for _ in 0..25 {
            c_unit(&mut text, &mut rng, unit);
            unit += 1;
        }
    }
    text
}

/// A struct, helpers and functions over it, as hand-written code has them.
fn c_unit(text: &mut String, rng: &mut Rng, n: usize) {
    let fields = rng.range(3, 9);
    let _ =
        writeln!(text, "struct node{n} {{\n    struct node{n} *next;\n    int kind;\n    unsigned length;");
    for field in 0..fields {
        let kind = *rng.pick(&["int", "long", "double", "short", "byte", "unsigned"]);
        let _ = writeln!(text, "    {kind} f{field};");
    }
    let _ = writeln!(text, "    long table[{}];\n}};\n", rng.range(4, 40));
    let _ = writeln!(
        text,
        "static inline long mix{n}(long a, long b) {{\n    a ^= b << {};\n    a += (unsigned long)a >> {};\n    return a * {}L;\n}}\n",
        rng.range(1, 13),
        rng.range(3, 17),
        rng.below(100_000) | 1
    );
    let _ = writeln!(
        text,
        "static long weigh{n}(const struct node{n} *it, int mode) {{\n    long sum = it->length;\n    switch (mode) {{"
    );
    for case in 0..rng.range(3, 8) {
        let a = rng.below(fields);
        let b = rng.below(fields);
        let _ = writeln!(
            text,
            "        case {case}:\n            sum += (long)it->f{a} * {} - (long)it->f{b};\n            break;",
            rng.below(90) + 2
        );
    }
    let _ = writeln!(
        text,
        "        default:\n            sum = mix{n}(sum, mode);\n    }}\n    return sum;\n}}\n"
    );
    let _ = writeln!(
        text,
        "struct node{n} *make{n}(int count) {{\n    struct node{n} *head = 0;\n    for (int i = 0; i < count; i++) {{\n        struct node{n} *it = malloc(sizeof *it);\n        if (!it) break;\n        it->kind = i % {};\n        it->length = (unsigned)mix{n}(i, count) & 4095;",
        rng.range(3, 9)
    );
    for field in 0..fields {
        let _ = writeln!(text, "        it->f{field} = i * {} + {};", rng.below(9) + 1, rng.below(100));
    }
    let _ = writeln!(
        text,
        "        for (unsigned k = 0; k < sizeof it->table / sizeof it->table[0]; k++) it->table[k] = mix{n}(k, i);\n        it->next = head;\n        head = it;\n    }}\n    return head;\n}}\n"
    );
    let _ = writeln!(
        text,
        "long walk{n}(struct node{n} *it, double scale) {{\n    long total = 0;\n    double share = 0;\n    while (it) {{\n        struct node{n} *next = it->next;\n        total += weigh{n}(it, it->kind);\n        if (total > {}) {{\n            for (int k = 0; k < {}; k++) {{\n                share += it->table[k] * scale;\n                if (it->table[k] & 1) total ^= it->table[k];\n                else if (it->table[k] % 3 == 0) total -= mix{n}(total, k);\n            }}\n        }} else {{\n            share -= it->f0 / (scale + 1.5);\n        }}\n        it = next;\n    }}\n    return total + (long)share;\n}}\n",
        rng.below(100_000),
        rng.range(3, 5)
    );
    if n > 0 {
        let other = rng.below(n as u64);
        let _ = writeln!(
            text,
            "long both{n}(int count) {{\n    struct node{n} *mine = make{n}(count);\n    struct node{other} *theirs = make{other}(count / 2);\n    long sum = walk{n}(mine, 1.25) + walk{other}(theirs, 0.5);\n    printf(\"%ld\\n\", sum);\n    while (mine) {{ struct node{n} *next = mine->next; free(mine); mine = next; }}\n    while (theirs) {{ struct node{other} *next = theirs->next; free(theirs); theirs = next; }}\n    return sum;\n}}\n"
        );
    }
}

/// Python: builds, walks and rewrites syntax trees and JSON.
pub const PYTHON: &str = r#"import ast
import json
import sys

SOURCE = "\n".join(
    f"def f{i}(a, b=None, *rest, **named):\n"
    f"    total = [x * {i} + a for x in range(b or {i % 17}) if x % 3 != {i % 3}]\n"
    f"    try:\n        return {{'k{i}': total, **named}}\n"
    f"    except (ValueError, KeyError) as error:\n        raise RuntimeError(f'{{error}} in {i}') from error\n"
    for i in range(1200)
)


class Renamer(ast.NodeTransformer):
    def visit_Name(self, node):
        return ast.copy_location(ast.Name(id=node.id + "_", ctx=node.ctx), node)


def main(rounds):
    check = 0
    for turn in range(rounds):
        tree = Renamer().visit(ast.parse(SOURCE))
        text = ast.unparse(tree)
        check = (check * 31 + len(text) + sum(1 for _ in ast.walk(tree))) % 1000003
        records = [
            {"id": i, "name": f"user {i * 7919 % 10007}", "tags": [str(i % k) for k in range(1, 6)], "score": i / 7}
            for i in range(20000)
        ]
        dump = json.dumps(records, sort_keys=True)
        back = json.loads(dump)
        groups = {}
        for record in back:
            groups.setdefault(record["tags"][4], []).append(record["name"].upper())
        check = (check * 31 + len(dump) + sum(len(it) for it in groups.values())) % 1000003
    print(check)


main(int(sys.argv[1]))
"#;

#[test]
fn c_source_has_its_size() {
    let lines = c_source().lines().count();
    assert!((20_000..23_000).contains(&lines), "{lines}");
}
