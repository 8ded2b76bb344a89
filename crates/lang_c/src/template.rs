//! Templates of C++: kept as positions among the tokens, read again for each set of arguments.
//!
//! Arguments of functions are deduced from the types of a call. An instance's bodies are lowered when the file
//! has been read. What depends on parameters that are not bound is not lowered at all.

use crate::decl::Naming;
use crate::expr::V;
use crate::lower::{Bad, Context, Entity, FuncId, Lower, Res};
use crate::symbols::{Sym, sym};
use crate::types::{RecordId, T, Ty, Types};

/// Instances within instances.
const MAX_INSTANCE_DEPTH: u32 = 32;
/// Instances of one unit.
const MAX_INSTANCES: usize = 5_000;
/// Pointers and references that lead to a template's argument; beyond it instances make each other without end.
const MAX_LEVELS: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    Class,
    Function,
    Alias,
}

#[derive(Clone, Debug)]
pub(crate) struct TemplateParam {
    pub(crate) name: Sym,
    pub(crate) is_type: bool,
    pub(crate) is_pack: bool,
    /// Where its default begins.
    pub(crate) default: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) shape: Shape,
    pub(crate) params: Vec<TemplateParam>,
    /// Just after `template <...>`; 0: only declared.
    pub(crate) at: usize,
    pub(crate) context: Vec<Context>,
    pub(crate) bound: Vec<(Sym, Entity)>,
    /// Definitions of members outside of the class.
    pub(crate) members: Vec<(usize, Vec<TemplateParam>)>,
    pub(crate) instances: Vec<T>,
    pub(crate) name: Sym,
}

impl Lower {
    /// `template ...` at file, namespace or class scope.
    pub(crate) fn template_declaration(&mut self) -> Res<()> {
        self.at += 1;
        if !self.is(sym::LT) {
            // An explicit instantiation says nothing new.
            return self.skip_declaration();
        }
        let params = self.template_params()?;
        if self.is(sym::REQUIRES) {
            while !matches!(
                self.peek().text,
                sym::CLASS | sym::STRUCT | sym::INLINE | sym::STATIC | sym::VOID | sym::AUTO
            ) && !self.is(sym::SEMI)
            {
                if self.next().kind == crate::lex::Kind::End {
                    return Err(Bad);
                }
            }
        }
        if self.is(sym::TEMPLATE) {
            // A member template of a class template, defined outside.
            return self.skip_declaration();
        }
        if params.is_empty() {
            return self.specialization();
        }
        let at = self.at;
        match self.peek().text {
            sym::CONCEPT | sym::FRIEND => self.skip_declaration(),
            sym::USING => {
                let name = self.peek_at(1).text;
                self.add_template(Shape::Alias, params, at, name);
                self.skip_declaration()
            }
            sym::CLASS | sym::STRUCT | sym::UNION if self.is_class_head() => {
                let name_at = self.class_name_at();
                let name = self.tokens[name_at].text;
                // Partial specializations are not chosen.
                if !self.tokens[name_at + 1].is(sym::LT) {
                    let is_body = self.has_class_body(name_at);
                    self.add_template(Shape::Class, params, if is_body { at } else { 0 }, name);
                }
                self.skip_declaration()
            }
            _ => self.function_template(params),
        }
    }

    /// `template <> ...`: an ordinary definition under the name of the instance.
    fn specialization(&mut self) -> Res<()> {
        if matches!(self.peek().text, sym::CLASS | sym::STRUCT) {
            let at = self.class_name_at();
            let template = match self.lookup(self.tokens[at].text) {
                Some(Entity::Template(id)) if self.tokens[at + 1].is(sym::LT) => Some(id),
                _ => None,
            };
            let Some(template) = template else { return self.skip_declaration() };
            let start = self.at;
            self.at = at + 1;
            let args = self.template_args()?;
            let body = self.at;
            self.at = start;
            let id = self.new_record(self.tokens[at].text, false, at);
            let name = self.instance_name(template, &args);
            self.name_record(id, &name);
            let ty = self.types.add(Ty::Record(id));
            self.instances.insert((template, args), Entity::Typedef(ty));
            self.at = body;
            self.class_rest(id, false, crate::decl::Attributes::default())?;
            return self.expect(sym::SEMI);
        }
        // A function's specialization is found by its parameters like an overload.
        let mut index = self.at;
        while !self.tokens[index].is(sym::LPAREN) && !self.tokens[index].is(sym::SEMI) {
            if self.tokens[index].is(sym::LT) {
                return self.skip_declaration();
            }
            index += 1;
        }
        self.declaration(true)
    }

    fn add_template(&mut self, shape: Shape, params: Vec<TemplateParam>, at: usize, name: Sym) -> u32 {
        let known = match self.context.last() {
            Some(Context::Record(id)) => self.types.record(*id).scope.get(&name).copied(),
            Some(Context::Namespace(id)) => self.namespaces[id.0 as usize].members.get(&name).copied(),
            None => None,
        };
        if let Some(Entity::Template(id)) = known
            && shape != Shape::Function
        {
            let template = &mut self.templates[id as usize];
            if at > 0 {
                let defaults: Vec<Option<usize>> = template.params.iter().map(|it| it.default).collect();
                (template.at, template.params) = (at, params);
                for (param, default) in template.params.iter_mut().zip(defaults) {
                    param.default = param.default.or(default);
                }
            }
            return id;
        }
        let id = self.templates.len() as u32;
        let bound = self.bound_names();
        let context = self.context.clone();
        self.templates.push(Template {
            shape,
            params,
            at,
            context,
            bound,
            members: Vec::new(),
            instances: Vec::new(),
            name,
        });
        if shape != Shape::Function {
            self.define(name, Entity::Template(id));
        }
        id
    }

    /// Template parameters that are bound where this is read.
    fn bound_names(&self) -> Vec<(Sym, Entity)> {
        self.active_bound.clone()
    }

    fn template_params(&mut self) -> Res<Vec<TemplateParam>> {
        self.expect(sym::LT)?;
        let mut params = Vec::new();
        while !self.eat(sym::GT) {
            let mut param = TemplateParam { name: sym::EMPTY, is_type: false, is_pack: false, default: None };
            if self.is(sym::TEMPLATE) {
                while !self.is(sym::GT) {
                    if self.next().kind == crate::lex::Kind::End {
                        return Err(Bad);
                    }
                }
                self.at += 1;
            }
            if matches!(self.peek().text, sym::CLASS | sym::TYPENAME) {
                param.is_type = true;
                self.at += 1;
                param.is_pack = self.eat(sym::ELLIPSIS);
                if self.is_name(self.peek()) {
                    param.name = self.next().text;
                }
            } else {
                // A value, or a type under a concept.
                while !matches!(self.peek().text, sym::COMMA | sym::GT | sym::ASSIGN) {
                    let token = self.next();
                    if token.kind == crate::lex::Kind::End || token.is(sym::SEMI) {
                        return Err(Bad);
                    }
                    if self.is_name(token) {
                        param.name = token.text;
                    }
                    param.is_pack |= token.is(sym::ELLIPSIS);
                    if token.is(sym::LT) {
                        self.at = self.skip_angles(self.at - 1).ok_or(Bad)?;
                    }
                }
            }
            if self.eat(sym::ASSIGN) {
                param.default = Some(self.at);
                self.skip_template_arg();
            }
            params.push(param);
            if !self.eat(sym::COMMA) && !self.is(sym::GT) {
                return Err(Bad);
            }
        }
        Ok(params)
    }

    fn skip_template_arg(&mut self) {
        loop {
            let token = self.peek();
            match token.text {
                _ if token.kind == crate::lex::Kind::End => return,
                _ if token.kind != crate::lex::Kind::Punct => self.at += 1,
                sym::COMMA | sym::GT | sym::SEMI => return,
                sym::LPAREN | sym::LBRACKET | sym::LBRACE => self.skip_brackets(),
                sym::LT => match self.skip_angles(self.at) {
                    Some(at) => self.at = at,
                    None => self.at += 1,
                },
                _ => self.at += 1,
            }
        }
    }

    /// Position after the `>` that closes the `<` at `at`, if it looks like template arguments.
    pub(crate) fn skip_angles(&self, at: usize) -> Option<usize> {
        let mut depth = 0;
        let mut index = at;
        let most = (at + 400).min(self.tokens.len());
        while index < most {
            let token = self.tokens[index];
            match token.text {
                _ if token.kind != crate::lex::Kind::Punct => {}
                sym::LT => depth += 1,
                sym::GT => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(index + 1);
                    }
                }
                sym::LPAREN | sym::LBRACKET => {
                    index = self.after_close(index);
                    continue;
                }
                sym::SEMI
                | sym::LBRACE
                | sym::RBRACE
                | sym::RPAREN
                | sym::RBRACKET
                | sym::OR_OR
                | sym::ASSIGN => return None,
                _ => {}
            }
            index += 1;
        }
        None
    }

    /// `<...>` as types; a value is the type of an array of that length, so that instances differ by it.
    pub(crate) fn template_args(&mut self) -> Res<Vec<T>> {
        self.expect(sym::LT)?;
        self.enter()?;
        let angle = std::mem::replace(&mut self.angle_depth, 1);
        let mut args = Vec::new();
        while !self.is(sym::GT) {
            args.push(self.template_arg()?);
            self.eat(sym::ELLIPSIS);
            if !self.eat(sym::COMMA) {
                break;
            }
        }
        self.angle_depth = angle;
        self.leave();
        self.expect(sym::GT)?;
        Ok(args)
    }

    fn template_arg(&mut self) -> Res<T> {
        if self.is_type_at(self.at) {
            return self.type_name();
        }
        let start = self.at;
        match self.constant() {
            Ok(Some(value)) => Ok(self.value_arg(value)),
            Ok(None) => Ok(Types::UNKNOWN),
            Err(Bad) => {
                self.at = start;
                self.skip_template_arg();
                Ok(Types::UNKNOWN)
            }
        }
    }

    fn value_arg(&mut self, value: i64) -> T {
        self.types.array(Types::VOID, Some(value as u64))
    }

    /// What the parameters stand for in an instance.
    fn bind_args(&mut self, params: &[TemplateParam], args: &[T]) -> Vec<(Sym, Entity)> {
        let mut bound = Vec::new();
        for (index, param) in params.iter().enumerate() {
            let ty = if param.is_pack {
                Types::UNKNOWN
            } else {
                args.get(index).copied().unwrap_or(Types::UNKNOWN)
            };
            let entity = match self.types.get(ty) {
                Ty::Array(Types::VOID, Some(value)) => Entity::Constant(value as i64, Types::LONG),
                _ if param.is_type => Entity::Typedef(ty),
                _ => Entity::Constant(0, Types::UNKNOWN),
            };
            bound.push((param.name, entity));
        }
        bound
    }

    /// Runs `read` at `at`, where names mean what they meant at the template.
    fn elsewhere<R>(
        &mut self,
        at: usize,
        context: Vec<Context>,
        bound: Vec<(Sym, Entity)>,
        read: impl FnOnce(&mut Lower) -> R,
    ) -> R {
        let before = std::mem::replace(&mut self.at, at);
        let context = std::mem::replace(&mut self.context, context);
        let active = std::mem::replace(&mut self.active_bound, bound.clone());
        let mark = self.open_scope();
        let floor = std::mem::replace(&mut self.floor, mark);
        let is_function = std::mem::replace(&mut self.body.is_function, false);
        let (angle, constant) =
            (std::mem::take(&mut self.angle_depth), std::mem::take(&mut self.constant_depth));
        for (name, entity) in bound {
            self.bind(name, entity);
        }
        let result = read(self);
        (self.angle_depth, self.constant_depth) = (angle, constant);
        self.body.is_function = is_function;
        self.floor = floor;
        self.close_scope(mark);
        self.active_bound = active;
        self.context = context;
        self.at = before;
        result
    }

    /// The instance of a class or alias template.
    pub(crate) fn instance(&mut self, id: u32, mut args: Vec<T>) -> Res<T> {
        let template = self.templates[id as usize].clone();
        while args.len() < template.params.len() {
            let param = &template.params[args.len()];
            let Some(default) = param.default else { break };
            let mut bound = template.bound.clone();
            bound.extend(self.bind_args(&template.params[..args.len()], &args));
            let arg = self.elsewhere(default, template.context.clone(), bound, |it| {
                it.angle_depth = 1;
                it.template_arg()
            })?;
            args.push(arg);
        }
        let key = (id, args.clone());
        if let Some(Entity::Typedef(ty)) = self.instances.get(&key) {
            return Ok(*ty);
        }
        if self.instance_depth >= MAX_INSTANCE_DEPTH || self.instances.len() >= MAX_INSTANCES {
            return Ok(Types::UNKNOWN);
        }
        let mut bound = template.bound.clone();
        bound.extend(self.bind_args(&template.params, &args));
        self.instance_depth += 1;
        let ty = if template.shape == Shape::Alias {
            self.elsewhere(template.at, template.context, bound, |it| {
                while !it.eat(sym::ASSIGN) {
                    if it.next().kind == crate::lex::Kind::End {
                        return Err(Bad);
                    }

                    if it.is(sym::SEMI) {
                        return Err(Bad);
                    }
                }
                it.type_name()
            })
        } else {
            self.class_instance(id, &template, args, bound)
        };
        self.instance_depth -= 1;
        let ty = ty?;
        self.instances.insert(key, Entity::Typedef(ty));
        Ok(ty)
    }

    fn class_instance(
        &mut self,
        id: u32,
        template: &Template,
        args: Vec<T>,
        bound: Vec<(Sym, Entity)>,
    ) -> Res<T> {
        let is_dependent = args.iter().any(|it| self.types.is_dependent(*it));
        let context = std::mem::replace(&mut self.context, template.context.clone());
        let record = self.new_record(template.name, false, template.at);
        self.context = context;
        let ty = self.types.add(Ty::Record(record));
        self.types.record_mut(record).template = Some((id, args.clone()));
        self.instances.insert((id, args.clone()), Entity::Typedef(ty));
        if is_dependent || template.at == 0 {
            self.types.record_mut(record).is_dependent = is_dependent;
            return Ok(ty);
        }
        let result = self.elsewhere(template.at, template.context.clone(), bound, |it| {
            let keyword = it.next().text;
            let mut attributes = crate::decl::Attributes::default();
            it.attributes(&mut attributes)?;
            it.at += 1;
            if attributes.opaque.is_none() {
                let name = it.instance_name(id, &args);
                it.name_record(record, &name);
            }
            it.class_rest(record, keyword == sym::UNION, attributes)
        });
        if result.is_err() {
            self.error();
        }
        if !self.types.record(record).is_opaque {
            self.templates[id as usize].instances.push(ty);
        }
        Ok(ty)
    }

    fn instance_name(&mut self, id: u32, args: &[T]) -> String {
        let template = &self.templates[id as usize];
        let prefix = template.context.last().map_or(String::new(), |it| self.prefix_of(*it));
        let name = self.text(template.name);
        let args: Vec<String> = args.iter().map(|it| self.type_text(*it)).collect();
        format!("{prefix}{name}<{}>", args.join(","))
    }

    pub(crate) fn type_text(&self, ty: T) -> String {
        match self.types.get(ty) {
            Ty::Void => "void".into(),
            Ty::Bool => "bool".into(),
            Ty::Truth => "int".into(),
            Ty::Int { bytes, is_signed, is_char } => match (bytes, is_signed, is_char) {
                (1, true, _) => "char".into(),
                (1, false, _) => "unsigned char".into(),
                (2, true, _) => "short".into(),
                (4, true, true) => "wchar_t".into(),
                (4, true, _) => "int".into(),
                (4, false, _) => "unsigned".into(),
                (8, true, _) => "long".into(),
                _ => "unsigned long".into(),
            },
            Ty::Float(4) => "float".into(),
            Ty::Float(_) => "double".into(),
            Ty::Array(Types::VOID, Some(value)) => (value as i64).to_string(),
            Ty::Pointer(to) | Ty::Vla(to) => format!("{}*", self.type_text(to)),
            Ty::Reference(to) => format!("{}&", self.type_text(to)),
            Ty::Array(of, _) => format!("{}[]", self.type_text(of)),
            Ty::Record(id) => self.m.text(self.types.record(id).name).to_string(),
            Ty::Function(_) => "()".into(),
            Ty::Auto | Ty::Unknown | Ty::Param(_) => "?".into(),
        }
    }

    /// How many pointers, references and arrays lead to a type, up to the limit of interest.
    fn levels(&self, mut ty: T) -> usize {
        let mut levels = 0;
        while let Ty::Pointer(to) | Ty::Vla(to) | Ty::Reference(to) | Ty::Array(to, _) = self.types.get(ty) {
            ty = to;
            levels += 1;
            if levels > MAX_LEVELS {
                break;
            }
        }
        levels
    }

    fn function_template(&mut self, params: Vec<TemplateParam>) -> Res<()> {
        let at = self.at;
        // `template <class T> void Box<T>::f()` belongs to the class template.
        if let Some(owner) = self.owner_template(at) {
            self.templates[owner as usize].members.push((at, params));
            return self.skip_declaration();
        }
        let mut bound = self.bound_names();
        for (index, param) in params.iter().enumerate() {
            let entity = if param.is_type {
                Entity::Typedef(self.types.add(Ty::Param(index as u32)))
            } else {
                Entity::Constant(0, Types::LONG)
            };
            bound.push((param.name, entity));
        }
        let context = self.context.clone();
        let read = self.elsewhere(at, context, bound, |it| {
            let spec = it.specifiers()?;
            let d = it.declarator(spec.ty, Naming::Required)?;
            Ok::<_, Bad>((spec, d))
        });
        if let Ok((spec, d)) = read
            && let (Some(name), Ty::Function(_)) = (d.name, self.types.get(d.ty))
            && d.scope.is_none()
        {
            let id = self.add_template(Shape::Function, params, at, name);
            let func = self.declare_cpp_function(&spec, &d);
            self.funcs[func.0 as usize].template = Some(id);
        }
        self.skip_declaration()
    }

    /// The class template whose member is defined at `at`.
    fn owner_template(&self, at: usize) -> Option<u32> {
        for index in at..(at + 60).min(self.tokens.len() - 2) {
            let token = self.tokens[index];
            if token.is(sym::LPAREN) || token.is(sym::SEMI) || token.is(sym::LBRACE) || token.is(sym::ASSIGN)
            {
                return None;
            }
            if self.is_name(token)
                && self.tokens[index + 1].is(sym::LT)
                && let Some(Entity::Template(id)) = self.lookup(token.text)
                && let Some(end) = self.skip_angles(index + 1)
                && self.tokens[end].is(sym::COLONS)
                && self.templates[id as usize].shape == Shape::Class
            {
                return Some(id);
            }
        }
        None
    }

    /// Lowers the members of all instances that are defined outside of their classes.
    pub(crate) fn run_template_members(&mut self) {
        let mut done = 0usize;
        for id in 0..self.templates.len() {
            let template = self.templates[id].clone();
            for ty in &template.instances {
                let Some(record) = self.types.as_record(*ty) else { continue };
                let Some((_, args)) = self.types.record(record).template.clone() else { continue };
                for (at, params) in &template.members {
                    done += 1;
                    if done > MAX_INSTANCES {
                        return;
                    }
                    let mut bound = template.bound.clone();
                    bound.extend(self.bind_args(params, &args));
                    let result =
                        self.elsewhere(*at, template.context.clone(), bound, |it| it.declaration(true));
                    if result.is_err() {
                        self.error();
                    }
                }
            }
        }
    }

    /// The instance of a function template for a call; `None`: its parameters cannot be told.
    pub(crate) fn function_instance(&mut self, func: FuncId, explicit: &[T], args: &[V]) -> Option<FuncId> {
        let id = self.funcs[func.0 as usize].template?;
        let template = self.templates[id as usize].clone();
        let mut bindings: Vec<Option<T>> = vec![None; template.params.len()];
        for (slot, arg) in bindings.iter_mut().zip(explicit) {
            *slot = Some(*arg);
        }
        if let Ty::Function(sig) = self.types.get(self.funcs[func.0 as usize].ty) {
            let params = self.types.signature(sig).params.clone();
            for (param, arg) in params.iter().zip(args) {
                let mut arg_ty = self.type_of(arg);
                if matches!(arg, V::Set(..)) {
                    arg_ty = self.types.pointer(arg_ty);
                }
                self.deduce(*param, arg_ty, &mut bindings, 0);
            }
        }
        let args: Vec<T> = bindings.iter().map(|it| it.unwrap_or(Types::UNKNOWN)).collect();
        if args.iter().any(|it| self.types.is_dependent(*it)) {
            return None;
        }
        let key = (u32::MAX - func.0, args.clone());
        if let Some(Entity::Constant(known, _)) = self.instances.get(&key) {
            return u32::try_from(*known).ok().map(FuncId);
        }
        let is_nested = args.iter().any(|it| self.levels(*it) > MAX_LEVELS);
        if self.instances.len() >= MAX_INSTANCES || self.instance_depth >= MAX_INSTANCE_DEPTH || is_nested {
            return None;
        }
        let mut bound = template.bound.clone();
        bound.extend(self.bind_args(&template.params, &args));
        let texts: Vec<String> = args.iter().map(|it| self.type_text(*it)).collect();
        self.instance_suffix = Some(format!("<{}>", texts.join(",")));
        self.instance_depth += 1;
        let made = self.elsewhere(template.at, template.context, bound, |it| it.function_instance_here());
        self.instance_depth -= 1;
        self.instance_suffix = None;
        let made = made.ok()?;
        self.instances.insert(key, Entity::Constant(i64::from(made.0), Types::INT));
        Some(made)
    }

    fn function_instance_here(&mut self) -> Res<FuncId> {
        let spec = self.specifiers()?;
        let d = self.declarator(spec.ty, Naming::Required)?;
        let id = self.new_cpp_function(&spec, &d);
        if self.is(sym::LBRACE) || self.is(sym::COLON) || self.is(sym::TRY) {
            let params = d.params.unwrap_or_default();
            self.defer_body(id, params, d.name_at, spec.start);
        }
        Ok(id)
    }

    /// Finds what the parameters in `pattern` stand for, given a type that fits it.
    fn deduce(&mut self, pattern: T, actual: T, bindings: &mut [Option<T>], depth: u32) {
        if depth > 16 {
            return;
        }
        let actual = if depth == 0 { self.types.unreferenced(actual) } else { actual };
        match (self.types.get(pattern), self.types.get(actual)) {
            (Ty::Param(index), _) => {
                let actual = match self.types.get(actual) {
                    Ty::Array(of, _) if depth == 0 => self.types.pointer(of),
                    Ty::Truth => Types::INT,
                    _ => actual,
                };
                if let Some(slot) = bindings.get_mut(index as usize) {
                    *slot = slot.or(Some(actual));
                }
            }
            (Ty::Reference(to), _) => {
                if let Ty::Param(index) = self.types.get(to) {
                    if let Some(slot) = bindings.get_mut(index as usize) {
                        *slot = slot.or(Some(actual));
                    }
                } else {
                    self.deduce(to, actual, bindings, depth + 1);
                }
            }
            (Ty::Pointer(to), Ty::Pointer(of) | Ty::Array(of, _) | Ty::Vla(of)) => {
                self.deduce(to, of, bindings, depth + 1)
            }
            (Ty::Array(to, _), Ty::Array(of, _)) => self.deduce(to, of, bindings, depth + 1),
            (Ty::Record(a), Ty::Record(b)) => {
                let (a, b) = (self.types.record(a).template.clone(), self.types.record(b).template.clone());
                if let (Some((x, a)), Some((y, b))) = (a, b)
                    && x == y
                {
                    for (a, b) in a.iter().zip(&b) {
                        self.deduce(*a, *b, bindings, depth + 1);
                    }
                }
            }
            _ => {}
        }
    }

    fn is_class_head(&self) -> bool {
        let at = self.class_name_at();
        let after = self.tokens[at + 1];
        self.is_name(self.tokens[at])
            && (after.is(sym::LBRACE)
                || after.is(sym::COLON)
                || after.is(sym::SEMI)
                || after.is(sym::FINAL)
                || after.is(sym::LT))
    }

    fn class_name_at(&self) -> usize {
        let mut at = self.at + 1;
        while self.tokens[at].is(sym::ATTRIBUTE)
            || self.tokens[at].is(sym::ATTRIBUTE__)
            || self.tokens[at].is(sym::LBRACKET)
            || self.tokens[at].is(sym::ALIGNAS)
        {
            at += usize::from(!self.tokens[at].is(sym::LBRACKET));
            at = self.after_close(at);
        }
        at.min(self.tokens.len() - 2)
    }

    fn has_class_body(&self, name_at: usize) -> bool {
        let mut at = name_at;
        while !self.tokens[at].is(sym::SEMI) && self.tokens[at].kind != crate::lex::Kind::End {
            if self.tokens[at].is(sym::LBRACE) {
                return true;
            }
            at += 1;
        }
        // A class of a library is only declared.
        (self.at..name_at).any(|it| self.tokens[it].is(sym::A_OPAQUE))
    }

    /// Moves past a declaration, its body included.
    pub(crate) fn skip_declaration(&mut self) -> Res<()> {
        loop {
            let token = self.peek();
            match token.text {
                _ if token.kind == crate::lex::Kind::End => return Err(Bad),
                _ if token.kind != crate::lex::Kind::Punct => self.at += 1,
                sym::SEMI => {
                    self.at += 1;
                    return Ok(());
                }
                sym::LBRACE => {
                    self.skip_brackets();
                    // A body ends a function, not a class; braces of initializers go on.
                    if self.is(sym::SEMI) {
                        self.at += 1;
                        return Ok(());
                    }
                    if !self.is(sym::COMMA) && !self.is(sym::LBRACE) && !self.is(sym::CATCH) {
                        return Ok(());
                    }
                    if self.is(sym::CATCH) {
                        self.at += 1;
                        self.skip_brackets();
                    }
                }
                sym::RBRACE => return Ok(()),
                sym::LPAREN | sym::LBRACKET => self.skip_brackets(),
                _ => self.at += 1,
            }
        }
    }

    /// The arguments of the template that a record is an instance of.
    pub(crate) fn args_of(&self, id: RecordId) -> Vec<T> {
        self.types.record(id).template.as_ref().map_or(Vec::new(), |it| it.1.clone())
    }
}
