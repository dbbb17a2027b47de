//! The public face as text: every item that a user of `sparsym` can name, with its signature, a line each. A change of the
//! face shows in the diff of `face.snap`, and is a decision; `cargo xtask bless` accepts it.
//!
//! Tools for this read rustdoc's JSON, which only nightly compilers write. This reads the sources instead: `crates` makes
//! modules of them and follows `pub use`, `face` prints what can be reached from the façade with all features. It sees
//! items, fields, variants, methods, derives and impls of traits; not what a macro other than `strategy!` makes.

mod crates;
mod face;

use std::path::Path;

use crates::Crates;
use face::Face;

#[test]
fn the_public_face_is_the_reviewed_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let Face { text, nameless } = face::print(&Crates::load(&root));
    assert!(
        nameless.is_empty(),
        "types of signatures that users cannot name; show them, or do not speak of them:\n{nameless:#?}"
    );
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(".");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("face", text));
}

/// What the listing must see, on a crate small enough to read.
#[test]
fn the_listing_sees_what_users_see() {
    let lib = r#"
        //! A crate.
        mod inner;
        pub mod shown { pub use crate::inner::Thing; }
        pub use inner::{Thing, open as opened};
        #[cfg(feature = "gpu")]
        pub const LIMIT: usize = 3;
        pub(crate) fn not_shown() {}
        #[cfg(test)]
        pub fn not_shown_either() {}
        #[doc(hidden)]
        pub fn hidden() {}
    "#;
    let inner = r#"
        use std::fmt;
        /// Docs are no part of it.
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub struct Thing<T> { pub field: Vec<T>, private: u32 }
        impl<T> Thing<T> {
            pub fn get(&self,
                       at: usize, // where
            ) -> Option<&T> { None }
            fn own(&self) {}
        }
        impl<T> fmt::Display for Thing<T> { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { Ok(()) } }
        pub enum Kind { One, Two(u8), #[cfg(feature = "gpu")] Three { of: u8 } }
        pub trait Shape: Send { const N: usize; fn area(&self) -> f32; fn twice(&self) -> f32 { 2.0 * self.area() } }
        pub fn open(name: &str) -> Kind { Kind::One }
    "#;
    let Face { text: face, nameless } =
        face::print(&Crates::of_texts("sparsym", &[("lib.rs", lib), ("inner.rs", inner)]));
    let expected = "\
sparsym
  struct Thing<T>: Clone, Debug #[non_exhaustive]
    field: Vec<T>
    ..
    fn get(&self, at: usize) -> Option<&T>
    impl fmt::Display
  fn opened = open(name: &str) -> Kind
  const LIMIT: usize [gpu]

sparsym::shown
  use sparsym::Thing
";
    assert_eq!(face, expected);
    assert_eq!(nameless, ["Kind in `fn opened = open(name: &str) -> Kind`".to_owned()].into());
    let lib = lib.replace("pub use inner::{", "pub use inner::{Kind, Shape, ");
    let Face { text: face, nameless } =
        face::print(&Crates::of_texts("sparsym", &[("lib.rs", &lib), ("inner.rs", inner)]));
    let more = "\
  enum Kind
    One
    Two(u8)
    Three { of: u8 } [gpu]
  trait Shape: Send
    const N: usize
    fn area(&self) -> f32
    fn twice(&self) -> f32 (provided)
";
    assert!(face.contains(more) && nameless.is_empty(), "{face}");
}
