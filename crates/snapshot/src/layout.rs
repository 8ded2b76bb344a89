//! What a snapshot says of itself: counts, and which field of a record is what.

use crate::SnapshotError;
use heapwise_model::{EdgeKind, ObjectKind};
use serde::Deserialize;
use serde_json::Value;

/// Fields of a record.
pub const FIELDS_MAX: usize = 16;

#[derive(Deserialize)]
struct Header {
    meta: Meta,
    #[serde(default)]
    node_count: u64,
    #[serde(default)]
    edge_count: u64,
}

#[derive(Deserialize)]
struct Meta {
    node_fields: Vec<String>,
    node_types: Vec<Value>,
    edge_fields: Vec<String>,
    edge_types: Vec<Value>,
    #[serde(default)]
    location_fields: Vec<String>,
}

/// Counts as announced (not trusted), and where each field stands in its record.
pub struct Layout {
    pub node_count: u64,
    pub edge_count: u64,
    pub node: NodeLayout,
    pub edge: EdgeLayout,
    pub location: Option<LocationLayout>,
}

pub struct NodeLayout {
    pub fields: usize,
    pub kind: usize,
    pub name: usize,
    pub id: usize,
    pub size: usize,
    pub edges: usize,
    pub detachedness: Option<usize>,
    /// By V8's number.
    pub kinds: Vec<ObjectKind>,
}

#[derive(Clone)]
pub struct EdgeLayout {
    pub fields: usize,
    pub kind: usize,
    pub label: usize,
    pub target: usize,
    /// By V8's number.
    pub kinds: Vec<EdgeKind>,
}

pub struct LocationLayout {
    pub fields: usize,
    pub object: usize,
    pub script: usize,
    pub line: usize,
    pub column: usize,
}

impl Layout {
    /// Of the JSON text of the member `snapshot`.
    pub fn new(text: &[u8]) -> Result<Layout, SnapshotError> {
        let header: Header = serde_json::from_slice(text)
            .map_err(|error| SnapshotError::NotASnapshot { what: error.to_string() })?;
        let Meta { node_fields, node_types, edge_fields, edge_types, location_fields } = header.meta;
        let node = |name| position(&node_fields, name, "node");
        let edge = |name| position(&edge_fields, name, "edge");
        for fields in [&node_fields, &edge_fields, &location_fields] {
            if fields.len() > FIELDS_MAX {
                return Err(SnapshotError::NotASnapshot {
                    what: format!("records of {} fields", fields.len()),
                });
            }
        }
        let location = |name: &str| location_fields.iter().position(|it| it == name);
        Ok(Layout {
            node_count: header.node_count,
            edge_count: header.edge_count,
            node: NodeLayout {
                fields: node_fields.len(),
                kind: node("type")?,
                name: node("name")?,
                id: node("id")?,
                size: node("self_size")?,
                edges: node("edge_count")?,
                detachedness: node_fields.iter().position(|it| it == "detachedness"),
                kinds: names(&node_types).map(object_kind).collect(),
            },
            edge: EdgeLayout {
                fields: edge_fields.len(),
                kind: edge("type")?,
                label: edge("name_or_index")?,
                target: edge("to_node")?,
                kinds: names(&edge_types).map(edge_kind).collect(),
            },
            location: (|| {
                Some(LocationLayout {
                    fields: location_fields.len(),
                    object: location("object_index")?,
                    script: location("script_id")?,
                    line: location("line")?,
                    column: location("column")?,
                })
            })(),
        })
    }
}

fn position(fields: &[String], name: &str, of: &str) -> Result<usize, SnapshotError> {
    fields
        .iter()
        .position(|it| it == name)
        .ok_or_else(|| SnapshotError::NotASnapshot { what: format!("no {of} field `{name}`") })
}

/// Names of the values of a record's first field that has such: the one enumeration in a list of types.
fn names(types: &[Value]) -> impl Iterator<Item = &str> {
    let names = types.iter().find_map(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    names.iter().map(|it| it.as_str().unwrap_or_default())
}

fn object_kind(name: &str) -> ObjectKind {
    match name {
        "hidden" => ObjectKind::Hidden,
        "array" => ObjectKind::Array,
        "string" => ObjectKind::String,
        "object" => ObjectKind::Object,
        "code" => ObjectKind::Code,
        "closure" => ObjectKind::Closure,
        "regexp" => ObjectKind::RegExp,
        "number" => ObjectKind::Number,
        "native" => ObjectKind::Native,
        "synthetic" => ObjectKind::Synthetic,
        "concatenated string" => ObjectKind::ConcatenatedString,
        "sliced string" => ObjectKind::SlicedString,
        "symbol" => ObjectKind::Symbol,
        "bigint" => ObjectKind::BigInt,
        "object shape" => ObjectKind::Shape,
        _ => ObjectKind::Other,
    }
}

fn edge_kind(name: &str) -> EdgeKind {
    match name {
        "context" => EdgeKind::Context,
        "element" => EdgeKind::Element,
        "property" => EdgeKind::Property,
        "hidden" => EdgeKind::Hidden,
        "shortcut" => EdgeKind::Shortcut,
        "weak" => EdgeKind::Weak,
        _ => EdgeKind::Internal,
    }
}
