//! Devices by name, and the clear failure of a GPU that is not there.

use sparsym_runtime::{Error, device};

fn failure(name: &str) -> Error {
    match device::open(name) {
        Err(error) => error,
        Ok(_) => panic!("{name} should not open"),
    }
}

#[test]
fn devices_open_by_name() {
    for name in ["reference", "cpu"] {
        assert_eq!(device::open(name).unwrap().name(), name);
    }
    assert_eq!(failure("gpu").class().exit_status(), 2);
    let emulator = failure("emulator");
    assert!(emulator.to_string().starts_with("the device emulator is not in this version"), "{emulator}");
    assert_eq!(emulator.class().exit_status(), 4);
}

/// With a driver this opens a GPU; without one it must say so and not panic.
#[test]
fn cuda_opens_or_says_what_is_missing() {
    match device::open("cuda") {
        Ok(device) => assert_eq!(device.name(), "cuda"),
        Err(error) => {
            assert_eq!(error.class().exit_status(), 4);
            assert!(error.to_string().contains("help: "), "{error}");
        }
    }
    match device::cuda::probe() {
        Ok(driver) => assert!(driver.cuda_version.0 >= 11),
        Err(error) => assert!(error.to_string().starts_with("cuda could not find the driver"), "{error}"),
    }
}
