//! As much of JSON Schema (draft 7) as the schema of SARIF uses; what it does not know is an error.
//!
//! `sarif-2.1.0.schema.json` is the one that OASIS publishes, without its descriptions and defaults.

use serde_json::Value;

pub struct Schema {
    root: Value,
}

impl Schema {
    pub fn sarif() -> Schema {
        let text = include_str!("sarif-2.1.0.schema.json");
        Schema { root: serde_json::from_str(text).expect("the schema is JSON") }
    }

    /// What is wrong with a document, each with its place.
    pub fn errors(&self, document: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        self.check(&self.root, document, "", &mut errors);
        errors
    }

    fn check(&self, schema: &Value, it: &Value, at: &str, errors: &mut Vec<String>) {
        let rules = schema.as_object().expect("a schema is an object");
        for (key, rule) in rules {
            let is_met = match key.as_str() {
                "$schema" | "$id" | "definitions" => true,
                // Members are checked with `properties`.
                "additionalProperties" => self.has_no_others(schema, it, at, errors),
                "$ref" => {
                    let pointer =
                        rule.as_str().and_then(|it| it.strip_prefix('#')).expect("a reference within");
                    let target = self.root.pointer(pointer).expect("it leads somewhere");
                    self.check(target, it, at, errors);
                    true
                }
                "type" => is_type(rule, it),
                "enum" => rule.as_array().is_some_and(|all| all.contains(it)),
                "required" => it.as_object().is_none_or(|it| {
                    rule.as_array().into_iter().flatten().all(|key| it.contains_key(key.as_str().unwrap()))
                }),
                "properties" => {
                    for (name, rule) in rule.as_object().expect("by name") {
                        if let Some(value) = it.get(name) {
                            self.check(rule, value, &format!("{at}/{name}"), errors);
                        }
                    }
                    true
                }
                "items" => {
                    for (index, value) in it.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, value, &format!("{at}/{index}"), errors);
                    }
                    true
                }
                "minItems" => it.as_array().is_none_or(|it| it.len() as u64 >= rule.as_u64().unwrap()),
                "uniqueItems" if rule == false => true,
                "uniqueItems" => it.as_array().is_none_or(|all| {
                    all.iter().enumerate().all(|(index, value)| !all[..index].contains(value))
                }),
                "minimum" => it.as_f64().is_none_or(|it| it >= rule.as_f64().unwrap()),
                "maximum" => it.as_f64().is_none_or(|it| it <= rule.as_f64().unwrap()),
                "anyOf" => self.met(rule, it) > 0,
                "oneOf" => self.met(rule, it) == 1,
                "format" if rule == "date-time" => it.as_str().is_none_or(|it| it.contains('T')),
                "format" => it
                    .as_str()
                    .is_none_or(|it| !it.contains([' ', '\\', '"', '<', '>', '^', '`', '{', '|', '}'])),
                // No expression of the schema is about a member that is written.
                other => panic!("{at}: {other} is not known"),
            };
            if !is_met {
                errors.push(format!("{at}: {key} {rule} is not met"));
            }
        }
    }

    fn met(&self, rules: &Value, it: &Value) -> usize {
        let is_met = |rule: &&Value| {
            let mut errors = Vec::new();
            self.check(rule, it, "", &mut errors);
            errors.is_empty()
        };
        rules.as_array().into_iter().flatten().filter(is_met).count()
    }

    fn has_no_others(&self, schema: &Value, it: &Value, at: &str, errors: &mut Vec<String>) -> bool {
        let rule = &schema["additionalProperties"];
        let known = schema["properties"].as_object();
        let others = it.as_object().into_iter().flatten();
        for (name, value) in others.filter(|it| known.is_none_or(|known| !known.contains_key(it.0))) {
            match rule {
                Value::Bool(true) => {}
                Value::Bool(false) => errors.push(format!("{at}: {name} is not known")),
                rule => self.check(rule, value, &format!("{at}/{name}"), errors),
            }
        }
        true
    }
}

fn is_type(rule: &Value, it: &Value) -> bool {
    let is_one = |name: &str| match name {
        "object" => it.is_object(),
        "array" => it.is_array(),
        "string" => it.is_string(),
        "boolean" => it.is_boolean(),
        "integer" => it.is_i64() || it.is_u64(),
        "number" => it.is_number(),
        "null" => it.is_null(),
        other => panic!("{other} is no type"),
    };
    match rule {
        Value::String(name) => is_one(name),
        Value::Array(names) => names.iter().any(|it| is_one(it.as_str().unwrap())),
        other => panic!("{other} is no type"),
    }
}
