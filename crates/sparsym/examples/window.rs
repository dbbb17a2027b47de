//! A strategy whose rules know positions alone. From its one `mask` follows which block pairs are empty and never touched,
//! which are full, and in which each element is tested: `cargo run -p sparsym --example window` draws them.

use sparsym::prelude::*;

strategy! {
    /// Every token sees a window around it, and all see the first tokens.
    pub Near {
        /// Positions on each side.
        param reach: u32 = 150;
        /// Tokens at the start that all see.
        param sinks: u32 = 16;
        blocks q = 64, kv = 64;
        mask q, kv => abs(q.pos - kv.pos) <= reach || kv.pos < sinks;
    }
}

const TOKENS: usize = 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let near = Near { reach: 100, ..Near::default() };
    let problem = Problem { blocks: Near::ir().blocks, ..Problem::self_attention(1, TOKENS, 1, 16) };
    let bindings = near.bindings()?;
    let (bound, moment) = (Bound::new(Near::ir(), &problem, &bindings)?, Moment::default());

    let device = device::open("cpu")?;
    let symbols = device.symbols(&SymbolsCall::without_data(&bound, moment))?;
    let full = symbols.full.as_ref().ok_or("a mask has full blocks")?;
    println!("query blocks downwards, kv blocks to the right: █ full, ▒ tested, · empty");
    for i in 0..problem.q_blocks() {
        let pair = |j| match (symbols.skip.get(0, 0, i, j), full.get(0, 0, i, j)) {
            (false, _) => '·',
            (true, false) => '▒',
            (true, true) => '█',
        };
        println!("{}", (0..problem.kv_blocks()).map(pair).collect::<String>());
    }

    // Queries of zeros see everything alike: the output is the mean of the positions that a token sees.
    let positions: Vec<f32> = (0..TOKENS * 16).map(|index| (index / 16) as f32).collect();
    let zeros = Tensor::zeros(&problem.q_shape(), DType::F32);
    let v = Tensor::from_f32(&problem.kv_shape(), DType::F32, &positions);
    let call = AttentionCall { bound: &bound, moment, q: &zeros, k: &zeros, v: &v, symbols: &symbols, forecast: None };
    let mean = device.attention(&call)?.o.to_f32()[500 * 16];
    let sees: Vec<usize> = (0..TOKENS).filter(|&kv| kv < 16 || (400..=600).contains(&kv)).collect();
    let expected = sees.iter().sum::<usize>() as f32 / sees.len() as f32;
    println!("density {:.3}; token 500 sees {} tokens, at {mean:.2} on average", symbols.density(), sees.len());

    assert!((mean - expected).abs() < 0.01, "{mean}, not {expected}");
    assert!((0.25..0.4).contains(&symbols.density()));
    assert!(near.bindings().is_ok() && Near { reach: u32::MAX, ..near }.check().is_err(), "params have ranges");
    Ok(())
}

#[test]
fn it_shows_what_it_says() {
    main().unwrap();
}
