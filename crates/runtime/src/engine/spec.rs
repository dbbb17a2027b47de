//! What a layer is made of, beside its weights, and where it stands.

use sparsym_ir::Problem;
use sparsym_ir::bind::Bindings;
use sparsym_ir::strategy::Strategy;

/// What a layer is made of, beside its weights.
#[derive(Clone, Debug)]
pub struct LayerSpec {
    /// The rules.
    pub strategy: Strategy,
    /// Shapes of the joint sequence; N = N_kv.
    pub problem: Problem,
    /// Values of params, tables and inputs.
    pub bindings: Bindings,
    /// Where the layer stands.
    pub place: LayerPlace,
}

/// Where a layer stands in the model and how long the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerPlace {
    /// Index of the layer.
    pub layer: u32,
    /// Denoising steps of the run.
    pub steps: u32,
}
