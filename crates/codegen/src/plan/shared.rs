//! What lies where in a CTA's dynamic shared memory: the only place that knows. Texts read it as constants, and show it in
//! their headers.

use serde::Serialize;

/// Regions of dynamic shared memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct SharedLayout {
    /// All of it, in bytes.
    pub bytes: u32,
    /// From one stage of a ring to the next, in bytes; 0 if there is no ring.
    pub stage_bytes: u32,
    /// By name, in the order in which they were laid out.
    #[serde(serialize_with = "by_name")]
    pub regions: Vec<Region>,
}

/// A part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Region {
    /// What templates call it.
    #[serde(skip)]
    pub name: &'static str,
    /// Its first byte; in a ring that of its first stage.
    pub at: u32,
    /// Its bytes; in a ring those of one stage.
    pub bytes: u32,
    /// Stages of the ring that it is in; 1: it is in none.
    pub stages: u32,
    /// The region whose place it takes when nobody reads that any more.
    pub over: Option<&'static str>,
}

/// What a whole layout is a multiple of, in bytes: the longest load.
const ALIGN: u32 = 16;

impl SharedLayout {
    /// A region behind all others; each starts at a multiple of 16 bytes, and of `align`.
    pub(crate) fn region(mut self, name: &'static str, bytes: u32, align: u32) -> SharedLayout {
        let at = self.bytes.next_multiple_of(align);
        self.regions.push(Region { name, at, bytes, stages: 1, over: None });
        self.bytes = (at + bytes).next_multiple_of(ALIGN);
        self
    }

    /// A ring of stages behind all regions, each of these parts one after another; all rings have stages of the same size.
    pub(crate) fn ring(mut self, parts: &[(&'static str, u32)], stage_bytes: u32, stages: u32) -> SharedLayout {
        debug_assert!(self.stage_bytes == 0 || self.stage_bytes == stage_bytes, "two rings of unlike stages");
        let mut at = self.bytes;
        self.bytes = (at + stages * stage_bytes).next_multiple_of(ALIGN);
        self.stage_bytes = stage_bytes;
        for &(name, bytes) in parts {
            self.regions.push(Region { name, at, bytes, stages, over: None });
            at += bytes;
        }
        self
    }

    /// A region in the place of what starts with `under`, which nobody reads any more.
    pub(crate) fn over(mut self, name: &'static str, bytes: u32, under: &'static str) -> SharedLayout {
        let below = self.regions.iter().find(|region| region.name == under).expect("a region of the layout");
        debug_assert!(below.at + bytes <= self.bytes, "{name} does not fit over {under}");
        self.regions.push(Region { name, at: below.at, bytes, stages: 1, over: Some(under) });
        self
    }

    /// A line for each place, with its offset.
    pub(crate) fn map(&self) -> Vec<String> {
        let line = |&Region { name, at, bytes, stages, .. }: &Region| {
            let size = match stages {
                1 => format!("{bytes} B"),
                _ if bytes == self.stage_bytes => format!("{stages} stages of {bytes} B"),
                _ => format!("{stages} stages of {bytes} B, {} B apart", self.stage_bytes),
            };
            let later = self.regions.iter().filter(|later| later.over == Some(name));
            let later: String = later.map(|later| format!("; later {}, {} B", later.name, later.bytes)).collect();
            format!("{at:<6} {name}, {size}{later}")
        };
        self.regions.iter().filter(|region| region.over.is_none()).map(line).collect()
    }
}

fn by_name<S: serde::Serializer>(regions: &[Region], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(regions.iter().map(|region| (region.name, region)))
}

#[cfg(test)]
mod tests {
    use super::SharedLayout;

    #[test]
    fn regions_stand_one_behind_the_other_and_rings_hold_their_stages() {
        let layout = SharedLayout::default()
            .ring(&[("k", 6144)], 8192, 2)
            .ring(&[("v", 6144)], 8192, 2)
            .region("q", 24576, 16)
            .over("o", 24576, "q")
            .region("head", 8, 8);
        let at: Vec<u32> = layout.regions.iter().map(|region| region.at).collect();
        assert_eq!((at, layout.bytes), (vec![0, 16384, 32768, 32768, 57344], 57360));
        assert_eq!(layout.map()[0], "0      k, 2 stages of 6144 B, 8192 B apart");
        assert_eq!(layout.map()[2], "32768  q, 24576 B; later o, 24576 B");
    }

    #[test]
    fn parts_of_a_stage_stand_in_it() {
        let layout = SharedLayout::default().ring(&[("a", 100), ("b", 50)], 150, 3).over("out", 300, "a");
        assert_eq!((layout.regions[1].at, layout.bytes), (100, 464), "three stages of 150 and up to whole loads");
    }
}
