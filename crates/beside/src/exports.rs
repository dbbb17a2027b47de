//! What other languages call. Every function gives null, or a text that says what went wrong, to be given back to
//! [`sparsym_beside_free`]. A panic is such a text too.

use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use sparsym_cli::Rows;

/// Rows while they are visited.
pub struct Visited<'a>(&'a mut dyn Rows);

/// Called once with the rows and their description, JSON; both live until it returns.
pub type Visit = unsafe extern "C" fn(context: *mut c_void, rows: *mut Visited<'_>, description: *const c_char);

/// What makes rows of arguments.
type Make = fn(&[String], &mut dyn FnMut(&mut dyn Rows)) -> Result<(), String>;

/// Visits the rows of `sparsym bench`; `arguments` is a JSON array of strings.
///
/// # Safety
/// `arguments` is a string that ends in 0; `visit` may be called with `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sparsym_beside_bench(
    arguments: *const c_char,
    visit: Visit,
    context: *mut c_void,
) -> *mut c_char {
    // SAFETY: the caller's promise is the same.
    unsafe { show(arguments, sparsym_cli::rows_of_bench, visit, context) }
}

/// Visits the rows of a layer; `arguments` is a JSON array of strings.
///
/// # Safety
/// As [`sparsym_beside_bench`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sparsym_beside_layers(
    arguments: *const c_char,
    visit: Visit,
    context: *mut c_void,
) -> *mut c_char {
    // SAFETY: the caller's promise is the same.
    unsafe { show(arguments, crate::rows_of_layers, visit, context) }
}

/// Launches a row, and writes the milliseconds of each launch.
///
/// # Safety
/// `rows` is what `visit` was called with, and it has not returned; `ms` has room for as many numbers as `launches`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sparsym_beside_launch(
    rows: *mut Visited<'_>,
    row: usize,
    launches: usize,
    ms: *mut f64,
) -> *mut c_char {
    worded(|| {
        // SAFETY: it is alive, and nobody else has it: the visit is its only user.
        let visited = unsafe { &mut *rows };
        let times = visited.0.launch(row, launches)?;
        if times.len() != launches {
            return Err(format!("{launches} launches took {} times", times.len()));
        }
        // SAFETY: there is room for `launches` numbers, and the two do not overlap: `times` is ours.
        unsafe { std::ptr::copy_nonoverlapping(times.as_ptr(), ms, launches) };
        Ok(())
    })
}

/// Takes back what a function gave.
///
/// # Safety
/// `text` is null, or it was given by a function of this library and not taken back before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sparsym_beside_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: `worded` made it by `CString::into_raw`.
        drop(unsafe { CString::from_raw(text) });
    }
}

/// # Safety
/// As [`sparsym_beside_bench`].
unsafe fn show(arguments: *const c_char, make: Make, visit: Visit, context: *mut c_void) -> *mut c_char {
    worded(|| {
        // SAFETY: the caller gives a string that ends in 0.
        let text = unsafe { CStr::from_ptr(arguments) }.to_str().map_err(|wrong| wrong.to_string())?;
        let arguments: Vec<String> = serde_json::from_str(text).map_err(|wrong| format!("arguments: {wrong}"))?;
        make(&arguments, &mut |rows| {
            let description = CString::new(rows.describe()).unwrap_or_default();
            let mut visited = Visited(rows);
            // SAFETY: the caller gave both for this; rows and description outlive the call.
            unsafe { visit(context, &raw mut visited, description.as_ptr()) };
        })
    })
}

/// Null, or the words of an error or a panic.
fn worded(call: impl FnOnce() -> Result<(), String>) -> *mut c_char {
    let words = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => return null_mut(),
        Ok(Err(words)) => words,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            format!("panicked: {}", text.unwrap_or("no words"))
        }
    };
    CString::new(words.replace('\0', " ")).unwrap_or_default().into_raw()
}
