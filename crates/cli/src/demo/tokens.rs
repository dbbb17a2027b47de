//! Non-local means as an attention layer: from a picture to hidden states, and from the layer's output back to a picture.
//!
//! Non-local means (Buades, Coll and Morel 2005) replaces a patch x by the mean of all patches y, weighted with
//! exp(−‖x − y‖² / h²). Here positions p count too, with a reach r:
//!
//! ```text
//! −‖x − y‖²/h² − ‖p − p'‖²/r²  =  2x·y/h² − ‖y‖²/h² + 2p·p'/r² − ‖p'‖²/r² − ‖p‖²/r²  +  (constant for the row)
//! ```
//!
//! Every term is a product of something of the query and something of the key, so it is a dot product of
//!
//! | coordinates | Q of head (h, r) | K, shared by all heads |
//! |---|---|---|
//! | 48 | 2x / h² | y |
//! | 2 | 2p / r² | p' |
//! | 2 | 1/h², 1/h² | −‖y‖², as a rounded value and what the rounding lost |
//! | 1 | 1/r² | −‖p'‖² |
//! | 1 | −‖p‖²/r² | 1 on the grid, 0 for the palette |
//! | 1 | −penalty | 0 on the grid, 1 for the palette |
//!
//! and softmax does the rest. What a token must know for that is its hidden state x, [`WIDTH_IN`] numbers; Q, K and V are
//! projections of it, with weights that are the same at every step ([`weights`](super::weights)). A palette token is a flat patch without a place: every patch may lean on it, at a price.
//! As a query it gathers the patches of its colour, so its output is the palette's next colour: a step of soft k-means.

use half::f16;
use sparsym::ir::problem::Layout;
use sparsym::ir::strategy::Blocks;
use sparsym::ir::{DType, Problem, Tensor};

use super::photo::{HEIGHT, Picture, WIDTH};

/// Tokens along (h, w): a patch every second pixel.
pub(crate) const GRID: [usize; 2] = [HEIGHT / STRIDE, WIDTH / STRIDE];
/// Vision tokens.
pub(crate) const N_VISION: usize = GRID[0] * GRID[1];
/// Palette tokens, the `text` range; they come last.
pub(crate) const N_PALETTE: usize = 64;
/// All tokens.
pub(crate) const N: usize = N_VISION + N_PALETTE;
/// Head dimension: 55 coordinates, padded.
pub(crate) const HEAD_DIM: usize = 64;
/// Tokens of a block, and of a tile.
pub(crate) const BLOCK: usize = 64;
/// Rows and columns of a tile of tokens.
pub(crate) const TILE: usize = 8;
/// Bandwidth h relative to the step's, and reach r in tokens, of each head.
pub(crate) const HEADS: [(f32, f32); 4] = [(0.7, 60.0), (0.9, 24.0), (1.2, 9.0), (1.8, 3.5)];

const STRIDE: usize = 2;
const SIDE: usize = 4;
const CHANNELS: usize = 3;
pub(crate) const PATCH: usize = SIDE * SIDE * CHANNELS;
/// What a palette token costs, in logits: as much as a neighbour at √3 times the head's reach.
pub(crate) const PENALTY: f32 = 3.0;
/// Bandwidth of palette tokens as queries, relative to the step's: narrow, or all colours would run into one.
pub(crate) const PALETTE_BANDWIDTH: f32 = 0.2;
/// Positions are divided by this so that their squares keep their precision in half floats.
pub(crate) const POSITION_UNIT: f32 = 16.0;

/// Colours of the palette tokens, `[N_PALETTE, 3]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Palette(pub(crate) Vec<[f32; CHANNELS]>);

/// Hidden states of one step.
pub(crate) struct Input {
    /// `[1, N_VISION, WIDTH_IN]`.
    pub(crate) vision: Tensor,
    /// `[1, N_PALETTE, WIDTH_IN]`.
    pub(crate) palette: Tensor,
}

/// Where each thing stands in a hidden state.
pub(crate) mod column {
    use super::PATCH;

    /// The patch of the guide, y of the keys.
    pub(crate) const SEEN: usize = 0;
    /// Its place, p: two numbers.
    pub(crate) const PLACE: usize = SEEN + PATCH;
    /// −‖y‖² as a rounded value, and what the rounding lost.
    pub(crate) const NORM: usize = PLACE + 2;
    /// −‖p‖².
    pub(crate) const DISTANCE: usize = NORM + 2;
    /// 1 on the grid.
    pub(crate) const ON_GRID: usize = DISTANCE + 1;
    /// 1 for the palette.
    pub(crate) const IN_PALETTE: usize = ON_GRID + 1;
    /// 1/h².
    pub(crate) const SHARPNESS: usize = IN_PALETTE + 1;
    /// The patch of the guide over h², x of the queries.
    pub(crate) const SOUGHT: usize = SHARPNESS + 1;
    /// The patch of the noisy picture, which is averaged.
    pub(crate) const VALUE: usize = SOUGHT + PATCH;
    /// Columns of a hidden state.
    pub(crate) const ALL: usize = VALUE + PATCH;
}

/// Columns of a hidden state, `C`.
pub(crate) const WIDTH_IN: usize = column::ALL;
/// Columns of the layer's output: a patch.
pub(crate) const WIDTH_OUT: usize = PATCH;

/// In which order the patches of the grid are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Row by row.
    Raster,
    /// Tile by tile, and row by row inside a tile.
    Tiled,
}

/// Values of a patch.
pub(crate) fn patch_len() -> f32 {
    PATCH as f32
}

/// The attention problem of one step.
pub(crate) fn problem() -> Problem {
    let mut problem = Problem::self_attention(1, N, HEADS.len(), HEAD_DIM);
    problem.kv_heads = 1;
    problem.blocks = Blocks { q: BLOCK as u32, kv: BLOCK as u32 };
    problem.layout = Layout::text_back(N_PALETTE, [1, GRID[0], GRID[1]]);
    problem
}

impl Order {
    /// Raster index of each stored vision token.
    pub(crate) fn raster_indices(self) -> Vec<usize> {
        match self {
            Order::Raster => (0..N_VISION).collect(),
            Order::Tiled => {
                let tiles_across = GRID[1] / TILE;
                let raster = |n: usize| {
                    let (tile, inner) = (n / (TILE * TILE), n % (TILE * TILE));
                    let row = tile / tiles_across * TILE + inner / TILE;
                    let column = tile % tiles_across * TILE + inner % TILE;
                    row * GRID[1] + column
                };
                (0..N_VISION).map(raster).collect()
            }
        }
    }
}

/// Hidden states with keys and queries from the patches of `guide`, values from those of `noisy`, at bandwidth `h` (the root
/// of the sum of squares over a patch), in the stored order.
pub(crate) fn input(
    guide: &Picture,
    noisy: &Picture,
    palette: &Palette,
    h: f32,
    raster_indices: &[usize],
    dtype: DType,
) -> Input {
    let mut x = vec![0.0; N * WIDTH_IN];
    for (token, row) in x.chunks_exact_mut(WIDTH_IN).enumerate() {
        let (seen, value, place) = match raster_indices.get(token) {
            Some(&index) => (patch(guide, index), patch(noisy, index), Some(position(index))),
            None => {
                let flat = flat_patch(palette.0[token - N_VISION]);
                (flat, flat, None)
            }
        };
        // Distances do not change when all colours are moved; small numbers keep more of their digits in half floats.
        let seen = seen.map(|value| rounded(value - 0.5, dtype));
        write_state(row, &seen, place, (h * h).recip(), dtype);
        row[column::VALUE..][..PATCH].copy_from_slice(&value);
    }
    let (vision, palette) = x.split_at(N_VISION * WIDTH_IN);
    Input {
        vision: Tensor::from_f32(&[1, N_VISION, WIDTH_IN], dtype, vision),
        palette: Tensor::from_f32(&[1, N_PALETTE, WIDTH_IN], dtype, palette),
    }
}

/// The picture and palette that the outputs `[1, N_VISION, WIDTH_OUT]` and `[1, N_PALETTE, WIDTH_OUT]` stand for: patches
/// laid over each other and averaged.
pub(crate) fn fold(vision: &Tensor, palette: &Tensor, raster_indices: &[usize]) -> (Picture, Palette) {
    let (vision, palette) = (vision.to_f32(), palette.to_f32());
    let (mut sum, mut weight) = (vec![0.0f32; HEIGHT * WIDTH * CHANNELS], vec![0.0f32; HEIGHT * WIDTH * CHANNELS]);
    for (patch, &index) in vision.chunks_exact(PATCH).zip(raster_indices) {
        for (n, value) in patch.iter().enumerate() {
            // Outside the picture a patch repeats the border; only what lies inside is laid down.
            if let Some(at) = inside(index, n) {
                sum[at] += value;
                weight[at] += 1.0;
            }
        }
    }
    let color = |patch: &[f32]| {
        std::array::from_fn(|channel| {
            (0..SIDE * SIDE).map(|pixel| patch[pixel * CHANNELS + channel]).sum::<f32>() / (SIDE * SIDE) as f32
        })
    };
    let palette = palette.chunks_exact(PATCH).map(color).collect();
    (Picture(sum.iter().zip(&weight).map(|(sum, weight)| sum / weight).collect()), Palette(palette))
}

impl Palette {
    /// The colours of a picture by k-means over the means of its patches, started at evenly spaced luminances.
    pub(crate) fn of(picture: &Picture) -> Palette {
        const ROUNDS: usize = 4;
        let mut samples: Vec<[f32; CHANNELS]> = (0..N_VISION).map(|index| mean_color(&patch(picture, index))).collect();
        samples.sort_by(|a, b| a.iter().sum::<f32>().total_cmp(&b.iter().sum::<f32>()));
        let mut centers: Vec<[f32; CHANNELS]> =
            (0..N_PALETTE).map(|n| samples[(2 * n + 1) * N_VISION / (2 * N_PALETTE)]).collect();
        for _ in 0..ROUNDS {
            let mut sums = vec![([0.0f32; CHANNELS], 0.0f32); N_PALETTE];
            for sample in &samples {
                let distance =
                    |center: &[f32; CHANNELS]| -> f32 { center.iter().zip(sample).map(|(a, b)| (a - b).powi(2)).sum() };
                let nearest = (0..N_PALETTE)
                    .min_by(|&a, &b| distance(&centers[a]).total_cmp(&distance(&centers[b])))
                    .unwrap_or(0);
                sums[nearest].0.iter_mut().zip(sample).for_each(|(sum, value)| *sum += value);
                sums[nearest].1 += 1.0;
            }
            for (center, (sum, count)) in centers.iter_mut().zip(&sums).filter(|(_, (_, count))| *count > 0.0) {
                *center = sum.map(|value| value / count);
            }
        }
        Palette(centers)
    }
}

fn write_state(row: &mut [f32], seen: &[f32; PATCH], place: Option<[f32; 2]>, sharpness: f32, dtype: DType) {
    row[column::SEEN..][..PATCH].copy_from_slice(seen);
    let norm = seen.iter().map(|value| value * value).sum::<f32>();
    row[column::NORM] = rounded(-norm, dtype);
    row[column::NORM + 1] = -norm - row[column::NORM];
    match place {
        Some([y, x]) => {
            row[column::PLACE..][..2].copy_from_slice(&[y, x]);
            row[column::DISTANCE] = -(y * y + x * x);
            row[column::ON_GRID] = 1.0;
        }
        None => row[column::IN_PALETTE] = 1.0,
    }
    row[column::SHARPNESS] = sharpness;
    for (out, value) in row[column::SOUGHT..][..PATCH].iter_mut().zip(seen) {
        *out = value * sharpness;
    }
}

/// The patch of a raster index: the rows around it, each pixel's channels together.
pub(super) fn patch(picture: &Picture, index: usize) -> [f32; PATCH] {
    std::array::from_fn(|n| {
        let [y, x] = corner(index);
        let (row, column) = (y + (n / CHANNELS / SIDE) as isize, x + (n / CHANNELS % SIDE) as isize);
        let (row, column) = (row.clamp(0, HEIGHT as isize - 1), column.clamp(0, WIDTH as isize - 1));
        picture.0[(row as usize * WIDTH + column as usize) * CHANNELS + n % CHANNELS]
    })
}

/// Where element `n` of a patch lies in the picture, if inside.
fn inside(index: usize, n: usize) -> Option<usize> {
    let [y, x] = corner(index);
    let (row, column) = (y + (n / CHANNELS / SIDE) as isize, x + (n / CHANNELS % SIDE) as isize);
    ((0..HEIGHT as isize).contains(&row) && (0..WIDTH as isize).contains(&column))
        .then(|| (row as usize * WIDTH + column as usize) * CHANNELS + n % CHANNELS)
}

/// Upper left pixel of a patch; patches overlap by half, so the first ones reach one pixel outside.
fn corner(index: usize) -> [isize; 2] {
    let overhang = ((SIDE - STRIDE) / 2) as isize;
    [(index / GRID[1] * STRIDE) as isize - overhang, (index % GRID[1] * STRIDE) as isize - overhang]
}

/// Position on the grid relative to its centre, in units of [`POSITION_UNIT`] tokens.
pub(super) fn position(index: usize) -> [f32; 2] {
    let centered = |at: usize, extent: usize| (at as f32 - (extent as f32 - 1.0) / 2.0) / POSITION_UNIT;
    [centered(index / GRID[1], GRID[0]), centered(index % GRID[1], GRID[1])]
}

fn flat_patch(color: [f32; CHANNELS]) -> [f32; PATCH] {
    std::array::from_fn(|n| color[n % CHANNELS])
}

fn mean_color(patch: &[f32; PATCH]) -> [f32; CHANNELS] {
    std::array::from_fn(|channel| patch.iter().skip(channel).step_by(CHANNELS).sum::<f32>() / (SIDE * SIDE) as f32)
}

/// The value as a device of this type will read it.
fn rounded(value: f32, dtype: DType) -> f32 {
    match dtype {
        DType::F32 => value,
        DType::F16 => f16::from_f32(value).to_f32(),
        DType::Bf16 => half::bf16::from_f32(value).to_f32(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_visit_every_token_once() {
        let mut indices = Order::Tiled.raster_indices();
        assert_eq!(indices[TILE], GRID[1], "the second row of the first tile starts below the first");
        indices.sort_unstable();
        assert_eq!(indices, Order::Raster.raster_indices());
    }

    #[test]
    fn folding_the_patches_of_a_picture_gives_the_picture() {
        let picture = Picture((0..HEIGHT * WIDTH * CHANNELS).map(|n| (n % 251) as f32 / 250.0).collect());
        let palette = Palette::of(&picture);
        let order = Order::Tiled.raster_indices();
        let Input { vision, palette: flat } = input(&picture, &picture, &palette, 1.0, &order, DType::F32);
        let values = |x: &Tensor| {
            let x = x.to_f32();
            let values: Vec<f32> = x.chunks(WIDTH_IN).flat_map(|row| row[column::VALUE..][..PATCH].to_vec()).collect();
            Tensor::from_f32(&[1, values.len() / PATCH, PATCH], DType::F32, &values)
        };
        let (folded, colors) = fold(&values(&vision), &values(&flat), &order);
        assert!(folded.0.iter().zip(&picture.0).all(|(a, b)| (a - b).abs() < 1e-6));
        assert!(colors.0.iter().flatten().zip(palette.0.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
