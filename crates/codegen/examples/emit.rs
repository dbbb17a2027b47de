//! Prints the dense attention kernel of a target: `cargo run -p sparsym-codegen --example emit -- sm_80 128`.

use sparsym_codegen::{CachedRows, Request, Room, Sequences, Target, generate};
use sparsym_ir::Strategy;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let target = Target::parse(&args.next().unwrap_or("sm_80".to_owned()))?;
    let strategy = Strategy::dense();
    let mut request = Request::new(&strategy, Room::Attention, target);
    request.head_dim = args.next().map_or(Ok(128), |d| d.parse())?;
    for option in args {
        match option.as_str() {
            "ragged" => request.sequences = Sequences::Ragged,
            "forecast" => request.cached_rows = CachedRows::Forecast,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    print!("{}", generate(&request)?.source);
    Ok(())
}
