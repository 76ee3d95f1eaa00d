# Records of crossings, and how they are valued and booked as integers.

from libc.math cimport fabs, sqrt
from libc.stdint cimport int64_t, uint64_t

from liqsim._core.block cimport BUFFER, FIELDS, LIQUIDATED, QUANTITIES, Block, Law, Rules
from liqsim._core.vmath cimport bits_of, mills, vexp


cdef inline double largest() noexcept nogil:
    # Times the entry notional: what the integer sums can hold.
    return 16384.0


cdef inline void book(Block *b, const Law *law, const Rules *rules, int64_t *tally) noexcept nogil:
    # Value every waiting record and add it to its cell.
    # Quantities: funding cost; time; then fees, P&L, shortfall. Of a liquidation that returns nothing: margin that the
    # engine kept, P&L of the price alone, shortfall. Of one that returns the rest, a position without equity is taken
    # over at its bankruptcy price, for no fee, unless the trader owes the loss.
    cdef int n, f, k
    cdef double sigma = law.sigma if law.sigma > 1e-9 else 1e-9
    cdef double root, w, gain, paid, equity, fees, net, floor, lowest, square, high
    cdef double turn = -1.0 if rules.inverse else 1.0
    cdef bint bankrupt
    cdef double magic = 6755399441055744.0
    cdef uint64_t magic_bits = bits_of(magic)
    cdef int64_t *cell
    for n in range(b.n_records):
        root = sqrt(b.r_dt[n]) / sigma
        b.v[1][n] = b.r_t[n] + b.r_before[n] * root * mills(b.r_zigzag[n] / b.r_dt[n] * root)
        w = vexp(turn * b.r_x[n])
        gain = b.r_side[n] * turn * (w - 1.0)
        paid = b.r_paid[n]
        equity = b.r_margin[n] + gain - paid
        fees = rules.entry_fee + rules.exit_fee * w + rules.exit_money
        net = gain - paid - fees
        floor = -b.r_margin[n] - rules.entry_fee
        lowest = -largest() if rules.client_pays else floor
        b.v[0][n] = paid
        b.v[2][n] = fees
        b.v[3][n] = net if net > lowest else lowest
        b.v[4][n] = floor - net if net < floor else 0.0
        if rules.returns_rest:
            bankrupt = b.r_kind[n] == LIQUIDATED and equity <= 1e-12 and not rules.client_pays
            b.v[2][n] = rules.entry_fee if bankrupt else b.v[2][n]
            b.v[4][n] = -equity if bankrupt else b.v[4][n]
        else:
            b.v[2][n] = (equity if equity > 0.0 else 0.0) if b.r_kind[n] == LIQUIDATED else b.v[2][n]
            b.v[3][n] = gain if b.r_kind[n] == LIQUIDATED else b.v[3][n]
            b.v[4][n] = (-equity if equity < 0.0 else 0.0) if b.r_kind[n] == LIQUIDATED else b.v[4][n]
    for k in range(QUANTITIES):
        for n in range(b.n_records):
            if not fabs(b.v[k][n]) < largest():
                b.bad = 1
                b.v[k][n] = 0.0
        for n in range(b.n_records):
            b.q[1 + 3 * k][n] = <int64_t> (bits_of(b.v[k][n] * 4294967296.0 + magic) - magic_bits)
            square = b.v[k][n] * b.v[k][n]
            high = square * 65536.0 + magic
            b.q[2 + 3 * k][n] = <int64_t> (bits_of(high) - magic_bits)
            b.q[3 + 3 * k][n] = <int64_t> (
                bits_of((square - (high - magic) * 1.52587890625e-05) * 288230376151711744.0 + magic) - magic_bits)
    for n in range(b.n_records):
        cell = tally + b.r_cell[n] * FIELDS
        cell[0] += b.r_sign[n]
        for f in range(1, FIELDS):
            cell[f] += b.r_sign[n] * b.q[f][n]
    b.n_records = 0


cdef inline void record(Block *b, const Law *law, const Rules *rules, int64_t *tally, int kind, int horizon, int side,
                        int row, int col, int lane, double margin, int sign,
                        double before, double after, double dt, double t, double x) noexcept nogil:
    cdef int n = b.n_records
    b.r_kind[n] = kind
    b.r_cell[n] = (<int64_t> ((horizon * 2 + side) * 3 + kind) * rules.n_rows + row) * rules.n_cols + col
    if b.stride != 0:
        b.r_cell[n] += b.stride * <int64_t> (b.path[lane] - b.first)
    b.r_sign[n] = sign
    b.r_side[n] = 1.0 - 2.0 * side
    b.r_margin[n] = margin
    b.r_before[n] = before
    b.r_zigzag[n] = before + after
    b.r_dt[n] = dt
    b.r_t[n] = t
    b.r_x[n] = x
    b.r_paid[n] = b.paid[side][lane] + (1.0 - 2.0 * side) * b.accrued[lane]
    b.n_records = n + 1
    if b.trace != NULL and sign > 0:
        b.trace.record(b, kind, horizon, side, row, col, before, before + after, dt, t, x)
    if b.n_records == BUFFER:
        book(b, law, rules, tally)
