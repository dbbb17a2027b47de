//! P_k = Σ over cached heads of D^k_h·W_hᵀ: one projection for each order, with the same weights.

use sparsym_ir::projection::Summed;
use sparsym_ir::{DifferencesCall, Tensor};

use crate::element::Element;
use crate::gemm_o::{Projection, Results, Source, project};

/// Writes the partials of a checked call.
pub(crate) fn run<T: Element>(call: &DifferencesCall, partials: &mut [&mut Tensor]) {
    let of_order = |(weights, partial): (&Vec<f32>, _)| {
        let outputs = call.outputs.iter().map(|output| T::elements(output)).zip(weights.iter().copied());
        let projection = Projection {
            stream: call.stream,
            source: Source::Difference(outputs.collect()),
            w: T::elements(call.w),
            bias: None,
            known: Vec::new(),
            s_c: Some(call.s_c),
            summed: Summed::Cached,
        };
        (projection, Results { y: partial, partial: None })
    };
    let partials = partials.iter_mut().map(|partial| T::elements_mut(partial));
    project(&mut call.weights.iter().zip(partials).map(of_order).collect::<Vec<_>>());
}
