//! The registry of findings. `docs/errors.md` is generated from it, and every code has a test.

/// Stage at which a kind of mistake is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// S1xx: the text is not a strategy.
    Syntax,
    /// S2xx: names, types, granularity.
    Meaning,
    /// S3xx: rules that are dead, shadowed or contradictory.
    Rules,
    /// S4xx: schedule and reuse.
    Schedule,
    /// S5xx: shapes and values of a call.
    Shape,
    /// S6xx: what a GPU target can hold.
    Target,
}

macro_rules! codes {
    ($($family:ident { $($name:ident = $id:literal, $title:literal, $text:literal;)* })*) => {
        /// A kind of mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $title] $name,)*)*
        }

        impl Code {
            /// All codes in order.
            pub const ALL: &[Code] = &[$($(Code::$name,)*)*];

            /// The stable identifier, for instance `S301`.
            pub fn id(self) -> &'static str {
                match self { $($(Code::$name => $id,)*)* }
            }

            /// A few words that name the mistake.
            pub fn title(self) -> &'static str {
                match self { $($(Code::$name => $title,)*)* }
            }

            /// A paragraph for the manual: what it means and what to do.
            pub fn explanation(self) -> &'static str {
                match self { $($(Code::$name => $text,)*)* }
            }

            /// The stage that finds it.
            pub fn family(self) -> Family {
                match self { $($(Code::$name => Family::$family,)*)* }
            }
        }
    };
}

codes! {
    Shape {
        TensorShape = "S501", "tensor of the wrong shape",
            "A tensor's rank or an extent does not fit the problem. Shapes are q and o [B, N, H, D], k and v [B, N_kv, H_kv, D].";
        TensorType = "S502", "tensor of the wrong type",
            "q, k, v and cached features of one call share one float type.";
        HeadGroups = "S503", "heads do not form groups",
            "H must be a multiple of H_kv: each group of H / H_kv query heads shares a kv head.";
        BlockSize = "S504", "block size that cannot be used",
            "Blocks are positive multiples of 16 tokens; on a GPU a legal tile must divide them.";
        TokenLayout = "S505", "token layout does not fit",
            "The named ranges of the strategy must be present in the problem's layout and add up to its tokens; a grid's extents must multiply to the tokens of its range.";
        TileLayout = "S506", "tiles do not fit the grid",
            "A rule over blocks reads tile coordinates, so every block must lie inside one tile: tiles divide the grid, blocks divide a tile, and the range starts on a block boundary.";
        ParamValue = "S507", "param out of range",
            "A param's value lies outside the range that the strategy declares, or is of another type.";
        UnknownName = "S508", "no such param, table or input",
            "The name is not declared by the strategy.";
        TableShape = "S509", "table of the wrong shape",
            "A table needs one extent for each declared axis, and one entry for each combination; triples have a last extent of 3.";
        InputShape = "S510", "input of the wrong shape",
            "An input needs one value for each batch item and token: [B, N].";
        SymbolShape = "S511", "symbol of the wrong shape",
            "S_c is [B, H, T_q] and S_s is [B, H, T_q, T_kv], with T = ceil(N / block).";
        CacheMissing = "S512", "cached rows without a cache",
            "A forecast needs one feature tensor for each coefficient.";
        SequenceLengths = "S513", "index pointers that do not fit",
            "Ragged batches are given by index pointers that start at 0, never fall and end at the number of tokens.";
    }
    Target {
        UnknownTarget = "S601", "unknown GPU target",
            "Kernels are generated for the architectures that `sparsym doctor` lists.";
        NoTile = "S602", "no legal tile",
            "A kernel's tile divides both blocks and fits the shared memory and registers of the target.";
        HeadDimension = "S603", "head dimension without a kernel",
            "Kernels exist for head dimensions 64, 96, 128 and 256. Others can be padded with zeros.";
        KernelType = "S604", "type without a kernel",
            "GPU kernels take bf16 and f16; the reference and cpu devices also take f32.";
        RoomNotAvailable = "S605", "room that cannot be generated",
            "This version generates the room attention and, for strategies with static rules, the room symbols.";
    }
}
