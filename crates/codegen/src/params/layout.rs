//! The one parameter of a kernel: a struct whose fields are named in the text.
//!
//! A field exists only if the text reads it (`p.name`), so no kernel has a parameter that it does not use.

use super::source::{Extent, Source};

/// Fields of the kernel's parameter struct.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// In order of declaration.
    pub fields: Vec<Field>,
    /// Bytes of the struct.
    pub size: usize,
}

/// A field.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Name in the text.
    pub name: String,
    /// Byte offset in the struct.
    pub offset: usize,
    /// Where its value comes from.
    pub source: Source,
    pub(crate) declaration: String,
    pub(crate) comment: String,
}

impl Params {
    /// Keeps the fields that `text` reads and lays them out as C does.
    pub(crate) fn of_text(candidates: Vec<Field>, text: &str) -> Params {
        let mut fields: Vec<Field> = candidates.into_iter().filter(|field| reads(text, field.base_name())).collect();
        let mut size = 0usize;
        let mut most_aligned = 4;
        for field in &mut fields {
            let Extent { count, bytes, align } = field.source.extent();
            size = size.next_multiple_of(align);
            most_aligned = most_aligned.max(align);
            field.offset = size;
            size += count * bytes;
        }
        Params { fields, size: size.next_multiple_of(most_aligned) }
    }

    /// The C declaration of the struct.
    pub(crate) fn declaration(&self) -> String {
        let column = self.fields.iter().map(|field| field.declaration.len()).max().unwrap_or(0) + 2;
        let mut text = String::from("struct Params {\n");
        for field in &self.fields {
            let declaration = format!("{};", field.declaration);
            match field.comment.is_empty() {
                true => text.push_str(&format!("    {declaration}\n")),
                false => text.push_str(&format!("    {declaration:column$}// {}\n", field.comment)),
            }
        }
        text.push_str("};\n");
        text
    }
}

impl Field {
    /// A field of this name and type; of an array its type is that of an element.
    pub(crate) fn new(name: &str, ty: &str, source: Source, comment: &str) -> Field {
        let name = match source {
            Source::Array(_) | Source::EachPartial(_) => format!("{name}[{}]", source.extent().count),
            Source::Buffer(_) | Source::Number(_) | Source::Boxes(_) => name.to_owned(),
        };
        Field { declaration: format!("{ty} {name}"), name, offset: 0, source, comment: comment.to_owned() }
    }

    /// Its type in the text; of an array, whose length is in the name, that of an element.
    pub fn c_type(&self) -> &str {
        self.declaration.strip_suffix(&self.name).unwrap_or(&self.declaration).trim_end()
    }

    fn base_name(&self) -> &str {
        self.name.split('[').next().unwrap_or_default()
    }
}

/// Whether the text reads the field `p.name`.
fn reads(text: &str, name: &str) -> bool {
    let needle = format!("p.{name}");
    text.match_indices(&needle).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + needle.len()..].chars().next();
        let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !before.is_some_and(|c| in_name(c) || c == '.') && !after.is_some_and(in_name)
    })
}
