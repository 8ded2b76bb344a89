//! A small Lisp whose values live in the generational heap: `cargo run --example lisp FILE`.
//!
//! ```text
//! integer [| value]   symbol [global value | name]   pair [first, rest]   closure [parameters, body, environment]
//! environment: a list of pairs (symbol . value), the innermost first
//! ```
//!
//! What the interpreter must do for the heap is little: what it will use after an allocation is on the stack of roots
//! ([`Heap::push`]) or reachable from there. `eval` keeps its expression and its environment there, and beside them the
//! function and the arguments it has so far. Handles stay the same when objects move.
//!
//! Tail calls are loops; other calls recurse, to a depth that is checked.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt;
use std::io::Write;

use heapwise_gc::{Exhausted, Generational, Handle, Heap, Root, Shape};

/// Calls within calls.
const DEPTH: u32 = 5_000;
/// Bytes of stack that so many calls and the reader need.
const STACK_BYTES: usize = 256 << 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Nil,
    True,
    Integer,
    Symbol,
    Pair,
    Closure,
    Builtin,
}

const KINDS: [Kind; 7] =
    [Kind::Nil, Kind::True, Kind::Integer, Kind::Symbol, Kind::Pair, Kind::Closure, Kind::Builtin];

/// A built-in function, by its arguments' places on the stack of roots.
type Builtin = fn(&mut Lisp, usize) -> Result<Handle, Error>;

const BUILTINS: [(&str, usize, Builtin); 14] = [
    ("+", 2, |lisp, at| lisp.arithmetic(at, i64::checked_add)),
    ("-", 2, |lisp, at| lisp.arithmetic(at, i64::checked_sub)),
    ("*", 2, |lisp, at| lisp.arithmetic(at, i64::checked_mul)),
    ("mod", 2, |lisp, at| lisp.arithmetic(at, i64::checked_rem_euclid)),
    ("=", 2, |lisp, at| lisp.compare(at, |a, b| a == b)),
    ("<", 2, |lisp, at| lisp.compare(at, |a, b| a < b)),
    ("null", 1, |lisp, at| Ok(lisp.truth(lisp.kind(lisp.heap.at(at)) == Kind::Nil))),
    ("cons", 2, |lisp, at| {
        let (first, rest) = (lisp.heap.at(at), lisp.heap.at(at + 1));
        lisp.pair(first, rest)
    }),
    ("car", 1, |lisp, at| lisp.part(lisp.heap.at(at), 0)),
    ("cdr", 1, |lisp, at| lisp.part(lisp.heap.at(at), 1)),
    ("set-car", 2, |lisp, at| lisp.set_part(at, 0)),
    ("set-cdr", 2, |lisp, at| lisp.set_part(at, 1)),
    ("print", 1, |lisp, at| lisp.print(at)),
    ("collect", 0, |lisp, _| {
        lisp.heap.collect();
        Ok(lisp.nil())
    }),
];

#[derive(Debug)]
enum Error {
    Memory(Exhausted),
    /// The source's text at this byte.
    Syntax(usize, &'static str),
    Unbound(String),
    Type(&'static str, String),
    Arguments(usize, usize),
    Overflow,
    Depth,
    Output(std::io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(exhausted) => write!(out, "{exhausted}"),
            Self::Syntax(at, expected) => write!(out, "byte {at}: expected {expected}"),
            Self::Unbound(name) => write!(out, "{name} has no value"),
            Self::Type(expected, found) => write!(out, "expected {expected}, found {found}"),
            Self::Arguments(expected, found) => write!(out, "expected {expected} arguments, found {found}"),
            Self::Overflow => write!(out, "the number is out of range"),
            Self::Depth => write!(out, "more than {DEPTH} calls within calls"),
            Self::Output(error) => write!(out, "{error}"),
        }
    }
}

impl From<Exhausted> for Error {
    fn from(exhausted: Exhausted) -> Self {
        Self::Memory(exhausted)
    }
}

struct Lisp {
    heap: Heap<Generational>,
    symbols: HashMap<String, Root>,
    nil: Root,
    yes: Root,
    depth: u32,
    out: Box<dyn Write>,
}

impl Lisp {
    fn new(collector: Generational, limit_bytes: u64, out: Box<dyn Write>) -> Result<Self, Error> {
        let mut heap = Heap::with_limit(collector, limit_bytes);
        let make = |heap: &mut Heap<Generational>, kind: Kind| -> Result<Root, Error> {
            let made = heap.allocate(Shape::new(0, 1))?;
            heap.bytes_mut(made)[0] = kind as u8;
            Ok(heap.root(made))
        };
        let (nil, yes) = (make(&mut heap, Kind::Nil)?, make(&mut heap, Kind::True)?);
        let mut lisp = Self { heap, symbols: HashMap::new(), nil, yes, depth: 0, out };
        for (number, (name, ..)) in BUILTINS.iter().enumerate() {
            let symbol = lisp.symbol(name)?;
            let builtin = lisp.heap.allocate_with(&[], &[Kind::Builtin as u8, number as u8])?;
            lisp.heap.set(symbol, 0, Some(builtin));
        }
        let (symbol, yes) = (lisp.symbol("t")?, lisp.heap.rooted(&lisp.yes));
        lisp.heap.set(symbol, 0, Some(yes));
        let (symbol, nil) = (lisp.symbol("nil")?, lisp.nil());
        lisp.heap.set(symbol, 0, Some(nil));
        Ok(lisp)
    }

    fn nil(&self) -> Handle {
        self.heap.rooted(&self.nil)
    }

    fn truth(&self, it: bool) -> Handle {
        self.heap.rooted(if it { &self.yes } else { &self.nil })
    }

    fn kind(&self, value: Handle) -> Kind {
        KINDS[usize::from(self.heap.bytes(value)[0])]
    }

    fn integer(&mut self, number: i64) -> Result<Handle, Error> {
        let mut payload = [Kind::Integer as u8; 9];
        payload[1..].copy_from_slice(&number.to_ne_bytes());
        Ok(self.heap.allocate_with(&[], &payload)?)
    }

    fn number(&self, value: Handle) -> Result<i64, Error> {
        match self.kind(value) {
            Kind::Integer => {
                let bytes = self.heap.bytes(value)[1..].try_into().expect("an integer has eight bytes");
                Ok(i64::from_ne_bytes(bytes))
            }
            _ => Err(Error::Type("a number", self.text(value))),
        }
    }

    fn pair(&mut self, first: Handle, rest: Handle) -> Result<Handle, Error> {
        Ok(self.heap.allocate_with(&[Some(first), Some(rest)], &[Kind::Pair as u8])?)
    }

    fn symbol(&mut self, name: &str) -> Result<Handle, Error> {
        if let Some(root) = self.symbols.get(name) {
            return Ok(self.heap.rooted(root));
        }
        let payload: Vec<u8> = [Kind::Symbol as u8].into_iter().chain(name.bytes()).collect();
        let symbol = self.heap.allocate_with(&[None], &payload)?;
        let root = self.heap.root(symbol);
        self.symbols.insert(name.to_string(), root);
        Ok(symbol)
    }

    fn name(&self, symbol: Handle) -> String {
        String::from_utf8_lossy(&self.heap.bytes(symbol)[1..]).into_owned()
    }

    /// The first value or the rest of a pair; of nil, nil.
    fn part(&self, value: Handle, field: u32) -> Result<Handle, Error> {
        match self.kind(value) {
            Kind::Pair => Ok(self.heap.get(value, field).expect("a pair has both")),
            Kind::Nil => Ok(value),
            _ => Err(Error::Type("a pair", self.text(value))),
        }
    }

    fn set_part(&mut self, at: usize, field: u32) -> Result<Handle, Error> {
        let (pair, value) = (self.heap.at(at), self.heap.at(at + 1));
        match self.kind(pair) {
            Kind::Pair => self.heap.set(pair, field, Some(value)),
            _ => return Err(Error::Type("a pair", self.text(pair))),
        }
        Ok(value)
    }

    fn arithmetic(&mut self, at: usize, operation: fn(i64, i64) -> Option<i64>) -> Result<Handle, Error> {
        let (left, right) = (self.number(self.heap.at(at))?, self.number(self.heap.at(at + 1))?);
        self.integer(operation(left, right).ok_or(Error::Overflow)?)
    }

    fn compare(&self, at: usize, holds: fn(i64, i64) -> bool) -> Result<Handle, Error> {
        let (left, right) = (self.number(self.heap.at(at))?, self.number(self.heap.at(at + 1))?);
        Ok(self.truth(holds(left, right)))
    }

    fn print(&mut self, at: usize) -> Result<Handle, Error> {
        let value = self.heap.at(at);
        let text = self.text(value);
        writeln!(self.out, "{text}").map_err(Error::Output)?;
        Ok(value)
    }

    /// The value as it is written, cut where it is long or nested deeply; it may refer to itself.
    fn text(&self, value: Handle) -> String {
        let mut out = String::new();
        self.write(value, 20, &mut out);
        out
    }

    fn write(&self, value: Handle, depth: u32, out: &mut String) {
        match self.kind(value) {
            Kind::Nil => out.push_str("nil"),
            Kind::True => out.push('t'),
            Kind::Integer => {
                out.push_str(&self.number(value).map_or_else(|_| String::new(), |it| it.to_string()))
            }
            Kind::Symbol => out.push_str(&self.name(value)),
            Kind::Closure | Kind::Builtin => out.push_str("(function)"),
            Kind::Pair if depth == 0 => out.push_str("..."),
            Kind::Pair => {
                let mut rest = value;
                for at in 0.. {
                    out.push(if at == 0 { '(' } else { ' ' });
                    if at == 100 {
                        out.push_str("...");
                        break;
                    }
                    self.write(self.heap.get(rest, 0).expect("a pair has both"), depth - 1, out);
                    rest = self.heap.get(rest, 1).expect("a pair has both");
                    if self.kind(rest) != Kind::Pair {
                        break;
                    }
                }
                if !matches!(self.kind(rest), Kind::Nil | Kind::Pair) {
                    out.push_str(" . ");
                    self.write(rest, depth - 1, out);
                }
                out.push(')');
            }
        }
    }

    /// Reads and evaluates everything in a text.
    fn run(&mut self, source: &str) -> Result<(), Error> {
        let mut at = 0;
        loop {
            at = skip_blank(source, at);
            if at == source.len() {
                return Ok(());
            }
            let height = self.heap.height();
            let expression = self.read(source, &mut at, 0)?;
            let done = self.eval(expression, self.nil());
            self.heap.truncate(height);
            done?;
        }
    }

    fn read(&mut self, source: &str, at: &mut usize, depth: u32) -> Result<Handle, Error> {
        if depth > DEPTH {
            return Err(Error::Depth);
        }
        *at = skip_blank(source, *at);
        let rest = &source[*at..];
        if rest.starts_with('(') {
            *at += 1;
            return self.read_list(source, at, depth);
        }
        let length = rest.find(|it: char| it.is_whitespace() || "();".contains(it)).unwrap_or(rest.len());
        if length == 0 {
            return Err(Error::Syntax(*at, "a value"));
        }
        *at += length;
        match rest[..length].parse() {
            Ok(number) => self.integer(number),
            Err(_) => self.symbol(&rest[..length]),
        }
    }

    fn read_list(&mut self, source: &str, at: &mut usize, depth: u32) -> Result<Handle, Error> {
        let base = self.heap.height();
        loop {
            *at = skip_blank(source, *at);
            match source[*at..].chars().next() {
                None => return Err(Error::Syntax(*at, "`)`")),
                Some(')') => break,
                Some(_) => {
                    let item = self.read(source, at, depth + 1)?;
                    self.heap.push(item);
                }
            }
        }
        *at += 1;
        let mut list = self.nil();
        while self.heap.height() > base {
            let item = self.heap.pop();
            list = self.pair(item, list)?;
        }
        Ok(list)
    }

    /// The value of an expression; it is on no root when it is handed out.
    fn eval(&mut self, expression: Handle, environment: Handle) -> Result<Handle, Error> {
        self.depth += 1;
        let base = self.heap.height();
        self.heap.push(expression);
        self.heap.push(environment);
        let value = if self.depth > DEPTH { Err(Error::Depth) } else { self.eval_rooted(base) };
        self.heap.truncate(base);
        self.depth -= 1;
        value
    }

    /// Evaluates what is on the stack at `base`, in the environment above it.
    fn eval_rooted(&mut self, base: usize) -> Result<Handle, Error> {
        loop {
            self.heap.truncate(base + 2);
            let (expression, environment) = (self.heap.at(base), self.heap.at(base + 1));
            match self.kind(expression) {
                Kind::Symbol => return self.look_up(expression, environment),
                Kind::Pair => {}
                _ => return Ok(expression),
            }
            let head = self.part(expression, 0)?;
            let form = if self.kind(head) == Kind::Symbol { self.name(head) } else { String::new() };
            let next = match form.as_str() {
                "quote" => return self.item(expression, 1),
                "lambda" => {
                    return self.lambda(self.item(expression, 1)?, self.item(expression, 2)?, environment);
                }
                "define" => return self.define(expression, environment),
                "if" => {
                    let condition = self.eval(self.item(expression, 1)?, environment)?;
                    self.item(expression, if self.kind(condition) == Kind::Nil { 3 } else { 2 })?
                }
                "begin" => {
                    let mut rest = self.part(expression, 1)?;
                    while self.kind(self.part(rest, 1)?) == Kind::Pair {
                        self.eval(self.part(rest, 0)?, environment)?;
                        rest = self.part(rest, 1)?;
                    }
                    self.part(rest, 0)?
                }
                "let" => {
                    self.bind_all(base, self.item(expression, 1)?)?;
                    self.item(expression, 2)?
                }
                _ => match self.call(base, expression, environment)? {
                    Called::Value(value) => return Ok(value),
                    Called::Body(body) => body,
                },
            };
            self.heap.set_at(base, next);
        }
    }

    /// An item of a list, from 0.
    fn item(&self, list: Handle, number: usize) -> Result<Handle, Error> {
        let mut rest = list;
        for _ in 0..number {
            rest = self.part(rest, 1)?;
        }
        self.part(rest, 0)
    }

    fn look_up(&self, symbol: Handle, environment: Handle) -> Result<Handle, Error> {
        let mut rest = environment;
        while self.kind(rest) == Kind::Pair {
            let binding = self.part(rest, 0)?;
            if self.part(binding, 0)? == symbol {
                return self.part(binding, 1);
            }
            rest = self.part(rest, 1)?;
        }
        self.heap.get(symbol, 0).ok_or_else(|| Error::Unbound(self.name(symbol)))
    }

    fn lambda(&mut self, parameters: Handle, body: Handle, environment: Handle) -> Result<Handle, Error> {
        let fields = [Some(parameters), Some(body), Some(environment)];
        Ok(self.heap.allocate_with(&fields, &[Kind::Closure as u8])?)
    }

    fn define(&mut self, expression: Handle, environment: Handle) -> Result<Handle, Error> {
        let target = self.item(expression, 1)?;
        let (symbol, value) = match self.kind(target) {
            Kind::Pair => {
                let (parameters, body) = (self.part(target, 1)?, self.item(expression, 2)?);
                (self.part(target, 0)?, self.lambda(parameters, body, environment)?)
            }
            _ => (target, self.eval(self.item(expression, 2)?, environment)?),
        };
        match self.kind(symbol) {
            Kind::Symbol => self.heap.set(symbol, 0, Some(value)),
            _ => return Err(Error::Type("a name", self.text(symbol))),
        }
        Ok(symbol)
    }

    /// One more binding in the environment at `base + 1`.
    fn bind(&mut self, base: usize, symbol: Handle, value: Handle) -> Result<(), Error> {
        let binding = self.pair(symbol, value)?;
        let environment = self.pair(binding, self.heap.at(base + 1))?;
        self.heap.set_at(base + 1, environment);
        Ok(())
    }

    /// The bindings of a `let`, each seeing those before it.
    fn bind_all(&mut self, base: usize, mut bindings: Handle) -> Result<(), Error> {
        while self.kind(bindings) == Kind::Pair {
            let binding = self.part(bindings, 0)?;
            let value = self.eval(self.item(binding, 1)?, self.heap.at(base + 1))?;
            self.bind(base, self.item(binding, 0)?, value)?;
            bindings = self.part(bindings, 1)?;
        }
        Ok(())
    }

    fn call(&mut self, base: usize, expression: Handle, environment: Handle) -> Result<Called, Error> {
        let mut rest = expression;
        while self.kind(rest) == Kind::Pair {
            let value = self.eval(self.part(rest, 0)?, environment)?;
            self.heap.push(value);
            rest = self.part(rest, 1)?;
        }
        let function = self.heap.at(base + 2);
        let (first, given) = (base + 3, self.heap.height() - base - 3);
        match self.kind(function) {
            Kind::Builtin => {
                let (_, expected, builtin) = BUILTINS[usize::from(self.heap.bytes(function)[1])];
                if given != expected {
                    return Err(Error::Arguments(expected, given));
                }
                Ok(Called::Value(builtin(self, first)?))
            }
            Kind::Closure => {
                let [parameters, body, outer] =
                    [0, 1, 2].map(|it| self.heap.get(function, it).expect("a closure has three"));
                self.heap.set_at(base + 1, outer);
                let mut rest = parameters;
                for at in 0..given {
                    if self.kind(rest) != Kind::Pair {
                        return Err(Error::Arguments(at, given));
                    }
                    self.bind(base, self.part(rest, 0)?, self.heap.at(first + at))?;
                    rest = self.part(rest, 1)?;
                }
                match self.kind(rest) {
                    Kind::Pair => Err(Error::Arguments(given + 1, given)),
                    _ => Ok(Called::Body(body)),
                }
            }
            _ => Err(Error::Type("a function", self.text(function))),
        }
    }
}

enum Called {
    Value(Handle),
    /// To be evaluated in the environment that was put in place.
    Body(Handle),
}

fn skip_blank(source: &str, mut at: usize) -> usize {
    loop {
        let rest = &source[at..];
        at += rest.len() - rest.trim_start().len();
        if !source[at..].starts_with(';') {
            return at;
        }
        at = source[at..].find('\n').map_or(source.len(), |it| at + it);
    }
}

/// Runs with a stack that is deep enough for [`DEPTH`].
fn on_deep_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).expect("a thread");
    thread.join().expect("the interpreter does not panic")
}

fn main() {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("lisp FILE");
        std::process::exit(2);
    };
    let failed = on_deep_stack(move || {
        let source = std::fs::read_to_string(&path).map_err(Error::Output)?;
        let mut lisp = Lisp::new(Generational::default(), 1 << 30, Box::new(std::io::stdout()))?;
        let done = lisp.run(&source);
        let it = lisp.heap.statistics();
        eprintln!(
            "{} objects, {} collections, {} bytes copied, longest pause {} µs",
            it.allocated_objects,
            it.collections.iter().sum::<u64>(),
            it.work.copied_bytes,
            it.longest_pause_nanos / 1000
        );
        done
    });
    if let Err(error) = failed {
        eprintln!("lisp: {error}");
        std::process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapwise_gc::GenerationalOptions;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<u8>>>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("one writer").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What a program prints, how it ends, and how often was collected.
    fn run(source: &'static str, limit_bytes: u64, verify: bool) -> (String, Result<(), String>, u64) {
        on_deep_stack(move || {
            let out = Out::default();
            let nursery_bytes = if verify { 4 << 10 } else { 64 << 10 };
            let collector = Generational::new(GenerationalOptions {
                nursery_bytes,
                nursery_limit_bytes: nursery_bytes,
                minimum_bytes: 32 << 10,
                ..GenerationalOptions::default()
            });
            let mut lisp = Lisp::new(collector, limit_bytes, Box::new(out.clone())).expect("room to begin");
            if verify {
                lisp.heap.verify_always();
            }
            let done = lisp.run(source).map_err(|it| it.to_string());
            lisp.heap.collect();
            lisp.heap.verify().expect("a sound heap");
            let collections = lisp.heap.statistics().collections.iter().sum();
            let text = String::from_utf8(out.0.lock().expect("one writer").clone()).expect("text");
            (text, done, collections)
        })
    }

    const EXPECTED: &str = "\
(3 2)
(11 11 11 18 19 22 31 31 42 42 50 51 59 62 66 74 78 79 82 82 86 91 99 99)
(1 0 0 2 10 4 40)
done
";

    #[test]
    fn the_example_prints_what_it_should_and_its_garbage_is_collected() {
        let (text, done, collections) = run(include_str!("closures.lisp"), 1 << 20, false);
        assert_eq!((text.as_str(), done), (EXPECTED, Ok(())));
        assert!(collections > 100, "{collections}");
    }

    #[test]
    fn every_collection_leaves_a_sound_heap() {
        let source = "(define (count n) (if (= n 0) nil (cons n (count (- n 1)))))
            (define (keep n list) (if (= n 0) list (keep (- n 1) (count 20))))
            (print (keep 60 nil))";
        let (text, done, collections) = run(source, 1 << 20, true);
        assert_eq!(text, "(20 19 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1)\n");
        assert!(done.is_ok() && collections > 20, "{done:?} {collections}");
    }

    #[test]
    fn mistakes_are_told() {
        for (source, said) in [
            ("(car 1)", "expected a pair, found 1"),
            ("(undefined)", "undefined has no value"),
            ("(cons 1)", "expected 2 arguments, found 1"),
            ("((lambda (x) x))", "expected 1 arguments, found 0"),
            ("((lambda (x) x) 1 2)", "expected 1 arguments, found 2"),
            ("(1 2)", "expected a function, found 1"),
            ("(* 9223372036854775807 2)", "the number is out of range"),
            ("(mod 1 0)", "the number is out of range"),
            ("(cons 1", "byte 7: expected `)`"),
            (")", "byte 0: expected a value"),
            ("(define (deep n) (+ 1 (deep n))) (deep 1)", "more than 5000 calls within calls"),
        ] {
            assert_eq!(run(source, 64 << 20, false).1, Err(said.to_string()), "{source}");
        }
        let (_, done, _) = run("(define (grow list) (grow (cons 1 list))) (grow nil)", 100_000, false);
        assert!(done.is_err_and(|it| it.starts_with("no room for")));
    }
}
