//! The library tables of managed languages.
//!
//! A `[[container]]` says which calls make it and what its methods do; `[[registry]]` names containers that
//! belong to the interpreter; `[[resource]]` what has to be closed and how; `[functions]` lists functions and
//! base classes by what they do with what is handed to them.

use heapwise_model::Language;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;
use std::sync::LazyLock;

const PYTHON: &str = include_str!("../models/python.toml");
const JAVASCRIPT: &str = include_str!("../models/js.toml");

/// Languages whose modules know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Python,
    JavaScript,
}

impl Family {
    pub const ALL: [Family; 2] = [Family::Python, Family::JavaScript];

    pub fn has(self, language: Language) -> bool {
        match self {
            Family::Python => language == Language::Python,
            Family::JavaScript => matches!(language, Language::JavaScript | Language::TypeScript),
        }
    }
}

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
    /// Methods without which nothing is open yet.
    #[serde(default)]
    pub opening: Vec<String>,
    /// Functions that give it to their last argument, a callback, as its second parameter.
    #[serde(default)]
    pub gives: Vec<String>,
    #[serde(default)]
    pub first_of_tuple: Vec<String>,
    #[serde(default)]
    pub is_collected: bool,
    /// What nothing ever releases is found as a registration.
    #[serde(default)]
    pub is_registered: bool,
}

/// What is registered, and how it is taken back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RegistrationModel {
    /// The finding's kind.
    pub kind: String,
    /// Methods that register, by short name.
    #[serde(default)]
    pub add: Vec<String>,
    /// Functions that register.
    #[serde(default)]
    pub add_functions: Vec<String>,
    /// Classes whose objects register what they are made with, when one of `add` is called on them.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Methods that take back: of what was registered with, or of the result.
    #[serde(default)]
    pub remove: Vec<String>,
    /// Functions that take back what was the result.
    #[serde(default)]
    pub remove_functions: Vec<String>,
    /// It is taken back by what registering gave.
    #[serde(default)]
    pub by_result: bool,
    /// What registering gives is a function that takes it back.
    #[serde(default)]
    pub gives_function: bool,
    /// Position of the function that is kept.
    #[serde(default)]
    pub callback: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    container: Vec<ContainerModel>,
    #[serde(default)]
    registry: Vec<RegistryModel>,
    resource: Vec<ResourceModel>,
    #[serde(default)]
    registration: Vec<RegistrationModel>,
    functions: Functions,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
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
    iterating_methods: FxHashSet<String>,
    once_methods: FxHashSet<String>,
    once_functions: FxHashSet<String>,
    event_functions: FxHashSet<String>,
    event_parameters: Vec<[String; 2]>,
    element_methods: FxHashSet<String>,
    length_fields: FxHashSet<String>,
    joining_methods: FxHashSet<String>,
    quiet_methods: FxHashSet<String>,
    borrowing_methods: FxHashSet<String>,
    reading_methods: FxHashSet<String>,
    exits: FxHashSet<String>,
    global_targets: FxHashSet<String>,
    component_bases: FxHashSet<String>,
    component_methods: FxHashSet<String>,
    component_ends: FxHashSet<String>,
    effects: FxHashSet<String>,
    effect_ends: FxHashSet<String>,
    fields: FxHashSet<String>,
    endless_sources: FxHashSet<String>,
}

/// First names of the Python modules that the table tells of.
pub fn modeled_packages() -> FxHashSet<String> {
    fn collect(value: &toml::Value, found: &mut FxHashSet<String>) {
        match value {
            toml::Value::String(text) => found.extend(text.split_once('.').map(|it| it.0.to_owned())),
            toml::Value::Array(list) => list.iter().for_each(|it| collect(it, found)),
            toml::Value::Table(table) => table.values().for_each(|it| collect(it, found)),
            _ => {}
        }
    }
    let mut found = FxHashSet::default();
    collect(&toml::from_str(PYTHON).expect("a test reads the bundled table"), &mut found);
    found
}

/// All tables of a family, indexed.
pub struct Library {
    pub family: Family,
    pub registrations: Vec<RegistrationModel>,
    pub containers: Vec<ContainerModel>,
    pub registries: Vec<RegistryModel>,
    pub resources: Vec<ResourceModel>,
    functions: Functions,
    container_of: FxHashMap<String, usize>,
    resource_of: FxHashMap<String, usize>,
    given_by: FxHashMap<String, usize>,
}

impl Library {
    /// The tables that come with Heapwise.
    pub fn bundled(family: Family) -> &'static Library {
        static LIBRARIES: [LazyLock<Library>; 2] = [
            LazyLock::new(|| Library::read(Family::Python, PYTHON)),
            LazyLock::new(|| Library::read(Family::JavaScript, JAVASCRIPT)),
        ];
        match family {
            Family::Python => &LIBRARIES[0],
            Family::JavaScript => &LIBRARIES[1],
        }
    }

    fn read(family: Family, text: &str) -> Library {
        let table: Table = toml::from_str(text).expect("a test reads the bundled table");
        let mut container_of = FxHashMap::default();
        for (at, model) in table.container.iter().enumerate() {
            container_of.extend(model.makes.iter().map(|it| (it.clone(), at)));
        }
        let mut resource_of = FxHashMap::default();
        for (at, model) in table.resource.iter().enumerate() {
            resource_of.extend(model.makes.iter().map(|it| (it.clone(), at)));
        }
        let mut given_by = FxHashMap::default();
        for (at, model) in table.resource.iter().enumerate().rev() {
            given_by.extend(model.gives.iter().map(|it| (it.clone(), at)));
        }
        Library {
            family,
            registrations: table.registration,
            containers: table.container,
            registries: table.registry,
            resources: table.resource,
            functions: table.functions,
            container_of,
            resource_of,
            given_by,
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

    /// The resource that this function gives to its callback.
    pub fn given_by(&self, function: &str) -> Option<&ResourceModel> {
        self.given_by.get(function).map(|it| &self.resources[*it])
    }

    /// Methods that close something.
    pub fn is_release(&self, short: &str) -> bool {
        matches!(short, "__enter__" | "__aenter__")
            || self.resources.iter().any(|it| it.release.iter().any(|it| it == short))
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

    /// Calls its argument for each element, before it returns.
    pub fn iterates(&self, short: &str) -> bool {
        self.functions.iterating_methods.contains(short)
    }

    /// A method that calls its argument at most once.
    pub fn is_once_method(&self, short: &str) -> bool {
        self.functions.once_methods.contains(short)
    }

    /// A function that calls its argument at most once.
    pub fn is_once_function(&self, name: &str) -> bool {
        self.functions.once_functions.contains(name)
    }

    /// A function that registers its argument for events.
    pub fn is_event_function(&self, name: &str) -> bool {
        self.functions.event_functions.contains(name)
    }

    /// Whether a function's first parameters are called as those of what runs for each request are.
    pub fn are_event_parameters(&self, one: &str, two: &str) -> bool {
        self.functions.event_parameters.iter().any(|it| it[0] == one && it[1] == two)
    }

    /// Methods of containers that give an element.
    pub fn is_element_method(&self, short: &str) -> bool {
        self.functions.element_methods.contains(short)
    }

    /// Attributes of containers that are their lengths.
    pub fn is_length_field(&self, short: &str) -> bool {
        self.functions.length_fields.contains(short)
    }

    /// Methods that give a new container with what both have.
    pub fn is_joining_method(&self, short: &str) -> bool {
        self.functions.joining_methods.contains(short)
    }

    /// Methods that do not raise for all that matters.
    pub fn is_quiet_method(&self, short: &str) -> bool {
        self.functions.quiet_methods.contains(short)
    }

    /// Methods of unknown objects that only use their arguments.
    pub fn is_borrowing_method(&self, short: &str) -> bool {
        self.functions.borrowing_methods.contains(short)
    }

    /// Methods that only read containers among their arguments.
    pub fn is_reading_method(&self, short: &str) -> bool {
        self.functions.reading_methods.contains(short)
    }

    /// Functions that end the program.
    pub fn is_exit(&self, name: &str) -> bool {
        self.functions.exits.contains(name)
    }

    /// Objects of the language or its host that live as long as the program.
    pub fn is_global_target(&self, name: &str) -> bool {
        self.functions.global_targets.contains(name)
    }

    /// Base classes of what a library makes and ends.
    pub fn is_component_base(&self, name: &str) -> bool {
        self.functions.component_bases.contains(name)
    }

    /// Methods by which a library says that a component begins.
    pub fn is_component_method(&self, short: &str) -> bool {
        self.functions.component_methods.contains(short)
    }

    /// Methods by which a library says that a component ends.
    pub fn is_component_end(&self, short: &str) -> bool {
        self.functions.component_ends.contains(short)
    }

    /// Functions whose argument runs with a component, and gives what ends it.
    pub fn is_effect(&self, name: &str) -> bool {
        self.functions.effects.contains(name)
    }

    /// Functions whose argument runs when a component ends.
    pub fn is_effect_end(&self, name: &str) -> bool {
        self.functions.effect_ends.contains(name)
    }

    /// Functions that say in a class what its objects have.
    pub fn is_field(&self, name: &str) -> bool {
        self.functions.fields.contains(name)
    }

    /// Functions that give what can be subscribed to and never completes.
    pub fn is_endless_source(&self, name: &str) -> bool {
        self.functions.endless_sources.contains(name)
    }

    /// Functions that run classes of handlers in threads.
    pub fn is_thread_server(&self, name: &str) -> bool {
        self.functions.thread_servers.contains(name)
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
    use super::{Family, Library};

    #[test]
    fn bundled_tables_are_read() {
        let library = Library::bundled(Family::JavaScript);
        assert!(library.container("Map").is_some());
        assert!(library.resource("fs.openSync").is_some_and(|it| it.class == "descriptor"));
        let library = Library::bundled(Family::Python);
        assert!(library.container("collections.deque").is_some());
        assert!(library.resource("open").is_some_and(|it| it.class == "file"));
    }
}
