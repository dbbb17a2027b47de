//! Templates with their holes filled.
//!
//! Syntax: `${ value }`, statement lines `//% …`, template comments `//# …`, each on a line of its own. A file of parts is
//! cut at `//# part NAME` lines; the file of a room opens with the header of its kernels, down to the line `//# text`.
//! Templates are read once in a process.

use std::borrow::Cow;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value, context};

use super::registry::{AFTER_PARAMS, AFTER_RULES, BEFORE_PARAMS, FILES, Template};

/// A part of a file of parts; its name is that of its template, too.
pub(super) struct Part {
    pub file: &'static str,
    pub name: &'static str,
}

/// All templates, read.
pub(super) struct Library {
    environment: Environment<'static>,
    pub before_params: Vec<Part>,
    pub after_params: Vec<Part>,
}

pub(super) static LIBRARY: LazyLock<Library> = LazyLock::new(Library::new);

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .variable_delimiters("${", "}")
        .block_delimiters("/*%", "%*/")
        .comment_delimiters("/*#", "#*/")
        .line_statement_prefix("//%")
        .line_comment_prefix("//#")
        .keep_trailing_newline(true)
        .build()
        .expect("the delimiters are constant and distinct");
    environment.set_syntax(syntax);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_debug(true);
    environment
}

impl Library {
    fn new() -> Library {
        let mut environment = environment();
        let mut add = |name: Cow<'static, str>, text: &'static str| {
            let read = environment.add_template_owned(name.clone(), text);
            read.unwrap_or_else(|error| panic!("template {name} cannot be read: {error:#}"));
        };
        for file in FILES {
            let (header, text) = file.text.split_once("//# text\n").unwrap_or(("", file.text));
            add(header_of(file).into(), header);
            add(file.path.into(), text);
        }
        let mut parts = |files: &'static [Template]| {
            let mut parts = Vec::new();
            for file in files {
                for piece in file.text.split("//# part ").skip(1) {
                    let (name, text) = piece.split_once('\n').unwrap_or((piece, ""));
                    add(name.trim().into(), text);
                    parts.push(Part { file: file.path, name: name.trim() });
                }
            }
            parts
        };
        let (before_params, mut after_params) = (parts(&BEFORE_PARAMS), parts(&AFTER_PARAMS));
        after_params.append(&mut parts(&AFTER_RULES));
        Library { environment, before_params, after_params }
    }
}

/// The name of its header among templates.
fn header_of(room: &Template) -> String {
    format!("{}, its header", room.path)
}

/// What templates of one kernel read.
pub(super) struct Expander {
    values: Value,
}

impl Expander {
    pub(super) fn new(values: Value) -> Expander {
        Expander { values }
    }

    /// The header that a room's file opens with.
    pub(super) fn expand_header(&self, room: &Template) -> String {
        self.expand(&header_of(room))
    }

    pub(super) fn expand(&self, template: &str) -> String {
        self.expand_with(template, self.values.clone())
    }

    /// With what one step has beside all others.
    pub(super) fn expand_step(&self, template: &str, step: Value) -> String {
        self.expand_with(template, context! { step, ..self.values.clone() })
    }

    /// A template is part of the program: if it does not expand, that is a bug here, reported with its line and variables.
    fn expand_with(&self, template: &str, values: Value) -> String {
        let read = LIBRARY.environment.get_template(template);
        read.and_then(|template| template.render(values))
            .unwrap_or_else(|error| panic!("template {template} does not expand: {error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use minijinja::context;
    use minijinja::value::Serde;
    use sparsym_ir::strategy::Strategy;

    use super::environment;
    use crate::request::{Request, Room};
    use crate::target::Target;

    /// A plan has the constants of its room alone: those of another one are no zeros, they are mistakes.
    #[test]
    fn a_template_cannot_read_a_constant_of_another_room() {
        let (strategy, target) = (Strategy::dense(), Target::parse("sm_80").unwrap());
        let value = |room, hole: &str| {
            let plan = crate::plan(&Request::new(&strategy, room, target)).unwrap();
            let text = format!("${{ {hole} }}");
            environment().render_str(&text, context! { plan => Serde(&plan) }).map_err(|error| error.to_string())
        };
        assert_eq!(value(Room::Attention, "plan.tile_kv"), Ok("32".to_owned()));
        assert_eq!(value(Room::GemmQ, "plan.tile_n"), Ok("128".to_owned()));
        for (room, hole) in [
            (Room::Attention, "plan.tile_n"),
            (Room::Attention, "plan.sparse"),
            (Room::Attention, "plan.shared.regions.a.at"),
            (Room::GemmQ, "plan.tile_kv"),
            (Room::GemmQ, "plan.summed"),
            (Room::GemmO, "plan.means"),
            (Room::GemmO, "plan.mask"),
        ] {
            let error = value(room, hole).unwrap_err();
            assert!(error.contains("undefined value"), "{hole} in {}: {error}", room.name());
        }
    }
}
