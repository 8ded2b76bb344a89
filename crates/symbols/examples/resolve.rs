//! Prints the frames at addresses of a file: `resolve FILE ADDRESS...` (hexadecimal, the file's own).

use heapwise_model::Module;
use heapwise_symbols::Symbolizer;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let module = Module { path: arguments.next().unwrap_or_default(), ..Module::default() };
    let mut symbolizer = Symbolizer::default();
    for address in arguments {
        let Ok(offset) = u64::from_str_radix(address.trim_start_matches("0x"), 16) else {
            continue;
        };
        println!("{offset:#x}");
        for frame in symbolizer.resolve(&module, offset) {
            println!(
                "  {}{} at {}:{}:{} [{}] {:?}{}",
                if frame.is_inlined { "(inlined) " } else { "" },
                frame.function.as_deref().unwrap_or("?"),
                frame.path.as_deref().unwrap_or("?"),
                frame.line.unwrap_or(0),
                frame.column.unwrap_or(0),
                frame.module,
                frame.language,
                if frame.is_library { " library" } else { "" },
            );
        }
    }
    for note in symbolizer.notes() {
        println!("note: {note}");
    }
}
