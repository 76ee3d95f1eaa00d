# What is booked besides where it is asked for: passages by time, and histograms of the P&L and of the shortfall. All at
# the same corners as the sums, with the same prefix sums: liquidations over columns, stops over rows, survivors over both.
#
# The bins of the P&L are the same for every run: with y = 1 + |v|/2**-10 they are a 32nd of an octave of y wide up to
# |v| = 4, then an octave, and are read off the bits of y. What is booked of a value is its place u in its bin, 0 to 1, and
# u squared, in units of 2**-30, so that an int64 holds those of 2**32 paths.
#
# The shortfall cannot be read off the P&L: where liability is limited to the margin, all who lose more have one P&L. It has
# a tally of its own, of ends with a loss beyond the margin alone, whoever bears it, in the bins of the P&L from 0 on. It
# depends on the row like the margin, and ends that have one are booked row by row anyway: no corner is added for it.

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
    BIN_FIELDS = 3        # count, place, square of the place


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


cdef inline void post_value(int64_t *bins, int first, double v, int64_t sign) noexcept nogil:
    # Into a corner's bins, which begin with bin `first`.
    cdef int k = pnl_bin(v)
    cdef double low = pnl_edge(k)
    cdef double u = (v - low) / (pnl_edge(k + 1) - low)
    cdef int64_t *fields = bins + <int64_t> (k - first) * BIN_FIELDS
    u = u if u < 1.0 else 1.0
    fields[0] += sign
    fields[1] += sign * <int64_t> (u * 1073741824.0 + 0.5)
    fields[2] += sign * <int64_t> (u * u * 1073741824.0 + 0.5)


cdef inline void post_pnl(Block *b, const Rules *rules, int64_t horizon_side, int way, int64_t corner, double v,
                          int64_t sign) noexcept nogil:
    cdef int64_t place = (horizon_side * WAYS + way) * rules.n_rows * rules.n_cols + corner
    post_value(b.pnl + place * PNL_BINS * BIN_FIELDS, 0, v, sign)


cdef inline void post_shortfall(Block *b, const Rules *rules, int64_t horizon_side, int way, int64_t corner, double v,
                                int64_t sign) noexcept nogil:
    cdef int64_t place = (horizon_side * WAYS + way) * rules.n_rows * rules.n_cols + corner
    post_value(b.shortfall + place * HALF * BIN_FIELDS, HALF, v, sign)


cdef inline void book_shortfall(Block *b, const Rules *rules) noexcept nogil:
    # The shortfall of the waiting records that have one, from what is in u and w. See engine/tally.py.
    cdef int64_t plane = <int64_t> rules.n_rows * rules.n_cols
    cdef int64_t rest, kind
    cdef double w, equity, short
    cdef int n
    for n in range(b.n_records):
        rest = b.r_cell[n] // plane
        kind = rest % KINDS
        if kind != DRAINED and kind != BANKRUPT and kind != OVERDRAWN:
            continue
        w = b.r_ratio[n] if b.r_ratio[n] > 1e-300 else 1e-300
        equity = b.r_margin[n] * (1.0 + rules.coin * (w - 1.0)) + b.w[n] - b.u[n]
        short = -equity if kind == BANKRUPT else rules.exit_fee * w + rules.exit_money - equity
        post_shortfall(b, rules, rest // KINDS, 1 if kind == OVERDRAWN else 0, b.r_cell[n] % plane,
                       short if short > 0.0 else 0.0, 1 + 2 * b.r_flip[n])


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


cdef inline void book_carried_values(Block *b, const Rules *rules, int64_t horizon_side, int way, int row, int col,
                                     double pnl, double short, bint is_short) noexcept nogil:
    # Of a single row, in which a position is carried: the next takes it back where rows are summed.
    cdef int64_t corner = <int64_t> row * rules.n_cols + col
    cdef bint goes_on = way > 0 and row + 1 < rules.n_rows
    if b.pnl != NULL:
        post_pnl(b, rules, horizon_side, way, corner, pnl, 1)
        if goes_on:
            post_pnl(b, rules, horizon_side, way, corner + rules.n_cols, pnl, -1)
    if b.shortfall != NULL and is_short:
        post_shortfall(b, rules, horizon_side, way, corner, short, 1)
        if goes_on:
            post_shortfall(b, rules, horizon_side, way, corner + rules.n_cols, short, -1)


cdef inline void book_passage(Block *b, const Rules *rules, int side, bint is_stop, int row, int col,
                              int sign) noexcept nogil:
    # In the bin of times to which the interval under way belongs.
    b.passages[(<int64_t> ((b.time_bin * 2 + side) * PASSAGES + is_stop) * rules.n_rows + row) * rules.n_cols + col] += sign


cdef inline void book_carried_stop(Block *b, const Rules *rules, int side, int row, int col) noexcept nogil:
    book_passage(b, rules, side, True, row, col, 1)
    if row + 1 < rules.n_rows:
        book_passage(b, rules, side, True, row + 1, col, -1)
