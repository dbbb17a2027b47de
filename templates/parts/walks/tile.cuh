//# part Tile
// The query rows that this CTA owns, and where its sequence starts.
struct Tile {
    int b, h, i;          // batch item, query head, query block
    int first_q;          // first query token, counted in its sequence
    int n_q, n_kv;        // tokens of the sequence
    i64 q_row, kv_row;    // rows of Q and of K, V before the sequence
};
