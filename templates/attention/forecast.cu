// ---- reuse -------------------------------------------------------------------------------------

//% include "forecast of a tile"

// Writes the tiles that attention leaves alone. Told nothing, a compiler spills to have more CTAs.
extern "C" __global__ void __launch_bounds__(${ step.threads }, 3)
${ step.entry }(const __grid_constant__ Params p) {
    const Tile tile = q_tile_at(p, cta_x());
    if (!is_computed(p.s_c, tile.b * p.q_blocks + tile.i, p.heads, tile.h)) {
        write_forecast(p, tile);
    }
}
