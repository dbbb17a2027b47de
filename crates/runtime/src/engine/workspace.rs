//! What the rooms of a step hand to each other; nothing of it outlives the step.

use std::sync::Arc;

use sparsym_ir::strategy::Strategy;
use sparsym_ir::symbols::BitRows;
use sparsym_ir::{DType, Problem};

use crate::device::session::{Array, BitArray, Session, SymbolArrays};
use crate::error::Error;

/// Extents of a workspace: layers with equal ones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Shape of Q and O.
    pub(super) q: [usize; 4],
    /// Shape of K and V.
    pub(super) kv: [usize; 4],
    /// Blocks of queries and of keys.
    pub(super) blocks: [usize; 2],
    /// Type of activations.
    pub(super) dtype: DType,
    /// Whether rules write S_c, and S_s, and a mask S_f. A kernel leaves alone what its rules do not write, so layers share
    /// symbols only with those that write the same.
    pub(super) writes: [bool; 3],
    /// Whether GEMM-Q writes block means.
    pub(super) means: bool,
    /// Whether Q, K, V and O are made here.
    pub(super) projected: bool,
}

/// Activations between the rooms.
#[derive(Debug)]
pub(super) struct Workspace {
    sizes: Sizes,
    activations: Option<Activations>,
    pub(super) lse: Array,
    /// Means of the blocks of Q and K.
    pub(super) means: Option<[Array; 2]>,
    /// S_c of a step that computes every row.
    pub(super) every_row: BitArray,
    /// S_s of a step that computes every pair.
    pub(super) every_pair: BitArray,
    /// Symbols that hold for this step alone.
    pub(super) symbols: SymbolArrays,
}

/// What projections make and take.
#[derive(Debug)]
struct Activations {
    q: Array,
    k: Array,
    v: Array,
    /// Of a Dispatch, and of an Update whose output nobody remembers.
    o: Array,
}

impl Sizes {
    /// Of a layer that is given Q, K and V.
    pub(super) fn without_projections(problem: &Problem, dtype: DType, strategy: &Strategy) -> Sizes {
        Sizes { projected: false, ..Sizes::of(problem, dtype, strategy, false) }
    }

    /// Of a problem with activations of this type.
    pub(super) fn of(problem: &Problem, dtype: DType, strategy: &Strategy, means: bool) -> Sizes {
        let blocks = [problem.q_blocks(), problem.kv_blocks()];
        let writes = [strategy.caches(), strategy.skips(), strategy.mask.is_some()];
        Sizes { q: problem.q_shape(), kv: problem.kv_shape(), blocks, dtype, writes, means, projected: true }
    }
}

impl Workspace {
    pub(super) fn new(session: &Arc<dyn Session>, sizes: Sizes) -> Result<Workspace, Error> {
        let ([b, n, h, d], [_, _, h_kv, _], [t_q, t_kv]) = (sizes.q, sizes.kv, sizes.blocks);
        let array = |name: &str, shape: &[usize], dtype| Array::new(session, name, shape, dtype);
        let means = |name: &str, heads, blocks| array(name, &[b, heads, blocks, d], DType::F32);
        let pairs = BitRows::ones(b * h * t_q, t_kv);
        let symbols = SymbolArrays {
            cache: BitArray::place(session, "s_c", &BitRows::ones(b * t_q, h))?,
            skip: BitArray::place(session, "s_s", &pairs)?,
            full: sizes.writes[2].then(|| BitArray::place(session, "s_f", &pairs)).transpose()?,
        };
        Ok(Workspace {
            activations: match sizes.projected {
                true => Some(Activations {
                    q: array("q", &sizes.q, sizes.dtype)?,
                    k: array("k", &sizes.kv, sizes.dtype)?,
                    v: array("v", &sizes.kv, sizes.dtype)?,
                    o: array("o", &sizes.q, sizes.dtype)?,
                }),
                false => None,
            },
            lse: array("lse", &[b, h, n], DType::F32)?,
            means: match sizes.means {
                true => Some([means("means of q", h, t_q)?, means("means of k", h_kv, t_kv)?]),
                false => None,
            },
            every_row: BitArray::place(session, "every row", &BitRows::ones(b * t_q, h))?,
            every_pair: BitArray::place(session, "every pair", &pairs)?,
            symbols,
            sizes,
        })
    }

    pub(super) fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// Q, K and V of a layer with projections.
    pub(super) fn qkv(&self) -> [&Array; 3] {
        let Activations { q, k, v, .. } = self.activations();
        [q, k, v]
    }

    /// O of a layer with projections.
    pub(super) fn o(&self) -> &Array {
        &self.activations().o
    }

    fn activations(&self) -> &Activations {
        self.activations.as_ref().expect("sizes of layers with projections say so")
    }

    /// Bytes on the device.
    pub(super) fn bytes(&self) -> usize {
        let activations = self.activations.iter().flat_map(|Activations { q, k, v, o }| [q, k, v, o]);
        let arrays = activations.chain([&self.lse]).chain(self.means.iter().flatten());
        arrays.map(Array::bytes).sum::<usize>()
            + self.every_row.bytes()
            + self.every_pair.bytes()
            + self.symbols.bytes()
    }
}
