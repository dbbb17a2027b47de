//! Tokens to syntax tree.
//!
//! After a mistake reading goes on at the next `;`, or at the first word of a clause on a line of its own, so that all
//! mistakes are reported. Names in a declaration that could not be read are poisoned: they are known, and nothing that
//! uses them is reported.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use sparsym_ir::strategy::Action;
use sparsym_ir::{Code, Finding, Findings, Span};
use syn::buffer::TokenBuffer;

use super::ast::*;
use super::cursor::{Cursor, Parsed, Problem};
use super::declare::{blocks, input, param, permute, table, tokens};
use super::expr::{expr, operator_hint};
use super::lex::check_nesting;
use super::words::{CLAUSES, action, closest};

/// The item in the tokens. None if there is not even a name and a body; then there is a finding.
pub(crate) fn parse(tokens: TokenStream, findings: &mut Findings) -> Option<Item> {
    if let Err(finding) = check_nesting(&tokens) {
        findings.push(finding);
        return None;
    }
    let buffer = TokenBuffer::new2(tokens);
    let mut parser = Parser { findings, poisoned: Vec::new(), later: Vec::new() };
    let item = parser.item(Cursor::new(buffer.begin()));
    parser.report_later();
    item.map_err(|problem| parser.report(problem)).ok()
}

struct Parser<'f> {
    findings: &'f mut Findings,
    poisoned: Vec<String>,
    /// Places of forms of a later version.
    later: Vec<Span>,
}

impl Parser<'_> {
    fn item(&mut self, mut cursor: Cursor) -> Parsed<Item> {
        const FORM: &str = "a strategy is written `pub Name { … }`";
        // A file may hold the whole macro call.
        if cursor.at_word("strategy") {
            cursor.skip_token();
            if cursor.eat("!") {
                let inside = cursor.group(Delimiter::Brace).ok_or_else(|| cursor.unexpected("`{`", FORM))?;
                let item = self.item(inside)?;
                cursor.eat(";");
                cursor.finish("a file holds one strategy")?;
                return Ok(item);
            }
            return Err(cursor.unexpected("`!`", FORM));
        }
        let doc = self.doc(&mut cursor);
        let start = cursor.here();
        if cursor.eat_word("pub") {
            cursor.group(Delimiter::Parenthesis);
        }
        let name = cursor.name("the strategy's name", FORM)?;
        let mut body = cursor.group(Delimiter::Brace).ok_or_else(|| cursor.unexpected("`{`", FORM))?;
        let span = cursor.since(start);
        let mut clauses = Vec::new();
        while !body.is_empty() {
            clauses.extend(self.clause(&mut body));
        }
        if let Err(problem) = cursor.finish("one strategy at a time: give the next one its own file or macro call") {
            self.report(problem);
        }
        Ok(Item { doc, name, clauses, span, poisoned: std::mem::take(&mut self.poisoned) })
    }

    /// One clause, or None after a mistake; then the cursor stands where reading goes on.
    fn clause(&mut self, cursor: &mut Cursor) -> Option<Clause> {
        let before = cursor.here();
        let doc = self.doc(cursor);
        let mut attempt = cursor.clone();
        let start = attempt.here();
        let kind = match clause_kind(&mut attempt) {
            Ok(kind) => kind,
            Err(problem) => {
                self.report(problem);
                self.recover(cursor);
                return None;
            }
        };
        let span = attempt.since(start);
        if !attempt.eat(";") {
            let help = operator_hint(&attempt).unwrap_or("every clause ends with `;`");
            self.report(attempt.unexpected("`;`", help));
            // Only a `;` is missing if a new clause or the end follows; else the clause itself is not what it seems.
            if !attempt.is_empty() && !attempt.at_fresh_clause() {
                self.recover(cursor);
                return None;
            }
        }
        *cursor = attempt;
        if !doc.is_empty()
            && !matches!(kind, ClauseKind::Param { .. } | ClauseKind::Table { .. } | ClauseKind::Input { .. })
        {
            self.findings.push(Finding::at(
                Code::MisplacedDoc,
                before,
                "this clause has no documentation",
                "write `//` for a comment; params, tables, inputs and the strategy itself take `///`",
            ));
        }
        Some(Clause { doc, kind, span })
    }

    /// Reads past a clause that could not be read and poisons the names that it may declare.
    fn recover(&mut self, cursor: &mut Cursor) {
        let declares = ["param", "table", "input", "tokens", "let"].iter().any(|word| cursor.at_word(word));
        cursor.skip_token();
        let mut names = Vec::new();
        self.skip_clause(cursor, |name| names.push(name));
        if declares {
            self.poisoned.extend(names);
        }
    }

    fn skip_clause(&mut self, cursor: &mut Cursor, mut name: impl FnMut(String)) {
        while !cursor.is_empty() && !cursor.eat(";") && !cursor.at_fresh_clause() {
            if let Some(TokenTree::Ident(ident)) = cursor.skip_token() {
                name(ident.to_string());
            }
        }
    }

    /// The doc comment that stands here, lines joined. Other attributes are a mistake.
    fn doc(&mut self, cursor: &mut Cursor) -> String {
        let mut lines = Vec::new();
        while cursor.at("#") {
            let start = cursor.here();
            cursor.eat("#");
            let inner = cursor.eat("!");
            let line = cursor.group(Delimiter::Bracket).and_then(|inside| doc_line(inside));
            match line {
                Some(line) if !inner => lines.push(line),
                _ => self.findings.push(Finding::at(
                    Code::MisplacedDoc,
                    cursor.since(start),
                    "only doc comments `///` may stand here",
                    "remove the attribute; derives are made by the macro",
                )),
            }
        }
        lines.join("\n").trim().to_owned()
    }

    fn report(&mut self, problem: Problem) {
        match problem {
            Problem::Mistake(finding) => self.findings.push(finding),
            Problem::Later(span) => self.later.push(span),
        }
    }

    fn report_later(&mut self) {
        let mut places = std::mem::take(&mut self.later).into_iter();
        let Some(first) = places.next() else { return };
        let finding = Finding::at(
            Code::NotYet,
            first,
            "sampled attention rows and clusters of tokens are not in this version",
            "use maps of pooled blocks: `pool(Q) . pool(K)`",
        );
        self.findings.push(finding.also_at(places));
    }
}

/// `doc = " text"` without the one space that `/// text` has.
fn doc_line(mut inside: Cursor) -> Option<String> {
    inside.eat_word("doc").then_some(())?;
    inside.eat("=").then_some(())?;
    let TokenTree::Literal(literal) = inside.skip_token()? else { return None };
    let syn::Lit::Str(text) = syn::Lit::new(literal) else { return None };
    let text = text.value();
    Some(text.strip_prefix(' ').unwrap_or(&text).trim_end().to_owned())
}

fn clause_kind(cursor: &mut Cursor) -> Parsed<ClauseKind> {
    let start = cursor.here();
    let word = cursor.peek_word().unwrap_or_default();
    if !CLAUSES.contains(&word.as_str()) {
        return Err(unknown_clause(cursor, &word));
    }
    cursor.skip_token();
    match word.as_str() {
        "param" => param(cursor),
        "table" => table(cursor),
        "input" => input(cursor),
        "tokens" => tokens(cursor),
        "blocks" => blocks(cursor),
        "permute" => permute(cursor),
        "let" => let_(cursor),
        "mask" => {
            let [q, kv] = pair(cursor, "write `mask q, kv => condition;`")?;
            cursor.expect("=>", "write `mask q, kv => condition;`")?;
            Ok(ClauseKind::Mask { q, kv, value: expr(cursor)? })
        }
        "score" => {
            let form = "write `score s, q, kv => value;`";
            let logit = cursor.name("a name for the logit", form)?;
            cursor.expect(",", form)?;
            let [q, kv] = pair(cursor, form)?;
            cursor.expect("=>", form)?;
            Ok(ClauseKind::Score { logit, q, kv, value: expr(cursor)? })
        }
        "otherwise" => otherwise(cursor),
        "update" => {
            cursor.expect_word("when", "write `update when condition;`")?;
            Ok(ClauseKind::Update(expr(cursor)?))
        }
        "dense" => {
            cursor.expect_word("when", "write `dense when condition;`")?;
            Ok(ClauseKind::Dense(expr(cursor)?))
        }
        "degrade" => {
            cursor.expect_word("when", "write `degrade when density(cache) <= 0.3;`")?;
            Ok(ClauseKind::Degrade(expr(cursor)?))
        }
        action_word => match action(action_word) {
            Some(action) => rule(cursor, action),
            None => Err(Problem::Later(start)),
        },
    }
}

fn unknown_clause(cursor: &Cursor, word: &str) -> Problem {
    if word.is_empty() {
        return cursor.unexpected("a clause", "clauses start with a word such as `param`, `mask` or `skip`");
    }
    let help = match closest(word, CLAUSES) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("clauses start with {}", CLAUSES.map(|clause| format!("`{clause}`")).join(", ")),
    };
    Finding::at(Code::UnknownClause, cursor.here(), format!("no clause starts with `{word}`"), help).into()
}

/// `name = value`, `name(q) = value`, `name[q, kv] = value`, `name[v in vision] = value`
fn let_(cursor: &mut Cursor) -> Parsed<ClauseKind> {
    const FORM: &str =
        "write `let name = value;`, `let name(q) = value;` over tokens, or `let name[q, kv] = value;` for a map";
    let name = cursor.name("a name", FORM)?;
    let over = if let Some(mut inside) = cursor.group(Delimiter::Bracket) {
        Over::Blocks(one_or_two(&mut inside, FORM, |inside| variable(inside, FORM))?)
    } else if let Some(mut inside) = cursor.group(Delimiter::Parenthesis) {
        Over::Tokens(one_or_two(&mut inside, FORM, |inside| inside.name("a variable", FORM))?)
    } else {
        Over::Nothing
    };
    cursor.expect("=", FORM)?;
    Ok(ClauseKind::Let { name, over, value: expr(cursor)? })
}

/// Variables between brackets.
fn one_or_two<T>(inside: &mut Cursor, form: &str, read: impl Fn(&mut Cursor) -> Parsed<T>) -> Parsed<Vec<T>> {
    let mut variables = vec![read(inside)?];
    if inside.eat(",") && !inside.is_empty() {
        variables.push(read(inside)?);
        inside.eat(",");
    }
    inside.finish(form)?;
    Ok(variables)
}

/// `q in text`
fn variable(cursor: &mut Cursor, form: &str) -> Parsed<Variable> {
    let name = cursor.name("a variable", form)?;
    let range = if cursor.eat_word("in") { Some(cursor.name("a token range", form)?) } else { None };
    Ok(Variable { name, range })
}

/// `q in text, kv where condition by hold`
fn rule(cursor: &mut Cursor, action: Action) -> Parsed<ClauseKind> {
    let (name, variables) = (action.name(), if action.writes_skip_symbol() { 2 } else { 1 });
    let form = match variables {
        2 => format!("write `{name} q, kv where condition;`: {name} decides pairs of a query and a kv block"),
        _ => format!("write `{name} q where condition;`: {name} decides query blocks"),
    };
    let mut vars = Vec::new();
    while vars.len() < variables {
        if !vars.is_empty() {
            cursor.expect(",", &form)?;
        }
        vars.push(variable(cursor, &form)?);
    }
    if cursor.at(",") {
        return Err(cursor.unexpected("`where` or `;`", &form));
    }
    let condition = if cursor.eat_word("where") { Some(expr(cursor)?) } else { None };
    let reuse = reuse(cursor, action)?;
    Ok(ClauseKind::Rule { action, vars, condition, reuse })
}

/// `otherwise skip`
fn otherwise(cursor: &mut Cursor) -> Parsed<ClauseKind> {
    const FORM: &str = "write `otherwise skip;`, `keep`, `cache` or `compute`";
    let Some(action) = cursor.peek_word().and_then(|word| action(&word)) else {
        return Err(cursor.unexpected("an action", FORM));
    };
    cursor.skip_token();
    Ok(ClauseKind::Otherwise { action, reuse: reuse(cursor, action)? })
}

/// `by taylor(order)`; of `cache` only.
fn reuse(cursor: &mut Cursor, action: Action) -> Parsed<Option<Reuse>> {
    if !cursor.at_word("by") {
        return Ok(None);
    }
    if action != Action::Cache {
        return Err(cursor.unexpected("`;`", "only `cache` says how a block is reused"));
    }
    cursor.skip_token();
    let name = cursor.name("`hold` or `taylor(n)`", "write `by hold` or `by taylor(2)`")?;
    let mut args = Vec::new();
    if let Some(mut inside) = cursor.group(Delimiter::Parenthesis) {
        while !inside.is_empty() {
            args.push(expr(&mut inside)?);
            if !inside.eat(",") {
                inside.finish("write `by taylor(2)`")?;
            }
        }
    }
    Ok(Some(Reuse { name, args }))
}

fn pair(cursor: &mut Cursor, form: &str) -> Parsed<[Name; 2]> {
    let q = cursor.name("a variable for the query token", form)?;
    cursor.expect(",", form)?;
    Ok([q, cursor.name("a variable for the kv token", form)?])
}
