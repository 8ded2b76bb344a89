//! The library tables of managed languages.
//!
//! A `[[container]]` says which calls make it and what its methods do; `[[registry]]` names containers that
//! belong to the interpreter; `[[resource]]` what has to be closed and how; `[functions]` lists functions and
//! base classes by what they do with what is handed to them.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;

const PYTHON: &str = include_str!("../models/python.toml");

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ContainerModel {
    /// The finding's kind.
    pub kind: String,
    pub makes: Vec<String>,
    #[serde(default)]
    pub is_keyed: bool,
    #[serde(default)]
    pub is_bounded: bool,
    pub bound: Option<Parameter>,
    pub grow: Vec<String>,
    /// Grows unless its first argument is there already.
    #[serde(default)]
    pub grow_by_key: Vec<String>,
    pub shrink: Vec<String>,
    pub clear: Vec<String>,
}

/// An argument, by keyword or position.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    pub keyword: String,
    pub position: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryModel {
    pub name: String,
    pub grow: Vec<String>,
    pub shrink: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ResourceModel {
    /// The finding's kind.
    pub class: String,
    pub makes: Vec<String>,
    /// Methods.
    pub release: Vec<String>,
    #[serde(default)]
    pub release_functions: Vec<String>,
    /// Functions that release without naming it.
    #[serde(default)]
    pub release_any: Vec<String>,
    #[serde(default)]
    pub with_keeps: Vec<String>,
    #[serde(default)]
    pub first_of_tuple: Vec<String>,
    #[serde(default)]
    pub is_collected: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    container: Vec<ContainerModel>,
    registry: Vec<RegistryModel>,
    resource: Vec<ResourceModel>,
    functions: Functions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Functions {
    harmless: FxHashSet<String>,
    borrows: FxHashSet<String>,
    grow_first: FxHashSet<String>,
    shrink_first: FxHashSet<String>,
    spawn: FxHashSet<String>,
    event_methods: FxHashSet<String>,
    handler_bases: FxHashSet<String>,
    listener_bases: FxHashSet<String>,
    thread_bases: FxHashSet<String>,
    locks: FxHashSet<String>,
    executors: FxHashSet<String>,
    thread_servers: FxHashSet<String>,
}

/// All tables, indexed.
pub struct Library {
    pub containers: Vec<ContainerModel>,
    pub registries: Vec<RegistryModel>,
    pub resources: Vec<ResourceModel>,
    functions: Functions,
    container_of: FxHashMap<String, usize>,
    resource_of: FxHashMap<String, usize>,
}

impl Library {
    /// The tables that come with Heapwise.
    pub fn bundled() -> Library {
        let table: Table = toml::from_str(PYTHON).expect("a test reads the bundled table");
        let mut container_of = FxHashMap::default();
        for (at, model) in table.container.iter().enumerate() {
            container_of.extend(model.makes.iter().map(|it| (it.clone(), at)));
        }
        let mut resource_of = FxHashMap::default();
        for (at, model) in table.resource.iter().enumerate() {
            resource_of.extend(model.makes.iter().map(|it| (it.clone(), at)));
        }
        Library {
            containers: table.container,
            registries: table.registry,
            resources: table.resource,
            functions: table.functions,
            container_of,
            resource_of,
        }
    }

    /// The container that a call of this function makes.
    pub fn container(&self, function: &str) -> Option<usize> {
        self.container_of.get(function).copied()
    }

    /// The resource that a call of this function opens.
    pub fn resource(&self, function: &str) -> Option<&ResourceModel> {
        self.resource_of.get(function).map(|it| &self.resources[*it])
    }

    pub fn registry(&self, name: &str) -> Option<&RegistryModel> {
        self.registries.iter().find(|it| it.name == name)
    }

    pub fn is_harmless(&self, function: &str) -> bool {
        self.functions.harmless.contains(function)
    }

    /// Uses an open resource and gives it back.
    pub fn borrows(&self, function: &str) -> bool {
        self.functions.borrows.contains(function)
    }

    pub fn grows_first(&self, function: &str) -> bool {
        self.functions.grow_first.contains(function)
    }

    pub fn shrinks_first(&self, function: &str) -> bool {
        self.functions.shrink_first.contains(function)
    }

    pub fn spawns(&self, function: &str) -> bool {
        self.functions.spawn.contains(function)
    }

    pub fn is_event_method(&self, short: &str) -> bool {
        self.functions.event_methods.contains(short)
    }

    pub fn is_handler_base(&self, name: &str) -> bool {
        self.functions.handler_bases.contains(name)
    }

    pub fn is_listener_base(&self, name: &str) -> bool {
        self.functions.listener_bases.contains(name)
    }

    pub fn is_thread_base(&self, name: &str) -> bool {
        self.functions.thread_bases.contains(name)
    }

    pub fn is_lock(&self, name: &str) -> bool {
        self.functions.locks.contains(name)
    }

    /// Whether a call of this makes threads that run the program's code.
    pub fn makes_threads(&self, name: &str) -> bool {
        self.functions.executors.contains(name)
            || self.functions.thread_servers.contains(name)
            || name == "threading.Thread"
            || name == "threading.Timer"
            || name == "_thread.start_new_thread"
    }
}

#[cfg(test)]
mod tests {
    use super::Library;

    #[test]
    fn the_bundled_table_is_read() {
        let library = Library::bundled();
        assert!(library.container("collections.deque").is_some());
        assert!(library.resource("open").is_some_and(|it| it.class == "file"));
    }
}
