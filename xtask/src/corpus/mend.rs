//! `corpus --fix`: what `check --fix` makes of the programs that go wrong.

use super::{Case, check_one, check_with, compiles, each};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// What became of a program with a bug that `check` finds.
struct Mending {
    is_found: bool,
    /// The rule finds nothing any more, by safe fixes alone.
    is_mended: bool,
    /// By all fixes.
    is_mended_unsafely: bool,
    /// Why it does not compile any more, or changes again when it is fixed again.
    broken: Option<String>,
}

pub(super) fn main(cases: &[Case], heapwise: &Path) -> Result<ExitCode, String> {
    let bad: Vec<Case> = cases.iter().filter(|it| it.is_bad).cloned().collect();
    let mendings: Vec<Mending> = each(&bad, |it| mend(it, heapwise)).into_iter().collect::<Result<_, _>>()?;
    let mut rows: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for (case, it) in bad.iter().zip(&mendings) {
        for name in [case.bug.as_str(), "all"] {
            let row = rows.entry(name).or_default();
            row[0] += usize::from(it.is_found);
            row[1] += usize::from(it.is_mended);
            row[2] += usize::from(it.is_mended_unsafely);
        }
        if let Some(what) = &it.broken {
            println!("broken: {}: {what}", case.folder.display());
        }
    }
    println!("{:<24}{:>7}{:>9}{:>18}", "bug", "found", "mended", "by unsafe fixes");
    for (name, [found, mended, unsafely]) in &rows {
        println!("{name:<24}{found:>7}{mended:>9}{unsafely:>18}");
    }
    let broken = mendings.iter().filter(|it| it.broken.is_some()).count();
    println!("{broken} broken");
    Ok(ExitCode::from(u8::from(broken > 0)))
}

fn mend(case: &Case, heapwise: &Path) -> Result<Mending, String> {
    let found = check_one(case, heapwise)?.hits > 0;
    let mut mending = Mending { is_found: found, is_mended: false, is_mended_unsafely: false, broken: None };
    if !found {
        return Ok(mending);
    }
    for option in ["--fix", "--unsafe-fixes"] {
        let before = texts(&case.folder)?;
        let hits = check_with(case, heapwise, &[option])?.hits;
        let after = texts(&case.folder)?;
        mending.is_mended |= option == "--fix" && hits == 0;
        mending.is_mended_unsafely |= hits == 0;
        if before == after {
            continue;
        }
        if let Err(error) = compiles(case) {
            mending.broken.get_or_insert(error);
        }
        check_with(case, heapwise, &[option])?;
        if texts(&case.folder)? != after {
            mending.broken.get_or_insert(format!("a second {option} changes it again"));
        }
    }
    Ok(mending)
}

/// All files of a folder.
fn texts(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        texts.push((path.to_string_lossy().into_owned(), fs::read(&path).map_err(failed)?));
    }
    texts.sort();
    Ok(texts)
}
