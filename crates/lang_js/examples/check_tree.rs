//! Checks all JavaScript and TypeScript files under the given folders as one program; prints findings and lines per second.

use heapwise_check::ir::Module;
use std::path::{Path, PathBuf};
use std::time::Instant;

fn main() {
    let mut files = Vec::new();
    for argument in std::env::args().skip(1) {
        collect(Path::new(&argument), &mut files);
    }
    files.sort();
    let sources: Vec<(String, Vec<u8>)> =
        files.iter().filter_map(|it| Some((it.display().to_string(), std::fs::read(it).ok()?))).collect();
    let lines: usize = sources.iter().map(|it| it.1.iter().filter(|it| **it == b'\n').count()).sum();
    let start = Instant::now();
    let modules: Vec<Module> =
        sources.iter().map(|(path, source)| heapwise_lang_js::lower(path, source)).collect();
    let lowered = start.elapsed();
    for module in &modules {
        for note in &module.notes {
            println!("{}: {note}", module.path);
        }
        for problem in heapwise_check::verify::verify(module) {
            println!("{}: {problem}", module.path);
        }
    }
    let found = heapwise_check::managed::check(&modules);
    let all = start.elapsed();
    for it in &found {
        let (path, source) = &sources[it.at.module as usize];
        let line =
            |at: u32| 1 + source[..(at as usize).min(source.len())].iter().filter(|it| **it == b'\n').count();
        let kind = it.kind.map(|it| format!("/{it}")).unwrap_or_default();
        println!("{path}:{}: {:?}: {}{kind}: {}", line(it.at.span.start), it.severity, it.rule, it.message);
    }
    println!(
        "{} files, {lines} lines, {} findings; lowered in {:.2} s, {:.2} s in all, {:.0} lines/s",
        sources.len(),
        found.len(),
        lowered.as_secs_f64(),
        all.as_secs_f64(),
        lines as f64 / all.as_secs_f64()
    );
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    let Ok(folder) = std::fs::read_dir(path) else {
        if path.to_str().is_some_and(|it| heapwise_lang_js::language_of(it).is_some()) {
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
