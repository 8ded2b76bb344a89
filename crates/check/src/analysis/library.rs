//! Library functions: what the models say, done to a state.

use super::engine::{At, Engine};
use super::memory::Text;
use super::state::{FAR, Failure, Piece, State};
use super::summary::{Demand, Need};
use super::value::{Meaning, Source, Sym, Terms, Val};
use crate::ir::Binary;
use crate::models::{Effect, Factor, Fails, Model, Returns, Size};
use crate::rules::native as rules;

impl Engine<'_> {
    /// Does what a model says; the paths that go on with what the call returns.
    pub fn library(&mut self, mut state: State, model: &Model, args: &[Val]) -> Vec<(State, Val)> {
        let mut result = None;
        for effect in &model.effects {
            self.narrow = None;
            if let Some(value) = self.effect(&mut state, effect, args) {
                result = Some(value);
            }
        }
        self.narrow = None;
        if model.is_noreturn {
            return Vec::new();
        }
        // A block that cannot be had leaves the old one as it is.
        if let [Effect::Reallocate { argument, bytes }] = &model.effects[..] {
            return self.library_reallocate(state, *argument, bytes, args);
        }
        let value = match result {
            Some(it) => it,
            None => self.returns(&mut state, &model.returns, args),
        };
        vec![(state, value)]
    }

    fn library_reallocate(
        &mut self,
        mut state: State,
        argument: u8,
        bytes: &Size,
        args: &[Val],
    ) -> Vec<(State, Val)> {
        let Some(&value) = args.get(usize::from(argument)) else { return vec![(state, Val::ZERO)] };
        let bytes = self.size_of(&mut state, bytes, args);
        let failed = state.clone();
        if bytes == Some(Val::ZERO) {
            let by = self.here();
            self.free(&mut state, value, self.cx.families.malloc, by);
            return vec![(state, Val::ZERO)];
        }
        let made = self.reallocate(&mut state, value, bytes);
        // The failing way only matters where the program looks at the result.
        vec![(failed, Val::ZERO), (state, made)]
    }

    fn returns(&mut self, state: &mut State, returns: &Returns, args: &[Val]) -> Val {
        match returns {
            Returns::Something => self.fresh(state, 0x20, Source::Known),
            Returns::Within(_) => self.fresh(state, 0x21, Source::Known),
            Returns::Outside(bytes) => {
                let it = self.fresh(state, 0x22, Source::Outside);
                let (lo, hi) = match bytes {
                    4 => super::state::narrow_range(4, true),
                    1 => (0, FAR),
                    _ => (-FAR, FAR),
                };
                if let Some(sym) = it.as_sym() {
                    state.limit(&self.symbols, sym, lo, hi);
                }
                it
            }
            Returns::Between(least, most) => {
                let most = self.size_of(state, most, args);
                let it = self.fresh(state, 0x22, Source::Outside);
                state.limit(&self.symbols, it.a, *least, super::state::narrow_range(4, true).1);
                if let Some(most) = most {
                    self.restrict(state, Binary::LessEqual, it, most);
                }
                it
            }
            Returns::Argument(at) => args.get(usize::from(*at)).copied().unwrap_or(Val::ZERO),
            Returns::Number(it) => Val::int(*it),
            Returns::Size(size) => {
                self.size_of(state, size, args).unwrap_or_else(|| self.fresh(state, 0x23, Source::Known))
            }
        }
    }

    fn argument(&mut self, state: &State, args: &[Val], at: u8) -> Option<Val> {
        let value = *args.get(usize::from(at))?;
        Some(self.state_value(state, value))
    }

    fn target(&mut self, state: &State, args: &[Val], at: u8) -> Option<At> {
        let raw = *args.get(usize::from(at))?;
        self.is_null_assumed = raw.as_int().is_none();
        let value = self.state_value(state, raw);
        self.split(value)
    }

    /// Where an argument leads that is written to; an array within a record is not to be left.
    fn written_target(&mut self, state: &State, args: &[Val], at: u8) -> Option<At> {
        let target = self.target(state, args, at)?;
        if let Some(Some(array)) = self.extent_of_argument.get(usize::from(at)).copied() {
            self.narrow_to(state, target, array, true);
        }
        Some(target)
    }

    /// A size's value; `None`: unknown.
    pub fn size_of(&mut self, state: &mut State, size: &Size, args: &[Val]) -> Option<Val> {
        let mut sum = Val::ZERO;
        for product in &size.0 {
            let mut all = Val::int(1);
            for factor in product {
                let value = match *factor {
                    Factor::Number(it) => Val::int(it),
                    Factor::Argument(at) => self.argument(state, args, at)?,
                    Factor::Length { argument, unit } => {
                        let at = self.target(state, args, argument)?;
                        match self.text(state, at, unit) {
                            Text::Length(it) => it,
                            _ => return None,
                        }
                    }
                };
                if value.is_uninit() {
                    return None;
                }
                all = self.binary(state, Binary::Multiply, all, value);
            }
            sum = self.symbols.add(sum, all);
        }
        Some(self.state_value(state, sum))
    }

    fn effect(&mut self, state: &mut State, effect: &Effect, args: &[Val]) -> Option<Val> {
        match effect {
            Effect::Allocate { family, bytes, is_zeroed, fails, through, text } => {
                let bytes = bytes.as_ref().and_then(|it| self.size_of(state, it, args));
                let failure = match fails {
                    Fails::Never => Failure::Never,
                    Fails::Null => Failure::Null,
                    // The status is what tells; a failed call leaves no block.
                    Fails::Negative | Fails::Status => Failure::Never,
                };
                let made = self.allocate(state, *family, bytes, *is_zeroed, failure, 0);
                if let Some(from) = text
                    && let (Some(to), Some(from)) = (self.split(made), self.target(state, args, *from))
                {
                    self.copy_text(state, to, from, None, (false, false), 1, false);
                }
                if bytes.is_none()
                    && let Some(sym) = made.as_sym()
                    && let Some(object) = state.object_mut(sym)
                {
                    object.content = super::state::Content::Written(sym);
                }
                if let Some(through) = through {
                    return self.store_through(state, args, *through, made);
                }
                Some(made)
            }
            // Done by `library_reallocate`.
            Effect::Reallocate { .. } => None,
            Effect::Free { family, argument } => {
                let value = self.argument(state, args, *argument)?;
                let by = self.here();
                self.free(state, value, *family, by);
                None
            }
            Effect::Lock { argument } => {
                let value = self.argument(state, args, *argument)?;
                self.lock(state, value);
                Some(Val::ZERO)
            }
            Effect::Unlock { argument } => {
                let value = self.argument(state, args, *argument)?;
                Self::unlock(state, value);
                Some(Val::ZERO)
            }
            Effect::Follow { argument } => {
                let raw = *args.get(usize::from(*argument))?;
                self.is_null_assumed = raw.as_int().is_none();
                let value = self.state_value(state, raw);
                let at = self.split(value)?;
                self.follow(state, at);
                None
            }
            Effect::Provide { family, argument } => {
                let at = self.target(state, args, *argument)?;
                let held = self.load(state, at, 8);
                let held = self.state_value(state, held);
                if held == Val::ZERO {
                    let made = self.allocate(state, *family, None, false, Failure::Never, 0);
                    self.poke(state, at, 8, made);
                }
                let held = self.peek(state, at, 8);
                if let Some(block) = self.split(held) {
                    self.forget_at(state, block);
                }
                None
            }
            Effect::Acquire { class, fails: _, through: Some(through), numbers } if *numbers > 0 => {
                let at = self.target(state, args, *through)?;
                for it in 0..*numbers {
                    let made = self.acquire(state, *class, Failure::Never, u32::from(it));
                    self.store(state, (at.0, at.1.plus(4 * i64::from(it))), 4, made);
                }
                Some(Val::ZERO)
            }
            Effect::Acquire { class, fails, through, .. } => {
                let failure = match fails {
                    Fails::Never | Fails::Status => Failure::Never,
                    Fails::Null => Failure::Null,
                    Fails::Negative => Failure::Negative,
                };
                let made = self.acquire(state, *class, failure, 0);
                if let Some(through) = through {
                    return self.store_through(state, args, *through, made);
                }
                Some(made)
            }
            Effect::Release { class, argument } => {
                let value = self.argument(state, args, *argument)?;
                self.release(state, value, *class);
                None
            }
            Effect::Read { argument, bytes } => {
                let bytes = self.size_of(state, bytes, args)?;
                let at = self.target(state, args, *argument)?;
                self.access(state, at, bytes, false);
                None
            }
            Effect::Write { argument, bytes, is_outside } => {
                let at = self.written_target(state, args, *argument)?;
                let Some(bytes) = self.size_of(state, bytes, args) else {
                    self.forget_at(state, at);
                    return None;
                };
                if self.access(state, at, bytes, true) {
                    let source = if *is_outside { Source::Outside } else { Source::Known };
                    let stamp = self.fresh(state, 0x30, source).a;
                    self.fill(state, at, bytes, Piece::Written(stamp));
                }
                None
            }
            Effect::Fill { argument, value, bytes, unit } => {
                let at = self.written_target(state, args, *argument)?;
                let bytes = self.size_of(state, bytes, args)?;
                let value = self.argument(state, args, *value)?;
                if self.access(state, at, bytes, true) {
                    let stamp = self.stamp(state);
                    let piece = match value.as_int() {
                        Some(value) => Piece::Fill {
                            unit: *unit,
                            value: if *unit == 1 { i64::from(value as i8) } else { value },
                        },
                        None => Piece::Written(stamp),
                    };
                    self.fill(state, at, bytes, piece);
                }
                None
            }
            Effect::Copy { to, from, bytes, may_overlap } => {
                let (to, from) = (self.written_target(state, args, *to)?, self.target(state, args, *from)?);
                let bytes = self.size_of(state, bytes, args)?;
                self.library_copy(state, to, from, bytes, *may_overlap);
                None
            }
            Effect::CopyText { to, from, limit, is_appended, is_padded, unit } => {
                let (to, from) = (self.written_target(state, args, *to)?, self.target(state, args, *from)?);
                let limit = limit.as_ref().map(|it| self.size_of(state, it, args));
                if let Some(None) = limit {
                    self.forget_at(state, to);
                    return None;
                }
                self.copy_text(state, to, from, limit.flatten(), (*is_appended, *is_padded), *unit, true);
                None
            }
            Effect::ReadText { argument, unit } => {
                let at = self.target(state, args, *argument)?;
                self.read_text(state, at, *unit);
                None
            }
            Effect::InputText { to, limit, unit } => {
                let to = self.written_target(state, args, *to)?;
                let limit = match limit {
                    None => None,
                    Some(it) => Some(self.size_of(state, it, args)?),
                };
                self.input_text(state, to, limit, *unit);
                None
            }
            Effect::Format { to, limit, format, unit } => {
                let limit = match limit {
                    None => None,
                    Some(it) => Some(self.size_of(state, it, args)?),
                };
                self.format(state, args, (*to, *format), limit, *unit);
                None
            }
            Effect::Print { format } => {
                for (conversion, at) in self.conversions(state, args, *format) {
                    if conversion.letter == b's'
                        && !conversion.is_wide
                        && conversion.width.is_none()
                        && let Some(at) = self.target(state, args, at)
                    {
                        self.read_text(state, at, 1);
                    }
                }
                None
            }
            Effect::Scan { format } => {
                self.scan(state, args, *format);
                None
            }
            Effect::Overwrite { argument } => {
                let at = self.target(state, args, *argument)?;
                let stamp = self.fresh(state, 0x32 + u32::from(*argument), Source::Known).a;
                if !at.0.is_none() {
                    self.ensure(state, at.0);
                    if let Some(object) = state.object_mut(at.0) {
                        object.forget(stamp);
                    }
                }
                None
            }
            Effect::Escape { argument } => {
                let value = self.argument(state, args, *argument)?;
                self.escape(state, &[value], false);
                None
            }
        }
    }

    /// A call that stores what it makes and returns a status: only the way on which it succeeds is followed
    /// where the status is looked at, since the block is there then.
    fn store_through(&mut self, state: &mut State, args: &[Val], through: u8, made: Val) -> Option<Val> {
        let at = self.target(state, args, through)?;
        self.store(state, at, 8, made);
        Some(Val::ZERO)
    }

    pub fn forget_at(&mut self, state: &mut State, at: At) {
        if at.0.is_none() {
            return;
        }
        self.ensure(state, at.0);
        let stamp = self.stamp(state);
        if let Some(object) = state.object_mut(at.0) {
            object.forget(stamp);
        }
    }

    pub fn library_copy(&mut self, state: &mut State, to: At, from: At, bytes: Val, may_overlap: bool) {
        if bytes == Val::ZERO {
            return;
        }
        let can_read = self.access(state, from, bytes, false);
        let can_write = self.access(state, to, bytes, true);
        if !may_overlap {
            self.overlap(state, to, from, bytes);
        }
        if can_read && can_write {
            self.copy(state, to, from, bytes);
        } else if can_write {
            self.forget_at(state, to);
        }
    }

    /// Two ranges that may not overlap.
    fn overlap(&mut self, state: &mut State, to: At, from: At, bytes: Val) {
        let bytes = self.state_value(state, bytes);
        if to.0 == from.0 {
            let distance = self.symbols.subtract(to.1, from.1);
            if let (Some(distance), Some(bytes)) = (distance.as_int(), bytes.as_int())
                && distance.abs() < bytes
                && distance != 0
            {
                let finding = rules::overlapping_copy::finding(self);
                self.report(state, finding);
            } else if self.symbols.is_input(distance.a) || self.symbols.is_input(distance.b) {
                let trace = self.here();
                self.demand(state, Demand::new(Need::Apart { bytes }, distance, trace));
            }
            return;
        }
        if self.symbols.is_input(to.0) && self.symbols.is_input(from.0) && bytes.as_int().is_some() {
            let (to, from) = (self.pointer(to), self.pointer(from));
            let pointer = self.symbols.subtract(to, from);
            let trace = self.here();
            self.demand(state, Demand::new(Need::Apart { bytes }, pointer, trace));
        }
    }

    /// A terminated text is read.
    pub fn read_text(&mut self, state: &mut State, at: At, unit: u8) {
        if !self.access(state, at, Val::int(i64::from(unit)), false) {
            return;
        }
        let object = state.object(at.0).cloned();
        if let Some(object) = &object
            && object.content == super::state::Content::Uninit
            && object.segments.is_empty()
            && object.elements.is_empty()
            && object.reach.is_none()
        {
            let finding = rules::uninitialized_read::finding(self, state, at);
            self.report(state, finding);
            self.forget_at(state, at);
            return;
        }
        match self.text(state, at, unit) {
            Text::Unterminated => self.unterminated(state, at, unit),
            Text::Length(length) => {
                if let Some(object) = object
                    && object.size.is_some()
                    && length.as_int().is_some()
                {
                    let bytes = self.symbols.scale(length.plus(1), i64::from(unit));
                    self.access(state, at, bytes, false);
                }
            }
            Text::Unknown => {}
        }
    }

    fn unterminated(&mut self, state: &mut State, at: At, unit: u8) {
        let Some(size) = state.object(at.0).and_then(|it| it.size) else { return };
        let rest = self.symbols.subtract(size, at.1);
        self.access(state, at, rest.plus(i64::from(unit)), false);
    }

    #[allow(clippy::too_many_arguments)]
    pub fn copy_text(
        &mut self,
        state: &mut State,
        to: At,
        from: At,
        limit: Option<Val>,
        (is_appended, is_padded): (bool, bool),
        unit: u8,
        is_checked: bool,
    ) {
        let width = i64::from(unit);
        let one = Val::int(width);
        if is_checked {
            let can_read = self.access(state, from, one, false);
            let can_write = self.access(state, to, one, true);
            if !can_read || !can_write {
                if can_write {
                    self.forget_at(state, to);
                }
                return;
            }
        }
        let before = if is_appended {
            match self.text(state, to, unit) {
                Text::Length(it) => it,
                _ => {
                    self.forget_at(state, to);
                    return;
                }
            }
        } else {
            Val::ZERO
        };
        let length = match self.text(state, from, unit) {
            Text::Length(it) => Some(it),
            Text::Unterminated => {
                let size = state.object(from.0).and_then(|it| it.size);
                let rest = size.map(|it| self.symbols.subtract(it, from.1));
                match (limit.and_then(Val::as_int), rest.and_then(Val::as_int)) {
                    (Some(limit), Some(rest)) if limit * width <= rest => {}
                    (Some(_), _) => {}
                    _ if is_checked => self.unterminated(state, from, unit),
                    _ => {}
                }
                None
            }
            Text::Unknown => None,
        };
        // Units written, and the length of the text then, if there is one.
        let (units, total) = match (limit, length) {
            (None, Some(length)) => {
                let total = self.symbols.add(before, length);
                (Some(total.plus(1)), Some(total))
            }
            (None, None) => (None, None),
            (Some(limit), length) if is_padded => {
                let is_whole = length
                    .is_some_and(|it| state.decide(&self.symbols, Binary::Less, it, limit) == Some(true));
                (Some(limit), length.filter(|_| is_whole))
            }
            (Some(limit), Some(length)) => {
                let shorter = match state.decide(&self.symbols, Binary::Less, length, limit) {
                    Some(true) => Some(length),
                    Some(false) => Some(limit),
                    None => None,
                };
                let total = shorter.map(|it| self.symbols.add(before, it));
                // strlcpy's limit counts the terminator, strncat's does not.
                match (is_appended, shorter) {
                    (true, _) => (total.map(|it| it.plus(1)), total),
                    (false, Some(it)) if it == limit => (Some(limit), Some(limit.plus(-1))),
                    (false, _) => (total.map(|it| it.plus(1)), total),
                }
            }
            (Some(_), None) => (None, None),
        };
        let Some(units) = units else {
            self.forget_at(state, to);
            return;
        };
        let bytes = self.symbols.scale(units, width);
        let bytes = self.state_value(state, bytes);
        if is_checked {
            self.is_wide = unit > 1;
            self.access(state, to, bytes, true);
            self.is_wide = false;
            if to.0 == from.0 && !is_appended && to.1 != from.1 {
                self.overlap(state, to, from, bytes);
            }
        }
        match bytes.as_int() {
            Some(_) if !is_appended && unit == 1 => self.copy(state, to, from, bytes),
            _ => {
                let stamp = self.stamp(state);
                self.fill(state, to, bytes, Piece::Written(stamp));
            }
        }
        if let (Some(total), Some(start)) = (total, to.1.as_int())
            && let Some(object) = state.object_mut(to.0)
        {
            object.text = Some((start, total));
        }
    }

    fn input_text(&mut self, state: &mut State, to: At, limit: Option<Val>, unit: u8) {
        if limit == Some(Val::ZERO) {
            return;
        }
        if !self.access(state, to, Val::int(i64::from(unit)), true) {
            return;
        }
        let stamp = self.fresh(state, 0x31, Source::Outside).a;
        match limit {
            Some(limit) => {
                let bytes = self.symbols.scale(limit, i64::from(unit));
                let bytes = self.state_value(state, bytes);
                self.access(state, to, bytes, true);
                self.fill(state, to, bytes, Piece::Written(stamp));
                if let (Some(limit), Some(offset)) = (limit.as_int(), to.1.as_int()) {
                    let length = self.symbols.id(Meaning::Length { object: to.0, offset, stamp, unit });
                    state.limit(&self.symbols, length, 0, (limit - 1).max(0));
                    if let Some(object) = state.object_mut(to.0) {
                        object.text = Some((offset, Val::sym(length)));
                    }
                }
            }
            None => {
                // As long as anyone likes: no buffer is large enough.
                if let Some(object) = state.object(to.0).cloned()
                    && let Some(size) = object.size
                {
                    let offset = to.1;
                    let finding = rules::heap_overflow::finding(
                        self,
                        to.0,
                        &object,
                        (offset, size.plus(1), size),
                        true,
                        false,
                    );
                    self.report(state, finding);
                }
                if let Some(object) = state.object_mut(to.0) {
                    object.forget(stamp);
                }
            }
        }
    }

    fn scan(&mut self, state: &mut State, args: &[Val], format: u8) {
        let found = self.conversions(state, args, format);
        if found.is_empty() {
            let rest: Vec<Val> = args.iter().skip(usize::from(format) + 1).copied().collect();
            self.escape(state, &rest, true);
            return;
        }
        for (conversion, at) in found {
            let Some(to) = self.target(state, args, at) else { continue };
            match conversion.letter {
                b's' | b'[' => {
                    let limit = conversion.width.map(|it| Val::int(it + 1));
                    self.input_text(state, to, limit, if conversion.is_wide { 4 } else { 1 });
                }
                b'n' => self.forget_at(state, to),
                letter => {
                    let bytes = conversion.bytes(letter);
                    if self.access(state, to, Val::int(i64::from(bytes)), true) {
                        let value = self.fresh(state, 0x40 + u32::from(at), Source::Outside);
                        if let Some(sym) = value.as_sym() {
                            let is_signed = matches!(letter, b'd' | b'i');
                            let (lo, hi) = super::state::narrow_range(bytes as u8, is_signed);
                            state.limit(&self.symbols, sym, lo, hi);
                        }
                        self.poke(state, to, bytes, value);
                    }
                }
            }
        }
    }

    fn format(
        &mut self,
        state: &mut State,
        args: &[Val],
        (to, format): (u8, u8),
        limit: Option<Val>,
        unit: u8,
    ) {
        let Some(to) = self.written_target(state, args, to) else { return };
        if limit == Some(Val::ZERO) {
            return;
        }
        let literal = self.literal(state, args, format);
        let found = self.conversions(state, args, format);
        // Least length, and whether it is the exact one.
        let mut length = Val::int(0);
        let mut is_exact = literal.is_some();
        if let Some(text) = &literal {
            length = Val::int(plain_length(text.as_bytes()));
        }
        for (conversion, at) in &found {
            match conversion.letter {
                b's' if conversion.precision.is_none() => {
                    let wide = if conversion.is_wide { 4 } else { 1 };
                    let Some(from) = self.target(state, args, *at) else {
                        is_exact = false;
                        continue;
                    };
                    self.read_text(state, from, wide);
                    if from == to {
                        let finding = rules::overlapping_copy::finding(self);
                        self.report(state, finding);
                    }
                    match self.text(state, from, wide) {
                        Text::Length(it) => length = self.symbols.add(length, it),
                        _ => is_exact = false,
                    }
                }
                b'c' => length = length.plus(1),
                b's' => is_exact = false,
                _ => {
                    length = length.plus(1);
                    is_exact = false;
                }
            }
        }
        let width = i64::from(unit);
        let units = match limit {
            None => length.plus(1),
            Some(limit) => match state.decide(&self.symbols, Binary::Less, length, limit) {
                Some(true) if is_exact => length.plus(1),
                _ => limit,
            },
        };
        let bytes = self.symbols.scale(units, width);
        let bytes = self.state_value(state, bytes);
        if !self.access(state, to, bytes, true) {
            return;
        }
        let stamp = self.stamp(state);
        self.fill(state, to, bytes, Piece::Written(stamp));
        if is_exact
            && units == length.plus(1)
            && let Some(offset) = to.1.as_int()
            && let Some(object) = state.object_mut(to.0)
        {
            object.text = Some((offset, length));
        } else if limit.is_none() {
            self.forget_at(state, to);
        }
    }

    /// The text of an argument that is a literal.
    fn literal(&mut self, state: &State, args: &[Val], at: u8) -> Option<String> {
        let value = self.argument(state, args, at)?;
        match self.symbols.meaning(value.as_sym()?) {
            Meaning::Text { module, name } => {
                Some(self.cx.program.modules[module as usize].name(name).to_owned())
            }
            _ => None,
        }
    }

    /// Conversions of a format that is a literal, each with the number of its argument.
    fn conversions(&mut self, state: &State, args: &[Val], format: u8) -> Vec<(Conversion, u8)> {
        let Some(text) = self.literal(state, args, format) else { return Vec::new() };
        let mut at = format + 1;
        let mut found = Vec::new();
        for it in parse_format(text.as_bytes()) {
            // A `*` takes an argument of its own in output, none in input: both are rare.
            if it.is_skipped {
                at = at.saturating_add(1);
            }
            found.push((it, at));
            at = at.saturating_add(1);
        }
        found
    }

    /// Whether a sum is greater than 0 on all executions.
    pub fn is_positive(&self, state: &State, terms: Terms) -> bool {
        state.least(&self.symbols, terms, 2) > 0
    }

    /// The symbol that stands for an object's address, if the value is one.
    pub fn base_of(&self, value: Val) -> Option<Sym> {
        self.split(value).map(|it| it.0).filter(|it| !it.is_none())
    }
}

/// One `%...` of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Conversion {
    letter: u8,
    width: Option<i64>,
    precision: Option<i64>,
    is_wide: bool,
    longs: u8,
    shorts: u8,
    is_skipped: bool,
}

impl Conversion {
    fn bytes(self, letter: u8) -> u32 {
        match letter {
            b'c' if self.is_wide => 4,
            b'c' => 1,
            b'f' | b'g' | b'e' | b'a' if self.longs > 0 => 8,
            b'p' => 8,
            _ if self.longs > 0 => 8,
            _ if self.shorts > 1 => 1,
            _ if self.shorts > 0 => 2,
            _ => 4,
        }
    }
}

fn parse_format(text: &[u8]) -> Vec<Conversion> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() && found.len() < 64 {
        if text[at] != b'%' {
            at += 1;
            continue;
        }
        at += 1;
        if text.get(at) == Some(&b'%') {
            at += 1;
            continue;
        }
        let mut it = Conversion {
            letter: 0,
            width: None,
            precision: None,
            is_wide: false,
            longs: 0,
            shorts: 0,
            is_skipped: false,
        };
        let mut is_precision = false;
        while let Some(&byte) = text.get(at) {
            at += 1;
            match byte {
                b'0'..=b'9' => {
                    let to = if is_precision { &mut it.precision } else { &mut it.width };
                    *to = Some(
                        to.unwrap_or(0)
                            .saturating_mul(10)
                            .saturating_add(i64::from(byte - b'0'))
                            .min(1 << 30),
                    );
                }
                b'.' => {
                    is_precision = true;
                    it.precision = Some(0);
                }
                b'*' => it.is_skipped = true,
                b'-' | b'+' | b' ' | b'#' | b'\'' => {}
                b'l' | b'q' | b'j' | b'z' | b't' | b'L' => {
                    it.longs += 1;
                    it.is_wide = byte == b'l';
                }
                b'h' => it.shorts += 1,
                b'[' => {
                    it.letter = b'[';
                    // A `]` that comes first belongs to the set.
                    if text.get(at) == Some(&b'^') {
                        at += 1;
                    }
                    at += 1;
                    while text.get(at).is_some_and(|it| *it != b']') {
                        at += 1;
                    }
                    at += 1;
                    break;
                }
                b'S' => {
                    it.letter = b's';
                    it.is_wide = true;
                    break;
                }
                letter => {
                    it.letter = letter;
                    break;
                }
            }
        }
        if it.letter != 0 {
            found.push(it);
        }
    }
    found
}

/// Bytes of a format outside of its conversions.
fn plain_length(text: &[u8]) -> i64 {
    let mut count = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at] != b'%' {
            count += 1;
            at += 1;
            continue;
        }
        at += 1;
        if text.get(at) == Some(&b'%') {
            count += 1;
            at += 1;
            continue;
        }
        while let Some(&byte) = text.get(at) {
            at += 1;
            if byte.is_ascii_alphabetic() && !matches!(byte, b'l' | b'h' | b'q' | b'j' | b'z' | b't' | b'L') {
                break;
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_taken_apart() {
        let found = parse_format(b"a%d %5s%% %.3ls %[^\n] %hhd");
        let letters: Vec<u8> = found.iter().map(|it| it.letter).collect();
        assert_eq!(letters, *b"dss[d");
        assert_eq!(found[1].width, Some(5));
        assert!(found[2].is_wide && found[2].precision == Some(3));
        assert_eq!(plain_length(b"ab%dc%%"), 4);
    }
}
