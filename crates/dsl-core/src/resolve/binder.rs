//! Functions that run over blocks or heads: `sum(v in vision: …)`, `softmax(kv: …)`, and `blocksum` over groups.

use sparsym_ir::expr::{Axis, BlockSum, Expr, ExprKind, Reduction, Running, Side, Softmax, Type, Within};
use sparsym_ir::strategy::MapAxis;
use sparsym_ir::{Code, Finding, Span};

use super::expr::{Grain, Resolver};
use super::maps::{pair, tensor_of};
use super::rule::range_id;
use super::scope::Symbol;
use super::variables::{Variables, blocks_of, clash};
use crate::syntax::ast::{self, Name};

/// What was true outside of a function that runs over blocks.
struct Outside {
    variables: Variables,
    line: Option<Side>,
}

impl Resolver<'_> {
    /// `sum(v in vision where …: value)`
    pub(super) fn binder(&mut self, binder: &ast::Binder, span: Span) -> Option<Expr> {
        let ast::Binder { function, variable, range, visible, weight, value } = binder;
        self.data(&format!("`{}` over blocks", function.text), span)?;
        if variable.text != "head" && self.variables.side(&variable.text).is_none() {
            let clash = clash(variable, self.scope);
            if clash.is_some() {
                self.findings.extend(clash);
                return None;
            }
        }
        let axis = self.axis(binder)?;
        let within = self.within(axis, range.as_ref())?;
        let is_softmax = function.text == "softmax";
        if is_softmax && let Some(side) = side_of(axis) {
            self.present_place(variable, side, within, span)?;
        }
        let outside = self.enter(axis, variable, is_softmax);
        let visible =
            visible.as_ref().map(|visible| self.part(visible, Type::Bool, "`where` says which blocks take part"));
        let weight = weight.as_ref().map(|weight| self.part(weight, Type::Float, "a weight is a number"));
        let value = self.part(value, Type::Float, "blocks are counted with numbers");
        self.leave(outside, is_softmax);
        let over = Running { axis, within, visible: transpose(visible)? };
        let (weight, value) = (transpose(weight)?, value?);
        let kind = match Reduction::ALL.into_iter().find(|reduction| reduction.name() == function.text) {
            Some(reduction) => ExprKind::Reduce(reduction, Box::new(over), Box::new(value)),
            None => ExprKind::Softmax(Box::new(Softmax { over, weight, value })),
        };
        Some(Expr { kind, ty: Type::Float, span })
    }

    /// A softmax gives the value at the present place of its variable, so there must be one.
    fn present_place(&mut self, variable: &Name, side: Side, within: Within, span: Span) -> Option<()> {
        let here = self.variables.name(side).map(str::to_owned);
        match here {
            Some(here) if here == variable.text => Some(()),
            Some(here) => {
                let message =
                    format!("`{}` and `{here}` are two variables over {}", variable.text, blocks_of(side.into()));
                let help = format!("a softmax gives the value at the present block: write `softmax({here}: …)`");
                self.wrong(Code::TwoVariables, variable.span, message, help)
            }
            None if self.grain == Grain::PointFree && self.softmaxes == 0 => {
                let range = match within {
                    Within::Range(id) => Some(id),
                    _ => None,
                };
                let axis = MapAxis { variable: variable.text.clone(), side, range };
                let sides = self.establish(vec![axis], "this softmax", span)?;
                if sides != [side] {
                    let message = format!("`{}` stands for query blocks and for kv blocks in one map", variable.text);
                    let help = "make each softmax a map of its own".to_owned();
                    return self.wrong(Code::MapAxis, variable.span, message, help);
                }
                Some(())
            }
            None => {
                let message = format!("this softmax gives a value at each of the {}", blocks_of(side.into()));
                let help = format!(
                    "write it where there is a variable over them, as in `let name[q, kv] = …;` or `sum({0}: softmax({0}: …))`",
                    variable.text
                );
                self.wrong(Code::UnknownAxis, variable.span, message, help)
            }
        }
    }

    fn enter(&mut self, axis: Axis, variable: &Name, is_softmax: bool) -> Outside {
        let inside = match side_of(axis) {
            Some(side) => self.variables.with(side, &variable.text),
            None => self.variables.clone(),
        };
        self.binders += 1;
        self.softmaxes += usize::from(is_softmax);
        Outside { variables: std::mem::replace(&mut self.variables, inside), line: self.line.take() }
    }

    fn leave(&mut self, outside: Outside, is_softmax: bool) {
        self.variables = outside.variables;
        self.line = outside.line;
        self.binders -= 1;
        self.softmaxes -= usize::from(is_softmax);
    }

    /// What the variable of a function runs over.
    fn axis(&mut self, binder: &ast::Binder) -> Option<Axis> {
        let name = &binder.variable;
        if name.text == "head" {
            return Some(Axis::Head);
        }
        if let Some(side) = self.variables.side(&name.text) {
            return Some(side.into());
        }
        let inside_query = |range: &Name| self.variables.side(&range.text) == Some(Side::Q);
        match name.text.as_str() {
            "q" => Some(Axis::Q),
            "kv" => Some(Axis::Kv),
            _ if binder.range.as_ref().is_some_and(inside_query) => Some(Axis::Kv),
            _ => self.side_of_use(name, &binder.operands()).map(Axis::from),
        }
    }

    /// The side of a variable by its first use as the index of a map, or a finding.
    pub(super) fn side_of_use(&mut self, variable: &Name, values: &[&ast::Expr]) -> Option<Side> {
        match values.iter().find_map(|value| self.first_use(&variable.text, value)) {
            Some(side) => side,
            None => {
                let message =
                    format!("it cannot be told whether `{}` runs over query blocks or kv blocks", variable.text);
                let help = "read a map at it, or call it `q` or `kv`".to_owned();
                self.wrong(Code::UnknownAxis, variable.span, message, help)
            }
        }
    }

    /// Some(None): of something that is wrong already.
    fn first_use(&self, variable: &str, value: &ast::Expr) -> Option<Option<Side>> {
        if let ast::ExprKind::Index(base, names) = &value.kind
            && let Some(at) = names.iter().position(|name| name.text == variable)
        {
            match &base.kind {
                ast::ExprKind::Name(name) => match self.scope.peek(name) {
                    Some(Symbol::Map(id)) => {
                        return self.strategy.maps[id.0].axes.get(at).map(|axis| Some(axis.side));
                    }
                    Some(Symbol::Poisoned) => return Some(None),
                    _ => {}
                },
                ast::ExprKind::Call(name, args) if name.text == "selfsim" => {
                    return tensor_of(args).map(|(side, _)| Some(side));
                }
                _ => {}
            }
        }
        value.children().into_iter().find_map(|child| self.first_use(variable, child))
    }

    fn within(&mut self, axis: Axis, range: Option<&Name>) -> Option<Within> {
        let Some(range) = range else { return Some(Within::All) };
        if axis == Axis::Head {
            let help = "write `head where condition`, for instance `head where head % 2 == 0`".to_owned();
            return self.wrong(Code::TypeMismatch, range.span, "heads are in no token range".to_owned(), help);
        }
        match (axis, self.variables.side(&range.text)) {
            (Axis::Kv, Some(Side::Q)) => Some(Within::QueryBlock),
            (_, Some(_)) => {
                let message = format!("`{}` is a variable, not a token range", range.text);
                let help = "only kv blocks lie in a query block: `kv in q`".to_owned();
                self.wrong(Code::TypeMismatch, range.span, message, help)
            }
            (_, None) if ["q", "kv"].contains(&range.text.as_str()) => self.side(range).and(None),
            (_, None) => range_id(range, self.strategy, self.scope, self.findings).map(Within::Range),
        }
    }

    /// `blocksum(softmax(kv where …: antidiag(Q, K, stride) / …))`
    pub(super) fn block_sum(&mut self, args: &[ast::Expr], span: Span) -> Option<ExprKind> {
        const HELP: &str =
            "write `blocksum(softmax(kv where kv.block <= q.block: antidiag(Q, K, stride) / (stride * sqrt(D))))`";
        self.data("`blocksum`", span)?;
        let softmax = match args {
            [ast::Expr { kind: ast::ExprKind::Binder(binder), .. }] if binder.function.text == "softmax" => binder,
            _ => {
                let message = "`blocksum` adds up a softmax over groups of tokens".to_owned();
                return self.wrong(Code::TensorForm, span, message, HELP.to_owned());
            }
        };
        if self.grain == Grain::PointFree && self.binders == 0 {
            self.establish(pair(), "`blocksum`", span)?;
        } else {
            self.both_variables("`blocksum`", span)?;
        }
        let kv = self.variables.name(Side::Kv).unwrap_or(Side::Kv.name()).to_owned();
        if softmax.variable.text != kv {
            let message = format!("the softmax of a `blocksum` runs over kv groups, called `{kv}` here");
            let help = format!("write `softmax({kv}: …)`");
            return self.wrong(Code::TwoVariables, softmax.variable.span, message, help);
        }
        if let Some(range) = &softmax.range {
            let message = "groups of tokens are in no token range".to_owned();
            return self.wrong(Code::TensorForm, range.span, message, "say it by `where`, with `.block`".to_owned());
        }
        if let Some(weight) = &softmax.weight {
            let message = "the groups of a `blocksum` have no weight".to_owned();
            return self.wrong(Code::TensorForm, weight.span, message, HELP.to_owned());
        }
        let grain = std::mem::replace(&mut self.grain, Grain::Groups);
        let q = self.variables.name(Side::Q).unwrap_or(Side::Q.name()).to_owned();
        let inside = self.variables.with(Side::Q, &q).with(Side::Kv, &kv);
        let variables = std::mem::replace(&mut self.variables, inside);
        let (line, outer) = (self.line.take(), std::mem::take(&mut self.strides));
        let visible = softmax
            .visible
            .as_ref()
            .map(|visible| self.part(visible, Type::Bool, "`where` says which groups take part"));
        let logit = self.part(&softmax.value, Type::Float, "groups are weighed with numbers");
        let strides = std::mem::replace(&mut self.strides, outer);
        (self.grain, self.variables, self.line) = (grain, variables, line);
        let (visible, logit) = (transpose(visible)?, logit?);
        let Some(stride) = strides.first() else {
            let message = "this `blocksum` reads no `antidiag`".to_owned();
            return self.wrong(Code::TensorForm, softmax.value.span, message, HELP.to_owned());
        };
        if let Some(other) = strides.iter().find(|other| other.without_spans() != stride.without_spans()) {
            let message = "a `blocksum` has groups of one size".to_owned();
            let finding = Finding::at(Code::TensorForm, other.span, message, "use the same stride throughout");
            self.findings.push(finding.label(stride.span, "the first stride"));
            return None;
        }
        Some(ExprKind::BlockSum(Box::new(BlockSum { stride: stride.clone(), logit, visible })))
    }

    /// `antidiag(Q, K, stride)`
    pub(super) fn antidiag(&mut self, args: &[ast::Expr], span: Span) -> Option<ExprKind> {
        if self.grain != Grain::Groups {
            self.data("`antidiag`", span)?;
            let message = "`antidiag` is of groups of tokens, and here are blocks".to_owned();
            let help = "write `blocksum(softmax(kv: antidiag(Q, K, stride) / (stride * sqrt(D))))`".to_owned();
            return self.wrong(Code::TensorForm, span, message, help);
        }
        let is = |arg: &ast::Expr, tensor: &str| matches!(&arg.kind, ast::ExprKind::Name(name) if name == tensor);
        let stride = match args {
            [q, k, stride] if is(q, "Q") && is(k, "K") => stride,
            _ => {
                let message = "`antidiag` multiplies Q and K along a stride".to_owned();
                return self.wrong(Code::TensorForm, span, message, "write `antidiag(Q, K, 8)`".to_owned());
            }
        };
        let stride = self.part(stride, Type::Int, "a stride counts tokens")?;
        if stride.free_sides() != [false; 2] || stride.any(|e| e.kind == ExprKind::Antidiag) {
            let message = "a stride is the same for all groups".to_owned();
            return self.wrong(
                Code::WrongPlace,
                stride.span,
                message,
                "use a param: `param stride: u32 in 1.. = 8;`".to_owned(),
            );
        }
        self.strides.push(stride);
        Some(ExprKind::Antidiag)
    }
}

fn side_of(axis: Axis) -> Option<Side> {
    match axis {
        Axis::Q => Some(Side::Q),
        Axis::Kv => Some(Side::Kv),
        Axis::Head => None,
    }
}

/// None: wrong. Some(None): not given.
pub(super) fn transpose<T>(given: Option<Option<T>>) -> Option<Option<T>> {
    match given {
        None => Some(None),
        Some(None) => None,
        Some(value) => Some(value),
    }
}
