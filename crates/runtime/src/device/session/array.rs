//! Handles of arrays: what they hold, and where. The memory goes with the handle.

use std::borrow::Cow;
use std::sync::Arc;

use sparsym_ir::projection::Shaped;
use sparsym_ir::symbols::{BitRows, Packed, SymbolShape};
use sparsym_ir::{DType, Tensor};

use super::memory::{ArrayError, ArrayLayout, Initial, Memory, Values};
use crate::error::Error;

/// A tensor in a session's memory.
#[derive(Debug)]
pub struct Array {
    slot: Slot,
    shape: Vec<usize>,
    dtype: DType,
}

/// Packed rows of bits in a session's memory: a symbol.
#[derive(Debug)]
pub struct BitArray {
    slot: Slot,
    rows: usize,
    bits: usize,
}

/// A piece of a session's memory.
pub(crate) struct Slot {
    memory: Arc<dyn Memory>,
    id: u64,
    name: String,
}

impl Array {
    /// An array that holds nothing yet.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn new(memory: &Arc<impl Memory + ?Sized>, name: &str, shape: &[usize], dtype: DType) -> Result<Array, Error> {
        Array::allocate(memory, name, shape, dtype, Initial::Nothing)
    }

    /// A copy of a tensor that no call may write.
    pub(crate) fn constant(memory: &Arc<impl Memory + ?Sized>, name: &str, tensor: &Tensor) -> Result<Array, Error> {
        let initial = Initial::Constant(Values::Tensor(Cow::Borrowed(tensor)));
        Array::allocate(memory, name, &tensor.shape, tensor.dtype(), initial)
    }

    /// An array for results, which shows a tensor where they leave it.
    pub(crate) fn over(memory: &Arc<impl Memory + ?Sized>, name: &str, tensor: &Tensor) -> Result<Array, Error> {
        let initial = Initial::Background(Values::Tensor(Cow::Borrowed(tensor)));
        Array::allocate(memory, name, &tensor.shape, tensor.dtype(), initial)
    }

    fn allocate(
        memory: &Arc<impl Memory + ?Sized>,
        name: &str,
        shape: &[usize],
        dtype: DType,
        initial: Initial<'_>,
    ) -> Result<Array, Error> {
        let slot = Slot::new(memory, name, &ArrayLayout::Tensor { shape: shape.to_vec(), dtype }, initial)?;
        Ok(Array { slot, shape: shape.to_vec(), dtype })
    }

    /// A copy of a tensor.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn place(memory: &Arc<impl Memory + ?Sized>, name: &str, tensor: &Tensor) -> Result<Array, Error> {
        let array = Array::new(memory, name, &tensor.shape, tensor.dtype())?;
        array.write(tensor)?;
        Ok(array)
    }

    /// Replaces all values.
    ///
    /// # Errors
    /// [`ArrayError::OtherLayout`] for another shape or type, or the device's own.
    pub fn write(&self, tensor: &Tensor) -> Result<(), Error> {
        self.slot.write(self.layout(), Values::Tensor(Cow::Borrowed(tensor)))
    }

    /// The values. Of an array that nothing has written they are unspecified.
    ///
    /// # Errors
    /// The device's own.
    pub fn read(&self) -> Result<Tensor, Error> {
        match self.slot.memory.read(self.slot.id, &self.layout())? {
            Values::Tensor(tensor) => Ok(tensor.into_owned()),
            Values::Bits(_) => unreachable!("a tensor's layout gives a tensor"),
        }
    }

    /// Another array of the same values.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn duplicate(&self) -> Result<Array, Error> {
        let copy = Array::new(&self.slot.memory, &self.slot.name, &self.shape, self.dtype)?;
        self.slot.memory.copy(self.slot.id, copy.slot.id)?;
        Ok(copy)
    }

    /// Copies the values to another array of the same session, shape and type.
    ///
    /// # Errors
    /// [`ArrayError`] if it is not, or the device's own.
    pub fn copy_to(&self, to: &Array) -> Result<(), Error> {
        let name = to.slot.name.clone();
        if to.slot.session_address() != self.slot.session_address() {
            return Err(ArrayError::OtherSession { name }.into());
        }
        let (expected, found) = (to.layout(), self.layout());
        if expected != found {
            return Err(ArrayError::OtherLayout { name, expected, found }.into());
        }
        if to.slot.id == self.slot.id {
            return Ok(());
        }
        self.slot.memory.copy(self.slot.id, to.slot.id)
    }

    /// Its bytes on the device.
    pub fn bytes(&self) -> usize {
        self.layout().bytes()
    }

    /// Whether it lies in this memory.
    pub(crate) fn belongs_to(&self, memory: &(impl Memory + ?Sized)) -> bool {
        self.slot.session_address() == std::ptr::from_ref(memory).cast()
    }

    /// Whether both are the same memory.
    pub(crate) fn is(&self, other: &Array) -> bool {
        self.slot.id == other.slot.id && self.slot.session_address() == other.slot.session_address()
    }

    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    fn layout(&self) -> ArrayLayout {
        ArrayLayout::Tensor { shape: self.shape.clone(), dtype: self.dtype }
    }
}

impl Shaped for Array {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dtype(&self) -> DType {
        self.dtype
    }
}

impl Packed for BitArray {
    fn symbol_shape(&self) -> SymbolShape {
        SymbolShape::Rows([self.rows, self.bits])
    }
}

impl BitArray {
    /// A copy of packed rows.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn place(memory: &Arc<impl Memory + ?Sized>, name: &str, values: &BitRows) -> Result<BitArray, Error> {
        let array = BitArray::allocate(memory, name, [values.rows(), values.bits()], Initial::Nothing)?;
        array.write(values)?;
        Ok(array)
    }

    /// A copy of packed rows that no call may write.
    pub(crate) fn constant(
        memory: &Arc<impl Memory + ?Sized>,
        name: &str,
        values: &BitRows,
    ) -> Result<BitArray, Error> {
        let initial = Initial::Constant(Values::Bits(Cow::Borrowed(values)));
        BitArray::allocate(memory, name, [values.rows(), values.bits()], initial)
    }

    /// An array for results, which shows these rows where they leave it.
    pub(crate) fn over(memory: &Arc<impl Memory + ?Sized>, name: &str, values: &BitRows) -> Result<BitArray, Error> {
        let initial = Initial::Background(Values::Bits(Cow::Borrowed(values)));
        BitArray::allocate(memory, name, [values.rows(), values.bits()], initial)
    }

    fn allocate(
        memory: &Arc<impl Memory + ?Sized>,
        name: &str,
        [rows, bits]: [usize; 2],
        initial: Initial<'_>,
    ) -> Result<BitArray, Error> {
        Ok(BitArray { slot: Slot::new(memory, name, &ArrayLayout::Bits { rows, bits }, initial)?, rows, bits })
    }

    /// Replaces all rows.
    ///
    /// # Errors
    /// [`ArrayError::OtherLayout`] for other rows, or the device's own.
    pub fn write(&self, values: &BitRows) -> Result<(), Error> {
        self.slot.write(self.layout(), Values::Bits(Cow::Borrowed(values)))
    }

    /// The rows.
    ///
    /// # Errors
    /// The device's own.
    pub fn read(&self) -> Result<BitRows, Error> {
        match self.slot.memory.read(self.slot.id, &self.layout())? {
            Values::Bits(rows) => Ok(rows.into_owned()),
            Values::Tensor(_) => unreachable!("a layout of bits gives bits"),
        }
    }

    /// Another array of the same rows.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn duplicate(&self) -> Result<BitArray, Error> {
        let slot = Slot::new(&self.slot.memory, &self.slot.name, &self.layout(), Initial::Nothing)?;
        self.slot.memory.copy(self.slot.id, slot.id)?;
        Ok(BitArray { slot, ..*self })
    }

    /// Its bytes on the device.
    pub fn bytes(&self) -> usize {
        self.layout().bytes()
    }

    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    fn layout(&self) -> ArrayLayout {
        ArrayLayout::Bits { rows: self.rows, bits: self.bits }
    }
}

impl Slot {
    fn new(
        memory: &Arc<impl Memory + ?Sized>,
        name: &str,
        layout: &ArrayLayout,
        initial: Initial<'_>,
    ) -> Result<Slot, Error> {
        let id = memory.allocate(name, layout, initial)?;
        Ok(Slot { memory: memory.clone().handle(), id, name: name.to_owned() })
    }

    /// Its number in the session.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// What it is called in reports.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The session, as a plain address.
    pub(crate) fn session_address(&self) -> *const () {
        Arc::as_ptr(&self.memory).cast()
    }

    fn write(&self, expected: ArrayLayout, values: Values<'_>) -> Result<(), Error> {
        let found = values.layout();
        if found != expected {
            return Err(ArrayError::OtherLayout { name: self.name.clone(), expected, found }.into());
        }
        self.memory.write(self.id, values)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.memory.release(self.id);
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.name, self.memory.name())
    }
}
