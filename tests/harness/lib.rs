//! One corpus, many devices: loads the cases of `tests/cases`, runs them, and compares what devices give with the oracle.
//!
//! The test `conformance` and the program `corpus` are thin shells over this library. The case files are embedded, so
//! that the program runs on a machine that has no copy of the repository.
//!
//! | module | question |
//! |---|---|
//! | [`case`] | what does a case file say |
//! | [`data`] | which numbers does a case stand for |
//! | [`decided`] | which symbols may a device give |
//! | [`devices`] | what can this machine run on |
//! | [`compare`] | how far may a device be from the truth |
//! | [`conflicts`] | how often may a kernel's accesses meet in a bank |
//! | [`projection`] | the same of the projections around attention: cases, numbers, runs |
//! | [`corpus`] | run them all |
//! | [`stored`] | in which order does a strategy store its tokens |
//! | [`kernels`] | which kernels do the cases need |
//! | [`random`] | the same of strategies and problems that a seed makes |
//! | [`denoise`] | does a whole run of a block do what the reference does |
//! | [`fuzz`] | do thousands of calls agree with f64 on the device itself |
//!
//! Non-goals: time is not measured here, and nothing is compared with the output of an earlier version.
//!
//! ```
//! let cases = sparsym_tests::case::all();
//! assert!(cases.iter().any(|case| case.name == "dense"));
//! ```

pub mod case;
pub mod compare;
pub mod conflicts;
pub mod corpus;
pub mod data;
pub mod decided;
pub mod denoise;
pub mod devices;
pub mod fuzz;
pub mod kernels;
pub mod modules;
pub mod projection;
pub mod random;
pub mod stored;

/// The strategy in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
