use std::hint::black_box;

#[inline(never)]
fn make(n: u8) -> Vec<u8> {
    let mut made = Vec::with_capacity(100);
    made.push(n);
    made
}

#[inline(never)]
fn work() -> u32 {
    let mut sum = 0;
    for n in 0..50 {
        let it = black_box(make(n));
        sum += u32::from(it[0]);
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
