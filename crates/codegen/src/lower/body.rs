//! Bodies of device functions as statements, and the functions around them: parameters are those names that a body reads
//! and does not declare.

use std::collections::BTreeSet;

use super::cuda::{Cuda, call, name};
use super::layout::{Doc, INDENT};

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Statement {
    /// `const int first = value;`: type, name, value.
    Declare(String, String, Option<Cuda>),
    /// `verdict |= found;`
    Assign(Cuda, &'static str, Cuda),
    /// `return value;`
    Return(Cuda),
    /// `if (test) { … }`
    If(Cuda, Body),
    /// `while (test) { … }`
    While(Cuda, Body),
    /// `for (int i = from; test; step) { … }`
    For(Box<Loop>),
    /// `for (;;) { … }`
    Forever(Body),
    /// `++count;`
    Do(Cuda),
    /// `continue;`
    Continue,
}

/// Statements, one after another.
pub(crate) type Body = Vec<Statement>;

/// A loop with a variable of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loop {
    pub(crate) ty: &'static str,
    pub(crate) variable: String,
    pub(crate) from: Cuda,
    pub(crate) test: Cuda,
    /// None: the body steps.
    pub(crate) step: Option<Cuda>,
    pub(crate) body: Body,
}

/// A name that a function may take from outside: its parameter, and what a call gives for it.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) name: &'static str,
    pub(crate) parameter: &'static str,
    pub(crate) argument: Cuda,
}

impl Word {
    /// A call gives what is called so there.
    pub(crate) fn new(word: &'static str, parameter: &'static str) -> Word {
        Word { name: word, parameter, argument: name(word) }
    }

    /// A call gives this for it.
    pub(crate) fn from(self, argument: Cuda) -> Word {
        Word { argument, ..self }
    }
}

/// `const ty name = value;`
pub(crate) fn declare(ty: &str, name: impl Into<String>, value: Cuda) -> Statement {
    Statement::Declare(format!("const {ty}"), name.into(), Some(value))
}

/// A local that changes.
pub(crate) fn variable(ty: &str, name: impl Into<String>, value: Cuda) -> Statement {
    Statement::Declare(ty.to_owned(), name.into(), Some(value))
}

/// `if (test) { return value; }`
pub(crate) fn return_if(test: Cuda, value: Cuda) -> Statement {
    Statement::If(test, vec![Statement::Return(value)])
}

/// The names that a body reads and does not declare.
pub(crate) fn free_names(body: &[Statement]) -> BTreeSet<&str> {
    let mut free = BTreeSet::new();
    collect(body, &mut Vec::new(), &mut free);
    free
}

fn collect<'b>(body: &'b [Statement], declared: &mut Vec<&'b str>, free: &mut BTreeSet<&'b str>) {
    let outside = declared.len();
    for statement in body {
        let (read, inner): (Vec<&Cuda>, &[Statement]) = match statement {
            Statement::Declare(_, _, value) => (value.iter().collect(), &[]),
            Statement::Assign(to, _, value) => (vec![to, value], &[]),
            Statement::Return(value) | Statement::Do(value) => (vec![value], &[]),
            Statement::If(test, inner) | Statement::While(test, inner) => (vec![test], inner),
            Statement::For(of) => (vec![&of.from], &[]),
            Statement::Forever(inner) => (Vec::new(), inner),
            Statement::Continue => (Vec::new(), &[]),
        };
        add(&read, declared, free);
        collect(inner, declared, free);
        match statement {
            Statement::Declare(_, name, _) => declared.push(name),
            Statement::For(of) => {
                declared.push(&of.variable);
                add(&[&of.test], declared, free);
                add(&of.step.iter().collect::<Vec<_>>(), declared, free);
                collect(&of.body, declared, free);
                declared.pop();
            }
            _ => {}
        }
    }
    declared.truncate(outside);
}

fn add<'b>(read: &[&'b Cuda], declared: &[&str], free: &mut BTreeSet<&'b str>) {
    let mut names = BTreeSet::new();
    read.iter().for_each(|value| value.add_names(&mut names));
    free.extend(names.into_iter().filter(|name| !declared.contains(name)));
}

/// Parameters, and arguments of a call, for those words that a body reads.
pub(crate) fn signature(body: &[Statement], words: &[Word]) -> (String, Vec<Cuda>) {
    let free = free_names(body);
    let used: Vec<&Word> = words.iter().filter(|word| free.contains(word.name)).collect();
    let parameters: Vec<&str> = used.iter().map(|word| word.parameter).collect();
    (parameters.join(", "), used.iter().map(|word| word.argument.clone()).collect())
}

/// A call of a function of this body.
pub(crate) fn call_of(function: &str, body: &[Statement], words: &[Word]) -> Cuda {
    call(function, signature(body, words).1)
}

/// A device function of this body, in one line if that fits; its comment is a sentence or nothing.
pub(crate) fn define(comment: &str, head: &str, parameters: &str, body: &[Statement]) -> String {
    let mut text = commented(comment);
    let head = format!("DEVICE {head}(");
    let mut line = head.clone();
    let parameters: Vec<&str> = parameters.split(", ").collect();
    for (n, parameter) in parameters.iter().enumerate() {
        let (separator, after) = if n + 1 < parameters.len() { (", ", ",") } else { ("", ") {") };
        if n > 0 && line.len() + parameter.len() + after.len() > WIDTH {
            text.push_str(line.trim_end());
            text.push('\n');
            line = " ".repeat(head.len());
        }
        line.push_str(parameter);
        line.push_str(separator);
    }
    text.push_str(&line);
    let mut inner = String::new();
    print(body, 1, &mut inner);
    let statement = inner.trim();
    if !statement.contains('\n') && line.len() + ") {  }".len() + statement.len() <= WIDTH {
        return format!("{text}) {{ {statement} }}\n");
    }
    format!("{text}) {{\n{inner}}}\n")
}

/// Characters of a line.
const WIDTH: usize = 100;

/// A comment of as many lines as it needs.
fn commented(comment: &str) -> String {
    let mut lines = vec![String::from("//")];
    for word in comment.split_whitespace() {
        let last = lines.last_mut().expect("there is a line");
        if last.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("// {word}"));
        } else {
            last.push(' ');
            last.push_str(word);
        }
    }
    if comment.is_empty() { String::new() } else { lines.join("\n") + "\n" }
}

/// The statements as lines.
fn print(body: &[Statement], depth: usize, out: &mut String) {
    for statement in body {
        statement.print(depth, out);
    }
}

impl Statement {
    fn print(&self, depth: usize, out: &mut String) {
        let mut line = |parts: Vec<Doc>| {
            out.push_str(&Doc::Row(parts).lines(depth * INDENT));
            out.push('\n');
        };
        let nested = Cuda::nested;
        let inner: &[Statement] = match self {
            Statement::Declare(ty, name, None) => return line(vec![Doc::text(format!("{ty} {name};"))]),
            Statement::Declare(ty, name, Some(value)) => {
                return line(vec![Doc::text(format!("{ty} {name} = ")), nested(value), Doc::text(";")]);
            }
            Statement::Assign(to, operator, value) => {
                return line(vec![to.doc(), Doc::text(format!(" {operator} ")), nested(value), Doc::text(";")]);
            }
            Statement::Return(value) => return line(vec![Doc::text("return "), nested(value), Doc::text(";")]),
            Statement::Do(value) => return line(vec![value.doc(), Doc::text(";")]),
            Statement::Continue => return line(vec![Doc::text("continue;")]),
            Statement::If(test, inner) => {
                line(vec![Doc::text("if ("), nested(test), Doc::text(") {")]);
                inner
            }
            Statement::While(test, inner) => {
                line(vec![Doc::text("while ("), nested(test), Doc::text(") {")]);
                inner
            }
            Statement::For(of) => {
                let Loop { ty, variable, from, test, step, body } = &**of;
                let step = step.iter().flat_map(|step| [Doc::Line(" "), step.doc()]);
                let mut head = vec![Doc::text(format!("for ({ty} {variable} = ")), from.doc(), Doc::text(";")];
                head.extend([Doc::Line(" "), test.doc(), Doc::text(";")]);
                head.extend(step);
                line(vec![Doc::Nest(Box::new(Doc::Group(head))), Doc::text(") {")]);
                body
            }
            Statement::Forever(inner) => {
                line(vec![Doc::text("for (;;) {")]);
                inner
            }
        };
        print(inner, depth + 1, out);
        out.push_str(&" ".repeat(depth * INDENT));
        out.push_str("}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::super::cuda::literal;
    use super::*;

    #[test]
    fn a_local_of_an_inner_block_is_no_parameter_of_it_alone() {
        let inner = vec![declare("int", "x", literal(1)), Statement::Do(name("x"))];
        let body = vec![Statement::If(name("y"), inner), Statement::Return(name("x"))];
        assert_eq!(free_names(&body).into_iter().collect::<Vec<_>>(), ["x", "y"]);
        let of = Loop {
            ty: "int",
            variable: "j".to_owned(),
            from: name("j"),
            test: name("j").op("<", name("n")),
            step: None,
            body: vec![Statement::Do(name("j"))],
        };
        assert_eq!(free_names(&[Statement::For(Box::new(of))]).into_iter().collect::<Vec<_>>(), ["j", "n"]);
    }

    #[test]
    fn long_conditions_are_broken_before_their_operators_and_calls_after_commas() {
        let part = |n: usize| call(format!("a_condition_of_some_length_{n}"), [name("p"), name("q")]);
        let all = super::super::cuda::all_of("||", (0..3).map(part)).expect("there are parts");
        let mut text = String::new();
        print(&[return_if(all, literal("true"))], 1, &mut text);
        let expected = "    if (a_condition_of_some_length_0(p, q)\n        || a_condition_of_some_length_1(p, q)\n        \
                        || a_condition_of_some_length_2(p, q)) {\n        return true;\n    }\n";
        assert_eq!(text, expected);
        let long = call("f", (0..5).map(part).collect::<Vec<_>>());
        text.clear();
        print(&[Statement::Return(long)], 1, &mut text);
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}
