//! NumPy's array files: a line of Python that names type and shape, then the elements. The format is described in NumPy's
//! manual under `numpy.lib.format`.

/// An array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Array {
    /// NumPy's name of the type of an element, such as `<f4`.
    pub(crate) descr: String,
    /// Its extents, the slowest first.
    pub(crate) shape: Vec<usize>,
    /// Its elements in C order.
    pub(crate) bytes: Vec<u8>,
}

impl Array {
    /// The bytes that it has by type and shape.
    pub(crate) fn len(&self) -> usize {
        self.checked_len().unwrap_or(usize::MAX)
    }

    /// The same; None if they are more than a host can count.
    pub(crate) fn checked_len(&self) -> Option<usize> {
        let element: usize = self.descr.get(2..)?.parse().ok()?;
        self.shape.iter().try_fold(element, |product, &extent| product.checked_mul(extent))
    }
}

/// NumPy's name of a type; bf16, which NumPy lacks, goes by its bits.
pub(crate) fn descr(name: &str) -> Option<&'static str> {
    Some(match name {
        "i8" => "|i1",
        "u8" => "|u1",
        "i16" => "<i2",
        "u16" | "bf16" => "<u2",
        "f16" => "<f2",
        "i32" => "<i4",
        "u32" => "<u4",
        "f32" => "<f4",
        "i64" => "<i8",
        "u64" => "<u8",
        "f64" => "<f8",
        _ => return None,
    })
}

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads a file.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn read(file: &[u8]) -> Result<Array, String> {
    let rest = file.strip_prefix(MAGIC).ok_or("not a .npy file")?;
    // Two bytes of version, then the length of the line: two bytes in version 1, four later.
    let (start, length): (usize, usize) = match rest {
        [1, _, a, b, ..] => (4, usize::from(u16::from_le_bytes([*a, *b]))),
        [2 | 3, _, a, b, c, d, ..] => (6, u32::from_le_bytes([*a, *b, *c, *d]) as usize),
        _ => return Err("a version of .npy that is not known".to_owned()),
    };
    let line = rest.get(start..start.saturating_add(length)).ok_or("the file ends inside its first line")?;
    let line = std::str::from_utf8(line).map_err(|_| "its first line is no text")?;
    let value = |key: &str| {
        let at = line.find(&format!("'{key}':")).ok_or_else(|| format!("its first line names no {key}"))?;
        Ok::<&str, String>(line[at + key.len() + 3..].trim_start())
    };
    let quoted = value("descr")?.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
    let descr = quoted.ok_or("arrays of records are not read")?.0.to_owned();
    if descr.starts_with('>') {
        return Err("its elements are big-endian".to_owned());
    }
    if !value("fortran_order")?.starts_with("False") {
        return Err("its elements are in Fortran order; save numpy.ascontiguousarray of it".to_owned());
    }
    let inside = value("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or("it has no shape")?.0;
    let extents = inside.split(',').map(str::trim).filter(|part| !part.is_empty());
    let shape = extents.map(|part| part.parse().map_err(|_| format!("its shape has an extent {part}")));
    let array = Array { descr, shape: shape.collect::<Result<_, _>>()?, bytes: rest[start + length..].to_vec() };
    if array.checked_len() != Some(array.bytes.len()) {
        return Err(format!("{} bytes of elements do not fill {}{:?}", array.bytes.len(), array.descr, array.shape));
    }
    Ok(array)
}

/// The bytes of a file.
pub(crate) fn write(array: &Array) -> Vec<u8> {
    let extents: String = array.shape.iter().map(|extent| format!("{extent}, ")).collect();
    let mut line = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({extents}), }}", array.descr);
    // Elements start at a multiple of 64 bytes.
    let unfilled = MAGIC.len() + 4 + line.len() + 1;
    line.extend(std::iter::repeat_n(' ', unfilled.next_multiple_of(64) - unfilled));
    line.push('\n');
    [MAGIC, &[1, 0], &(line.len() as u16).to_le_bytes(), line.as_bytes(), &array.bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written() {
        for shape in [vec![], vec![6], vec![2, 3]] {
            let bytes = vec![7; 2 * shape.iter().product::<usize>()];
            let array = Array { descr: "<f2".to_owned(), shape, bytes };
            let file = write(&array);
            assert_eq!((file.len() - array.bytes.len()) % 64, 0);
            assert_eq!(read(&file), Ok(array));
        }
    }

    #[test]
    fn what_numpy_writes_is_read() {
        let head = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }";
        let mut file = head.to_vec();
        file.resize(127, b' ');
        file.extend(b"\n\x01\0\0\0\x02\0\0\0");
        assert_eq!(
            read(&file),
            Ok(Array { descr: "<i4".to_owned(), shape: vec![2], bytes: vec![1, 0, 0, 0, 2, 0, 0, 0] })
        );
        assert!(read(&file[..130]).unwrap_err().contains("do not fill <i4[2]"));
        assert!(read(&file[..60]).unwrap_err().contains("ends inside"));
        assert_eq!(read(b"PK"), Err("not a .npy file".to_owned()));
    }
}
