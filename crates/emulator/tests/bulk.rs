//! Bulk copies: where their bytes go, when they come, and what is found in kernels that use them wrongly.

mod support;

use ptx_emulator::{
    Checks, Copies, Element, Fill, Launch, LaunchError, Memory, Options, Program, Schedule, TensorMap, Trap,
};
use support::{kernel, run, text};

/// Early and late, in different orders.
fn ways() -> Vec<Options> {
    let schedules = [Schedule::InOrder, Schedule::Reverse, Schedule::RoundRobin(1), Schedule::Random];
    let ways = schedules.into_iter().flat_map(|schedule| {
        [Copies::Latest, Copies::Earliest].map(|copies| Options { schedule, copies, ..Options::default() })
    });
    ways.flat_map(|options| (1..4).map(move |seed| Options { seed, limit: 1_000_000, ..options })).collect()
}

fn assert_says(trap: &Trap, name: &str, words: &[&str]) {
    assert_eq!(trap.fault.name(), name, "{trap}");
    let report = trap.to_string();
    for word in words {
        assert!(report.contains(word), "no {word:?} in\n{report}");
    }
}

#[test]
fn lines_go_there_and_back() {
    let given: Vec<u32> = (0..128).map(|at| 7 * at + 1).collect();
    for options in ways().into_iter().chain([Options { checks: Checks::None, ..Options::default() }]) {
        let (words, stats) = run(&text("bulk.ptx"), "lines", [1, 32], &given, 256, &options).unwrap();
        let doubled: Vec<u32> = given.iter().map(|word| 2 * word).collect();
        assert_eq!(words, [doubled, given.clone()].concat(), "{options:?}");
        if options.checks == Checks::All {
            assert_eq!((stats.global_copies.bytes, stats.global_copies.sectors), (4 * 512, 4 * 16));
            assert_eq!((stats.global_stores.bytes, stats.global_stores.sectors), (4 * 512, 4 * 16));
        }
    }
}

fn map(element: Element, address: u64, extents: &[u64], box_extents: &[u16]) -> TensorMap {
    let mut map = TensorMap {
        element,
        rank: extents.len() as u8,
        swizzle_bytes: 0,
        address,
        extents: [1; 5],
        strides: [0; 4],
        box_extents: [1; 5],
        element_strides: [1; 5],
        fill: Fill::Zeros,
    };
    map.extents[..extents.len()].copy_from_slice(extents);
    map.box_extents[..extents.len()].copy_from_slice(box_extents);
    let mut stride = u64::from(element.bytes());
    for axis in 1..extents.len() {
        stride = (stride * extents[axis - 1]).next_multiple_of(16);
        map.strides[axis - 1] = stride;
    }
    map
}

#[test]
fn boxes_go_there_and_back() {
    let given: Vec<u8> = (0..8 * 32u32).flat_map(|at| (at * 5).to_le_bytes()).collect();
    let program = Program::load(&text("bulk.ptx")).unwrap();
    for options in ways() {
        let mut memory = Memory::new();
        let (from, to) = (memory.upload_constant("from", &given), memory.upload("to", &[0; 512]));
        let maps = [(from, 8), (to, 4)]
            .map(|(buffer, rows)| map(Element::U32, buffer.address(), &[32, rows], &[16, 4]).encode());
        let launch = Launch { grid: [1, 1, 1], block: [32, 1, 1], dynamic_shared: 0, params: maps.as_flattened() };
        program.kernel("boxes").unwrap().launch(&memory, &launch, &options).unwrap_or_else(|error| panic!("{error}"));
        let wanted: Vec<u8> = (0..128u32).flat_map(|at| (at * 5 + (at + 128) * 5).to_le_bytes()).collect();
        assert_eq!(memory.download(to), wanted, "{options:?}");
    }
}

/// One thread copies a box to shared memory and all of that out, or all into shared memory and a box from there.
fn box_kernel(rank: usize, store: bool) -> String {
    let coordinates: Vec<String> = (0..rank).map(|axis| format!("%r{}", axis + 1)).collect();
    let load_coordinates: String =
        (0..rank).map(|axis| format!("ld.param.u32 %r{}, [begin+{}];\n", axis + 1, 4 * axis)).collect();
    let coordinates = coordinates.join(", ");
    let work = if store {
        format!(
            "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r10], [%rd1], %r11, [bar];
            mbarrier.arrive.expect_tx.shared::cta.b64 _, [bar], %r11;
            WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p1, [bar], 0;
            @!%p1 bra WAIT;
            cp.async.bulk.tensor.{rank}d.global.shared::cta.tile.bulk_group [%rd2, {{{coordinates}}}], [%r10];"
        )
    } else {
        format!(
            "cp.async.bulk.tensor.{rank}d.shared::cluster.global.tile.mbarrier::complete_tx::bytes
                [%r10], [%rd2, {{{coordinates}}}], [bar];
            ld.param.u32 %r12, [moved];
            mbarrier.arrive.expect_tx.shared::cta.b64 _, [bar], %r12;
            WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p1, [bar], 0;
            @!%p1 bra WAIT;
            ld.param.u32 %r13, [chunks];
            COPY: sub.u32 %r13, %r13, 1;
            mad.wide.u32 %rd3, %r13, 4, %rd1;
            mad.lo.u32 %r14, %r13, 4, %r10;
            ld.shared.u32 %r15, [%r14];
            st.global.u32 [%rd3], %r15;
            setp.ne.u32 %p2, %r13, 0;
            @%p2 bra COPY;"
        )
    };
    format!(
        ".version 8.8\n.target sm_90\n.address_size 64
        .visible .entry k(.param .align 64 .b8 map[128], .param .u64 data, .param .align 4 .b8 begin[20],
            .param .u32 at, .param .u32 bytes, .param .u32 moved, .param .u32 chunks) {{
            .reg .pred %p<3>; .reg .b32 %r<16>; .reg .b64 %rd<4>;
            .shared .align 1024 .b8 tile[32768];
            .shared .align 8 .b8 bar[8];
            ld.param.u64 %rd1, [data];
            mov.b64 %rd2, map;
            cvta.param.u64 %rd2, %rd2;
            {load_coordinates}
            ld.param.u32 %r10, [at];
            mov.u32 %r11, tile;
            add.u32 %r10, %r10, %r11;
            ld.param.u32 %r11, [bytes];
            mbarrier.init.shared::cta.b64 [bar], 1;
            {work}
            cp.async.bulk.commit_group;
            cp.async.bulk.wait_group 0;
            ret;
        }}"
    )
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A map, where a box begins, and where it begins in shared memory.
fn random_box(random: &mut Random, rank: usize, address: u64, store: bool) -> (TensorMap, [i32; 5], u32) {
    let element = Element::ALL[random.below(10) as usize];
    let bytes = u64::from(element.bytes());
    let swizzle_bytes = [0, 32, 64, 128][random.below(4) as usize];
    let chunks = if swizzle_bytes == 0 { 1 + random.below(4) } else { 1 + random.below(u64::from(swizzle_bytes) / 16) };
    let extents: Vec<u64> = (0..rank).map(|axis| 1 + random.below([60, 6, 4, 3, 2][axis])).collect();
    let mut box_extents: Vec<u16> = (0..rank).map(|_| 1 + random.below(4) as u16).collect();
    box_extents[0] = (16 * chunks / bytes) as u16;
    let mut map = map(element, address + 16 * random.below(4), &extents, &box_extents);
    map.swizzle_bytes = swizzle_bytes;
    for axis in 0..rank {
        map.element_strides[axis] = 1 + random.below(3) as u8;
    }
    if matches!(element, Element::F16 | Element::Bf16 | Element::F32 | Element::F64) && random.below(2) == 0 {
        map.fill = Fill::Nan;
    }
    let mut begin = [0; 5];
    for axis in 0..rank {
        let far = random.below(extents[axis] + 3) as i32;
        begin[axis] = if store { far } else { far - 3 };
    }
    // At a multiple of 16 bytes.
    let step = (16 / bytes) as i32;
    begin[0] = begin[0] / step * step;
    (map, begin, 128 * random.below(9) as u32)
}

/// For each element of a box: its bytes in shared memory, and those in global memory if it is inside the tensor.
fn elements(map: &TensorMap, begin: [i32; 5], at: u32) -> Vec<(usize, Option<u64>)> {
    let bytes = u64::from(map.element.bytes());
    let pitch = (u64::from(map.box_extents[0]) * bytes).max(u64::from(map.swizzle_bytes));
    let steps: Vec<u64> =
        (1..5).map(|axis| u64::from(map.box_extents[axis]).div_ceil(u64::from(map.element_strides[axis]))).collect();
    let mut out = Vec::new();
    for row in 0..steps.iter().product::<u64>() {
        for column in 0..u64::from(map.box_extents[0]) {
            let mut place = u64::from(at) + row * pitch + column * bytes;
            // `tile` begins at a multiple of 1024, so the place says what the address does.
            place ^= match map.swizzle_bytes {
                128 => (place >> 7 & 7) << 4,
                64 => (place >> 7 & 3) << 4,
                32 => (place >> 7 & 1) << 4,
                _ => 0,
            };
            let x = i64::from(begin[0]) + column as i64;
            let (mut left, mut address) = (row, map.address as i64 + x * bytes as i64);
            let mut inside = x >= 0 && (x as u64) < map.extents[0];
            for axis in 1..5 {
                let index = (left % steps[axis - 1]) as i64;
                left /= steps[axis - 1];
                let x = i64::from(begin[axis]) + index * i64::from(map.element_strides[axis]);
                inside &= x >= 0 && (x as u64) < map.extents[axis];
                address += x * map.strides[axis - 1] as i64;
            }
            out.push((place as usize, inside.then_some(address as u64)));
        }
    }
    out
}

fn launch_box(
    rank: usize,
    store: bool,
    memory: &Memory,
    (map, begin, at): &(TensorMap, [i32; 5], u32),
    data: u64,
    moved: usize,
) -> Result<(), LaunchError> {
    let mut params = map.encode().to_vec();
    params.extend(data.to_le_bytes());
    begin.iter().for_each(|coordinate| params.extend(coordinate.to_le_bytes()));
    for word in [*at, 16_384, moved as u32, 16_384 / 4] {
        params.extend(word.to_le_bytes());
    }
    let kernel = Program::load(&box_kernel(rank, store)).unwrap().kernel("k").unwrap_or_else(|error| panic!("{error}"));
    params.resize(kernel.param_bytes(), 0);
    let launch = Launch { grid: [1, 1, 1], block: [1, 1, 1], dynamic_shared: 0, params: &params };
    // Bytes between the rows of a box have no value; what is asked here is where the others lie.
    let checks = if store { Checks::All } else { Checks::None };
    kernel.launch(memory, &launch, &Options { checks, limit: 1_000_000, ..Options::default() }).map(|_| ())
}

#[test]
fn every_element_of_a_box_is_loaded_to_its_place() {
    let mut random = Random(1);
    for turn in 0..400 {
        let rank = 1 + turn % 5;
        let bytes: Vec<u8> = (0..65_536).map(|_| random.below(256) as u8).collect();
        let mut memory = Memory::new();
        let tensor = memory.upload_constant("tensor", &bytes);
        let out = memory.upload("out", &[0; 16_384]);
        let of = random_box(&mut random, rank, tensor.address(), false);
        let elements = elements(&of.0, of.1, of.2);
        let size = usize::from(of.0.element.bytes());
        launch_box(rank, false, &memory, &of, out.address(), elements.len() * size)
            .unwrap_or_else(|error| panic!("{of:?}: {error}"));
        let found = memory.download(out);
        for (place, address) in elements {
            let fill = match of.0.fill {
                Fill::Zeros => [0; 8],
                Fill::Nan => 0x7FF7_7FF7_7FF7_7FF7u64.to_le_bytes(),
            };
            let wanted = match address {
                Some(address) => &bytes[(address - tensor.address()) as usize..][..size],
                None => &fill[..size],
            };
            // The copy out begins where the box does.
            let place = place - of.2 as usize;
            if place + size <= found.len() {
                assert_eq!(&found[place..][..size], wanted, "turn {turn}, {of:?}, byte {place}");
            }
        }
    }
}

#[test]
fn every_element_of_a_box_is_stored_from_its_place_or_clipped() {
    let mut random = Random(2);
    for turn in 0..400 {
        let rank = 1 + turn % 5;
        let bytes: Vec<u8> = (0..16_384).map(|_| random.below(256) as u8).collect();
        let mut memory = Memory::new();
        let tensor = memory.upload("tensor", &[0xEE; 65_536]);
        let data = memory.upload_constant("data", &bytes);
        let of = random_box(&mut random, rank, tensor.address(), true);
        let elements = elements(&of.0, of.1, of.2);
        let size = usize::from(of.0.element.bytes());
        if elements.iter().any(|(place, _)| place + size > 16_384 + of.2 as usize) {
            continue;
        }
        launch_box(rank, true, &memory, &of, data.address(), 0).unwrap_or_else(|error| panic!("{of:?}: {error}"));
        let mut wanted = vec![0xEE; 65_536];
        for (place, address) in elements {
            if let Some(address) = address {
                let from = &bytes[place - of.2 as usize..][..size];
                wanted[(address - tensor.address()) as usize..][..size].copy_from_slice(from);
            }
        }
        assert_eq!(memory.download(tensor), wanted, "turn {turn}, {of:?}");
    }
}

/// The trap of a kernel of 64 threads, whose first warp makes an mbarrier of one arrival at `tile + 512`.
fn trap(body: &str) -> Box<Trap> {
    let text = kernel(&with_mbarrier(body));
    match run(&text, "k", [1, 64], &[7; 128], 128, &Options { limit: 100_000, ..Options::default() }) {
        Err(LaunchError::Trap(trap)) => trap,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("no trap in\n{body}"),
    }
}

fn with_mbarrier(body: &str) -> String {
    format!(
        "setp.eq.u32 %p0, %t, 0;
        @%p0 mbarrier.init.shared::cta.b64 [tile+512], 1;
        bar.sync 0;
        {body}"
    )
}

const EXPECT: &str = "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [tile+512], 256;";
const LOAD: &str =
    "@%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%given], 256, [tile+512];";
const WAIT: &str = "WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p1, [tile+512], 0; @!%p1 bra WAIT;";
const STORE: &str = "@%p0 cp.async.bulk.global.shared::cta.bulk_group [%out], [tile], 256;
    @%p0 cp.async.bulk.commit_group;";
const READ: &str = "cp.async.bulk.wait_group.read 0;";
const FILL: &str = "mov.u32 %r1, tile; mad.lo.u32 %r1, %t, 4, %r1; st.shared.u32 [%r1], %t;";

#[test]
fn a_sound_copy_is_no_trap() {
    for body in [
        format!("{EXPECT} {LOAD} {WAIT} ld.shared.u32 %r0, [tile+128];"),
        format!("{LOAD} {EXPECT} {WAIT} ld.shared.u32 %r0, [tile+128]; bar.sync 0; {STORE} {READ}"),
        format!("{FILL} fence.proxy.async.shared::cta; bar.sync 0; {STORE} {READ} bar.sync 0; {FILL}"),
        // Behind the barrier, in the thread that starts the copy.
        format!("{FILL} bar.sync 0; @%p0 fence.proxy.async.shared::cta; {STORE} {READ}"),
    ] {
        for options in ways() {
            let run = run(&kernel(&with_mbarrier(&body)), "k", [1, 64], &[7; 128], 128, &options);
            run.unwrap_or_else(|error| panic!("{body}: {error}"));
        }
    }
}

#[test]
fn copies_that_are_not_ordered_race() {
    let races = [
        // Nobody waits.
        (format!("{EXPECT} {LOAD} ld.shared.u32 %r0, [tile+128];"), "earlier bulk copy into these bytes"),
        // One warp waits, the other does not.
        (
            format!("{EXPECT} {LOAD} setp.ge.u32 %p2, %t, 32; @%p2 bra READ; {WAIT} READ: ld.shared.u32 %r0, [tile];"),
            "earlier bulk copy into these bytes",
        ),
        // The phase is the wrong one.
        (
            format!(
                "{EXPECT} {LOAD} WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p1, [tile+512], 1; @!%p1 bra WAIT;
                ld.shared.u32 %r0, [tile];"
            ),
            "wait for the mbarrier phase that counts the copy's bytes",
        ),
        // The stage is filled while the other warp may still read it.
        (
            format!("{FILL} fence.proxy.async; bar.sync 0; ld.shared.u32 %r0, [tile+192]; {EXPECT} {LOAD} {WAIT}"),
            "earlier load by warp",
        ),
        // Twice to the same place.
        (format!("{EXPECT} {LOAD} {LOAD} {WAIT}"), "earlier bulk copy into these bytes"),
        // What was stored is not fenced, or is fenced by a thread that was told of it by nobody, or in another space.
        (format!("{FILL} bar.sync 0; {STORE} {READ}"), "without a proxy fence between the two"),
        (
            format!("{FILL} bar.sync 0; @!%p0 fence.proxy.async; {STORE} {READ}"),
            "without a proxy fence between the two",
        ),
        (format!("{FILL} fence.proxy.async.global; bar.sync 0; {STORE} {READ}"), "fence.proxy.async between the two"),
        (format!("{FILL} bar.sync 0; {EXPECT} {LOAD} {WAIT}"), "without a proxy fence between the two"),
        // Not ordered at all.
        (format!("{FILL} fence.proxy.async; {STORE} {READ}"), "earlier store by warp 0, lane 1"),
        // The source is written again before it was read.
        (
            format!("{FILL} fence.proxy.async; bar.sync 0; {STORE} bar.sync 0; {FILL} {READ}"),
            "earlier bulk copy out of these bytes",
        ),
        (
            format!(
                "{FILL} fence.proxy.async; bar.sync 0; {STORE} {READ} setp.ge.u32 %p2, %t, 32; @%p2 bra FILL;
                ret; FILL: {FILL} ld.shared.u32 %r0, [tile]; st.shared.u32 [%r1-128], %t;"
            ),
            "earlier bulk copy out of these bytes",
        ),
    ];
    for (body, words) in races {
        let found = trap(&body);
        assert_eq!(found.fault.name(), "race", "{body}\n{found}");
        assert!(found.to_string().contains(words), "no {words:?} for {body}\n{found}");
    }
}

#[test]
fn copies_that_nobody_waits_for_are_found_at_the_end() {
    assert_says(&trap(&format!("{EXPECT} {LOAD}")), "copy without wait", &["nobody waited for the mbarrier phase"]);
    for body in [
        format!("{FILL} fence.proxy.async; bar.sync 0; {STORE}"),
        format!("{FILL} fence.proxy.async; bar.sync 0; {STORE} cp.async.bulk.wait_group.read 1;"),
    ] {
        assert_says(&trap(&body), "copy without wait", &["cp.async.bulk.global", "wait for all groups"]);
    }
}

#[test]
fn bytes_that_do_not_add_up_hang_with_a_report() {
    let expect = |bytes: u32| EXPECT.replace("256", &bytes.to_string());
    for (body, words) in [
        (format!("{} {LOAD} {WAIT}", expect(512)), "phase 0 lacks 0 of 1 arrivals and 256 bytes"),
        (
            format!("{} {LOAD} {WAIT}", expect(128)),
            "phase 0 lacks 0 of 1 arrivals, and 128 bytes came that nobody expected",
        ),
        (format!("{LOAD} {WAIT}"), "phase 0 lacks 1 of 1 arrivals, and 256 bytes came that nobody expected"),
        (format!("{EXPECT} {WAIT}"), "arrived: warp 0 at PTX line"),
    ] {
        assert_says(&trap(&body), "deadlock", &[words, "the mbarrier at byte 512 of tile"]);
    }
}

#[test]
fn what_a_gpu_refuses_is_refused() {
    let load = |to: &str, from: &str, bytes: u32| {
        format!(
            "@%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [{to}], [{from}], {bytes}, [tile+512];"
        )
    };
    let refusals = [
        (load("tile", "%given", 24), "bulk copy misuse", "it moves 24 bytes, no multiple of 16"),
        (load("tile+8", "%given", 32), "misaligned", "write of a bulk copy at shared address"),
        (load("tile", "%given+4", 32), "misaligned", "read of a bulk copy at global address"),
        (load("tile+1008", "%given", 32), "out of bounds", "write of a bulk copy of 32 bytes"),
        (load("tile", "%given+496", 32), "out of bounds", "read of a bulk copy of 32 bytes"),
        (load("tile+512", "%given", 32), "mbarrier misuse", "its bytes are touched"),
        (load("tile", "%given", 32).replace("[tile+512]", "[tile+520]"), "mbarrier misuse", "no mbarrier was initialised"),
        (
            "cp.async.bulk.global.shared::cta.bulk_group [%out], [tile], 256;".to_owned(),
            "uninitialised",
            "byte 0 of tile",
        ),
        (
            "@%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [tile], [%given], \
             256, [tile+512], 3;"
                .to_owned(),
            "bulk copy misuse",
            "the CTAs of the mask 0x0003, of a cluster of 1",
        ),
        (
            "mov.u32 %r0, 0; @%p0 cp.async.bulk.tensor.1d.shared::cluster.global.mbarrier::complete_tx::bytes [tile], \
             [%given, {%r0}], [tile+512];"
                .to_owned(),
            "bulk copy misuse",
            "these 128 bytes are no tensor map",
        ),
        ("@%p0 prefetch.tensormap [%given+16];".to_owned(), "misaligned", "read of a tensor map"),
        (
            "mov.u32 %r0, tile; cvt.u64.u32 %l0, %r0; cvta.shared.u64 %l0, %l0; prefetch.tensormap [%l0];".to_owned(),
            "bulk copy misuse",
            "the tensor map lies in shared memory",
        ),
    ];
    for (body, name, words) in refusals {
        assert_says(&trap(&body), name, &[words]);
    }
    let mut memory = Memory::new();
    let tensor = memory.upload("tensor", &[0; 65_536]);
    let map = map(Element::Bf16, tensor.address(), &[64, 4], &[16, 2]);
    let refused = |rank: usize, store: bool, of: &(TensorMap, [i32; 5], u32)| match launch_box(
        rank,
        store,
        &memory,
        of,
        tensor.address(),
        64,
    ) {
        Err(LaunchError::Trap(trap)) => trap,
        other => panic!("{other:?}"),
    };
    let of = |begin: [i32; 5], at: u32| (map.clone(), begin, at);
    let misuse = "bulk copy misuse";
    assert_says(&refused(3, false, &of([0; 5], 0)), misuse, &["it says 3 axes, and the tensor map has 2"]);
    assert_says(
        &refused(2, false, &of([4, 0, 0, 0, 0], 0)),
        misuse,
        &["innermost coordinate 4 is 8 bytes into the row"],
    );
    assert_says(&refused(2, false, &of([-4, 0, 0, 0, 0], 0)), misuse, &["innermost coordinate -4 is -8 bytes"]);
    assert_says(&refused(2, true, &of([0, -1, 0, 0, 0], 0)), misuse, &["from coordinate -1 on along axis 1"]);
    assert_says(&refused(2, true, &of([-8, 0, 0, 0, 0], 0)), misuse, &["from coordinate -8 on along axis 0"]);
    assert_says(&refused(2, false, &of([0; 5], 64)), "misaligned", &["no multiple of 128"]);
    let outside = TensorMap { extents: [64, 1 << 20, 1, 1, 1], ..map.clone() };
    assert_says(&refused(2, false, &(outside, [0, 1 << 19, 0, 0, 0], 0)), "out of bounds", &["read of a bulk copy"]);
}

#[test]
fn masks_of_ctas_have_16_bits() {
    const LINE: &str = "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster";
    const BOX: &str = "cp.async.bulk.tensor.1d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster";
    let load = |mask: &str| {
        [
            format!("{LINE} [tile], [%given], 256, [tile+512], {mask};"),
            format!("{LINE}.L2::cache_hint [tile], [%given], 256, [tile+512], {mask}, %l0;"),
            format!("{BOX} [tile], [%given, {{%r0}}], [tile+512], {mask};"),
            format!("{BOX}.L2::cache_hint [tile], [%given, {{%r0}}], [tile+512], {mask}, %l0;"),
        ]
    };
    let loaded = |body: &str| {
        let program = Program::load(&kernel(&format!(".reg .b16 %h;\n{body}"))).unwrap();
        program.kernel("k").map(|_| ()).map_err(|error| error.to_string())
    };
    for body in load("%h").iter().chain(&load("3")) {
        assert_eq!(loaded(body), Ok(()), "{body}");
    }
    for body in load("%r1") {
        let error = loaded(&body).unwrap_err();
        assert!(error.contains("%r1: a register of 32 bits stands where a register of 16 bits is needed"), "{error}");
    }
}
