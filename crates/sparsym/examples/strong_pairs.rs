//! A rule over Q and K: the block pairs that carry the least attention are skipped, found from block means on the device.
//! `cargo run -p sparsym --example strong_pairs` shows what each threshold saves, and what it costs.

use sparsym::prelude::*;

strategy! {
    /// Drops the weakest block pairs of each row, up to a share of its pooled attention.
    pub Strong {
        /// Share of the attention mass that may be dropped.
        param tau: f32 in 0.0..=1.0 = 0.1;
        blocks q = 64, kv = 64;
        let s = pool(Q) . pool(K) / sqrt(D);
        skip q, kv where ascending_mass(softmax(kv: s[q, kv])) <= tau;
    }
}

const TOKENS: usize = 1024;
const D: usize = 32;

/// Numbers between -1 and 1, the same on every machine.
fn noise(seed: usize, index: usize) -> f32 {
    let bits = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ seed as u64).rotate_left(29);
    (bits.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Tokens of a block have a topic in common, as neighbours in a picture do: one of four, in a channel of its own.
fn topical(seed: usize) -> Tensor {
    let topic = |token: usize, channel: usize| if token / 64 % 4 == channel { 5.0 } else { 0.0 };
    let values: Vec<f32> = (0..TOKENS * D).map(|at| topic(at / D, at % D) + noise(seed, at)).collect();
    Tensor::from_f32(&[1, TOKENS, 1, D], DType::F32, &values)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let problem = Problem { blocks: Strong::ir().blocks, ..Problem::self_attention(1, TOKENS, 1, D) };
    let (q, k) = (topical(1), topical(2));
    let values: Vec<f32> = (0..TOKENS * D).map(|at| noise(3, at)).collect();
    let v = Tensor::from_f32(&problem.kv_shape(), DType::F32, &values);
    let (device, moment) = (device::open("cpu")?, Moment::default());

    let attend = |tau: f32| -> Result<(f64, Vec<f32>), Box<dyn std::error::Error>> {
        let bindings = Strong { tau }.bindings()?;
        let bound = Bound::new(Strong::ir(), &problem, &bindings)?;
        let symbols = device.symbols(&SymbolsCall { bound: &bound, moment, data: Some((&q, &k)) })?;
        let call = AttentionCall { bound: &bound, moment, q: &q, k: &k, v: &v, symbols: &symbols, forecast: None };
        Ok((symbols.density(), device.attention(&call)?.o.to_f32()))
    };

    let (_, dense) = attend(0.0)?;
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
    println!("   tau  density   error");
    let mut rows = Vec::new();
    for tau in [0.0, 0.01, 0.03, 0.1, 0.3] {
        let (density, o) = attend(tau)?;
        let error = norm(&mut o.iter().zip(&dense).map(|(a, b)| a - b)) / norm(&mut dense.iter().copied());
        println!("{tau:6.2}  {density:7.3}  {error:.4}");
        rows.push((density, error));
    }

    assert_eq!(rows[0], (1.0, 0.0), "nothing is dropped without a share to drop");
    assert!(rows.is_sorted_by(|a, b| a.0 >= b.0 && a.1 <= b.1), "more dropped, more wrong");
    assert!(rows[3].0 < 0.3 && rows[3].1 < 0.2, "three of four topics go, and what they carry is little");
    Ok(())
}

#[test]
fn it_shows_what_it_says() {
    main().unwrap();
}
