//! An attribute that holds something open is given another: `reconnect` that forgets to close first.
//!
//! That the method runs while something is open is told by its name, or by the constructor, which opens it too. It is
//! silent where the method, what it calls or who calls it reads the attribute: any of them may close it, or test that
//! nothing is open.

use super::{ResourceLeak, Tracked, kind_of, noun};
use crate::finding::Found;
use crate::ir::{OpKind, Span};
use crate::managed::{Family, FnId, Kinds, Slot, SlotId, is_constructor};
use heapwise_model::{Confidence, Rule, Severity};

/// How names of methods begin that do again what was done before.
const AGAIN: &[&str] = &["reconnect", "reopen", "restart", "reinit", "re_connect", "re_open", "re_init"];

impl<'a> ResourceLeak<'_, 'a> {
    /// What `function` opens and keeps in an attribute replaces what is open there.
    pub(super) fn overwritten(&mut self, tracked: &Tracked<'a>, slot: SlotId) -> Option<Found> {
        let function = tracked.function;
        let model = tracked.model?;
        let is_attribute = matches!(self.managed.objects.slot(slot), Slot::Attribute(..));
        if self.managed.library.family != Family::Python
            || !is_attribute
            || model.is_collected
            || self.managed.calls.is_construction(function)
        {
            return None;
        }
        let name = self.managed.world.short_name(function);
        let plain = name.trim_start_matches('_').to_ascii_lowercase();
        let first = self.opened_by_constructor(slot, function);
        if first.is_none() && !AGAIN.iter().any(|it| plain.starts_with(it)) {
            return None;
        }
        if self.is_cared_for(tracked, slot) {
            return None;
        }
        let world = &self.managed.world;
        let noun = noun(kind_of(&model.class));
        let attribute = self.managed.slot_text(slot);
        let related = first.map(|(at, span)| ("opened first here".to_owned(), world.at(at, span)));
        Some(Found {
            rule: Rule::ResourceLeak,
            kind: Some(kind_of(&model.class)),
            severity: Severity::Warning,
            confidence: Confidence::Likely,
            message: format!("the {noun} that `{attribute}` held stays open when `{name}` opens another"),
            at: world.at(function, tracked.span),
            related: related.into_iter().collect(),
            fix: None,
        })
    }

    /// Where the constructor itself opens what it keeps there, and does not leave that to `function`.
    fn opened_by_constructor(&self, slot: SlotId, function: FnId) -> Option<(FnId, Span)> {
        let (library, world) = (self.managed.library, &self.managed.world);
        let mut stored = self.managed.objects.stored_in(slot).iter();
        let made = stored.find(|it| {
            self.managed.made(it.value).is_some_and(|it| library.resource(it).is_some())
                && is_constructor(world.short_name(it.function))
                && !self.managed.calls.callees[it.function.index()].contains(&function)
        })?;
        Some((made.function, made.span))
    }

    fn is_cared_for(&mut self, tracked: &Tracked<'a>, slot: SlotId) -> bool {
        let function = tracked.function;
        if self.reads(function, slot, tracked.span.start) || self.managed.calls.is_taken[function.index()] {
            return true;
        }
        let calls = &self.managed.calls;
        let mut others = calls.callees[function.index()].clone();
        for caller in &calls.callers[function.index()] {
            others.push(caller.function);
            others.extend(&calls.callees[caller.function.index()]);
        }
        others.sort_unstable();
        others.dedup();
        let entry = self.managed.world.entry(function).ir.class;
        let is_other = |rule: &Self, it: FnId| {
            it != function && !(rule.managed.calls.is_construction(it) && entry.is_some())
        };
        others.into_iter().any(|it| is_other(self, it) && self.reads(it, slot, u32::MAX))
    }

    /// Whether a function reads an attribute before a place in the source.
    fn reads(&mut self, function: FnId, slot: SlotId, before: u32) -> bool {
        let sites: Vec<_> = self.managed.world.sites(function, Kinds::MEMBER).collect();
        sites.into_iter().any(|site| match &site.op.kind {
            OpKind::Load { from, .. } if site.op.span.start < before => {
                self.managed.slots_of_place(function, from).contains(&slot)
            }
            _ => false,
        })
    }
}
