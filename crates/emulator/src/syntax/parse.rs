//! A whole text: header, functions, variables, and what debuggers want to know.

use std::collections::{BTreeMap, HashMap};

use super::ast::{Function, FunctionKind, Linkage, Module, SourceFile};
use super::cursor::{Cursor, Parsed};
use super::error::SyntaxError;
use super::function::function;
use super::lex::Kind;
use super::source::Sources;
use super::variable::{linkage, space, variable};

/// Reads a PTX text as NVRTC prints it. The first mistake ends the reading.
///
/// # Errors
///
/// Where the text is not PTX, or uses a part of PTX that NVRTC never prints, such as 32-bit addresses.
pub fn parse(text: &str) -> Result<Module, SyntaxError> {
    let mut cursor = Cursor::new(text)?;
    let module = header(&mut cursor)?;
    let mut parser = Parser { cursor, module, sources: Sources::default(), functions: HashMap::new() };
    while !parser.cursor.at_end() {
        parser.directive()?;
    }
    let Parser { mut module, sources, .. } = parser;
    module.locations = sources.finish(&module.strings);
    Ok(module)
}

/// `.version 9.0 .target sm_90a .address_size 64`
fn header(cursor: &mut Cursor<'_>) -> Parsed<Module> {
    cursor.expect_dotted(".version")?;
    let version = version(cursor)?;
    cursor.expect_dotted(".target")?;
    let target = cursor.name("an architecture")?.to_owned();
    while cursor.eat(",") {
        cursor.name("an option of the target")?;
    }
    cursor.expect_dotted(".address_size")?;
    let position = cursor.here();
    match cursor.unsigned("a number of bits")? {
        64u64 => {}
        bits => return Err(SyntaxError::at(position, format!("expected addresses of 64 bits, found `{bits}`"))),
    }
    Ok(Module {
        version,
        target,
        functions: Vec::new(),
        variables: Vec::new(),
        aliases: BTreeMap::new(),
        files: Vec::new(),
        locations: Vec::new(),
        strings: BTreeMap::new(),
    })
}

fn version(cursor: &mut Cursor<'_>) -> Parsed<(u8, u8)> {
    let token = cursor.next();
    let version = || {
        let (major, minor) = token.text.split_once('.').filter(|_| token.kind == Kind::Number)?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    version().ok_or_else(|| token.instead_of("a version such as `9.0`"))
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    module: Module,
    sources: Sources<'a>,
    /// Where in the module each function stands.
    functions: HashMap<String, usize>,
}

impl Parser<'_> {
    fn directive(&mut self) -> Parsed<()> {
        if self.cursor.eat(";") {
            return Ok(());
        }
        if self.cursor.eat_dotted(".file") {
            return self.file();
        }
        if self.cursor.eat_dotted(".section") {
            return self.section();
        }
        if self.cursor.eat_dotted(".alias") {
            return self.alias();
        }
        if self.cursor.eat_dotted(".pragma") {
            self.cursor.text("a pragma")?;
            return self.cursor.expect(";");
        }
        if self.cursor.eat_dotted(".loc") {
            return self.sources.location(&mut self.cursor);
        }
        self.definition()
    }

    fn definition(&mut self) -> Parsed<()> {
        let linkage = linkage(&mut self.cursor);
        if self.cursor.eat_dotted(".entry") {
            return self.function(FunctionKind::Entry);
        }
        if self.cursor.eat_dotted(".func") {
            return self.function(FunctionKind::Device);
        }
        let Some(space) = space(&mut self.cursor) else {
            let what = if linkage == Linkage::Internal { "a directive" } else { "a function or a variable" };
            return Err(self.cursor.unexpected(what));
        };
        let variable = variable(&mut self.cursor, linkage, space, |name, _| Ok(name.to_owned()))?;
        self.module.variables.push(variable);
        Ok(())
    }

    /// A definition replaces declarations, which change nothing after it.
    fn function(&mut self, kind: FunctionKind) -> Parsed<()> {
        let new = function(&mut self.cursor, &mut self.sources, kind)?;
        let Some(&index) = self.functions.get(&new.name) else {
            self.functions.insert(new.name.clone(), self.module.functions.len());
            self.module.functions.push(new);
            return Ok(());
        };
        let known: &mut Function = &mut self.module.functions[index];
        match (known.kind, new.kind) {
            (_, FunctionKind::Extern) => {}
            (FunctionKind::Extern, _) => *known = new,
            _ => return Err(SyntaxError::at(new.position, format!("the function `{}` is defined twice", new.name))),
        }
        Ok(())
    }

    /// `.file 1 "path" [, time, size]`
    fn file(&mut self) -> Parsed<()> {
        let index = self.cursor.unsigned("the number of a file")?;
        let path = self.cursor.text("the path of a file")?.to_owned();
        while self.cursor.eat(",") {
            self.cursor.unsigned::<u64>("a time or a size")?;
        }
        self.module.files.push(SourceFile { index, path });
        Ok(())
    }

    /// `.alias name, function;`
    fn alias(&mut self) -> Parsed<()> {
        let name = self.cursor.name("the other name of a function")?.to_owned();
        self.cursor.expect(",")?;
        let function = self.cursor.name("the name of a function")?.to_owned();
        self.cursor.expect(";")?;
        self.module.aliases.insert(name, function);
        Ok(())
    }

    /// `name { … }`. Only the strings are of interest.
    fn section(&mut self) -> Parsed<()> {
        let strings = self.cursor.eat_dotted(".debug_str");
        if !strings {
            self.cursor.next();
        }
        self.cursor.expect("{")?;
        let mut label = None;
        let mut bytes = Vec::new();
        while !self.cursor.eat("}") {
            if self.cursor.at_end() {
                return Err(self.cursor.unexpected("`}`"));
            }
            let next = if strings { self.cursor.label() } else { None };
            if let Some(next) = next {
                self.string(label.replace(next), &mut bytes);
            } else if strings && self.cursor.eat_dotted(".b8") {
                self.data(&mut bytes)?;
            } else {
                self.cursor.next();
            }
        }
        self.string(label, &mut bytes);
        Ok(())
    }

    /// `95, 90, 0`
    fn data(&mut self, bytes: &mut Vec<u8>) -> Parsed<()> {
        loop {
            bytes.push(self.cursor.unsigned("a byte")?);
            if !self.cursor.eat(",") {
                return Ok(());
            }
        }
    }

    /// Keeps the bytes before the first zero as the string of a label.
    fn string(&mut self, label: Option<&str>, bytes: &mut Vec<u8>) {
        if let Some(label) = label {
            let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
            self.module.strings.insert(label.to_owned(), String::from_utf8_lossy(text).into_owned());
        }
        bytes.clear();
    }
}
