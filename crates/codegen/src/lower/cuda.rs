//! CUDA expressions as a tree. A text is printed from it once and never read again: what an expression names is asked of
//! the tree.

use std::collections::BTreeSet;

use super::layout::Doc;

/// A CUDA expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cuda {
    /// A number or a truth value as it is spelt.
    Literal(String),
    /// A local, a parameter or a constant.
    Name(String),
    /// `p.heads`
    Member(Box<Cuda>, String),
    /// `p.map_s[i]`
    Index(Box<Cuda>, Box<Cuda>),
    /// `max(a, b)`
    Call(String, Vec<Cuda>),
    /// `GridPoint{1, 2, 3}`; without a type `{1, 2, 3}`.
    Braces(&'static str, Vec<Cuda>),
    /// An operator or a cast before its operand.
    Prefix(&'static str, Box<Cuda>),
    /// An operator between two operands.
    Binary(&'static str, Box<Cuda>, Box<Cuda>),
    /// `a ? b : c`
    Choice(Box<[Cuda; 3]>),
}

/// Binding strength of what needs no brackets, and of what stands before an operand.
const ATOM: u8 = 9;
const PREFIX: u8 = 8;

/// Binding strength of an operator between operands, weakest first.
fn strength(operator: &str) -> u8 {
    match operator {
        "||" => 1,
        "&&" => 2,
        "&" => 3,
        "==" | "!=" => 4,
        "<" | "<=" | ">" | ">=" => 5,
        "+" | "-" => 6,
        "*" | "/" | "%" => 7,
        other => unreachable!("it is not known how strongly {other} binds"),
    }
}

/// A local, a parameter or a constant.
pub(crate) fn name(name: impl Into<String>) -> Cuda {
    Cuda::Name(name.into())
}

/// A field of the kernel's parameter.
pub(crate) fn field(of: impl Into<String>) -> Cuda {
    name("p").member(of)
}

/// A literal.
pub(crate) fn literal(value: impl ToString) -> Cuda {
    Cuda::Literal(value.to_string())
}

/// A call.
pub(crate) fn call(function: impl Into<String>, arguments: impl Into<Vec<Cuda>>) -> Cuda {
    Cuda::Call(function.into(), arguments.into())
}

/// Operands joined by one operator; None if there are none.
pub(crate) fn all_of(operator: &'static str, parts: impl IntoIterator<Item = Cuda>) -> Option<Cuda> {
    parts.into_iter().reduce(|a, b| a.op(operator, b))
}

impl Cuda {
    /// `self.field`
    pub(crate) fn member(self, field: impl Into<String>) -> Cuda {
        Cuda::Member(Box::new(self), field.into())
    }

    /// `self[index]`
    pub(crate) fn at(self, index: Cuda) -> Cuda {
        Cuda::Index(Box::new(self), Box::new(index))
    }

    /// `self operator other`
    pub(crate) fn op(self, operator: &'static str, other: Cuda) -> Cuda {
        Cuda::Binary(operator, Box::new(self), Box::new(other))
    }

    /// `operator self`, or a cast of it.
    pub(crate) fn prefixed(self, operator: &'static str) -> Cuda {
        Cuda::Prefix(operator, Box::new(self))
    }

    /// The opposite of a test; of a negated one what was negated.
    pub(crate) fn negated(self) -> Cuda {
        match self {
            Cuda::Prefix("!", inner) => *inner,
            test => test.prefixed("!"),
        }
    }

    /// `self ? yes : no`
    pub(crate) fn choose(self, yes: Cuda, no: Cuda) -> Cuda {
        Cuda::Choice(Box::new([self, yes, no]))
    }

    /// The parts that an operator joins.
    fn children(&self) -> Vec<&Cuda> {
        match self {
            Cuda::Literal(_) | Cuda::Name(_) => Vec::new(),
            Cuda::Member(of, _) | Cuda::Prefix(_, of) => vec![of],
            Cuda::Index(a, b) | Cuda::Binary(_, a, b) => vec![a, b],
            Cuda::Call(_, parts) | Cuda::Braces(_, parts) => parts.iter().collect(),
            Cuda::Choice(parts) => parts.iter().collect(),
        }
    }

    /// Adds the locals, parameters and constants that it reads.
    pub(crate) fn add_names<'c>(&'c self, names: &mut BTreeSet<&'c str>) {
        if let Cuda::Name(name) = self {
            names.insert(name);
        }
        self.children().into_iter().for_each(|child| child.add_names(names));
    }

    /// Whether it needs no brackets wherever it stands.
    pub(crate) fn is_atom(&self) -> bool {
        self.strength() == ATOM
    }

    fn strength(&self) -> u8 {
        match self {
            Cuda::Literal(text) if text.starts_with('-') => PREFIX,
            Cuda::Prefix(..) => PREFIX,
            Cuda::Binary(operator, ..) => strength(operator),
            Cuda::Choice(_) => 0,
            _ => ATOM,
        }
    }

    /// How it is laid out.
    pub(super) fn doc(&self) -> Doc {
        match self {
            Cuda::Literal(text) | Cuda::Name(text) => Doc::text(text),
            Cuda::Member(of, field) => Doc::Row(vec![of.within(ATOM), Doc::text(format!(".{field}"))]),
            Cuda::Index(of, index) => {
                Doc::Row(vec![of.within(ATOM), Doc::text("["), Doc::Nest(Box::new(index.doc())), Doc::text("]")])
            }
            Cuda::Call(function, arguments) => list(&format!("{function}("), arguments, ")"),
            Cuda::Braces(ty, parts) => list(&format!("{ty}{{"), parts, "}"),
            // Two signs in a row would be another operator.
            Cuda::Prefix("-", of) if of.starts_with_minus() => {
                Doc::Row(vec![Doc::text("-("), of.doc(), Doc::text(")")])
            }
            Cuda::Prefix(operator, of) => {
                let least = if operator.starts_with('(') { ATOM } else { PREFIX };
                Doc::Row(vec![Doc::text(*operator), of.within(least)])
            }
            Cuda::Binary("&&" | "||", ..) => self.chain(),
            Cuda::Binary(operator, a, b) => {
                let own = strength(operator);
                let [left, right] = match *operator {
                    "==" | "!=" => [own + 1, own + 1],
                    _ => [own, own + 1],
                };
                let rest = vec![Doc::Line(" "), Doc::text(format!("{operator} ")), b.within(right)];
                Doc::Row(vec![a.within(left), Doc::Nest(Box::new(Doc::Group(rest)))])
            }
            Cuda::Choice(parts) => {
                let [test, yes, no] = &**parts;
                Doc::Group(vec![
                    test.within(1),
                    Doc::Line(" "),
                    Doc::text("? "),
                    yes.within(1),
                    Doc::Line(" "),
                    Doc::text(": "),
                    no.within(1),
                ])
            }
        }
    }

    /// How it is laid out behind something else: what has no new lines of its own level is set in.
    pub(super) fn nested(&self) -> Doc {
        match self {
            Cuda::Binary("&&" | "||", ..) | Cuda::Choice(_) => Doc::Nest(Box::new(self.doc())),
            _ => self.doc(),
        }
    }

    /// Conditions joined by one logical operator: all on one line, or each on its own.
    fn chain(&self) -> Doc {
        let Cuda::Binary(operator, ..) = self else { return self.doc() };
        let mut parts = Vec::new();
        self.operands(operator, &mut parts);
        // Compilers warn of && inside || without brackets; people like them too.
        let least = if *operator == "||" { strength("&") } else { strength("&&") };
        let mut row = Vec::new();
        for (n, part) in parts.into_iter().enumerate() {
            if n > 0 {
                row.extend([Doc::Line(" "), Doc::text(format!("{operator} "))]);
            }
            row.push(part.within(least));
        }
        Doc::Group(row)
    }

    /// Conditions as words of a header: as many on a line as it holds.
    pub(super) fn filled(&self) -> Doc {
        let Cuda::Binary(operator @ ("&&" | "||"), ..) = self else { return self.nested() };
        let mut parts = Vec::new();
        self.operands(operator, &mut parts);
        let mut row = Vec::new();
        for (n, part) in parts.into_iter().enumerate() {
            let words = match part.strength() < strength("&") {
                true => Doc::Row(vec![Doc::text("("), part.filled(), Doc::text(")")]),
                false => part.filled(),
            };
            row.push(match n {
                0 => words,
                _ => Doc::Group(vec![Doc::Line(" "), Doc::text(format!("{operator} ")), words]),
            });
        }
        Doc::Row(row)
    }

    fn operands<'c>(&'c self, operator: &str, out: &mut Vec<&'c Cuda>) {
        match self {
            Cuda::Binary(own, a, b) if *own == operator => {
                a.operands(operator, out);
                b.operands(operator, out);
            }
            other => out.push(other),
        }
    }

    fn starts_with_minus(&self) -> bool {
        match self {
            Cuda::Literal(text) => text.starts_with('-'),
            Cuda::Prefix(operator, _) => operator.starts_with('-'),
            _ => false,
        }
    }

    /// In brackets if it binds more weakly than `least`.
    fn within(&self, least: u8) -> Doc {
        if self.strength() >= least {
            return self.doc();
        }
        Doc::Row(vec![Doc::text("("), self.nested(), Doc::text(")")])
    }
}

/// Parts between brackets; as many on a line as it holds.
fn list(open: &str, parts: &[Cuda], close: &str) -> Doc {
    let mut inside = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        // A choice between commas is easier to see in brackets.
        let part_doc = part.within(1);
        let comma = if n + 1 < parts.len() { "," } else { "" };
        let whole = Doc::Row(vec![part_doc, Doc::text(comma)]);
        inside.push(match (n, part) {
            // What has brackets itself is broken inside them.
            (0, Cuda::Call(..) | Cuda::Braces(..) | Cuda::Prefix(..)) => whole,
            (0, _) => Doc::Group(vec![Doc::Line(""), whole]),
            _ => Doc::Group(vec![Doc::Line(" "), whole]),
        });
    }
    Doc::Row(vec![Doc::text(open), Doc::Nest(Box::new(Doc::Row(inside))), Doc::text(close)])
}

impl std::fmt::Display for Cuda {
    /// On one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.doc().flat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_stand_where_c_needs_them_or_people_like_them() {
        let [a, b, c] = ["a", "b", "c"].map(name);
        let text = |tree: Cuda| tree.to_string();
        assert_eq!(text(a.clone().op("-", b.clone().op("-", c.clone()))), "a - (b - c)");
        assert_eq!(text(a.clone().op("-", b.clone()).op("-", c.clone())), "a - b - c");
        assert_eq!(text(a.clone().op("||", b.clone().op("&&", c.clone()))), "a || (b && c)");
        assert_eq!(text(a.clone().op("||", b.clone().op("||", c.clone()))), "a || b || c");
        assert_eq!(text(a.clone().op("==", b.clone()).op("==", c.clone())), "(a == b) == c");
        assert_eq!(text(a.clone().op("&", b.clone()).op("&&", c.clone())), "a & b && c");
        assert_eq!(text(a.clone().op("+", b.clone()).prefixed("(float)")), "(float)(a + b)");
        assert_eq!(text(literal(-3).prefixed("-")), "-(-3)");
        assert_eq!(text(a.clone().op("<", b.clone()).negated()), "!(a < b)");
        assert_eq!(text(a.clone().op("<", b.clone()).negated().negated()), "a < b");
        assert_eq!(text(call("f", [a.clone().choose(b.clone(), c.clone()), c])), "f((a ? b : c), c)");
        assert_eq!(text(field("x").at(a.op("*", b))), "p.x[a * b]");
    }

    #[test]
    fn a_tree_knows_what_it_reads() {
        let tree = call("q", [name("kv").member("p"), field("q")]);
        let mut names = BTreeSet::new();
        tree.add_names(&mut names);
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["kv", "p"], "functions and fields are no locals");
    }
}
