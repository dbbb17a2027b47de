//! What rules read, as bytes; and what buffers are called.

use std::borrow::Cow;

use sparsym_codegen::{Buffer, Kernel, Source};
use sparsym_ir::bind::Bound;
use sparsym_ir::strategy::{Element, Scalar};
use sparsym_ir::{Code, Finding, Findings};

/// CTAs of a launch along y and z; and what a list of tiles has for a head are 16 bits.
pub(super) const MOST_CTAS_YZ: usize = 65_535;

/// Kernels count tokens in 32 bits, and the driver limits the CTAs along an axis.
pub(super) fn check_extents(bound: &Bound<'_>) -> Result<(), Findings> {
    let problem = bound.problem;
    let mut findings = Findings::new();
    let rows = |shape: [usize; 4]| shape[0].saturating_mul(shape[1]);
    for (name, extent, most) in [
        ("tokens of all queries", rows(problem.q_shape()), i32::MAX as usize),
        ("tokens of all keys", rows(problem.kv_shape()), i32::MAX as usize),
        ("query heads", problem.heads, MOST_CTAS_YZ),
        ("batch items", problem.batch, MOST_CTAS_YZ),
    ] {
        if extent > most {
            findings.push(Finding::new(
                Code::TensorShape,
                format!("{extent} {name} are too many for one launch"),
                format!("split the call by batch items, or by heads where no rule reads `head`; a launch takes {most} at most"),
            ));
        }
    }
    findings.into_result(())
}

/// What rules read.
pub(super) fn of_rules<'a>(buffer: Buffer, bound: &'a Bound<'_>) -> Option<Cow<'a, [u8]>> {
    let numbers = |scalar: Scalar, values: &'a [f32]| -> Cow<'a, [u8]> {
        match scalar {
            Scalar::F32 => Cow::Borrowed(bytemuck::cast_slice(values)),
            Scalar::U32 | Scalar::I32 | Scalar::Bool => {
                let whole: Vec<i32> = values.iter().map(|&value| value as i32).collect();
                Cow::Owned(bytemuck::cast_slice(&whole).to_vec())
            }
        }
    };
    let ragged = bound.problem.ragged.as_ref();
    Some(match buffer {
        Buffer::Table(index) => {
            let (Element::One(scalar) | Element::Three(scalar)) = bound.strategy.tables[index].element;
            numbers(scalar, &bound.bindings.tables[index].values)
        }
        Buffer::Input(index) => numbers(bound.strategy.inputs[index].scalar, &bound.bindings.inputs[index].values),
        // Below 2^31 by `check_extents`, so the bits of u32 and i32 are the same.
        Buffer::QIndptr => Cow::Borrowed(bytemuck::cast_slice(&ragged?.q)),
        Buffer::KvIndptr => Cow::Borrowed(bytemuck::cast_slice(&ragged?.kv)),
        _ => return None,
    })
}

/// The name of a buffer in reports: as the kernel's text spells the field that points to it.
pub(super) fn name(buffer: Buffer, kernel: &Kernel) -> String {
    let pointer = kernel.params.fields.iter().find(|field| field.source == Source::Buffer(buffer));
    match (buffer, pointer) {
        (Buffer::Feature(index), _) => format!("features[{index}]"),
        (_, Some(field)) => field.name.trim_end_matches("_out").to_owned(),
        (other, None) => format!("{other:?}"),
    }
}
