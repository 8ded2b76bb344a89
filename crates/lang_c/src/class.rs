//! Classes and functions of C++: members, constructors, destructors, overloads, linkage names.
//!
//! Bodies within a class are read when the class is complete. Linkage names carry the number of parameters:
//! `ns::f/2`; destructors are `ns::C::~C`.

use crate::decl::{Attributes, Declarator, Naming, Param, Spec};
use crate::expr::{V, argument, with_step};
use crate::lex::Kind;
use crate::lower::{Bad, Context, Entity, Func, FuncId, Lower, Pending, Res, SetId};
use crate::symbols::{Sym, sym};
use crate::types::{RecordId, T, Ty, Types};
use heapwise_check::ir::{Callee, LocalId, Name, Operand, Place, Span, Step};

/// Members within members that are made or destroyed one by one.
const MAX_MEMBER_DEPTH: u32 = 8;

impl Lower {
    // Classes.

    pub(crate) fn class_specifier(&mut self, is_union: bool, mut attributes: Attributes) -> Res<T> {
        let at = self.at;
        let mut tag = sym::EMPTY;
        let mut scope = None;
        while self.is_name(self.peek()) {
            tag = self.next().text;
            if self.eat(sym::COLONS) {
                scope = match self.lookup(tag) {
                    Some(Entity::Namespace(id)) => Some(Context::Namespace(id)),
                    Some(Entity::Typedef(ty)) => self.types.as_record(ty).map(Context::Record),
                    _ => None,
                };
                continue;
            }
            break;
        }
        if self.is(sym::LT) {
            // An instance, or a specialization that was read as one.
            if let Some(Entity::Template(id)) = self.lookup(tag) {
                let args = self.template_args()?;
                return self.instance(id, args);
            }
            self.at = self.skip_angles(self.at).ok_or(Bad)?;
        }
        self.attributes(&mut attributes)?;
        self.eat(sym::FINAL);
        let is_definition =
            self.is(sym::LBRACE) || (self.is(sym::COLON) && tag != sym::EMPTY && !self.is_bit_field());
        if tag == sym::EMPTY && !is_definition {
            return Err(Bad);
        }
        let context = self.context.len();
        if let Some(scope) = scope {
            self.enter_scope_of(scope);
        }
        let known =
            if tag == sym::EMPTY { None } else { self.known_tag(tag, is_definition || self.is(sym::SEMI)) };
        let id = self.tagged_record(known, tag, is_union, is_definition, at);
        let result = if is_definition || attributes.opaque.is_some() {
            self.class_rest(id, is_union, attributes)
        } else {
            Ok(())
        };
        self.context.truncate(context);
        result?;
        Ok(self.types.add(Ty::Record(id)))
    }

    fn is_bit_field(&self) -> bool {
        self.peek_at(1).kind == Kind::Number
    }

    fn known_tag(&self, tag: Sym, is_own: bool) -> Option<T> {
        let entity = match self.context.last() {
            _ if !is_own || self.is_in_function() => self.lookup(tag),
            Some(Context::Record(id)) => self.types.record(*id).scope.get(&tag).copied(),
            Some(Context::Namespace(id)) => self.namespaces[id.0 as usize].members.get(&tag).copied(),
            None => None,
        };
        match entity {
            Some(Entity::Typedef(ty)) => Some(ty),
            _ => None,
        }
    }

    pub(crate) fn name_record(&mut self, id: RecordId, name: &str) {
        let name = self.m.name(name);
        let record = self.types.record_mut(id);
        record.name = name;
        let class = record.class;
        self.m.class_mut(class).name = name;
    }

    /// Bases and members; the tag is read.
    pub(crate) fn class_rest(&mut self, id: RecordId, is_union: bool, attributes: Attributes) -> Res<()> {
        let _ = is_union;
        if let Some(bytes) = attributes.opaque {
            let record = self.types.record_mut(id);
            (record.is_opaque, record.is_complete, record.size, record.align) = (true, true, bytes.max(1), 8);
            let class = record.class;
            self.m.class_mut(class).bytes = bytes.max(1);
            return Ok(());
        }
        self.eat(sym::FINAL);
        if self.eat(sym::COLON) {
            self.bases(id)?;
        }
        let context = self.context.len();
        self.context.push(Context::Record(id));
        let is_function = std::mem::replace(&mut self.body.is_function, false);
        let result = self.members(id, &attributes);
        self.body.is_function = is_function;
        self.context.truncate(context);
        result?;
        self.finish_record(id, &attributes);
        self.finish_class(id);
        Ok(())
    }

    fn bases(&mut self, id: RecordId) -> Res<()> {
        loop {
            while matches!(
                self.peek().text,
                sym::PUBLIC | sym::PRIVATE | sym::PROTECTED | sym::VIRTUAL | sym::TYPENAME
            ) {
                self.at += 1;
            }
            let at = self.at;
            let ty = self.type_specifier_name()?.ok_or(Bad)?;
            self.eat(sym::ELLIPSIS);
            let name = match self.types.as_record(ty) {
                Some(base) => {
                    let (size, align) = (self.types.record(base).size, self.types.record(base).align);
                    let is_polymorphic = self.types.record(base).is_polymorphic;
                    let is_opaque = self.types.record(base).is_opaque;
                    let record = self.types.record_mut(id);
                    let at = crate::types::round_up(record.size, align);
                    record.bases.push((base, at));
                    record.size = at + if size == 1 { 0 } else { size };
                    record.align = record.align.max(align);
                    record.bit_at = record.size * 8;
                    record.is_polymorphic |= is_polymorphic;
                    record.has_unknown_base |= is_opaque;
                    self.types.record(base).name
                }
                None => {
                    self.types.record_mut(id).has_unknown_base = true;
                    let text = self.text(self.tokens[at].text);
                    self.m.name(&text)
                }
            };
            let class = self.types.record(id).class;
            self.m.class_mut(class).bases.push(name);
            if !self.eat(sym::COMMA) {
                return Ok(());
            }
        }
    }

    fn members(&mut self, id: RecordId, attributes: &Attributes) -> Res<()> {
        let end = self.after_close(self.at);
        self.expect(sym::LBRACE)?;
        // A class with virtual functions begins with a pointer to their table.
        let has_virtual = self.has_virtual(end);
        let record = self.types.record_mut(id);
        if has_virtual && !record.is_polymorphic {
            record.is_polymorphic = true;
            if record.bases.is_empty() {
                (record.size, record.align, record.bit_at) = (8, 8, 64);
            }
        }
        while !self.is(sym::RBRACE) {
            if self.peek().kind == Kind::End {
                return Err(Bad);
            }
            let start = self.at;
            let (depth, context) = (self.depth, self.context.len());
            if self.class_item(id, attributes).is_err() {
                self.error();
                self.depth = depth;
                self.context.truncate(context);
                self.at = start;
                if self.skip_declaration().is_err() {
                    // Where brackets do not match, the end may lie before what was read.
                    if end - 1 <= start {
                        return Err(Bad);
                    }
                    self.at = end - 1;
                }
            }
            if self.at == start {
                self.at += 1;
            }
        }
        self.at += 1;
        Ok(())
    }

    fn has_virtual(&self, end: usize) -> bool {
        let mut at = self.at;
        while at < end.saturating_sub(1) {
            if self.tokens[at].is(sym::VIRTUAL) {
                return true;
            }
            at = if self.tokens[at].is(sym::LBRACE) { self.after_close(at) } else { at + 1 };
        }
        false
    }

    fn class_item(&mut self, id: RecordId, attributes: &Attributes) -> Res<()> {
        let token = self.peek();
        match token.text {
            sym::PUBLIC | sym::PRIVATE | sym::PROTECTED => {
                self.at += 1;
                while !self.eat(sym::COLON) {
                    if self.next().kind == Kind::End {
                        return Err(Bad);
                    }
                }
                return Ok(());
            }
            sym::SEMI => {
                self.at += 1;
                return Ok(());
            }
            sym::USING | sym::TEMPLATE | sym::STATIC_ASSERT => {
                self.cpp_external()?;
                return Ok(());
            }
            sym::FRIEND => {
                if !self.peek_at(1).is(sym::CLASS) && !self.peek_at(1).is(sym::STRUCT) {
                    return self.friend_function();
                }
                return self.skip_declaration();
            }
            _ if token.kind == Kind::Pack => {
                self.at += 1;
                return Ok(());
            }
            _ => {}
        }
        // Names of the library that are not known come as macros: `Q_OBJECT`.
        if self.is_name(token)
            && self.lookup(token.text).is_none()
            && token.text != self.types.record(id).tag
            && (matches!(self.peek_at(1).text, sym::PUBLIC | sym::PRIVATE | sym::PROTECTED | sym::VIRTUAL))
        {
            self.at += 1;
            return Ok(());
        }
        let spec = self.specifiers()?;
        if spec.is_typedef {
            loop {
                let d = self.declarator(spec.ty, Naming::Required)?;
                let name = d.name.ok_or(Bad)?;
                self.define(name, Entity::Typedef(d.ty));
                if !self.eat(sym::COMMA) {
                    break;
                }
            }
            return self.expect(sym::SEMI);
        }
        if self.is(sym::SEMI) || self.is(sym::COLON) {
            return self.member_declarators(id, &spec, attributes);
        }
        let start = self.at;
        let d = self.declarator(spec.ty, Naming::Required)?;
        if let Ty::Function(_) = self.types.get(d.ty) {
            return self.member_function(&spec, d);
        }
        if spec.is_static {
            self.variable(&spec, d)?;
            while self.eat(sym::COMMA) {
                let d = self.declarator(spec.ty, Naming::Required)?;
                self.variable(&spec, d)?;
            }
            return self.expect(sym::SEMI);
        }
        self.at = start;
        self.member_declarators(id, &spec, attributes)
    }

    fn friend_function(&mut self) -> Res<()> {
        let start = self.at;
        self.at += 1;
        let context = self.context.clone();
        let spec = self.specifiers()?;
        // The function belongs to the namespace around, its names are looked for in the class.
        let d = self.declarator(spec.ty, Naming::Required)?;
        if let (Ty::Function(_), None) = (self.types.get(d.ty), d.scope) {
            while matches!(self.context.last(), Some(Context::Record(_))) {
                self.context.pop();
            }
            let id = self.declare_cpp_function(&spec, &d);
            self.context = context;
            if self.is(sym::LBRACE) {
                let params = d.params.unwrap_or_default();
                self.defer_body(id, params, d.name_at, start);
                return Ok(());
            }
        }
        self.at = start;
        self.skip_declaration()
    }

    fn member_function(&mut self, spec: &Spec, d: Declarator) -> Res<()> {
        let id = self.declare_cpp_function(spec, &d);
        let is_virtual = spec.is_virtual || self.overrides(id);
        self.funcs[id.0 as usize].is_virtual = is_virtual;
        if self.eat(sym::ASSIGN) {
            let what = self.next();
            self.funcs[id.0 as usize].is_deleted = what.is(sym::DELETE);
            if what.is(sym::DEFAULT) {
                self.forget_default(id);
            }
            return self.expect(sym::SEMI);
        }
        if self.is(sym::LBRACE) || self.is(sym::COLON) || self.is(sym::TRY) {
            let params = d.params.unwrap_or_default();
            self.defer_body(id, params, d.name_at, spec.start);
            self.eat(sym::SEMI);
            return Ok(());
        }
        while self.eat(sym::COMMA) {
            let d = self.declarator(spec.ty, Naming::Required)?;
            if matches!(self.types.get(d.ty), Ty::Function(_)) {
                self.declare_cpp_function(spec, &d);
            }
        }
        self.expect(sym::SEMI)
    }

    /// `= default`: as if it were not declared.
    fn forget_default(&mut self, id: FuncId) {
        let Some(record) = self.funcs[id.0 as usize].record else { return };
        if self.types.record(record).destructor == Some(id) {
            if !self.funcs[id.0 as usize].is_virtual {
                self.types.record_mut(record).destructor = None;
            }
            return;
        }
        if let Some(set) = self.types.record(record).constructors {
            self.sets[set.0 as usize].retain(|it| *it != id);
        }
        for set in &mut self.sets {
            if set.len() > 1 {
                set.retain(|it| *it != id);
            }
        }
        self.funcs[id.0 as usize].is_deleted = true;
    }

    /// Whether a base has a virtual function of this name.
    fn overrides(&self, id: FuncId) -> bool {
        let func = &self.funcs[id.0 as usize];
        let Some(record) = func.record else { return false };
        let is_destructor = self.types.record(record).destructor == Some(id);
        self.types
            .record(record)
            .bases
            .iter()
            .any(|base| self.is_virtual_in(base.0, func.short, is_destructor, 0))
    }

    fn is_virtual_in(&self, id: RecordId, name: Sym, is_destructor: bool, depth: u32) -> bool {
        let record = self.types.record(id);
        if depth > 16 {
            return false;
        }
        let is_here = if is_destructor {
            record.destructor.is_some_and(|it| self.funcs[it.0 as usize].is_virtual)
        } else {
            match record.scope.get(&name) {
                Some(Entity::Set(set)) => {
                    self.sets[set.0 as usize].iter().any(|it| self.funcs[it.0 as usize].is_virtual)
                }
                _ => false,
            }
        };
        is_here || record.bases.iter().any(|base| self.is_virtual_in(base.0, name, is_destructor, depth + 1))
    }

    /// Tells the module the methods of a class.
    fn finish_class(&mut self, id: RecordId) {
        let mut methods: Vec<(Name, Name)> = Vec::new();
        let record = self.types.record(id);
        let tag = record.tag;
        let sets: Vec<(Sym, SetId)> = record
            .scope
            .iter()
            .filter_map(|(name, entity)| match entity {
                Entity::Set(set) => Some((*name, *set)),
                _ => None,
            })
            .chain(record.constructors.map(|it| (tag, it)))
            .collect();
        let destructor = record.destructor;
        let class = record.class;
        for (name, set) in sets {
            for func in self.sets[set.0 as usize].clone() {
                let func = &self.funcs[func.0 as usize];
                if func.record == Some(id) && !func.is_deleted {
                    let linkage = func.name;
                    methods.push((self.name(name), linkage));
                }
            }
        }
        if let Some(it) = destructor {
            methods.push((self.m.name("~"), self.funcs[it.0 as usize].name));
        }
        methods
            .sort_by(|a, b| (self.m.text(a.0), self.m.text(a.1)).cmp(&(self.m.text(b.0), self.m.text(b.1))));
        methods.dedup();
        self.m.class_mut(class).methods = methods;
    }

    /// `int x = 5;`: read when a constructor runs.
    pub(crate) fn member_initializer(&mut self, id: RecordId, d: &Declarator) -> Res<()> {
        if !self.is(sym::ASSIGN) && !self.is(sym::LBRACE) {
            return Ok(());
        }
        if let Some(name) = d.name {
            self.member_inits.entry(id).or_default().push((name, self.at));
        }
        while !self.is(sym::SEMI) && !self.is(sym::COMMA) {
            if self.peek().kind == Kind::End {
                return Err(Bad);
            }
            if self.is(sym::LBRACE) || self.is(sym::LPAREN) || self.is(sym::LBRACKET) {
                self.skip_brackets();
            } else if self.is(sym::LT) {
                self.at = self.skip_angles(self.at).unwrap_or(self.at + 1);
            } else {
                self.at += 1;
            }
        }
        Ok(())
    }

    pub(crate) fn enum_record(&mut self, tag: Sym, ty: T) -> T {
        let _ = tag;
        ty
    }

    /// `E::member` for enumerations: they are found in a namespace of the enumeration's name.
    pub(crate) fn enum_members(&mut self, tag: Sym, members: Vec<(Sym, Entity)>) {
        let ty = self.lookup(tag);
        if let Some(Entity::Typedef(ty)) = ty {
            self.enums.insert((tag, ty), members.into_iter().collect());
        }
    }

    // Functions.

    fn scope_record(&self, d: &Declarator) -> Option<RecordId> {
        match d.scope.or(self.context.last().copied()) {
            Some(Context::Record(id)) if d.scope.is_some() || !self.is_in_function() => Some(id),
            _ => None,
        }
    }

    /// The function that is declared, known or new.
    pub(crate) fn declare_cpp_function(&mut self, spec: &Spec, d: &Declarator) -> FuncId {
        let name = d.name.unwrap_or(sym::EMPTY);
        let record = self.scope_record(d);
        if d.is_destructor
            && let Some(record) = record
        {
            if let Some(id) = self.types.record(record).destructor {
                return id;
            }
            let id = self.new_cpp_function(spec, d);
            self.types.record_mut(record).destructor = Some(id);
            return id;
        }
        let is_constructor = record.is_some_and(|it| self.is_constructor(it, spec, name));
        let set = match record {
            Some(record) if is_constructor => self.types.record(record).constructors,
            Some(record) => match self.types.record(record).scope.get(&name) {
                Some(Entity::Set(set)) => Some(*set),
                _ => None,
            },
            None => self.own_set(d, name),
        };
        let params = self.param_types(d.ty);
        if let Some(set) = set {
            let known = self.sets[set.0 as usize].iter().copied().find(|it| {
                let func = &self.funcs[it.0 as usize];
                func.template.is_none()
                    && self.instance_suffix.is_none()
                    && self.param_types(func.ty) == params
            });
            if let Some(id) = known {
                let func = &mut self.funcs[id.0 as usize];
                func.is_noreturn |= spec.attributes.is_noreturn || d.attributes.is_noreturn;
                if let Some(list) = &d.params {
                    func.least = func.least.min(list.iter().filter(|it| !it.has_default).count());
                }
                return id;
            }
        }
        let id = self.new_cpp_function(spec, d);
        let set = match set {
            Some(set) => set,
            None => {
                let set = SetId(self.sets.len() as u32);
                self.sets.push(Vec::new());
                match record {
                    Some(record) if is_constructor => self.types.record_mut(record).constructors = Some(set),
                    Some(record) => {
                        self.types.record_mut(record).scope.insert(name, Entity::Set(set));
                    }
                    None => self.define_set(d, name, set),
                }
                set
            }
        };
        self.sets[set.0 as usize].push(id);
        id
    }

    fn define_set(&mut self, d: &Declarator, name: Sym, set: SetId) {
        let namespace = match d.scope {
            Some(Context::Namespace(id)) => Some(id),
            _ => self.context.iter().rev().find_map(|it| match it {
                Context::Namespace(id) => Some(*id),
                Context::Record(_) => None,
            }),
        };
        if let Some(id) = namespace {
            self.namespaces[id.0 as usize].members.insert(name, Entity::Set(set));
        }
    }

    fn own_set(&self, d: &Declarator, name: Sym) -> Option<SetId> {
        let namespace = match d.scope {
            Some(Context::Namespace(id)) => id,
            _ => self.context.iter().rev().find_map(|it| match it {
                Context::Namespace(id) => Some(*id),
                Context::Record(_) => None,
            })?,
        };
        match self.namespaces[namespace.0 as usize].members.get(&name) {
            Some(Entity::Set(set)) => Some(*set),
            _ => None,
        }
    }

    fn is_constructor(&self, record: RecordId, spec: &Spec, name: Sym) -> bool {
        let record = self.types.record(record);
        spec.has_no_type
            && (record.tag == name
                || record.template.as_ref().is_some_and(|it| self.templates[it.0 as usize].name == name))
    }

    pub(crate) fn param_types(&self, ty: T) -> Vec<T> {
        match self.types.get(ty) {
            Ty::Function(sig) => self.types.signature(sig).params.clone(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn new_cpp_function(&mut self, spec: &Spec, d: &Declarator) -> FuncId {
        let name = d.name.unwrap_or(sym::EMPTY);
        let record = self.scope_record(d);
        let mut prefix = match (d.scope, self.context.last()) {
            (Some(scope), _) => self.prefix_of(scope),
            _ => self.prefix(),
        };
        let is_constructor = record.is_some_and(|it| self.is_constructor(it, spec, name));
        let count = self.param_types(d.ty).len();
        let text = if is_constructor || d.is_destructor {
            let tag = record.map_or(sym::EMPTY, |it| self.types.record(it).tag);
            self.text(tag)
        } else {
            self.text(name)
        };
        let suffix = self.instance_suffix.take().unwrap_or_default();
        let is_plain = record.is_none() && (self.is_c_linkage || (name == sym::MAIN && prefix.is_empty()));
        if is_plain {
            prefix = String::new();
        }
        let mut linkage = match (d.is_destructor, is_plain) {
            (true, _) => format!("{prefix}~{text}"),
            (_, true) => text,
            _ => format!("{prefix}{text}{suffix}/{count}"),
        };
        if spec.is_static && record.is_none() {
            linkage = format!("{}:{linkage}", self.path);
        }
        let is_taken = |it: &Lower, name: Name| it.funcs_by_name.contains_key(&name);
        let mut interned = self.m.name(&linkage);
        if !is_plain && is_taken(self, interned) {
            // Overloads with the same number of parameters differ by the types.
            let types: Vec<String> = self.param_types(d.ty).iter().map(|it| self.type_text(*it)).collect();
            interned = self.m.name(&format!("{linkage}({})", types.join(",")));
        }
        let least = d.params.as_ref().map_or(count, |it| it.iter().filter(|it| !it.has_default).count());
        let id = FuncId(self.funcs.len() as u32);
        self.funcs.push(Func {
            name: interned,
            short: name,
            ty: d.ty,
            least,
            is_noreturn: spec.attributes.is_noreturn || d.attributes.is_noreturn,
            is_virtual: spec.is_virtual,
            is_static: (spec.is_static && record.is_some()) || record.is_none(),
            is_deleted: false,
            record,
            attributes: spec.attributes.names.iter().chain(&d.attributes.names).copied().collect(),
            template: None,
            is_defined: false,
        });
        self.funcs_by_name.insert(interned, id);
        id
    }

    pub(crate) fn cpp_function_definition(
        &mut self,
        spec: &Spec,
        id: FuncId,
        params: Vec<Param>,
        scope: Option<Context>,
        name_at: usize,
    ) -> Res<()> {
        let context = self.context.len();
        if let Some(scope) = scope {
            self.enter_scope_of(scope);
        }
        self.defer_body(id, params, name_at, spec.start);
        self.context.truncate(context);
        Ok(())
    }

    /// The body here is read when the file's classes are complete; moves past it.
    pub(crate) fn defer_body(&mut self, id: FuncId, params: Vec<Param>, name_at: usize, start: usize) {
        let pending = Pending {
            at: self.at,
            func: id,
            params,
            context: self.context.clone(),
            bound: self.active_bound.clone(),
            name_at,
            start,
        };
        let is_dependent = self
            .active_bound
            .iter()
            .any(|it| matches!(it.1, Entity::Typedef(ty) if self.types.is_dependent(ty)));
        if !is_dependent {
            self.pending.push(pending);
        }
        self.eat(sym::TRY);
        if self.is(sym::COLON) {
            self.skip_constructor_initializers();
        }
        self.skip_brackets();
        while self.eat(sym::CATCH) {
            self.skip_brackets();
            self.skip_brackets();
        }
    }

    fn skip_constructor_initializers(&mut self) {
        self.at += 1;
        loop {
            while !self.is(sym::LPAREN) && !self.is(sym::LBRACE) {
                if self.is(sym::LT) {
                    self.at = self.skip_angles(self.at).unwrap_or(self.at + 1);
                } else if self.next().kind == Kind::End {
                    return;
                }
            }
            self.skip_brackets();
            self.eat(sym::ELLIPSIS);
            if !self.eat(sym::COMMA) {
                return;
            }
        }
    }

    /// Reads the bodies that wait.
    pub(crate) fn run_pending(&mut self) {
        while !self.pending.is_empty() {
            let all = std::mem::take(&mut self.pending);
            for one in all {
                let before = std::mem::replace(&mut self.at, one.at);
                let context = std::mem::replace(&mut self.context, one.context);
                let active = std::mem::replace(&mut self.active_bound, one.bound.clone());
                let floor = self.floor;
                let mark = self.open_scope();
                self.floor = mark;
                for (name, entity) in one.bound {
                    self.bind(name, entity);
                }
                let depth = std::mem::take(&mut self.depth);
                self.body_floor = Some(mark);
                if self.function_body(one.func, one.params, one.name_at, one.start).is_err() {
                    self.error();
                }
                self.depth = depth;
                self.floor = floor;
                self.close_scope(mark);
                self.active_bound = active;
                self.context = context;
                self.at = before;
            }
        }
    }

    pub(crate) fn floor_for_body(&mut self, mark: usize) -> usize {
        self.body_floor.take().unwrap_or(mark)
    }

    pub(crate) fn this_parameter(&mut self, record: RecordId, at: usize) {
        let span = self.token_span(at);
        let of = self.types.add(Ty::Record(record));
        let ty = self.types.pointer(of);
        let ir_ty = self.ir_type(ty);
        let name = self.name(sym::THIS);
        let local = self.body.fb.parameter(name, ir_ty, span);
        self.body.this = Some((local, record));
        self.bind(sym::THIS, Entity::Local(local, ty));
    }

    /// A function's code: of constructors the initializers, of destructors the members after it.
    pub(crate) fn cpp_function_code(&mut self, id: FuncId) -> Res<()> {
        let func = self.funcs[id.0 as usize].clone();
        let start = self.at;
        let is_try = self.eat(sym::TRY);
        if let Some(record) = func.record {
            let is_constructor = self
                .types
                .record(record)
                .constructors
                .is_some_and(|it| self.sets[it.0 as usize].contains(&id));
            if is_constructor {
                self.constructor_initializers(record, start)?;
            }
        }
        if is_try && self.is(sym::COLON) {
            self.skip_constructor_initializers();
        }
        self.block_statement()?;
        while self.eat(sym::CATCH) {
            self.skip_brackets();
            self.skip_brackets();
        }
        if let Some(record) = func.record
            && self.types.record(record).destructor == Some(id)
        {
            self.destroy_members(record);
        }
        Ok(())
    }

    fn this_place(&mut self, span: Span) -> Option<(Place, RecordId)> {
        let (local, record) = self.body.this?;
        let pointer = self.load(Place::local(local), Types::VOID_POINTER, span);
        Some((Place::at(pointer), record))
    }

    /// `: a(1), b{2}` and what they leave out.
    fn constructor_initializers(&mut self, record: RecordId, start: usize) -> Res<()> {
        let mut given: Vec<(Sym, usize)> = Vec::new();
        if self.is(sym::COLON) {
            let mut at = self.at + 1;
            self.skip_constructor_initializers();
            let end = self.at;
            while at < end {
                let mut open = at;
                let mut name = self.tokens[at].text;
                while !self.tokens[open].is(sym::LPAREN) && !self.tokens[open].is(sym::LBRACE) {
                    if open + 1 >= self.tokens.len() {
                        return Err(Bad);
                    }
                    if self.tokens[open].is(sym::LT) {
                        open = self.skip_angles(open).unwrap_or(open + 1);
                        continue;
                    }
                    if self.is_name(self.tokens[open]) {
                        name = self.tokens[open].text;
                    }
                    open += 1;
                }
                given.push((name, open));
                at = self.after_close(open) + 1;
                if self.tokens.get(at - 1).is_some_and(|it| it.is(sym::ELLIPSIS)) {
                    at += 1;
                }
            }
            self.at = end;
        }
        let body = self.at;
        let span = self.token_span(start);
        let tag = self.types.record(record).tag;
        let Some((this, _)) = self.this_place(span) else { return Ok(()) };
        // Another constructor of this class does it all.
        if let Some(it) = given.iter().find(|it| it.0 == tag) {
            self.at = it.1;
            let args = self.init_arguments()?;
            self.construct(this, record, args, it.1)?;
            self.at = body;
            return Ok(());
        }
        for (base, offset) in self.types.record(record).bases.clone() {
            let base_tag = self.types.record(base).tag;
            let place = self.base_place(this.clone(), base, offset);
            match given.iter().find(|it| it.0 == base_tag) {
                Some(it) => {
                    self.at = it.1;
                    let args = self.init_arguments()?;
                    self.construct(place, base, args, it.1)?;
                }
                None => {
                    self.default_construct(place, base, start, 0)?;
                }
            }
        }
        self.initialize_members(this, record, &given, start)?;
        self.at = body;
        Ok(())
    }

    fn base_place(&mut self, place: Place, base: RecordId, offset: u64) -> Place {
        if offset == 0 {
            return place;
        }
        let name = self.types.record(base).name;
        with_step(place, Step::Field { name, offset: Some(offset) })
    }

    fn initialize_members(
        &mut self,
        this: Place,
        record: RecordId,
        given: &[(Sym, usize)],
        start: usize,
    ) -> Res<()> {
        let inits = self.member_inits.get(&record).cloned().unwrap_or_default();
        for field in self.types.record(record).fields.clone() {
            let name = self.name(field.name);
            let place = with_step(this.clone(), Step::Field { name, offset: Some(field.offset) });
            let own = given
                .iter()
                .find(|it| it.0 == field.name)
                .or_else(|| inits.iter().find(|it| it.0 == field.name));
            if let Some(&(_, at)) = own {
                self.at = at;
                self.initialize_member(place, field.ty, at)?;
            } else if let Some(inner) = self.types.as_record(field.ty) {
                self.default_construct(place, inner, start, 0)?;
            }
        }
        Ok(())
    }

    fn initialize_member(&mut self, place: Place, ty: T, at: usize) -> Res<()> {
        if let Ty::Reference(_) = self.types.get(ty) {
            let value = if self.eat(sym::ASSIGN) {
                self.assignment()?
            } else {
                self.init_arguments()?.pop().unwrap_or(V::unknown())
            };
            let span = self.span(at);
            let value = self.coerce(value, ty, span)?;
            self.store(place, value, ty, span);
            return Ok(());
        }
        if let Some(record) = self.types.as_record(ty) {
            if self.eat(sym::ASSIGN) {
                return self.initialize(place, ty, at);
            }
            let is_aggregate = self.is(sym::LBRACE) && self.is_aggregate(record);
            if is_aggregate {
                return self.initialize(place, ty, at);
            }
            let args = self.init_arguments()?;
            self.construct(place, record, args, at)?;
            return Ok(());
        }
        if self.eat(sym::ASSIGN) || self.is(sym::LBRACE) {
            return self.initialize(place, ty, at);
        }
        if matches!(self.types.get(ty), Ty::Array(..)) {
            self.skip_brackets();
            let span = self.span(at);
            self.zero_fill(&place, ty, span);
            return Ok(());
        }
        let value = match self.init_arguments()?.pop() {
            Some(value) => value,
            None => V::R(if self.types.is_pointer(ty) { Operand::Null } else { Operand::Int(0) }, ty),
        };
        let span = self.span(at);
        let value = self.coerce(value, ty, span)?;
        self.store(place, value, ty, span);
        Ok(())
    }

    /// `(a, b)` or `{a, b}`.
    pub(crate) fn init_arguments(&mut self) -> Res<Vec<V>> {
        if self.is(sym::LPAREN) {
            return self.call_arguments();
        }
        let mut args = Vec::new();
        self.expect(sym::LBRACE)?;
        let angle = std::mem::take(&mut self.angle_depth);
        while !self.is(sym::RBRACE) {
            if self.is(sym::LBRACE) {
                let value = self.braced_argument()?;
                args.push(value);
            } else {
                let value = self.assignment()?;
                let value = self.settled(value);
                args.push(value);
            }
            self.eat(sym::ELLIPSIS);
            if !self.eat(sym::COMMA) {
                break;
            }
        }
        self.angle_depth = angle;
        self.expect(sym::RBRACE)?;
        Ok(args)
    }

    /// No constructors: braces give the members.
    pub(crate) fn is_aggregate(&self, record: RecordId) -> bool {
        let it = self.types.record(record);
        !it.is_opaque
            && it.constructors.is_none_or(|set| self.sets[set.0 as usize].is_empty())
            && !it.is_polymorphic
            && it.is_complete
    }

    /// Calls the constructor that fits, or does what an implicit one does.
    pub(crate) fn construct(
        &mut self,
        place: Place,
        record: RecordId,
        mut args: Vec<V>,
        start: usize,
    ) -> Res<()> {
        let span = self.span(start);
        let ty = self.types.add(Ty::Record(record));
        if self.types.record(record).is_opaque {
            let receiver = self.address(place, span);
            return self.construct_opaque(receiver, record, args, span);
        }
        // A temporary of the same class becomes the object itself.
        if args.len() == 1 && matches!(args[0], V::Temp(_, it) if it == ty) {
            let value = args.pop().ok_or(Bad)?;
            return self.copy_record(&place, ty, value, span);
        }
        let set = self.types.record(record).constructors.filter(|it| !self.sets[it.0 as usize].is_empty());
        let is_copy = args.len() == 1 && {
            let of = self.type_of(&args[0]);
            self.types.unreferenced(of) == ty
        };
        if let Some(set) = set {
            let chosen = self.choose(set, &[], &args);
            let fits = chosen.is_some_and(|it| !is_copy || self.takes_record(it, ty));
            if let Some(id) = chosen.filter(|_| fits) {
                let receiver = self.address(place, span);
                let func = self.funcs[id.0 as usize].clone();
                let id =
                    if func.template.is_some() { self.function_instance(id, &[], &args) } else { Some(id) };
                let (name, ty) = id.map_or((func.name, func.ty), |it| {
                    let func = &self.funcs[it.0 as usize];
                    (func.name, func.ty)
                });
                // A copy constructor that takes its argument by value asks for itself, which no compiler takes.
                self.enter()?;
                let called = self.emit_call_to(Callee::Direct(name), ty, Some(receiver), args, start);
                self.leave();
                return called.map(|_| ());
            }
        }
        if is_copy {
            let value = args.pop().ok_or(Bad)?;
            return self.copy_members(place, record, value, start);
        }
        if args.is_empty() {
            return self.default_construct(place, record, start, 0);
        }
        if set.is_none() && self.types.record(record).is_complete {
            let fields = self.types.record(record).fields.clone();
            for (field, arg) in fields.iter().zip(args) {
                let name = self.name(field.name);
                let place = with_step(place.clone(), Step::Field { name, offset: Some(field.offset) });
                self.assign_to(place, field.ty, arg, span)?;
            }
            return Ok(());
        }
        // A constructor that is not known: it may keep what it is given.
        let receiver = self.address(place, span);
        let mut operands = vec![argument(receiver)];
        for arg in args {
            operands.push(argument(self.rvalue(arg, span).0));
        }
        let count = operands.len() - 1;
        let text = format!(
            "{}::{}/{count}",
            self.m.text(self.types.record(record).name),
            self.symbols.text(self.types.record(record).tag)
        );
        let name = self.m.name(&text);
        self.emit_call_op(Callee::Direct(name), Types::VOID, operands, span);
        Ok(())
    }

    fn takes_record(&self, id: FuncId, ty: T) -> bool {
        let params = self.param_types(self.funcs[id.0 as usize].ty);
        params.first().is_some_and(|it| self.types.unreferenced(*it) == ty)
    }

    /// The implicit copy: member by member where members have copies of their own.
    fn copy_members(&mut self, place: Place, record: RecordId, value: V, start: usize) -> Res<()> {
        let span = self.span(start);
        let ty = self.types.add(Ty::Record(record));
        let from = self.place_of(value, span);
        self.copy_record(&place, ty, V::Place(from.clone(), ty, None), span)?;
        for field in self.types.record(record).fields.clone() {
            let Some(inner) = self.types.as_record(field.ty) else { continue };
            let is_special =
                self.types.record(inner).is_opaque || self.types.record(inner).constructors.is_some();
            if is_special {
                let name = self.name(field.name);
                let step = Step::Field { name, offset: Some(field.offset) };
                let source = V::Place(with_step(from.clone(), step), field.ty, None);
                self.construct(with_step(place.clone(), step), inner, vec![source], start)?;
            }
        }
        Ok(())
    }

    /// What `T x;` does.
    pub(crate) fn default_construct(
        &mut self,
        place: Place,
        record: RecordId,
        start: usize,
        depth: u32,
    ) -> Res<()> {
        if depth > MAX_MEMBER_DEPTH {
            return Ok(());
        }
        let span = self.token_span(start);
        if self.types.record(record).is_opaque {
            let receiver = self.address(place, span);
            return self.construct_opaque(receiver, record, Vec::new(), span);
        }
        let set = self.types.record(record).constructors.filter(|it| !self.sets[it.0 as usize].is_empty());
        if let Some(set) = set {
            if let Some(id) = self.choose(set, &[], &[]) {
                let receiver = self.address(place, span);
                let func = &self.funcs[id.0 as usize];
                let (name, ty) = (func.name, func.ty);
                let at = self.at;
                self.at = start + 1;
                self.emit_call_to(Callee::Direct(name), ty, Some(receiver), Vec::new(), start)?;
                self.at = at;
            }
            return Ok(());
        }
        for (base, offset) in self.types.record(record).bases.clone() {
            let place = self.base_place(place.clone(), base, offset);
            self.default_construct(place, base, start, depth + 1)?;
        }
        let inits = self.member_inits.get(&record).cloned().unwrap_or_default();
        for field in self.types.record(record).fields.clone() {
            let name = self.name(field.name);
            let place = with_step(place.clone(), Step::Field { name, offset: Some(field.offset) });
            if let Some(it) = inits.iter().find(|it| it.0 == field.name) {
                let at = std::mem::replace(&mut self.at, it.1);
                let result = self.initialize_member(place, field.ty, it.1);
                self.at = at;
                result?;
            } else if let Some(inner) = self.types.as_record(field.ty) {
                self.default_construct(place, inner, start, depth + 1)?;
            }
        }
        Ok(())
    }

    // Destruction.

    pub(crate) fn needs_destruction(&self, ty: T) -> bool {
        self.is_cpp && self.needs_destruction_at(ty, 0)
    }

    fn needs_destruction_at(&self, ty: T, depth: u32) -> bool {
        if depth > MAX_MEMBER_DEPTH {
            return false;
        }
        match self.types.get(ty) {
            Ty::Array(of, Some(_)) => self.needs_destruction_at(of, depth + 1),
            Ty::Record(id) => {
                let record = self.types.record(id);
                record.is_opaque && record.size > 1
                    || record.destructor.is_some()
                    || record.fields.iter().any(|it| self.needs_destruction_at(it.ty, depth + 1))
                    || record.bases.iter().any(|it| {
                        let base = self.types.record(it.0);
                        base.destructor.is_some()
                            || base.is_opaque
                            || base.fields.iter().any(|it| self.needs_destruction_at(it.ty, depth + 1))
                    })
            }
            _ => false,
        }
    }

    pub(crate) fn destroy_local(&mut self, local: LocalId, ty: T, span: Span) {
        self.destroy(Place::local(local), ty, span, 0);
    }

    /// Calls the destructor of the object there.
    pub(crate) fn destroy(&mut self, place: Place, ty: T, span: Span, depth: u32) {
        if depth > MAX_MEMBER_DEPTH || !self.needs_destruction(ty) {
            return;
        }
        match self.types.get(ty) {
            Ty::Array(of, Some(count)) => {
                let stride = self.types.size(of).unwrap_or(1);
                for index in 0..count.min(16) {
                    let step = Step::Index { index: Operand::Int(index as i64), stride };
                    self.destroy(with_step(place.clone(), step), of, span, depth + 1);
                }
            }
            Ty::Record(id) => self.destroy_record(place, id, span, depth),
            _ => {}
        }
    }

    fn destroy_record(&mut self, place: Place, id: RecordId, span: Span, depth: u32) {
        let record = self.types.record(id);
        if record.is_opaque {
            let class = Some(record.name);
            let receiver = self.address(place, span);
            let name = self.m.name("~");
            self.emit_call_op(Callee::Method { receiver, name, class }, Types::VOID, Vec::new(), span);
            return;
        }
        if let Some(destructor) = record.destructor {
            let name = self.funcs[destructor.0 as usize].name;
            let receiver = self.address(place, span);
            self.emit_call_op(Callee::Direct(name), Types::VOID, vec![argument(receiver)], span);
            return;
        }
        self.destroy_parts(place, id, span, depth);
    }

    /// Members and bases, last one first.
    fn destroy_parts(&mut self, place: Place, id: RecordId, span: Span, depth: u32) {
        for field in self.types.record(id).fields.clone().iter().rev() {
            let name = self.name(field.name);
            let step = Step::Field { name, offset: Some(field.offset) };
            self.destroy(with_step(place.clone(), step), field.ty, span, depth + 1);
        }
        for (base, offset) in self.types.record(id).bases.clone().into_iter().rev() {
            let place = self.base_place(place.clone(), base, offset);
            let ty = self.types.add(Ty::Record(base));
            self.destroy(place, ty, span, depth + 1);
        }
    }

    fn destroy_members(&mut self, record: RecordId) {
        let span = self.token_span(self.at.saturating_sub(1));
        let ty = self.types.add(Ty::Record(record));
        if !self.is_reachable()
            || !self.types.record(record).fields.iter().any(|it| self.needs_destruction(it.ty))
                && self.types.record(record).bases.is_empty()
        {
            let _ = ty;
            return;
        }
        if let Some((place, _)) = self.this_place(span) {
            self.destroy_parts(place, record, span, 0);
        }
    }
}
