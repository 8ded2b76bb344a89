//! JSX: elements are calls with what their attributes and children are.

use crate::lower::{Lowering, Meaning, positional};
use heapwise_check::ir::*;
use oxc_ast::ast::{
    JSXAttributeItem, JSXAttributeName, JSXAttributeValue, JSXChild, JSXElement, JSXElementName,
    JSXExpression,
};

impl<'a> Lowering<'a> {
    pub fn jsx_element(&mut self, it: &'a JSXElement<'a>) -> Operand {
        let span = self.span(it);
        let mut args = Vec::new();
        if let JSXElementName::IdentifierReference(id) = &it.opening_element.name {
            match self.meaning(id) {
                Meaning::Function(name) => args.push(Operand::Function(name)),
                Meaning::Class(name) => args.push(Operand::Class(name)),
                _ => {}
            }
        }
        for attribute in &it.opening_element.attributes {
            match attribute {
                JSXAttributeItem::SpreadAttribute(it) => args.push(self.expression(&it.argument)),
                JSXAttributeItem::Attribute(attribute) => {
                    let value = match &attribute.value {
                        Some(JSXAttributeValue::ExpressionContainer(it)) => {
                            self.jsx_expression(&it.expression)
                        }
                        Some(JSXAttributeValue::Element(it)) => self.jsx_element(it),
                        Some(JSXAttributeValue::Fragment(it)) => {
                            let span = self.span(&**it);
                            self.jsx_children(&it.children, Vec::new(), span)
                        }
                        Some(JSXAttributeValue::StringLiteral(_)) | None => continue,
                    };
                    let is_handler = match &attribute.name {
                        JSXAttributeName::Identifier(it) => is_handler_name(it.name.as_str()),
                        JSXAttributeName::NamespacedName(_) => false,
                    };
                    if is_handler {
                        let span = self.span(&**attribute);
                        self.call_named("<jsx-handler>", Box::new([positional(value)]), span);
                    } else {
                        args.push(value);
                    }
                }
            }
        }
        self.jsx_children(&it.children, args, span)
    }

    pub fn jsx_children(
        &mut self,
        children: &'a [JSXChild<'a>],
        mut args: Vec<Operand>,
        span: Span,
    ) -> Operand {
        for child in children {
            match child {
                JSXChild::Text(_) => {}
                JSXChild::Element(it) => args.push(self.jsx_element(it)),
                JSXChild::Fragment(it) => {
                    let span = self.span(&**it);
                    args.push(self.jsx_children(&it.children, Vec::new(), span));
                }
                JSXChild::ExpressionContainer(it) => args.push(self.jsx_expression(&it.expression)),
                JSXChild::Spread(it) => args.push(self.expression(&it.expression)),
            }
        }
        let args = args.into_iter().filter(|it| crate::lower::is_reference(*it)).map(positional).collect();
        self.call_named("<jsx>", args, span)
    }

    fn jsx_expression(&mut self, it: &'a JSXExpression<'a>) -> Operand {
        it.as_expression().map_or(Operand::Null, |it| self.expression(it))
    }
}

fn is_handler_name(name: &str) -> bool {
    name.strip_prefix("on").is_some_and(|it| it.starts_with(|it: char| it.is_ascii_uppercase()))
}
