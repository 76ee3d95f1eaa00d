# Ends of whole positions and how they are booked: as integer sums of what was paid, the time and the price gain, of their
# squares, and of paid times gain. Every amount of money is affine in the two, with coefficients that depend on the row
# and the kind of end alone, so its sum and sum of squares follow; liqsim.engine.tally does it.

from libc.math cimport fabs, sqrt
from libc.stdint cimport int64_t, uint64_t

from liqsim._core.binned cimport book_passage, book_pnl, book_shortfall
from liqsim._core.block cimport (
    BANKRUPT, BUFFER, DRAINED, FIELDS, KINDS, LIQUIDATED, STOPPED, SURVIVED, Block, Law, Rules)
from liqsim._core.vmath cimport mills, nearest_whole, vlog, whole
from liqsim._core.weights cimport weigh


cdef inline double largest() noexcept nogil:
    # Times the entry notional: what the integer sums can hold.
    return 16384.0


cdef inline void book(Block *b, const Law *law, const Rules *rules, int64_t *tally) noexcept nogil:
    # Value every waiting record and add it to its cell: values in units of 2**-32, of products the multiple of 4 in those
    # and the rest in units of 2**-44.
    # Where the rest is returned, a position without equity is taken over at its bankruptcy price, for no fee, unless the
    # trader owes the loss.
    cdef int n, f
    cdef double sigma = law.sigma if law.sigma > 1e-9 else 1e-9
    cdef double turn = -1.0 if rules.inverse else 1.0
    cdef double bankrupt = 1e-12 if rules.returns_rest else 0.0
    cdef double x, y, w, root, before, time, gain, paid, equity, net
    cdef double high_p, high_t, high_g, high_m
    cdef double last = largest()
    cdef bint keeps = rules.returns_rest, owes = rules.client_pays and rules.returns_rest
    cdef int64_t bad = 0, kind, is_bankrupt, is_short
    cdef int64_t plane = <int64_t> rules.n_rows * rules.n_cols
    cdef int64_t *cell
    for n in range(b.n_records):
        w = b.r_ratio[n] if b.r_ratio[n] > 1e-300 else 1e-300
        x = turn * vlog(w)
        y = fabs(b.r_y[n] - x)
        before = b.r_side[n] * (b.r_x[n] - x)
        before = before if before > 0.0 else 0.0
        root = sqrt(b.r_dt[n])
        time = b.r_t[n] + before * (root / sigma) * mills((before + y) / (root * sigma))
        paid = b.r_paid[n]
        gain = b.r_side[n] * turn * (w - 1.0)
        equity = b.r_margin[n] * (1.0 + rules.coin * (w - 1.0)) + gain - paid
        net = equity - (rules.exit_fee * w + rules.exit_money)    # over the worst that the trader can lose
        is_bankrupt = 1 if equity <= bankrupt and not owes else 0
        is_short = 1 if net < 0.0 else 0
        kind = (BANKRUPT if is_bankrupt else DRAINED if keeps and is_short else LIQUIDATED)
        kind = kind if b.r_kind[n] == LIQUIDATED else b.r_kind[n] + is_short
        b.r_cell[n] = b.r_cell[n] + kind * plane
        b.u[n] = paid
        b.v[n] = time
        b.w[n] = gain
    if rules.n_tilts > 0:
        weigh(b, law, rules, tally)
        b.n_records = 0
        return
    for n in range(b.n_records):
        bad |= 0 if fabs(b.u[n]) < last and fabs(b.v[n]) < last and fabs(b.w[n]) < last else 1
    if bad:
        b.bad = 1
        b.n_records = 0
        return
    if b.pnl != NULL:
        book_pnl(b, rules)
    if b.shortfall != NULL:
        book_shortfall(b, rules)
    for n in range(b.n_records):
        paid = b.u[n]
        time = b.v[n]
        gain = b.w[n]
        high_p = nearest_whole(0.25 * paid * paid)
        high_t = nearest_whole(0.25 * time * time)
        high_g = nearest_whole(0.25 * gain * gain)
        high_m = nearest_whole(0.25 * paid * gain)
        b.q[8 * n] = 1
        b.q[8 * n + 1] = whole(paid * 4294967296.0)
        b.q[8 * n + 2] = whole(time * 4294967296.0)
        b.q[8 * n + 3] = whole(gain * 4294967296.0)
        b.q[8 * n + 4] = whole((paid * paid - 4.0 * high_p) * 17592186044416.0)
        b.q[8 * n + 5] = whole((time * time - 4.0 * high_t) * 17592186044416.0)
        b.q[8 * n + 6] = whole((gain * gain - 4.0 * high_g) * 17592186044416.0)
        b.q[8 * n + 7] = whole((paid * gain - 4.0 * high_m) * 17592186044416.0)
        b.high[4 * n] = whole(high_p)
        b.high[4 * n + 1] = whole(high_t)
        b.high[4 * n + 2] = whole(high_g)
        b.high[4 * n + 3] = whole(high_m)
        b.is_large[n] = b.high[4 * n] | b.high[4 * n + 1] | b.high[4 * n + 2] | b.high[4 * n + 3]
    for n in range(b.n_records):
        cell = tally + b.r_cell[n] * FIELDS
        for f in range(8):
            cell[f] += (b.q[8 * n + f] ^ b.r_flip[n]) - b.r_flip[n]
        if b.is_large[n]:
            for f in range(4):
                cell[8 + f] += (b.high[4 * n + f] ^ b.r_flip[n]) - b.r_flip[n]
    b.n_records = 0


cdef inline void write_record(Block *b, const Law *law, const Rules *rules, int64_t *tally, int kind, int horizon, int side,
                              int row, int col, int lane, double margin, int sign, double w, double x, double y, double t,
                              double dt) noexcept nogil:
    cdef int n = b.n_records
    cdef double e = 1.0 - 2.0 * side
    b.r_kind[n] = kind
    b.r_cell[n] = (<int64_t> (horizon * 2 + side) * KINDS * rules.n_rows + row) * rules.n_cols + col
    b.r_flip[n] = 0 if sign > 0 else -1
    b.r_path[n] = b.all.path[lane]
    b.r_side[n] = e
    b.r_margin[n] = margin
    b.r_paid[n] = b.paid[side][lane] + e * b.accrued[lane]
    b.r_ratio[n] = w
    b.r_x[n] = x
    b.r_y[n] = y
    b.r_t[n] = t
    b.r_dt[n] = dt if dt > 1e-30 else 1e-30
    b.n_records = n + 1
    if b.passages != NULL and kind != SURVIVED:
        book_passage(b, rules, side, kind == STOPPED, row, col, sign)
    if b.trace != NULL:
        b.trace.record(b, tally, lane)
    elif b.n_records == BUFFER:
        book(b, law, rules, tally)


cdef inline void record(Block *b, const Law *law, const Rules *rules, int64_t *tally, int kind, int horizon, int side,
                        int row, int col, int lane, double margin, int sign, double w, double t) noexcept nogil:
    # An end at time t and value ratio w.
    cdef double past = (2.0 * side - 1.0) * 1e4    # nothing is before the level
    write_record(b, law, rules, tally, kind, horizon, side, row, col, lane, margin, sign, w, past, past, t, 1.0)


cdef inline void record_passage(Block *b, const Law *law, const Rules *rules, int64_t *tally, int kind, int horizon,
                                int side, int row, int col, int lane, double margin, double w, double x, double y, double t,
                                double dt) noexcept nogil:
    # An end where a Brownian segment from (t, x) to (t + dt, y) first reaches value ratio w.
    write_record(b, law, rules, tally, kind, horizon, side, row, col, lane, margin, 1, w, x, y, t, dt)
