//! The rooms, a file each. Each says with the same functions what its kernel is: `plan` chooses the constants, `fields` lists
//! what the text may read of the parameter struct, `launches` makes the functions, `absent` names what is left out.

pub(crate) mod attention;
pub(crate) mod gemm;
pub(crate) mod gemm_o;
pub(crate) mod gemm_q;
pub(crate) mod symbols;

use minijinja::Value;
use sparsym_ir::Findings;

use crate::kernel::Step;
use crate::params::Field;
use crate::plan::Plan;
use crate::request::Request;

/// What a room makes of a request.
pub(crate) trait Room {
    /// The constants that only this room has.
    type Plan;

    /// Chooses all constants.
    ///
    /// # Errors
    /// Findings S602 to S605: what does not fit, and what would.
    fn plan(&self, request: &Request<'_>) -> Result<Plan<Self::Plan>, Findings>;

    /// Everything that the text is made of.
    fn draft(&self, plan: &Plan<Self::Plan>) -> Draft;
}

/// What the text of a planned kernel is made of.
pub(crate) struct Draft {
    /// What templates read as `rules`.
    pub rules: Value,
    /// Functions that several launches call.
    pub functions: String,
    /// Launches in order.
    pub launches: Vec<Step>,
    /// What the text may read, in the order of the struct.
    pub fields: Vec<Field>,
    /// The lines that open the text: what it computes, leaves, skips, and what is absent from it.
    pub header: Vec<String>,
}

/// The line of a header that names the launches of a kernel, if there are several.
fn launches_line<R>(plan: &Plan<R>, launches: &[Step]) -> Option<String> {
    let first = format!("{}_", plan.name);
    let names: Vec<&str> = launches.iter().map(|step| step.launch.entry.trim_start_matches(&first)).collect();
    (names.len() > 1).then(|| format!("launches   {}", names.join(", ")))
}
