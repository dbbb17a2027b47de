//! DiTFastAttnV2: each head at each step is full, an arrow (a band of tokens, with text seeing and seen by all), or takes
//! its output from before. A calibrated table says which.
//!
//! The only strategy here that mixes reuse, partial blocks and a table. The table comes from a search on a few prompts and
//! belongs to one model at one resolution: the default says full everywhere. Fails when used with the table of another
//! model.
//!
//! Source: DiTFastAttnV2, arXiv 2503.22796, after thu-nics/DiTFastAttnV2. There a head's memory is its output of the last
//! step at which it was computed; here it is that of the last Update, at which all heads are computed.

use sparsym_dsl::strategy;

strategy! {
    /// Each head is full, an arrow of some width, or reused, by a table.
    pub DitfastattnV2 {
        /// Tokens seen on each side; -1: all, 0: reuse the last output.
        table width: [step, layer, head] of i32;
        /// Steps from one refresh of all heads to the next.
        param interval: u32 in 1.. = 2;

        tokens text, vision;
        mask q, kv => q in text || kv in text || width < 0 || abs(q.pos - kv.pos) <= width;
        cache q where width == 0 by hold;
        update when step == 0 || since_update == interval;
    }
}
