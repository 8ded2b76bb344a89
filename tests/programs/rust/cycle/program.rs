use std::hint::black_box;

use std::cell::RefCell;
use std::rc::Rc;

struct Node {
    other: RefCell<Option<Rc<Node>>>,
    value: u64,
}

#[inline(never)]
fn node(value: u64) -> Rc<Node> {
    Rc::new(Node { other: RefCell::new(None), value })
}

#[inline(never)]
fn work() -> u64 {
    let mut sum = 0;
    for n in 0..40 {
        let (a, b) = (node(n), node(n + 1));
        *a.other.borrow_mut() = Some(b.clone());
        *b.other.borrow_mut() = Some(a.clone());
        sum += black_box(&a).value + black_box(&b).value;
    }
    sum
}

#[inline(never)]
fn scrub() {
    black_box([0u8; 16384]);
}

fn main() {
    println!("{}", work());
    scrub();
}
