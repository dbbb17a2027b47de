//! Maps: `let` values that read Q and K, and where they are read.
//!
//! A map is written with variables, `let p[q, kv] = …`, or without. Without, whole maps and products of tensors are
//! combined by arithmetic, and all of them are over the same blocks.

use sparsym_ir::expr::{Expr, ExprKind, Side, Type};
use sparsym_ir::strategy::{Map, MapAxis, MapId, RangeId, Strategy};
use sparsym_ir::{Code, Finding, Findings, Span};

use super::expr::{Grain, Resolver, Setting};
use super::lets;
use super::rule::range_id;
use super::scope::{Scope, Symbol};
use super::variables::{Variables, blocks_of, check_names};
use crate::syntax::ast::{self, Name};
use crate::syntax::words::{BINDERS, ORDERS, SPECIAL_FUNCTIONS, TENSORS};

/// A `let` clause: the symbol that its name stands for.
pub(super) fn resolve_let(
    name: &Name,
    over: &ast::Over,
    value: &ast::Expr,
    span: Span,
    strategy: &mut Strategy,
    scope: &mut Scope,
    findings: &mut Findings,
) {
    let map = match over {
        ast::Over::Tokens(variables) => {
            return lets::over_tokens(name, variables, value, span, strategy, scope, findings);
        }
        ast::Over::Nothing if !reads_data(value, scope) => {
            return lets::without_variables(name, value, span, strategy, scope, findings);
        }
        ast::Over::Nothing => point_free(name, value, strategy, scope, findings),
        ast::Over::Blocks(written) => with_variables(written, value, strategy, scope, findings),
    };
    let map = map.filter(|(axes, _)| {
        let own = axes.iter().any(|axis| axis.variable == name.text);
        if own {
            let message = format!("`{}` names the map and its variable", name.text);
            findings.push(Finding::at(Code::DuplicateName, name.span, message, "give the variable another name"));
        }
        !own
    });
    if !scope.claim(name, findings) {
        return;
    }
    let symbol = match map {
        None => Symbol::Poisoned,
        Some((axes, value)) => {
            for axis in axes.iter().filter(|axis| !["q", "kv"].contains(&axis.variable.as_str())) {
                scope.keep_variable(&axis.variable, name.span);
            }
            strategy.maps.push(Map { name: name.text.clone(), axes, value, span });
            Symbol::Map(MapId(strategy.maps.len() - 1))
        }
    };
    scope.declare(name, symbol);
}

/// Whether a `let` without variables is a map.
fn reads_data(value: &ast::Expr, scope: &Scope) -> bool {
    let is_map = |name: &str| matches!(scope.peek(name), Some(Symbol::Map(_)));
    value.any(&mut |e| match &e.kind {
        ast::ExprKind::Name(name) => is_map(name) || TENSORS.contains(&name.as_str()),
        ast::ExprKind::Call(name, _) => {
            let word = name.text.as_str();
            SPECIAL_FUNCTIONS.contains(&word) && word != "density"
        }
        ast::ExprKind::Dot(..)
        | ast::ExprKind::Binder(_)
        | ast::ExprKind::Order(_)
        | ast::ExprKind::Percentile(_)
        | ast::ExprKind::Cover(_) => true,
        _ => false,
    })
}

fn point_free(
    name: &Name,
    value: &ast::Expr,
    strategy: &Strategy,
    scope: &mut Scope,
    findings: &mut Findings,
) -> Option<(Vec<MapAxis>, Expr)> {
    let mut resolver = Resolver::new(strategy, scope, findings, Setting::Let, Variables::default());
    resolver.grain = Grain::PointFree;
    let result = resolver.typed(value, Type::Float, "a map holds numbers: compare them where it is read")?;
    let Some(axes) = resolver.axes.take() else {
        let message = format!("`{}` is the same for all blocks", name.text);
        let help =
            "a map is over blocks: name its variables, `let name[q, kv] = …;`, or write the value where it is read";
        return resolver.wrong(Code::UnknownAxis, value.span, message, help.to_owned());
    };
    Some((axes, result))
}

fn with_variables(
    written: &[ast::Variable],
    value: &ast::Expr,
    strategy: &Strategy,
    scope: &mut Scope,
    findings: &mut Findings,
) -> Option<(Vec<MapAxis>, Expr)> {
    let names: Vec<&Name> = written.iter().map(|variable| &variable.name).collect();
    check_names(&names, scope, findings);
    let ranges: Vec<Option<Option<RangeId>>> = written
        .iter()
        .map(|variable| match &variable.range {
            Some(range) => range_id(range, strategy, scope, findings).map(Some),
            None => Some(None),
        })
        .collect();
    let mut resolver = Resolver::new(strategy, scope, findings, Setting::Let, Variables::default());
    resolver.grain = Grain::Blocks;
    let sides = match names[..] {
        [one] => match one.text.as_str() {
            "q" => vec![Side::Q],
            "kv" => vec![Side::Kv],
            _ => vec![resolver.side_of_use(one, &[value])?],
        },
        _ => vec![Side::Q, Side::Kv],
    };
    for (name, &side) in names.iter().zip(&sides) {
        let usual = match name.text.as_str() {
            "q" => Side::Q,
            "kv" => Side::Kv,
            _ => side,
        };
        if usual != side {
            let message = format!("`{}` stands in the place of {}", name.text, blocks_of(side.into()));
            let help = "a map is over query blocks, then kv blocks: write `let name[q, kv] = …;`".to_owned();
            return resolver.wrong(Code::MapAxis, name.span, message, help);
        }
        resolver.variables = resolver.variables.with(side, &name.text);
    }
    let value = resolver.typed(value, Type::Float, "a map holds numbers: compare them where it is read")?;
    let ranges = ranges.into_iter().collect::<Option<Vec<_>>>()?;
    let axis = |((name, &side), range): ((&&Name, &Side), Option<RangeId>)| MapAxis {
        variable: name.text.clone(),
        side,
        range,
    };
    Some((names.iter().zip(&sides).zip(ranges).map(axis).collect(), value))
}

impl Resolver<'_> {
    /// Whether tensor data can be read here; the first place where it cannot is a finding.
    pub(super) fn data(&mut self, what: &str, span: Span) -> Option<()> {
        let (message, help) = match self.grain {
            Grain::PointFree | Grain::Blocks => return Some(()),
            Grain::Groups => (
                format!("{what} belongs to blocks, and inside `blocksum` variables are groups of tokens"),
                "use `antidiag(Q, K, stride)`, numbers without variables, and `.block` for the index of a group",
            ),
            Grain::Tokens => (
                format!("{what} belongs to blocks, and inside `cover` variables are tokens"),
                "compare it outside of `cover`",
            ),
            Grain::Plain => match self.setting {
                Setting::Mask | Setting::Score | Setting::TokenLet => (
                    format!("{what} belongs to blocks, and {} speaks of tokens", self.setting.name()),
                    "write a `skip` or `keep` rule",
                ),
                setting => (
                    format!("{what} is made from Q and K, which are not known in {}", setting.name()),
                    match setting {
                        Setting::Order => "take the order from a literal or a param",
                        Setting::Degrade => "ask for the density of the symbol that it decides: `density(cache)`",
                        _ => "the host decides this before the step starts: use params, tables and the step",
                    },
                ),
            },
        };
        if !std::mem::replace(&mut self.misplaced, true) {
            self.findings.push(Finding::at(Code::DataPlace, span, message, help));
        }
        None
    }

    /// A map at blocks: `s[q, kv]`.
    pub(super) fn map_at(&mut self, id: MapId, name: &Name, variables: &[Name]) -> Option<(ExprKind, Type)> {
        self.data(&format!("map `{}`", name.text), name.span)?;
        let axes = &self.strategy.maps[id.0].axes;
        let sides: Vec<Option<Side>> = variables.iter().map(|variable| self.side(variable)).collect();
        let sides = sides.into_iter().collect::<Option<Vec<Side>>>()?;
        let wrong = match (&axes[..], &sides[..]) {
            ([axis], [side]) => ["q", "kv"].contains(&axis.variable.as_str()) && axis.side != *side,
            ([first, second], [q, kv]) => (first.side, second.side) != (*q, *kv),
            _ => true,
        };
        if wrong {
            let span = variables.iter().fold(name.span, |span, variable| span.to(variable.span));
            let read: Vec<&str> = variables.iter().map(|variable| variable.text.as_str()).collect();
            let message = format!("`{}` is over {}, and is read at {}", name.text, axes_in_words(axes), list(&read));
            return self.wrong(Code::MapAxis, span, message, format!("write `{}`", form(&name.text, axes)));
        }
        Some((ExprKind::Map(id, sides), Type::Float))
    }

    /// A map by its bare name.
    pub(super) fn whole_map(&mut self, id: MapId, name: &Name) -> Option<Expr> {
        self.data(&format!("map `{}`", name.text), name.span)?;
        let axes = self.strategy.maps[id.0].axes.clone();
        let help = format!("read it at blocks: `{}`", form(&name.text, &axes));
        let sides = self.whole(axes, &format!("`{}`", name.text), name.span, help)?;
        Some(Expr { kind: ExprKind::Map(id, sides), ty: Type::Float, span: name.span })
    }

    /// Reads something over these axes in a map without written variables. The sides at which it is read, which are those
    /// of the first thing that was read.
    pub(super) fn whole(&mut self, axes: Vec<MapAxis>, what: &str, span: Span, help: String) -> Option<Vec<Side>> {
        if self.grain != Grain::PointFree || self.binders > 0 {
            return self.wrong(Code::WholeMap, span, format!("{what} is a whole map here"), help);
        }
        self.establish(axes, what, span)
    }

    /// Makes sure that all parts of a map without written variables are over the same blocks.
    pub(super) fn establish(&mut self, axes: Vec<MapAxis>, what: &str, span: Span) -> Option<Vec<Side>> {
        let Some(known) = &self.axes else {
            let sides = axes.iter().map(|axis| axis.side).collect();
            self.axes = Some(axes);
            return Some(sides);
        };
        let same = |(a, b): (&MapAxis, &MapAxis)| {
            let either = !["q", "kv"].contains(&a.variable.as_str()) && a.variable == b.variable && known.len() == 1;
            (a.side == b.side || either) && a.range == b.range
        };
        if known.len() == axes.len() && known.iter().zip(&axes).all(same) {
            return Some(known.iter().map(|axis| axis.side).collect());
        }
        let message = format!("{what} is over {}, and the rest of this map over {}", over(&axes), over(known));
        let help = "name the variables: `let name[q, kv] = …;`, and read each map at its own".to_owned();
        self.wrong(Code::MapAxis, span, message, help)
    }

    /// Functions of tensors and `density`; None if the name is of another function.
    pub(super) fn special(&mut self, name: &Name, args: &[ast::Expr], span: Span) -> Option<Option<Expr>> {
        let float = |kind: Option<ExprKind>| kind.map(|kind| Expr { kind, ty: Type::Float, span });
        Some(match name.text.as_str() {
            "density" => float(self.density(args, span)),
            "selfsim" => float(self.whole_selfsim(args, span)),
            "blocksum" => float(self.block_sum(args, span)),
            "antidiag" => float(self.antidiag(args, span)),
            word @ ("pool" | "center") => self.data(&format!("`{word}`"), span).and_then(|()| {
                let message = match word {
                    "pool" => "the mean of a block is a vector, not a number",
                    _ => "a centred tensor is not a number",
                };
                let help = "multiply two: `pool(Q) . pool(K)`, or `pool(Q) . pool(center(K))`".to_owned();
                self.wrong(Code::TensorForm, span, message.to_owned(), help)
            }),
            word => {
                debug_assert!(!BINDERS.contains(&word) || ["min", "max"].contains(&word));
                debug_assert!(!ORDERS.iter().any(|(order, ..)| *order == word));
                return None;
            }
        })
    }

    /// `Q` where a value should stand.
    pub(super) fn tensor(&mut self, name: &Name) -> Option<Expr> {
        self.data(&format!("`{}`", name.text), name.span)?;
        let message = format!("`{}` is a tensor, not a number", name.text);
        let help = "it is read by `pool(Q) . pool(K)`, `selfsim(Q)` and `antidiag(Q, K, stride)`".to_owned();
        self.wrong(Code::TensorForm, name.span, message, help)
    }

    /// `pool(Q) . pool(center(K))`
    pub(super) fn dot(&mut self, left: &ast::Expr, right: &ast::Expr, span: Span) -> Option<(ExprKind, Type)> {
        const HELP: &str = "write `pool(Q) . pool(K)`, either of them perhaps `center(…)`";
        self.data("a product of tensors", span)?;
        let pooled = [left, right].map(|operand| match &operand.kind {
            ast::ExprKind::Call(name, args) if name.text == "pool" => tensor_of(args),
            _ => None,
        });
        let [Some((Side::Q, q_centered)), Some((Side::Kv, kv_centered))] = pooled else {
            let message = "blocks of Q are multiplied with blocks of K".to_owned();
            return self.wrong(Code::TensorForm, span, message, HELP.to_owned());
        };
        if self.grain == Grain::PointFree && self.binders == 0 {
            self.establish(pair(), "a product of Q and K", span)?;
        } else {
            self.both_variables("a product of Q and K", span)?;
        }
        Some((ExprKind::Dot { q_centered, kv_centered }, Type::Float))
    }

    /// What is over (q, kv) needs a variable of each.
    pub(super) fn both_variables(&mut self, what: &str, span: Span) -> Option<()> {
        let missing = [Side::Q, Side::Kv].into_iter().find(|&side| self.variables.name(side).is_none());
        let Some(side) = missing else { return Some(()) };
        let message = format!("{what} is over (q, kv), and there is no variable over {} here", blocks_of(side.into()));
        let help = format!("run over them, for instance `sum({}: …)`", side.name());
        self.wrong(Code::MapAxis, span, message, help)
    }

    fn selfsim(&mut self, args: &[ast::Expr], span: Span) -> Option<(Side, bool)> {
        self.data("`selfsim`", span)?;
        let Some(of) = tensor_of(args) else {
            let message = "`selfsim` is of Q or of K".to_owned();
            let help = "write `selfsim(Q)`, `selfsim(K)` or `selfsim(center(K))`".to_owned();
            return self.wrong(Code::TensorForm, span, message, help);
        };
        Some(of)
    }

    fn whole_selfsim(&mut self, args: &[ast::Expr], span: Span) -> Option<ExprKind> {
        let (of, centered) = self.selfsim(args, span)?;
        let tensor = if of == Side::Q { "Q" } else { "K" };
        let help = format!("read it at blocks: `selfsim({tensor})[{}]`", of.name());
        let axis = MapAxis { variable: of.name().to_owned(), side: of, range: None };
        self.whole(vec![axis], "`selfsim`", span, help)?;
        Some(ExprKind::SelfSim { of, centered })
    }

    /// `selfsim(Q)[q]`
    pub(super) fn selfsim_at(
        &mut self,
        args: &[ast::Expr],
        span: Span,
        variables: &[Name],
    ) -> Option<(ExprKind, Type)> {
        let (of, centered) = self.selfsim(args, span)?;
        let sides: Vec<Option<Side>> = variables.iter().map(|variable| self.side(variable)).collect();
        if sides.into_iter().collect::<Option<Vec<Side>>>()? != [of] {
            let message = format!("this `selfsim` is over {}", blocks_of(of.into()));
            let help = format!("read it at `{}`", self.variables.name(of).unwrap_or(of.name()));
            return self.wrong(Code::MapAxis, span, message, help);
        }
        Some((ExprKind::SelfSim { of, centered }, Type::Float))
    }
}

/// Q or K, perhaps centred, as the one argument of a function.
pub(super) fn tensor_of(args: &[ast::Expr]) -> Option<(Side, bool)> {
    let [arg] = args else { return None };
    match &arg.kind {
        ast::ExprKind::Name(name) if name == "Q" => Some((Side::Q, false)),
        ast::ExprKind::Name(name) if name == "K" => Some((Side::Kv, false)),
        ast::ExprKind::Call(name, inner) if name.text == "center" => match tensor_of(inner)? {
            (side, false) => Some((side, true)),
            _ => None,
        },
        _ => None,
    }
}

/// (q, kv)
pub(super) fn pair() -> Vec<MapAxis> {
    let axis = |side: Side| MapAxis { variable: side.name().to_owned(), side, range: None };
    vec![axis(Side::Q), axis(Side::Kv)]
}

fn form(name: &str, axes: &[MapAxis]) -> String {
    let variables: Vec<&str> = axes.iter().map(|axis| axis.variable.as_str()).collect();
    format!("{name}[{}]", variables.join(", "))
}

fn axes_in_words(axes: &[MapAxis]) -> String {
    list(&axes.iter().map(|axis| axis.variable.as_str()).collect::<Vec<_>>())
}

/// With the sides, for variables of which the name does not tell.
fn over(axes: &[MapAxis]) -> String {
    match axes {
        [axis] if axis.variable != axis.side.name() => {
            format!("{} ({})", axis.variable, blocks_of(axis.side.into()))
        }
        _ => axes_in_words(axes),
    }
}

fn list(names: &[&str]) -> String {
    match names {
        [one] => format!("`{one}`"),
        _ => format!("({})", names.join(", ")),
    }
}
