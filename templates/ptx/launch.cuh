//# part let_next_launch_start
// The launch behind this one may start, on multiprocessors that have room.
DEVICE void let_next_launch_start() {
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
//# part wait_for_launch_before
// Waits until the launch before this one has ended and its results are there.
DEVICE void wait_for_launch_before() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
