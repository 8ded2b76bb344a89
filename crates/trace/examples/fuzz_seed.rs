//! Turns recordings into inputs that a fuzzer can change within their blocks: `fuzz_seed IN OUT`.

use heapwise_trace::recording::fuzz;

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = args.as_slice() else {
        return Err(std::io::Error::other("usage: fuzz_seed IN OUT"));
    };
    std::fs::write(to, fuzz::blocks_of(&std::fs::read(from)?))
}
