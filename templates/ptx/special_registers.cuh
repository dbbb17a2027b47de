//# part thread_x
// Index of this thread in its CTA. Volatile, like the next three: every call reads it again instead
// of holding a register.
DEVICE int thread_x() {
    int index;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(index));
    return index;
}
//# part cta_x
// Index of this CTA along x.
DEVICE int cta_x() {
    int index;
    asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(index));
    return index;
}
//# part cta_y
DEVICE int cta_y() {
    int index;
    asm volatile("mov.u32 %0, %%ctaid.y;" : "=r"(index));
    return index;
}
//# part cta_z
DEVICE int cta_z() {
    int index;
    asm volatile("mov.u32 %0, %%ctaid.z;" : "=r"(index));
    return index;
}
