//! A mask or a score for rows of kv tokens: the expression with everything folded that is the same for a batch item and
//! head, evaluated operation by operation over slices.

use crate::bind::{Bound, Moment};
use crate::expr::{BinaryOp, Coordinate, Expr, ExprKind, Function, Side, Type, UnaryOp};

use super::scalar::{self, Datum, Place, Scope};

/// Tokens that one operation works on before the next one starts; the operands stay in the first-level cache.
const CHUNK: usize = 128;

/// An expression over token pairs of one batch item and head, ready to be evaluated for many of them.
///
/// ```
/// use sparsym_ir::eval::Prepared;
/// use sparsym_ir::expr::{BinaryOp, Coordinate, Expr, ExprKind, Side, Type};
/// use sparsym_ir::{Bindings, Bound, Moment, Problem, Span, Strategy};
///
/// let expr = |kind, ty| Expr { kind, ty, span: Span::default() };
/// let pos = |side| Box::new(expr(ExprKind::Coordinate(side, Coordinate::Pos), Type::Int));
/// let causal = expr(ExprKind::Binary(BinaryOp::Le, pos(Side::Kv), pos(Side::Q)), Type::Bool);
///
/// let (strategy, problem) = (Strategy::dense(), Problem::self_attention(1, 8, 1, 64));
/// let bindings = Bindings::default();
/// let bound = Bound::new(&strategy, &problem, &bindings).unwrap();
/// let prepared = Prepared::new(&bound, Moment::default(), 0, 0, &causal);
/// let mut row = [false; 4];
/// prepared.mask_row(3, 2, &mut row); // token 3 against tokens 2, 3, 4, 5
/// assert_eq!(row, [true, true, false, false]);
/// ```
#[derive(Clone, Debug)]
pub struct Prepared<'a> {
    scope: Scope<'a>,
    root: Node<'a>,
}

impl<'a> Prepared<'a> {
    /// Folds `expr` for batch item `b` and head `h`.
    pub fn new(bound: &'a Bound<'a>, moment: Moment, b: usize, h: usize, expr: &Expr) -> Prepared<'a> {
        let scope = Scope { bound, moment, b, h, place: Place::Tokens { q: 0, kv: 0, logit: f32::NAN }, maps: None };
        Prepared { scope, root: Node::new(&scope, expr) }
    }

    /// Folds a condition over the block pairs of a scope. In what follows read block for token.
    pub(crate) fn of_blocks(scope: &Scope<'a>, expr: &Expr) -> Prepared<'a> {
        let scope = Scope { place: Place::Blocks { q: 0, kv: 0 }, ..*scope };
        Prepared { scope, root: Node::new(&scope, expr) }
    }

    /// Folds an expression over the groups of a block sum, whose antidiagonal products are the logits of
    /// [`score_row`](Self::score_row). In what follows read group for token.
    pub(crate) fn of_groups(scope: &Scope<'a>, expr: &Expr) -> Prepared<'a> {
        let scope = Scope { place: Place::Groups { q: 0, kv: 0, antidiag: f32::NAN }, ..*scope };
        Prepared { scope, root: Node::new(&scope, expr) }
    }

    /// Evaluates a bool expression for token `q` and the kv tokens from `kv` on, one for each element of `out`.
    pub fn mask_row(&self, q: usize, kv: usize, out: &mut [bool]) {
        for (chunk, out) in out.chunks_mut(CHUNK).enumerate() {
            self.row(q, kv + chunk * CHUNK, &[]).bools(&self.root, out);
        }
    }

    /// Evaluates a score for token `q` and the kv tokens from `kv` on: reads scaled logits and replaces them.
    pub fn score_row(&self, q: usize, kv: usize, logits: &mut [f32]) {
        let mut scaled = [0.0; CHUNK];
        for (chunk, out) in logits.chunks_mut(CHUNK).enumerate() {
            let scaled = &mut scaled[..out.len()];
            scaled.copy_from_slice(out);
            self.row(q, kv + chunk * CHUNK, scaled).floats(&self.root, out);
        }
    }

    fn row<'r>(&self, q: usize, kv: usize, logits: &'r [f32]) -> Row<'a, 'r> {
        Row { scope: self.scope.at(q, kv, f32::NAN), kv, logits }
    }
}

/// An expression sorted by what it needs for a row.
#[derive(Clone, Debug)]
enum Node<'a> {
    /// The same for all token pairs.
    Constant(Datum),
    /// Reads q only: evaluated once for a row.
    Row(Expr),
    /// A bool that reads nothing of kv but its tile: evaluated once for a run of tokens in one tile.
    Tile(Expr),
    /// Rare forms: evaluated for each token.
    Token(Expr),
    Logit,
    Pos,
    Grid(Coordinate),
    InRange(usize, usize),
    Input(&'a [f32]),
    Unary(UnaryOp, Box<Node<'a>>),
    /// The type is that of the operands.
    Binary(BinaryOp, Type, Box<[Node<'a>; 2]>),
    Call(Function, Vec<Node<'a>>),
}

impl<'a> Node<'a> {
    fn new(scope: &Scope<'a>, expr: &Expr) -> Node<'a> {
        let expr = expr.value();
        let logit = expr.any(|e| matches!(e.kind, ExprKind::Logit | ExprKind::Antidiag));
        let data = expr.reads_data();
        let free = expr.free_sides();
        if free == [false; 2] && !logit && !data {
            return Node::Constant(scope.eval(expr));
        }
        if !free[Side::Kv as usize] && !logit {
            return Node::Row(expr.clone());
        }
        let tokens = matches!(scope.place, Place::Tokens { .. });
        let triples = expr.children().iter().any(|child| child.ty == Type::Triple);
        if triples {
            let tile = |e: &Expr| matches!(e.kind, ExprKind::Coordinate(Side::Kv, Coordinate::Tile));
            let by_tile = tokens && expr.ty == Type::Bool && !logit && !expr.any(|e| reads_kv(e) && !tile(e));
            return if by_tile { Node::Tile(expr.clone()) } else { Node::Token(expr.clone()) };
        }
        match &expr.kind {
            ExprKind::Logit | ExprKind::Antidiag => Node::Logit,
            ExprKind::Coordinate(Side::Kv, Coordinate::Pos | Coordinate::Block) => Node::Pos,
            ExprKind::Coordinate(Side::Kv, axis @ (Coordinate::T | Coordinate::H | Coordinate::W)) => Node::Grid(*axis),
            ExprKind::InRange(Side::Kv, id) if tokens => {
                let (start, len) = scope.bound.geometry.ranges[id.0];
                Node::InRange(start, start + len)
            }
            ExprKind::Input(id, Side::Kv) => Node::Input(scope.input_row(*id, Side::Kv)),
            ExprKind::Unary(op, a) => Node::Unary(*op, Box::new(Node::new(scope, a))),
            ExprKind::Binary(op, a, b) => Node::Binary(*op, a.ty, Box::new([Node::new(scope, a), Node::new(scope, b)])),
            ExprKind::Call(function, args) => {
                Node::Call(*function, args.iter().map(|arg| Node::new(scope, arg)).collect())
            }
            _ => Node::Token(expr.clone()),
        }
    }
}

fn reads_kv(expr: &Expr) -> bool {
    matches!(
        expr.kind,
        ExprKind::Coordinate(Side::Kv, _) | ExprKind::InRange(Side::Kv, _) | ExprKind::Input(_, Side::Kv)
    )
}

/// Right operand of an operation over a chunk.
enum Right<'r, T> {
    One(T),
    Many(&'r [T]),
}

/// One token of q against a chunk of kv tokens.
struct Row<'a, 'r> {
    scope: Scope<'a>,
    /// First of the chunk.
    kv: usize,
    logits: &'r [f32],
}

impl Row<'_, '_> {
    /// The value of a node that is the same for the whole row.
    fn one(&self, node: &Node) -> Option<Datum> {
        match node {
            Node::Constant(value) => Some(*value),
            Node::Row(expr) => Some(self.scope.eval(expr)),
            _ => None,
        }
    }

    fn bools(&self, node: &Node, out: &mut [bool]) {
        match node {
            Node::InRange(start, end) => {
                let clip = |at: usize| at.saturating_sub(self.kv).min(out.len());
                let (start, end) = (clip(*start), clip(*end));
                out.fill(false);
                out[start..end].fill(true);
            }
            Node::Input(values) => self.input(values, out, |v| v != 0.0),
            Node::Unary(UnaryOp::Not, a) => {
                self.bools(a, out);
                out.iter_mut().for_each(|v| *v = !*v);
            }
            Node::Binary(op @ (BinaryOp::And | BinaryOp::Or), _, sides) => self.connective(*op, sides, out),
            Node::Binary(op, ty, sides) => self.comparison(*op, *ty, sides, out),
            Node::Tile(expr) => self.by_tile(expr, out),
            _ => self.each(node, out, Datum::bool),
        }
    }

    fn connective(&self, op: BinaryOp, sides: &[Node; 2], out: &mut [bool]) {
        let decides = op == BinaryOp::Or; // the value of a side that settles the result
        let (known, other) = match (self.one(&sides[0]), self.one(&sides[1])) {
            (Some(value), _) => (Some(value.bool()), &sides[1]),
            (None, Some(value)) => (Some(value.bool()), &sides[0]),
            (None, None) => (None, &sides[0]),
        };
        if known == Some(decides) {
            return out.fill(decides);
        }
        self.bools(other, out);
        if known.is_none() {
            let mut right = [false; CHUNK];
            let right = &mut right[..out.len()];
            self.bools(&sides[1], right);
            if decides {
                out.iter_mut().zip(right).for_each(|(x, y)| *x |= *y);
            } else {
                out.iter_mut().zip(right).for_each(|(x, y)| *x &= *y);
            }
        }
    }

    fn comparison(&self, op: BinaryOp, ty: Type, sides: &[Node; 2], out: &mut [bool]) {
        let n = out.len();
        match ty {
            Type::Float => {
                let (mut left, mut right) = ([0.0; CHUNK], [0.0; CHUNK]);
                self.floats(&sides[0], &mut left[..n]);
                let right = self.right(&sides[1], &mut right[..n], Datum::float, Self::floats);
                compare(op, &left[..n], right, out);
            }
            Type::Bool => {
                let (mut left, mut right) = ([false; CHUNK], [false; CHUNK]);
                self.bools(&sides[0], &mut left[..n]);
                let right = self.right(&sides[1], &mut right[..n], Datum::bool, Self::bools);
                compare(op, &left[..n], right, out);
            }
            Type::Int | Type::Triple | Type::Variant => {
                let (mut left, mut right) = ([0; CHUNK], [0; CHUNK]);
                self.ints(&sides[0], &mut left[..n]);
                let right = self.right(&sides[1], &mut right[..n], Datum::int, Self::ints);
                compare(op, &left[..n], right, out);
            }
        }
    }

    fn ints(&self, node: &Node, out: &mut [i32]) {
        match node {
            Node::Pos => out.iter_mut().zip(self.kv as i32..).for_each(|(x, pos)| *x = pos),
            Node::Grid(axis) => self.grid(*axis, out),
            Node::Input(values) => self.input(values, out, |v| v as i32),
            Node::Unary(UnaryOp::Neg, a) => {
                self.ints(a, out);
                out.iter_mut().for_each(|x| *x = x.wrapping_neg());
            }
            Node::Binary(op, _, sides) => {
                self.ints(&sides[0], out);
                let mut right = [0; CHUNK];
                let right = self.right(&sides[1], &mut right[..out.len()], Datum::int, Self::ints);
                match op {
                    BinaryOp::Add => combine(out, right, i32::wrapping_add),
                    BinaryOp::Sub => combine(out, right, i32::wrapping_sub),
                    BinaryOp::Mul => combine(out, right, i32::wrapping_mul),
                    BinaryOp::Div => combine(out, right, scalar::divide),
                    _ => combine(out, right, scalar::remainder),
                }
            }
            Node::Call(function @ (Function::Floor | Function::Ceil), args) => {
                let mut x = [0.0; CHUNK];
                self.floats(&args[0], &mut x[..out.len()]);
                let round = if *function == Function::Floor { f32::floor } else { f32::ceil };
                out.iter_mut().zip(x).for_each(|(out, x)| *out = round(x) as i32);
            }
            Node::Call(function, args) => {
                self.ints(&args[0], out);
                let mut space = [0; CHUNK];
                let space = &mut space[..out.len()];
                match function {
                    Function::Abs => out.iter_mut().for_each(|x| *x = x.wrapping_abs()),
                    Function::Min => combine(out, self.right(&args[1], space, Datum::int, Self::ints), Ord::min),
                    Function::Max => combine(out, self.right(&args[1], space, Datum::int, Self::ints), Ord::max),
                    Function::Clamp => {
                        combine(out, self.right(&args[2], space, Datum::int, Self::ints), Ord::min);
                        combine(out, self.right(&args[1], space, Datum::int, Self::ints), Ord::max);
                    }
                    _ => out.iter_mut().for_each(|x| *x = scalar::bit_length(*x)),
                }
            }
            _ => self.each(node, out, Datum::int),
        }
    }

    fn floats(&self, node: &Node, out: &mut [f32]) {
        match node {
            Node::Logit => out.copy_from_slice(self.logits),
            Node::Input(values) => self.input(values, out, |v| v),
            Node::Unary(UnaryOp::Neg, a) => {
                self.floats(a, out);
                out.iter_mut().for_each(|x| *x = -*x);
            }
            Node::Unary(UnaryOp::ToFloat, a) => {
                let mut x = [0; CHUNK];
                self.ints(a, &mut x[..out.len()]);
                out.iter_mut().zip(x).for_each(|(out, x)| *out = x as f32);
            }
            Node::Binary(op, _, sides) => {
                self.floats(&sides[0], out);
                let mut right = [0.0; CHUNK];
                let right = self.right(&sides[1], &mut right[..out.len()], Datum::float, Self::floats);
                match op {
                    BinaryOp::Add => combine(out, right, |x, y| x + y),
                    BinaryOp::Sub => combine(out, right, |x, y| x - y),
                    BinaryOp::Mul => combine(out, right, |x, y| x * y),
                    BinaryOp::Div => combine(out, right, |x, y| x / y),
                    _ => combine(out, right, |x, y| x % y),
                }
            }
            Node::Call(function, args) => {
                self.floats(&args[0], out);
                let mut space = [0.0; CHUNK];
                let space = &mut space[..out.len()];
                let mut map = |f: fn(f32) -> f32| out.iter_mut().for_each(|x| *x = f(*x));
                match function {
                    Function::Abs => map(f32::abs),
                    Function::Sqrt => map(f32::sqrt),
                    Function::Tanh => map(f32::tanh),
                    Function::Exp => map(f32::exp),
                    Function::Exp2 => map(f32::exp2),
                    Function::Log => map(f32::ln),
                    Function::Log2 => map(f32::log2),
                    Function::Min => combine(out, self.right(&args[1], space, Datum::float, Self::floats), f32::min),
                    Function::Max => combine(out, self.right(&args[1], space, Datum::float, Self::floats), f32::max),
                    _ => {
                        combine(out, self.right(&args[2], space, Datum::float, Self::floats), f32::min);
                        combine(out, self.right(&args[1], space, Datum::float, Self::floats), f32::max);
                    }
                }
            }
            _ => self.each(node, out, Datum::float),
        }
    }

    fn right<'s, T: Copy>(
        &self,
        node: &Node,
        space: &'s mut [T],
        read: fn(Datum) -> T,
        many: fn(&Self, &Node, &mut [T]),
    ) -> Right<'s, T> {
        if let Some(value) = self.one(node) {
            return Right::One(read(value));
        }
        many(self, node, space);
        Right::Many(space)
    }

    fn input<T>(&self, values: &[f32], out: &mut [T], read: impl Fn(f32) -> T) {
        let values = values.get(self.kv..).unwrap_or(&[]).iter().copied().chain(std::iter::repeat(0.0));
        out.iter_mut().zip(values).for_each(|(x, value)| *x = read(value));
    }

    /// Neighbours along w share t and h, so positions are taken apart once for each run of them.
    fn grid(&self, axis: Coordinate, out: &mut [i32]) {
        let mut done = 0;
        while done < out.len() {
            let token = self.kv + done;
            let grid = self.scope.bound.geometry.grid.as_ref();
            let on_grid = grid.and_then(|grid| grid.coordinates(token).map(|(at, _)| (at, grid.tile[2])));
            let Some((at, width)) = on_grid else {
                let before = grid.map_or(0, |grid| grid.start.saturating_sub(token));
                let end = if before > 0 { (done + before).min(out.len()) } else { out.len() };
                out[done..end].fill(-1);
                done = end;
                continue;
            };
            let end = (done + width - at[2] % width).min(out.len());
            match axis {
                Coordinate::T => out[done..end].fill(at[0] as i32),
                Coordinate::H => out[done..end].fill(at[1] as i32),
                _ => out[done..end].iter_mut().zip(at[2] as i32..).for_each(|(x, w)| *x = w),
            }
            done = end;
        }
    }

    fn by_tile(&self, expr: &Expr, out: &mut [bool]) {
        let mut done = 0;
        while done < out.len() {
            let token = self.kv + done;
            let to_next =
                self.scope.bound.geometry.grid.as_ref().and_then(|grid| match token.checked_sub(grid.start) {
                    None => Some(grid.start - token),
                    Some(index) if index < grid.len() => Some(grid.tile_len() - index % grid.tile_len()),
                    Some(_) => None,
                });
            let end = to_next.map_or(out.len(), |n| (done + n).min(out.len()));
            out[done..end].fill(self.at(token, f32::NAN).eval(expr).bool());
            done = end;
        }
    }

    fn each<T: Copy>(&self, node: &Node, out: &mut [T], read: fn(Datum) -> T) {
        if let Some(value) = self.one(node) {
            return out.fill(read(value));
        }
        let (Node::Token(expr) | Node::Tile(expr)) = node else {
            unreachable!("the three evaluators cover every other node: {node:?}");
        };
        for (n, x) in out.iter_mut().enumerate() {
            let logit = self.logits.get(n).copied().unwrap_or(f32::NAN);
            *x = read(self.at(self.kv + n, logit).eval(expr));
        }
    }

    fn at(&self, kv: usize, logit: f32) -> Scope<'_> {
        match self.scope.place {
            Place::Tokens { q, .. } | Place::Blocks { q, .. } => self.scope.at(q, kv, logit),
            Place::Groups { q, .. } => Scope { place: Place::Groups { q, kv, antidiag: logit }, ..self.scope },
            Place::Nowhere => self.scope,
        }
    }
}

fn combine<T: Copy>(out: &mut [T], right: Right<'_, T>, f: impl Fn(T, T) -> T) {
    match right {
        Right::One(y) => out.iter_mut().for_each(|x| *x = f(*x, y)),
        Right::Many(ys) => out.iter_mut().zip(ys).for_each(|(x, y)| *x = f(*x, *y)),
    }
}

fn compare<T: Copy + PartialOrd>(op: BinaryOp, left: &[T], right: Right<'_, T>, out: &mut [bool]) {
    fn each<T: Copy>(left: &[T], right: Right<'_, T>, out: &mut [bool], f: impl Fn(T, T) -> bool) {
        match right {
            Right::One(y) => out.iter_mut().zip(left).for_each(|(out, x)| *out = f(*x, y)),
            Right::Many(ys) => out.iter_mut().zip(left).zip(ys).for_each(|((out, x), y)| *out = f(*x, *y)),
        }
    }
    match op {
        BinaryOp::Lt => each(left, right, out, |x, y| x < y),
        BinaryOp::Le => each(left, right, out, |x, y| x <= y),
        BinaryOp::Gt => each(left, right, out, |x, y| x > y),
        BinaryOp::Ge => each(left, right, out, |x, y| x >= y),
        BinaryOp::Eq => each(left, right, out, |x, y| x == y),
        _ => each(left, right, out, |x, y| x != y),
    }
}
