//! `.loc` lines, and the chains of inlined calls that they name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::ast::{LocId, Location};
use super::cursor::{Cursor, Parsed};

/// The locations read so far.
#[derive(Default)]
pub(super) struct Sources<'a> {
    places: Vec<Place<'a>>,
    /// Equal places share a number.
    known: HashMap<Place<'a>, LocId>,
    /// The last place of the function at each spot: what `inlined_at` means by it.
    latest: HashMap<Spot, LocId>,
    current: Option<LocId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Spot {
    file: u32,
    line: u32,
    column: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place<'a> {
    spot: Spot,
    /// The label of the function's name; the names stand at the end of the text.
    function: Option<&'a str>,
    inlined_at: Option<LocId>,
}

impl<'a> Sources<'a> {
    /// Forgets the places of the function before.
    pub(super) fn start_function(&mut self) {
        self.current = None;
        self.latest.clear();
    }

    /// Where the next instruction comes from.
    pub(super) fn current(&self) -> Option<LocId> {
        self.current
    }

    /// `.loc file line column [, function_name label [+ n]] [, inlined_at file line column]`; `.loc` was read.
    pub(super) fn location(&mut self, cursor: &mut Cursor<'a>) -> Parsed<()> {
        let spot = spot(cursor)?;
        let (mut function, mut inlined_at) = (None, None);
        while cursor.eat(",") {
            if cursor.eat_word("function_name") {
                function = Some(cursor.name("the label of a name")?);
                if cursor.eat("+") && cursor.unsigned::<u64>("an offset")? != 0 {
                    // A name in the middle of a string has no label.
                    function = None;
                }
            } else if cursor.eat_word("inlined_at") {
                inlined_at = Some(self.caller(self::spot(cursor)?));
            } else {
                return Err(cursor.unexpected("`function_name` or `inlined_at`"));
            }
        }
        self.current = Some(self.insert(Place { spot, function, inlined_at }));
        Ok(())
    }

    /// The locations, with the names of functions instead of their labels.
    pub(super) fn finish(self, strings: &BTreeMap<String, String>) -> Vec<Location> {
        // Shared, because a few long names occur in many places.
        let names: HashMap<&str, Arc<str>> =
            strings.iter().map(|(label, name)| (label.as_str(), Arc::from(name.as_str()))).collect();
        let location = |place: Place<'_>| Location {
            file: place.spot.file,
            line: place.spot.line,
            column: place.spot.column,
            function: place.function.map(|label| names.get(label).cloned().unwrap_or_else(|| Arc::from(label))),
            inlined_at: place.inlined_at,
        };
        self.places.into_iter().map(location).collect()
    }

    /// The call at a spot: the last place that was there.
    fn caller(&mut self, spot: Spot) -> LocId {
        match self.latest.get(&spot) {
            Some(id) => *id,
            None => self.insert(Place { spot, function: None, inlined_at: None }),
        }
    }

    fn insert(&mut self, place: Place<'a>) -> LocId {
        let id = *self.known.entry(place).or_insert_with(|| {
            self.places.push(place);
            LocId(self.places.len() - 1)
        });
        self.latest.insert(place.spot, id);
        id
    }
}

fn spot(cursor: &mut Cursor<'_>) -> Parsed<Spot> {
    let file = cursor.unsigned("the number of a file")?;
    let line = cursor.unsigned("a line")?;
    let column = cursor.unsigned("a column")?;
    Ok(Spot { file, line, column })
}
