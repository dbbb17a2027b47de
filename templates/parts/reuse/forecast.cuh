//# What a kernel that writes forecasts includes, whether it computes tiles beside or not.
//# part forecast of a tile
// O = Σ_k coefficient_k · feature_k for a tile whose block is not computed.
DEVICE void write_forecast(const Params& p, const Tile& tile) {
    const int rows = min(kTileQ, tile.n_q - tile.first_q);
    for (int at = threadIdx.x; at < rows * kRowChunks; at += kThreads) {
        const i64 offset = q_offset(p, tile, at / kRowChunks) + at % kRowChunks * 8;
        float sum[8] = {};
        for (int k = 0; k < p.n_features; ++k) {
            const uint4 packed = *(const uint4*)(p.features[k] + offset);
            const u32 pairs[4] = {packed.x, packed.y, packed.z, packed.w};
            UNROLL for (int n = 0; n < 4; ++n) {
                sum[2 * n] += p.coefficients[k] * unpack_low(pairs[n]);
                sum[2 * n + 1] += p.coefficients[k] * unpack_high(pairs[n]);
            }
        }
        uint4 packed;
        packed.x = pack_pair(sum[0], sum[1]);
        packed.y = pack_pair(sum[2], sum[3]);
        packed.z = pack_pair(sum[4], sum[5]);
        packed.w = pack_pair(sum[6], sum[7]);
        *(uint4*)(p.o + offset) = packed;
    }
    for (int row = threadIdx.x; row < rows; row += kThreads) {
        p.lse[lse_offset(p, tile, row)] = negative_infinity();
    }
}
