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
use crate::text::Template;

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

    /// The file that opens with the header: that of the room itself, which is launched last.
    fn header(&self, launches: &[Step]) -> &'static Template {
        launches.last().expect("the room itself is launched").text.template
    }
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
    /// What the kernel could have and does not, for the header.
    pub absent: Vec<&'static str>,
}

impl Draft {
    /// Of a kernel that no rule of a strategy shapes.
    fn without_rules(launches: Vec<Step>, fields: Vec<Field>, absent: Vec<&'static str>) -> Draft {
        Draft { rules: Value::UNDEFINED, functions: String::new(), launches, fields, absent }
    }
}
