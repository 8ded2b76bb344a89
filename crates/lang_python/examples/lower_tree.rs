//! Lowers and verifies every Python file under the given folders; prints lines per second, notes with `--notes`, the
//! IR with `--text`.

use std::path::{Path, PathBuf};
use std::time::Instant;

fn main() {
    let mut files = Vec::new();
    let (mut has_notes, mut has_text) = (false, false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--notes" => has_notes = true,
            "--text" => has_text = true,
            path => collect(Path::new(path), &mut files),
        }
    }
    files.sort();
    let sources: Vec<(String, Vec<u8>)> =
        files.iter().filter_map(|it| Some((it.display().to_string(), std::fs::read(it).ok()?))).collect();
    let lines: usize = sources.iter().map(|it| it.1.iter().filter(|it| **it == b'\n').count()).sum();
    let start = Instant::now();
    let paths = sources.iter().map(|it| it.0.as_str());
    let modules = heapwise_lang_python::Modules::of(paths, "", heapwise_check::managed::modeled_packages());
    let mut verifying = std::time::Duration::ZERO;
    let (mut functions, mut ops, mut notes) = (0, 0, 0);
    for (path, source) in &sources {
        let module = heapwise_lang_python::lower(path, &modules, source);
        let before = Instant::now();
        for problem in heapwise_check::verify::verify(&module).iter().take(3) {
            println!("{path}: {problem}");
        }
        if has_text {
            println!("{}", heapwise_check::text::print(&module));
        }
        verifying += before.elapsed();
        functions += module.functions.len();
        ops += module.functions.iter().flat_map(|it| &it.blocks).map(|it| it.ops.len()).sum::<usize>();
        notes += module.notes.len();
        if has_notes {
            module.notes.iter().for_each(|it| println!("{path}: {it}"));
        }
    }
    let seconds = (start.elapsed() - verifying).as_secs_f64();
    println!(
        "{} files, {lines} lines, {functions} functions, {ops} operations, {notes} notes, {seconds:.2} s, {:.0} lines/s",
        sources.len(),
        lines as f64 / seconds
    );
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    let Ok(folder) = std::fs::read_dir(path) else {
        if path.extension().is_some_and(|it| it == "py") {
            files.push(path.to_path_buf());
        }
        return;
    };
    for entry in folder.flatten() {
        let is_link = entry.file_type().is_ok_and(|it| it.is_symlink());
        if !is_link {
            collect(&entry.path(), files);
        }
    }
}
