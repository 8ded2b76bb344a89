//! Which module an import means.
//!
//! A module goes by the path of its file, in dots, so that no two have the same name. An absolute import counts from
//! a folder of `sys.path`, which is not known here. Taken is the nearest folder above the importing file that holds
//! a module of that name and is no package itself; then the only such module at the top of any folder of sources.

use rustc_hash::{FxHashMap, FxHashSet};

/// The modules that are checked together.
#[derive(Clone, Debug, Default)]
pub struct Modules {
    /// The folder, in path syntax, that relative paths count from.
    base: Box<str>,
    /// Dotted names of modules, and of the folders they are in.
    known: FxHashSet<Box<str>>,
    /// Folders with an `__init__` module.
    packages: FxHashSet<Box<str>>,
    /// What a folder of `sys.path` may hold, by short name; `None`: in several places.
    tops: FxHashMap<Box<str>, Option<Box<str>>>,
    /// First names of imports that never mean a source.
    libraries: FxHashSet<String>,
}

impl Modules {
    /// Those of the source files `paths`, which count from the folder `base`; an import whose first name is in
    /// `libraries` stays what it is.
    pub fn of<'a>(
        paths: impl Iterator<Item = &'a str> + Clone,
        base: &str,
        libraries: FxHashSet<String>,
    ) -> Modules {
        let mut modules = Modules { base: base.into(), libraries, ..Modules::default() };
        for path in paths.clone().filter(|it| is_init(it)) {
            modules.packages.insert(modules.name(path).into());
        }
        for path in paths {
            modules.add(&modules.name(path));
        }
        modules
    }

    /// `pkg/sub/mod.py` is `pkg.sub.mod`, `pkg/__init__.py` is `pkg`, behind the folder they count from.
    pub fn name(&self, path: &str) -> String {
        let stem = path.rsplit_once('.').filter(|it| !it.1.contains('/')).map_or(path, |it| it.0);
        let base = if path.starts_with('/') { "" } else { &*self.base };
        let mut parts: Vec<&str> = Vec::new();
        for part in base.split('/').chain(stem.split('/')) {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                _ => parts.push(part),
            }
        }
        if parts.len() > 1 && parts.last() == Some(&"__init__") {
            parts.pop();
        }
        parts.join(".")
    }

    fn add(&mut self, module: &str) {
        let top = module.strip_prefix(self.root(module)).map_or(module, |it| it.trim_start_matches('.'));
        let first = top.split('.').next().unwrap_or(top);
        let place: Box<str> = module[..module.len() - top.len() + first.len()].into();
        let known = self.tops.entry(first.into()).or_insert_with(|| Some(place.clone()));
        if known.as_ref().is_some_and(|it| *it != place) {
            *known = None;
        }
        let mut name = module;
        while !name.is_empty() && self.known.insert(name.into()) {
            name = parent(name);
        }
    }

    /// The folder in dots from which a module is imported: the nearest one above that is no package.
    pub fn root<'a>(&self, module: &'a str) -> &'a str {
        let mut folder = parent(module);
        while self.packages.contains(folder) {
            folder = parent(folder);
        }
        folder
    }

    /// What the absolute import `import` means in the module `importer`.
    pub fn absolute(&self, importer: &str, is_package: bool, import: &str) -> String {
        let first = import.split('.').next().unwrap_or(import);
        if self.libraries.contains(first) {
            return import.to_owned();
        }
        let mut folder = if is_package { importer } else { parent(importer) };
        loop {
            let is_here = |it: &&str| self.known.contains(join(it, first).as_str());
            if !self.packages.contains(folder) && is_here(&folder) {
                return join(folder, import);
            }
            if folder.is_empty() {
                break;
            }
            folder = parent(folder);
        }
        match self.tops.get(first) {
            Some(Some(place)) => format!("{place}{}", &import[first.len()..]),
            _ => import.to_owned(),
        }
    }
}

/// Whether a file is what makes its folder a package.
pub fn is_init(path: &str) -> bool {
    path.rsplit(['/', '\\']).next().unwrap_or(path).starts_with("__init__.")
}

fn parent(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |it| it.0)
}

fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        _ => format!("{folder}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(paths: &[&str]) -> Modules {
        Modules::of(paths.iter().copied(), "", FxHashSet::from_iter(["socket".to_owned()]))
    }

    #[test]
    fn names_are_paths() {
        let it = Modules::of([].into_iter(), "/home/u", FxHashSet::default());
        assert_eq!(it.name("pkg/sub/mod.py"), "home.u.pkg.sub.mod");
        assert_eq!(it.name("../pkg/__init__.py"), "home.pkg");
        assert_eq!(it.name("./__init__.py"), "home.u");
        assert_eq!(it.name("/a.b/c"), "a.b.c");
        assert_eq!(Modules::default().name("__init__.py"), "__init__");
    }

    #[test]
    fn imports_count_from_the_nearest_folder_that_has_them() {
        let it = modules(&["/p/app/main.py", "/p/app/helper.py", "/p/helper.py", "/p/util/io.py"]);
        assert_eq!(it.absolute("p.app.main", false, "helper.f"), "p.app.helper.f");
        assert_eq!(it.absolute("p.helper", false, "app.helper"), "p.app.helper");
        assert_eq!(it.absolute("p.app.main", false, "util.io"), "p.util.io");
        assert_eq!(it.absolute("p.app.main", false, "json"), "json");
    }

    #[test]
    fn a_package_is_no_place_to_import_from() {
        let it = modules(&["src/pkg/__init__.py", "src/pkg/json.py", "src/pkg/a.py", "tests/test_a.py"]);
        assert_eq!(it.absolute("src.pkg.a", false, "json"), "json");
        assert_eq!(it.absolute("src.pkg.a", false, "pkg.json"), "src.pkg.json");
        assert_eq!(it.absolute("src.pkg", true, "pkg.json"), "src.pkg.json");
        assert_eq!(it.absolute("tests.test_a", false, "pkg.a"), "src.pkg.a");
        assert_eq!(it.root("src.pkg.a"), "src");
    }

    #[test]
    fn what_is_in_several_places_or_a_library_is_not_guessed() {
        let it = modules(&["a/lib/x.py", "b/lib/x.py", "c/main.py", "c/socket.py"]);
        assert_eq!(it.absolute("c.main", false, "x"), "x");
        assert_eq!(it.absolute("c.main", false, "socket.socket"), "socket.socket");
    }
}
