//! Why an object is alive, in words.

use crate::place::file_name;
use crate::sanitize::clean_to;
use heapwise_model::{FIRST_STEPS, RetainerStep, Retainers};

/// Characters of what an object or a reference is called.
const LONGEST_NAME: usize = 100;

/// `global.sessions -> Map of 1,204 entries`: what a reference leads to is named where that says something.
pub fn path(retainers: &Retainers) -> String {
    let mut path = String::new();
    for (at, step) in retainers.steps.iter().enumerate() {
        if at == FIRST_STEPS && retainers.left_out > 0 {
            path.push_str(" -> …");
        }
        let is_last = at + 1 == retainers.steps.len();
        if at == 0 || is_last || !is_plain(step) {
            let arrow = if at == 0 { "" } else { " -> " };
            path.push_str(&format!("{arrow}{}", object(step)));
        }
        path.push_str(&reference(step));
    }
    path
}

/// What an object is, and where it is written.
pub fn object(step: &RetainerStep) -> String {
    let object = clean_to(&step.object, LONGEST_NAME);
    match &step.place {
        Some(at) => format!("{object} ({}:{})", clean_to(file_name(&at.path), LONGEST_NAME), at.line),
        None => object.into_owned(),
    }
}

/// How it refers to the next one, to be written behind it.
pub fn reference(step: &RetainerStep) -> String {
    let reference = clean_to(&step.reference, LONGEST_NAME);
    if reference.starts_with(['.', '[']) || reference.is_empty() {
        reference.into_owned()
    } else {
        format!(", {reference}")
    }
}

/// An object literal: how it is reached, and what of it leads on, says all.
fn is_plain(step: &RetainerStep) -> bool {
    matches!(step.object.as_str(), "Object" | "an object")
        && step.place.is_none()
        && !step.reference.is_empty()
}
