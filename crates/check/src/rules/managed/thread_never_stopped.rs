//! `thread-never-stopped`: a thread whose loop nothing ends.
//!
//! A thread that is no daemon keeps the program alive for as long as its function runs. Reported are loops
//! without any exit, and loops that only a flag ends which nothing in the program ever clears or sets.

use crate::finding::Found;
use crate::ir::{Argument, Base, BlockId, Callee, End, OpKind, Operand, Place, Step};
use crate::managed::{FnId, Guards, Kinds, Managed, Rate, Repeat, Site, SlotId, Target, Value};
use heapwise_model::{Confidence, Kind, Rule, Severity};

pub fn check(managed: &mut Managed<'_>, found: &mut Vec<Found>) {
    let daemons = daemon_classes(managed);
    for function in managed.world.ids() {
        for site @ Site { block, op, .. } in managed.world.sites(function, Kinds::CALL) {
            if let Some(main) = timer(managed, function, site)
                && main != function
                && starts_again(managed, main)
                && !is_cancelled(managed)
            {
                let name = managed.world.short_name(main);
                found.push(Found {
                    rule: Rule::ThreadNeverStopped,
                    kind: Some(Kind::Timer),
                    severity: Severity::Warning,
                    confidence: Confidence::Likely,
                    message: format!(
                        "the timer never ends: `{name}` starts another one each time, and nothing cancels it"
                    ),
                    at: managed.world.at(function, op.span),
                    related: Vec::new(),
                    fix: None,
                });
            }
            let Some(thread) = started(managed, function, site, &daemons) else { continue };
            let is_daemon = thread.is_daemon || is_made_daemon(managed, function);
            let rate = managed.calls.rate_of_block(function, block);
            let Some(why) = never_ends(managed, thread.main) else { continue };
            if is_daemon && rate < Rate::Call {
                continue;
            }
            let name = managed.world.short_name(thread.main);
            let message = match is_daemon {
                true => {
                    format!("each call starts another thread, and none of them ends: {}", why.text(name))
                }
                false => format!("the thread never ends: {}", why.text(name)),
            };
            let main = managed.world.entry(thread.main).ir.name_span;
            found.push(Found {
                rule: Rule::ThreadNeverStopped,
                kind: Some(Kind::Thread),
                severity: Severity::Warning,
                confidence: Confidence::Likely,
                message,
                at: managed.world.at(function, op.span),
                related: vec![("what it runs".to_string(), managed.world.at(thread.main, main))],
                fix: None,
            });
        }
    }
}

/// What a timer that an operation makes will call.
fn timer(managed: &mut Managed<'_>, function: FnId, site: Site<'_>) -> Option<FnId> {
    if !matches!(managed.target_of(site.call), Target::Library("threading.Timer", _)) {
        return None;
    }
    let OpKind::Call { args, .. } = &site.op.kind else { return None };
    let callback = named(managed, function, args, "function").or(args.get(1).map(|it| it.value))?;
    match managed.functions_of(function, callback)[..] {
        [only] => Some(only),
        _ => None,
    }
}

/// Whether a function starts a timer for itself, whatever the state of the program is.
fn starts_again(managed: &mut Managed<'_>, main: FnId) -> bool {
    let ir = managed.world.entry(main).ir;
    managed.world.sites(main, Kinds::CALL).any(|site| {
        timer(managed, main, site) == Some(main)
            && Guards::of(ir, site.block).is_empty()
            && !is_made_daemon(managed, main)
    })
}

/// Whether anything is cancelled in the program: it may be the timer.
fn is_cancelled(managed: &Managed<'_>) -> bool {
    managed.world.ids().any(|function| {
        managed.world.sites(function, Kinds::CALL).any(|it| match &it.op.kind {
            OpKind::Call { callee: Callee::Method { name, .. }, .. } => {
                managed.text(function, *name) == "cancel"
            }
            _ => false,
        })
    })
}

struct Thread {
    main: FnId,
    is_daemon: bool,
}

enum Why {
    NoExit,
    FlagNeverSet,
}

impl Why {
    fn text(&self, name: &str) -> String {
        match self {
            Why::NoExit => format!("the loop of `{name}` has no exit, and the thread is no daemon"),
            Why::FlagNeverSet => format!("nothing ever sets the flag that stops `{name}`"),
        }
    }
}

/// The thread that an operation makes.
fn started(managed: &mut Managed<'_>, function: FnId, site: Site<'_>, daemons: &[u32]) -> Option<Thread> {
    let arguments = || match &site.op.kind {
        OpKind::Call { args, .. } | OpKind::New { args, .. } => &args[..],
        _ => &[],
    };
    match managed.target_of(site.call) {
        Target::Library("threading.Thread", _) => {
            let args = arguments();
            let main = named(managed, function, args, "target").or(args.get(1).map(|it| it.value))?;
            let functions = managed.functions_of(function, main);
            let [main] = functions[..] else { return None };
            Some(Thread { main, is_daemon: is_true(named(managed, function, args, "daemon")) })
        }
        Target::Class(class) if managed.world.has_base(class, |it| it == "threading.Thread") => {
            let args = arguments();
            let main = managed.world.method(class, "run")?;
            let is_daemon = is_true(named(managed, function, args, "daemon")) || daemons.contains(&class.0);
            Some(Thread { main, is_daemon })
        }
        _ => None,
    }
}

fn named(managed: &Managed<'_>, function: FnId, args: &[Argument], name: &str) -> Option<Operand> {
    args.iter().find(|it| it.name.is_some_and(|it| managed.text(function, it) == name)).map(|it| it.value)
}

/// A value that is not known may be true.
fn is_true(value: Option<Operand>) -> bool {
    !matches!(value, None | Some(Operand::Bool(false) | Operand::Null))
}

/// Classes whose own code makes them daemons.
fn daemon_classes(managed: &Managed<'_>) -> Vec<u32> {
    let mut found = Vec::new();
    for (at, entry) in (0u32..).zip(&managed.world.functions) {
        let Some(class) = entry.class else { continue };
        let function = FnId(at);
        let is_daemon =
            managed.world.sites(function, Kinds::CALL.or(Kinds::STORE)).any(|it| match &it.op.kind {
                OpKind::Store { to, value, .. } => {
                    is_daemon_place(managed, function, to) && is_true(Some(*value))
                }
                OpKind::Call { args, .. } => is_true(named(managed, function, args, "daemon")),
                _ => false,
            });
        if is_daemon {
            found.push(class.0);
        }
    }
    found
}

fn is_daemon_place(managed: &Managed<'_>, function: FnId, place: &Place) -> bool {
    matches!((&place.base, &*place.steps), (Base::At(_) | Base::Class(_), [Step::Field { name, .. }])
        if managed.text(function, *name) == "daemon")
}

/// `thread.daemon = True` or `setDaemon(True)` anywhere in the function that makes it.
fn is_made_daemon(managed: &Managed<'_>, function: FnId) -> bool {
    managed.world.sites(function, Kinds::CALL.or(Kinds::STORE)).any(|it| match &it.op.kind {
        OpKind::Store { to, value, .. } => is_daemon_place(managed, function, to) && is_true(Some(*value)),
        OpKind::Call { callee: Callee::Method { name, .. }, .. } => {
            managed.text(function, *name) == "setDaemon"
        }
        _ => false,
    })
}

/// Why a thread's function never returns, if it does not.
fn never_ends(managed: &mut Managed<'_>, main: FnId) -> Option<Why> {
    let ir = managed.world.entry(main).ir;
    let inside: Vec<bool> = (0..u32::try_from(ir.blocks.len()).unwrap_or(0))
        .map(|it| managed.calls.repeat(main, BlockId(it)) == Repeat::Endless)
        .collect();
    if !inside.contains(&true) {
        return None;
    }
    let mut why = Why::NoExit;
    for (_, block) in ir.blocks.iter().enumerate().filter(|it| inside[it.0]) {
        let mut leaves = false;
        block.end.each_target(|it| leaves |= !inside[it.index()]);
        if !leaves {
            continue;
        }
        let End::Branch { condition, .. } = block.end else { return None };
        let slots = flag_slots(managed, main, condition, 4);
        if slots.is_empty() || slots.iter().any(|it| may_be_set(managed, *it)) {
            return None;
        }
        why = Why::FlagNeverSet;
    }
    // Where the loop blocks on a queue, a message may end it by an exception; that needs a handler, which is an
    // exit and was looked at when the loop was found to be endless.
    Some(why)
}

fn flag_slots(managed: &mut Managed<'_>, function: FnId, condition: Operand, depth: u32) -> Vec<SlotId> {
    let Some(op) = managed.definition(function, condition) else { return Vec::new() };
    let of = match &op.kind {
        OpKind::Unary { value, .. } if depth > 0 => return flag_slots(managed, function, *value, depth - 1),
        OpKind::Call { callee: Callee::Method { receiver, .. }, .. } => *receiver,
        OpKind::Load { .. } => condition,
        _ => return Vec::new(),
    };
    let values = managed.values(function, of);
    values.into_iter().filter_map(|it| if let Value::Of(slot) = it { Some(slot) } else { None }).collect()
}

/// Whether anything but a constructor stores to the flag, or calls `set`, `stop` or the like on it.
fn may_be_set(managed: &mut Managed<'_>, slot: SlotId) -> bool {
    use crate::managed::Slot;
    let stored = managed.objects.stored_in(slot).to_vec();
    let is_event = stored.iter().any(|it| matches!(it.value, Value::Made(_)));
    if stored.is_empty() {
        return true;
    }
    let name = match managed.objects.slot(slot) {
        Slot::Attribute(_, name) | Slot::AnyAttribute(name) => name,
        Slot::Global(name) => name.rsplit('.').next().unwrap_or(name),
        Slot::Local(..) => return true,
    };
    let is_stored = stored.iter().any(|it| {
        let constructs = crate::managed::is_constructor(managed.world.short_name(it.function));
        let starts = matches!(it.operand, Operand::Bool(true));
        !constructs && !starts && !managed.world.is_module_code(it.function)
    });
    if is_stored && !is_event {
        return true;
    }
    // By name: someone else's hands on an attribute of that name, or on an event.
    for function in managed.world.ids() {
        for Site { op, .. } in managed.world.sites(function, Kinds::CALL.or(Kinds::STORE)) {
            let is_hit = match &op.kind {
                OpKind::Store { to: Place { base: Base::At(_), steps }, value, .. } => {
                    matches!(&**steps, [Step::Field { name: field, .. }] if managed.text(function, *field) == name)
                        && !matches!(value, Operand::Bool(true))
                        && !crate::managed::is_constructor(managed.world.short_name(function))
                }
                OpKind::Call { callee: Callee::Method { receiver, name, .. }, .. } if is_event => {
                    let method = managed.text(function, *name);
                    method == "set" && managed.values(function, *receiver).contains(&Value::Of(slot))
                }
                // An event that is handed on may be set by whoever has it.
                OpKind::Call { args, .. } | OpKind::New { args, .. } if is_event => {
                    args.iter().any(|it| managed.values(function, it.value).contains(&Value::Of(slot)))
                }
                _ => false,
            };
            if is_hit {
                return true;
            }
        }
    }
    false
}
