//! How to keep a strategy of one's own from changing unseen: its rules, as the compiler understood them, and its decisions
//! go into a snapshot. `cargo test -p sparsym --example snapshot` compares, `INSTA_UPDATE=always` accepts; read the diff.

use std::fmt::Write;

use sparsym::language::print;
use sparsym::prelude::*;

strategy! {
    /// Text sees and is seen by all; blocks of a picture see stripes of it, other ones at each head, and themselves.
    pub Striped {
        /// From one stripe to the next.
        param every: u32 in 1..=8 = 2;
        tokens text, vision;
        blocks q = 64, kv = 64;
        skip q in vision, kv in vision where (q.block + kv.block + head) % every != 0;
        keep q, kv where q.block == kv.block;
    }
}

/// The rules, and S_s of each head: `█` computed, `·` skipped.
fn portrait(striped: &Striped) -> Result<String, Box<dyn std::error::Error>> {
    let mut problem = Problem { blocks: Striped::ir().blocks, ..Problem::self_attention(1, 640, 2, 64) };
    problem.layout = sparsym::ir::Layout::text_front(128, [1, 16, 32]);
    let bindings = striped.bindings()?;
    let bound = Bound::new(Striped::ir(), &problem, &bindings)?;
    let symbols = device::open("cpu")?.symbols(&SymbolsCall::without_data(&bound, Moment::default()))?;

    let mut out = print(Striped::ir());
    writeln!(out, "\n{striped:?}: density {:.3}", symbols.density())?;
    for i in 0..problem.q_blocks() {
        let row = |h: usize| -> String {
            (0..problem.kv_blocks()).map(|j| if symbols.skip.get(0, h, i, j) { '█' } else { '·' }).collect()
        };
        writeln!(out, "{}  {}", row(0), row(1))?;
    }
    Ok(out)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (two, three) = (portrait(&Striped::default())?, portrait(&Striped { every: 3 })?);
    println!("{two}");
    assert_ne!(two, three, "a portrait shows the params");
    assert_eq!(two.matches('█').count() + two.matches('·').count(), 2 * 10 * 10);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn striped_is_what_was_reviewed() {
        insta::assert_snapshot!(portrait(&Striped { every: 3 }).unwrap());
    }

    #[test]
    fn it_shows_what_it_says() {
        main().unwrap();
    }
}
