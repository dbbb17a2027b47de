//# part Tickets
// CTAs take tickets in turn: tiles${ "; if those of the last wave leave half of the CTAs idle, halves of them" if plan.half_columns }.
struct Tickets {
    u32 whole;    // tickets for a whole tile
    u32 all;
};
//# part tickets_of
DEVICE Tickets tickets_of(u32 tiles) {
//% if plan.half_columns
    const u32 last_wave = tiles % gridDim.x;
    const u32 halved = last_wave * 2 <= gridDim.x ? last_wave : 0;
    return {tiles - halved, tiles + halved};
//% else
    return {tiles, tiles};
//% endif
}
//# part next_ticket
// The ticket after the one that this CTA has${ ": whoever comes first takes the next" if plan.listed }.
DEVICE u32 next_ticket(const Params& p, u32 ticket) {
//% if plan.listed
    return gridDim.x + atomicAdd(p.tiles_taken, 1);
//% else
    return ticket + gridDim.x;
//% endif
}
