//! C++.

use crate::decl::{Attributes, Declarator, Param, Spec};
use crate::expr::{Method, V};
use crate::lower::{Bad, Context, Entity, FuncId, Lower, Res, SetId};
use crate::symbols::Sym;
use crate::types::{RecordId, T, Ty, Types};
use heapwise_check::ir::{Base, Callee, LocalId, Operand, Place, Span};

impl Lower {
    pub(crate) fn cpp_external(&mut self) -> Res<bool> {
        Ok(false)
    }
    pub(crate) fn run_pending(&mut self) {}
    pub(crate) fn structured_binding(&mut self, _spec: &Spec) -> Res<()> {
        Err(Bad)
    }
    pub(crate) fn type_end(&self, _at: usize) -> Option<usize> {
        None
    }
    pub(crate) fn abstract_end(&self, at: usize) -> usize {
        at
    }
    pub(crate) fn is_cpp_declaration(&self) -> bool {
        false
    }
    pub(crate) fn type_specifier_name(&mut self) -> Res<Option<T>> {
        Ok(None)
    }
    pub(crate) fn is_member_pointer(&self) -> bool {
        false
    }
    pub(crate) fn is_member_pointer_at(&self, _at: usize) -> bool {
        false
    }
    pub(crate) fn cpp_declarator_name(&mut self, _d: &mut Declarator) -> Res<()> {
        Err(Bad)
    }
    pub(crate) fn enter_scope_of(&mut self, scope: Context) {
        self.context.push(scope);
    }
    pub(crate) fn is_parameter_list(&self, _d: &Declarator) -> bool {
        true
    }
    pub(crate) fn function_suffixes(&mut self, _d: &mut Declarator, _ret: &mut T) -> Res<()> {
        Ok(())
    }
    pub(crate) fn class_specifier(&mut self, _is_union: bool, _attributes: Attributes) -> Res<T> {
        Err(Bad)
    }
    pub(crate) fn member_initializer(&mut self, _id: RecordId, _d: &Declarator) -> Res<()> {
        Ok(())
    }
    pub(crate) fn enum_record(&mut self, _tag: Sym, ty: T) -> T {
        ty
    }
    pub(crate) fn enum_members(&mut self, _tag: Sym, _members: Vec<(Sym, Entity)>) {}
    pub(crate) fn is_auto(&self, ty: T) -> bool {
        matches!(self.types.get(ty), Ty::Auto)
    }
    pub(crate) fn auto_type(&mut self, _ty: T) -> Res<T> {
        Ok(Types::UNKNOWN)
    }
    pub(crate) fn needs_destruction(&self, _ty: T) -> bool {
        false
    }
    pub(crate) fn open_pad(&mut self) {}
    pub(crate) fn close_pads(&mut self, _depth: usize, _span: Span) {}
    pub(crate) fn drop_pad(&mut self) {
        self.body.pads.pop();
    }
    pub(crate) fn declare_cpp_function(&mut self, _spec: &Spec, _d: &Declarator) -> FuncId {
        FuncId(0)
    }
    pub(crate) fn cpp_function_definition(
        &mut self,
        _s: &Spec,
        _id: FuncId,
        _p: Vec<Param>,
        _scope: Option<Context>,
        _at: usize,
    ) -> Res<()> {
        Err(Bad)
    }
    pub(crate) fn floor_for_body(&self, mark: usize) -> usize {
        mark
    }
    pub(crate) fn this_parameter(&mut self, _r: RecordId, _at: usize) {}
    pub(crate) fn cpp_function_code(&mut self, _id: FuncId) -> Res<()> {
        Err(Bad)
    }
    pub(crate) fn initialize_cpp(&mut self, _l: LocalId, _ty: T, _at: usize) -> Res<bool> {
        Ok(false)
    }
    pub(crate) fn initialize_element(&mut self, _p: &Place, _ty: T) -> Res<bool> {
        Ok(false)
    }
    pub(crate) fn initialize_cpp_global(&mut self, _p: &Place, _ty: T, _d: &Declarator) -> Res<bool> {
        Ok(false)
    }
    pub(crate) fn destroy_local(&mut self, _l: LocalId, _ty: T, _span: Span) {}
    pub(crate) fn try_statement(&mut self) -> Res<()> {
        Err(Bad)
    }
    pub(crate) fn cpp_condition(&mut self) -> Res<V> {
        self.expression()
    }
    pub(crate) fn is_range_for(&self) -> bool {
        false
    }
    pub(crate) fn range_for(&mut self, _start: usize) -> Res<()> {
        Err(Bad)
    }
    pub(crate) fn returned_cpp(&mut self, _start: usize) -> Res<Option<Operand>> {
        Err(Bad)
    }
    pub(crate) fn class_truth(&mut self, _v: V, _span: Span) -> Operand {
        Operand::Opaque
    }
    pub(crate) fn throw_expression(&mut self) -> Res<V> {
        Err(Bad)
    }
    pub(crate) fn overload_of(&self, _r: RecordId, _op: Sym) -> Option<SetId> {
        None
    }
    pub(crate) fn braced_value(&mut self, _ty: T) -> Res<V> {
        Err(Bad)
    }
    pub(crate) fn braced_argument(&mut self) -> Res<V> {
        Err(Bad)
    }
    pub(crate) fn operator_call(&mut self, _op: Sym, l: V, _r: Option<V>, _s: usize) -> Res<V> {
        Ok(l)
    }
    pub(crate) fn is_class_like(&self, _ty: T) -> bool {
        false
    }
    pub(crate) fn bind_reference(&mut self, v: V, _ty: T, span: Span) -> Res<Operand> {
        let p = self.place_of(v, span);
        Ok(self.address(p, span))
    }
    pub(crate) fn coerce_to_class(&mut self, v: V, _ty: T, span: Span) -> Res<Operand> {
        Ok(self.rvalue(v, span).0)
    }
    pub(crate) fn coerce_from_class(&mut self, v: V, _ty: T, span: Span) -> Res<Operand> {
        Ok(self.rvalue(v, span).0)
    }
    pub(crate) fn construct_temporary(&mut self, _ty: T, _a: Vec<V>, _s: usize) -> Res<V> {
        Err(Bad)
    }
    pub(crate) fn new_expression(&mut self) -> Res<V> {
        Err(Bad)
    }
    pub(crate) fn delete_expression(&mut self) -> Res<V> {
        Err(Bad)
    }
    pub(crate) fn class_member(&mut self, _p: Place, _ty: T, _s: usize) -> Res<V> {
        Err(Bad)
    }
    pub(crate) fn call_method(&mut self, _m: Method, _a: Vec<V>, _s: usize) -> Res<V> {
        Err(Bad)
    }
    pub(crate) fn call_object(&mut self, _c: V, _s: usize) -> Res<V> {
        Err(Bad)
    }
    pub(crate) fn lambda(&mut self) -> Res<V> {
        Err(Bad)
    }
    pub(crate) fn cpp_primary(&mut self) -> Res<V> {
        Err(Bad)
    }
    pub(crate) fn outer_base(&mut self, l: LocalId) -> Base {
        Base::Local(l)
    }
    pub(crate) fn outer_constant(&self, _l: LocalId, _b: usize) -> Option<i64> {
        None
    }

    pub(crate) fn call_set(&mut self, set: SetId, _targs: &[T], args: Vec<V>, start: usize) -> Res<V> {
        let id = *self.sets[set.0 as usize].first().ok_or(Bad)?;
        let func = &self.funcs[id.0 as usize];
        let (name, ty, is_noreturn) = (func.name, func.ty, func.is_noreturn);
        let value = self.emit_call(Callee::Direct(name), ty, args, start)?;
        if is_noreturn {
            let span = self.span(start);
            self.after_noreturn(span);
        }
        Ok(value)
    }
}
