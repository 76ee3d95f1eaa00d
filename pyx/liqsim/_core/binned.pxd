# What is booked besides where it is asked for: passages by time, and a histogram of the P&L. Both at the same corners as
# the sums, with the same prefix sums: liquidations over columns, stops over rows, survivors over both.
#
# The bins of the P&L are the same for every run: with y = 1 + |v|/2**-10 they are a 32nd of an octave of y wide up to
# |v| = 4, then an octave, and are read off the bits of y. What is booked of a value is its place u in its bin, 0 to 1, and
# u squared, in units of 2**-30, so that an int64 holds those of 2**32 paths.

from libc.math cimport fabs
from libc.stdint cimport int64_t, uint64_t

from liqsim._core.block cimport BANKRUPT, DRAINED, KINDS, LIQUIDATED, OVERDRAWN, STOPPED, SURVIVED, Block, Rules
from liqsim._core.vmath cimport bits_of, double_of

cdef enum:
    PASSAGES = 2          # liquidated, stopped
    WAYS = 3              # liquidated, stopped, survived
    FINE = 384            # bins of a 32nd of an octave: 12 octaves
    HALF = 399            # with those of an octave, on either side of 0
    PNL_BINS = 798
    PNL_FIELDS = 3        # count, place, square of the place


cdef inline double pnl_edge(int k) noexcept nogil:
    # Lower end of bin k, 0 to PNL_BINS; exact.
    cdef int64_t m = k - HALF if k >= HALF else HALF - k
    cdef double y = double_of(bits_of(1.0) + (<uint64_t> (m if m <= FINE else FINE + (m - FINE) * 32) << 47))
    return (y - 1.0) / 1024.0 if k >= HALF else (1.0 - y) / 1024.0


cdef inline int pnl_bin(double v) noexcept nogil:
    cdef int64_t k = <int64_t> ((bits_of(1.0 + fabs(v) * 1024.0) - bits_of(1.0)) >> 47)
    k = k if k < FINE else FINE + (k - FINE) // 32
    k = k if k < HALF else HALF - 1
    return <int> (HALF + k if v >= 0.0 else HALF - 1 - k)


cdef inline void post_pnl(Block *b, const Rules *rules, int64_t horizon_side, int way, int64_t corner, double v,
                          int64_t sign) noexcept nogil:
    cdef int k = pnl_bin(v)
    cdef double low = pnl_edge(k)
    cdef double u = (v - low) / (pnl_edge(k + 1) - low)
    cdef int64_t plane = <int64_t> rules.n_rows * rules.n_cols
    cdef int64_t *cell = b.pnl + (((horizon_side * WAYS + way) * plane + corner) * PNL_BINS + k) * PNL_FIELDS
    u = u if u < 1.0 else 1.0
    cell[0] += sign
    cell[1] += sign * <int64_t> (u * 1073741824.0 + 0.5)
    cell[2] += sign * <int64_t> (u * u * 1073741824.0 + 0.5)


cdef inline void book_pnl(Block *b, const Rules *rules) noexcept nogil:
    # The P&L of the waiting records; what was paid, and the price gain, are in u and w. See engine/tally.py.
    cdef int64_t plane = <int64_t> rules.n_rows * rules.n_cols
    cdef int64_t corner, rest, kind
    cdef double w, before, net, lost, v
    cdef int n, way
    for n in range(b.n_records):
        corner = b.r_cell[n] % plane
        rest = b.r_cell[n] // plane
        kind = rest % KINDS
        w = b.r_ratio[n] if b.r_ratio[n] > 1e-300 else 1e-300
        before = b.w[n] - b.u[n] - rules.entry_fee
        net = before - (rules.exit_fee * w + rules.exit_money)
        lost = -(b.r_margin[n] + rules.entry_fee)
        way = 2 if kind == SURVIVED else 1 if kind >= STOPPED else 0
        if kind == STOPPED or kind == SURVIVED or (kind == LIQUIDATED and rules.returns_rest):
            v = net
        elif rules.client_pays and (kind == OVERDRAWN or (kind == DRAINED and rules.returns_rest)):
            v = net
        elif rules.client_pays and kind == BANKRUPT and not rules.returns_rest:
            v = before
        else:
            v = lost
        post_pnl(b, rules, rest // KINDS, way, corner, v, 1 + 2 * b.r_flip[n])


cdef inline void book_carried_pnl(Block *b, const Rules *rules, int64_t horizon_side, int way, int row, int col,
                                  double v) noexcept nogil:
    # Of a single row, in which a position is carried: the next takes it back where rows are summed.
    cdef int64_t corner = <int64_t> row * rules.n_cols + col
    post_pnl(b, rules, horizon_side, way, corner, v, 1)
    if way > 0 and row + 1 < rules.n_rows:
        post_pnl(b, rules, horizon_side, way, corner + rules.n_cols, v, -1)


cdef inline void book_passage(Block *b, const Rules *rules, int side, bint is_stop, int row, int col,
                              int sign) noexcept nogil:
    # In the bin of times to which the interval under way belongs.
    b.passages[(<int64_t> ((b.time_bin * 2 + side) * PASSAGES + is_stop) * rules.n_rows + row) * rules.n_cols + col] += sign


cdef inline void book_carried_stop(Block *b, const Rules *rules, int side, int row, int col) noexcept nogil:
    book_passage(b, rules, side, True, row, col, 1)
    if row + 1 < rules.n_rows:
        book_passage(b, rules, side, True, row + 1, col, -1)
