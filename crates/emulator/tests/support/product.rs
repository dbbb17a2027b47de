//! Kernels of one `wgmma`, and where the PTX ISA puts every element of its operands.

#![allow(dead_code)]

use std::fmt::Write;

/// What every text begins with.
pub(crate) const HEAD: &str = ".version 8.8\n.target sm_90a\n.address_size 64\n";

/// Rows of D.
pub(crate) const M: usize = 64;

/// A type of element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    F16,
    Bf16,
    Tf32,
    F32,
    E4m3,
    E5m2,
    S8,
    U8,
    S32,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::F16 => "f16",
            Kind::Bf16 => "bf16",
            Kind::Tf32 => "tf32",
            Kind::F32 => "f32",
            Kind::E4m3 => "e4m3",
            Kind::E5m2 => "e5m2",
            Kind::S8 => "s8",
            Kind::U8 => "u8",
            Kind::S32 => "s32",
        }
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Kind::F16 | Kind::Bf16 => 2,
            Kind::Tf32 | Kind::F32 | Kind::S32 => 4,
            Kind::E4m3 | Kind::E5m2 | Kind::S8 | Kind::U8 => 1,
        }
    }

    /// The bits of a whole number that the type holds.
    pub(crate) fn bits(self, value: i32) -> u32 {
        let float = |fraction: u32, bias: u32, sign: u32| match value.unsigned_abs() {
            0 => 0,
            magnitude => {
                let exponent = magnitude.ilog2();
                let rest = (u64::from(magnitude) << fraction >> exponent) as u32;
                assert_eq!(u64::from(rest) << exponent >> fraction, u64::from(magnitude), "{self:?} has no {value}");
                (rest - (1 << fraction)) | (exponent + bias) << fraction | u32::from(value < 0) << sign
            }
        };
        match self {
            Kind::F16 => float(10, 15, 15),
            Kind::Bf16 => float(7, 127, 15),
            Kind::Tf32 | Kind::F32 => float(23, 127, 31),
            Kind::E4m3 => float(3, 7, 7),
            Kind::E5m2 => float(2, 15, 7),
            Kind::S8 | Kind::U8 => value as u32 & 0xFF,
            Kind::S32 => value as u32,
        }
    }
}

/// How an operand lies in shared memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    /// Bytes of a row of the swizzle; 16: none.
    pub(crate) span: usize,
    /// Whether memory runs along the rows of A or the columns of B.
    pub(crate) transposed: bool,
    /// Where it begins, from the start of the variable.
    pub(crate) start: usize,
    pub(crate) leading: usize,
    pub(crate) stride: usize,
}

impl Tile {
    /// Strides for a dense tile of so many rows (columns, of B), with some room between its parts.
    pub(crate) fn new(span: usize, transposed: bool, start: usize) -> Tile {
        let (leading, stride) = match (span, transposed) {
            // 8 rows of 16 bytes, then the next 16 bytes of the depth, then the next 8 rows.
            (16, false) => (128, 272),
            // 8 steps of the depth of 16 bytes; the next 8 rows; then the next 8 steps.
            (16, true) => (4736, 144),
            (span, false) => (16, 8 * span),
            (span, true) => (16 * span, 8 * span),
        };
        Tile { span, transposed, start, leading, stride }
    }

    /// The byte of an element of so many bytes, in a variable that begins at a multiple of 1024.
    pub(crate) fn byte(&self, row: usize, k: usize, bytes: usize) -> usize {
        let Tile { span, leading, stride, .. } = *self;
        let per_chunk = 16 / bytes;
        let plain = match (span, self.transposed) {
            (16, false) => row % 8 * 16 + row / 8 * stride + k % per_chunk * bytes + k / per_chunk * leading,
            (16, true) => row % 8 * 2 + row / 8 * stride + k % 8 * 16 + k / 8 * leading,
            (_, false) => row % 8 * span + row / 8 * stride + k * bytes,
            (_, true) => {
                let width = span / 2;
                row % width * 2 + row / width * leading + k % 8 * span + k / 8 * stride
            }
        };
        let at = self.start + plain;
        at ^ (((at >> 7) & (span / 16 - 1)) << 4)
    }

    /// The descriptor, but for the address of the variable.
    pub(crate) fn descriptor(&self) -> u64 {
        let swizzle = match self.span {
            128 => 1,
            64 => 2,
            32 => 3,
            _ => 0,
        };
        (self.start as u64 >> 4) | (self.leading as u64 >> 4) << 16 | (self.stride as u64 >> 4) << 32 | swizzle << 62
    }
}

/// One product, run by a warpgroup.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) columns: usize,
    pub(crate) sum: Kind,
    pub(crate) a: Kind,
    pub(crate) b: Kind,
    /// None: in registers.
    pub(crate) tile_a: Option<Tile>,
    pub(crate) tile_b: Tile,
    pub(crate) adds: bool,
    pub(crate) negates: [bool; 2],
    pub(crate) clamps: bool,
}

impl Case {
    pub(crate) fn new(columns: usize, sum: Kind, a: Kind, b: Kind) -> Case {
        Case {
            columns,
            sum,
            a,
            b,
            tile_a: Some(Tile::new(128, false, 0)),
            tile_b: Tile::new(128, false, 8192),
            adds: true,
            negates: [false; 2],
            clamps: false,
        }
    }

    pub(crate) fn depth(&self) -> usize {
        32 / self.a.bytes()
    }

    /// Registers of D of a thread.
    pub(crate) fn registers(&self) -> usize {
        self.columns / 2 * self.sum.bytes() / 4
    }

    pub(crate) fn instruction(&self) -> String {
        let Case { columns, sum, a, b, clamps, .. } = self;
        let sums: Vec<String> = (0..self.registers()).map(|at| format!("%d{at}")).collect();
        let satfinite = if *clamps { ".satfinite" } else { "" };
        let mut text = format!(
            "wgmma.mma_async.sync.aligned.m64n{columns}k{}{satfinite}.{}.{}.{} {{{}}}, {}, %l2, %p0",
            self.depth(),
            sum.name(),
            a.name(),
            b.name(),
            sums.join(", "),
            if self.tile_a.is_some() { "%l1" } else { "{%a0, %a1, %a2, %a3}" },
        );
        if *sum != Kind::S32 {
            self.negates.iter().for_each(|negated| text += if *negated { ", -1" } else { ", 1" });
        }
        if a.bytes() == 2 {
            for tile in self.tile_a.iter().chain([&self.tile_b]) {
                text += if tile.transposed { ", 1" } else { ", 0" };
            }
        }
        text + ";"
    }

    /// A kernel of 128 threads. Each is given its registers of D and of A; before them stands what shared memory holds.
    pub(crate) fn text(&self, name: &str, words: usize, body: &str) -> String {
        let mut text = format!(
            ".visible .entry {name}(.param .u64 given, .param .u64 out) {{
    .reg .pred %p<2>;
    .reg .b32 %t, %r<4>, %d<128>, %a<4>;
    .reg .b64 %given, %out, %l<8>;
    .shared .align 1024 .b8 tile[{}];
    ld.param.u64 %given, [given];
    ld.param.u64 %out, [out];
    mov.u32 %t, %tid.x;
    mov.u32 %r0, %t;
COPY:
    mad.wide.u32 %l0, %r0, 4, %given;
    ld.global.u32 %r1, [%l0];
    mad.lo.u32 %r2, %r0, 4, tile;
    st.shared.u32 [%r2], %r1;
    add.u32 %r0, %r0, 128;
    setp.lt.u32 %p0, %r0, {words};
    @%p0 bra COPY;
    fence.proxy.async.shared::cta;
    bar.sync 0;
    mad.wide.u32 %l0, %t, {}, %given;\n",
            4 * words,
            4 * (self.registers() + 4),
        );
        for at in 0..self.registers() {
            let _ = writeln!(text, "    ld.global.u32 %d{at}, [%l0+{}];", 4 * (words + at));
        }
        for at in 0..4 {
            let _ = writeln!(text, "    ld.global.u32 %a{at}, [%l0+{}];", 4 * (words + self.registers() + at));
        }
        let descriptor = |tile: &Tile| tile.descriptor();
        let _ = write!(
            text,
            "    mov.u32 %r0, tile;
    shr.u32 %r0, %r0, 4;
    cvt.u64.u32 %l1, %r0;
    add.s64 %l2, %l1, {};
    add.s64 %l1, %l1, {};
    setp.ne.u32 %p0, {}, 0;
{body}
    mad.wide.u32 %l0, %t, {}, %out;\n",
            descriptor(&self.tile_b) as i64,
            self.tile_a.as_ref().map_or(0, descriptor) as i64,
            u32::from(self.adds),
            4 * self.registers(),
        );
        for at in 0..self.registers() {
            let _ = writeln!(text, "    st.global.u32 [%l0+{}], %d{at};", 4 * at);
        }
        text + "    ret;\n}\n"
    }

    /// Row and column of the elements that a register of a thread holds: one, or two halves.
    pub(crate) fn places(&self, thread: usize, register: usize) -> Vec<(usize, usize)> {
        let per_word = 4 / self.sum.bytes();
        let (warp, lane) = (thread / 32, thread % 32);
        let first = register * per_word;
        (first..first + per_word)
            .map(|at| (16 * warp + lane / 4 + 8 * (at >> 1 & 1), 8 * (at >> 2) + 2 * (lane % 4) + (at & 1)))
            .collect()
    }

    /// What the kernel is given for these matrices.
    pub(crate) fn given(
        &self,
        a: &dyn Fn(usize, usize) -> i32,
        b: &dyn Fn(usize, usize) -> i32,
        c: &dyn Fn(usize, usize) -> i32,
    ) -> (Vec<u32>, usize) {
        let mut bytes = Vec::new();
        let mut put = |at: usize, kind: Kind, value: i32| {
            bytes.resize(bytes.len().max(at + kind.bytes()), 0);
            bytes[at..at + kind.bytes()].copy_from_slice(&kind.bits(value).to_le_bytes()[..kind.bytes()]);
        };
        for k in 0..self.depth() {
            if let Some(tile) = self.tile_a {
                (0..M).for_each(|row| put(tile.byte(row, k, self.a.bytes()), self.a, a(row, k)));
            }
            for column in 0..self.columns {
                put(self.tile_b.byte(column, k, self.b.bytes()), self.b, b(k, column));
            }
        }
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        let mut words: Vec<u32> = bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
        let shared = words.len();
        for thread in 0..128 {
            for register in 0..self.registers() {
                let width = 8 * self.sum.bytes();
                let places = self.places(thread, register).into_iter().enumerate();
                words.push(
                    places.fold(0, |word, (at, (row, column))| word | self.sum.bits(c(row, column)) << (at * width)),
                );
            }
            for register in 0..4 {
                let per_word = 4 / self.a.bytes();
                let row = 16 * (thread / 32) + thread % 32 / 4 + 8 * (register % 2);
                let first = (thread % 4 + 4 * (register / 2)) * per_word;
                let element = |at: usize| self.a.bits(a(row, first + at)) << (at * 8 * self.a.bytes());
                words.push((0..per_word).map(element).fold(0, |word, element| word | element));
            }
        }
        (words, shared)
    }

    /// What a product needs around it.
    pub(crate) fn body(&self) -> String {
        format!(
            "wgmma.fence.sync.aligned;\n{}\nwgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;",
            self.instruction()
        )
    }
}
