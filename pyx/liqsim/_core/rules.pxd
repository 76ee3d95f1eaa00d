# The venue's rules on a block of whole positions: crossings, gaps, looks on occasion, funding.

from libc.math cimport fabs
from libc.stdint cimport int64_t

from liqsim._core.block cimport LIQUIDATED, ON_ENTRY, ON_MARK, STOPPED, Block, Law, Rules, Tiers
from liqsim._core.levels cimport never, row_level
from liqsim._core.tally cimport record
from liqsim._core.vmath cimport vexp


cdef inline void settle(Block *b, const Rules *rules, int side, int lane) noexcept nogil:
    # After crossings: the nearest level still open, or none when the last row or column is gone.
    cdef double e = 1.0 - 2.0 * side
    cdef double level, stop
    if b.row[side][lane] == rules.n_rows or b.col[side][lane] == rules.n_cols:
        b.n_closed += b.row[1 - side][lane] == rules.n_rows
        b.row[side][lane] = rules.n_rows
        b.col[side][lane] = rules.n_cols
        b.nearest[side][lane] = -e * never()
        return
    level = b.liquidation[side][lane]
    stop = rules.stop[side][b.col[side][lane]]
    b.nearest[side][lane] = level if e * level >= e * stop else stop


cdef inline void cross(Block *b, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side, int lane,
                       double extreme, double x, double y, double t, double dt) noexcept nogil:
    # A Brownian segment from (t, x) to (t + dt, y) has gone as far as `extreme`: book its levels, nearest first.
    cdef double e = 1.0 - 2.0 * side
    cdef const Tiers *tiers = &rules.tiers[b.set_in_force][side]
    cdef double level, stop
    cdef bint liquidated
    while b.row[side][lane] < rules.n_rows and b.col[side][lane] < rules.n_cols:
        level = b.liquidation[side][lane]
        stop = rules.stop[side][b.col[side][lane]]
        liquidated = e * level >= e * stop if rules.liquidation_first else e * level > e * stop
        level = level if liquidated else stop
        if e * extreme > e * level:
            break
        record(b, law, rules, tally, LIQUIDATED if liquidated else STOPPED, horizon, side,
               b.row[side][lane], b.col[side][lane], lane,
               rules.margin[b.row[side][lane]] if liquidated else never(), 1,
               e * (x - level) if e * (x - level) > 0.0 else 0.0, fabs(y - level), dt, t, level)
        if liquidated:
            b.row[side][lane] += 1
            b.liquidation[side][lane] = row_level(rules, tiers, side, rules.margin[b.row[side][lane]],
                                                  b.paid[side][lane], level)
        else:
            b.col[side][lane] += 1
    settle(b, rules, side, lane)


cdef inline void land(Block *b, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side, int lane,
                      double x, double t) noexcept nogil:
    # At instant t the price stands at x, past one or more levels: a jump, a funding payment or a discrete check.
    # Fills are at x. A cell past both its levels is liquidated, or stopped if the rules say so.
    cdef double e = 1.0 - 2.0 * side
    cdef const Tiers *tiers = &rules.tiers[b.set_in_force][side]
    cdef int first = b.row[side][lane]
    cdef int last = first
    cdef int row, col
    while last < rules.n_rows and e * x <= e * b.liquidation[side][lane]:
        last += 1
        b.liquidation[side][lane] = row_level(rules, tiers, side, rules.margin[last], b.paid[side][lane], x)
    if not rules.liquidation_first:
        # rows past their liquidation level are stopped one by one: the loss of each is limited to its own margin
        while b.col[side][lane] < rules.n_cols and e * x <= e * rules.stop[side][b.col[side][lane]]:
            col = b.col[side][lane]
            for row in range(first, last):
                record(b, law, rules, tally, STOPPED, horizon, side, row, col, lane, rules.margin[row], 1,
                       0.0, 0.0, 1.0, t, x)
                if row + 1 < rules.n_rows:
                    record(b, law, rules, tally, STOPPED, horizon, side, row + 1, col, lane, rules.margin[row], -1,
                           0.0, 0.0, 1.0, t, x)
            if last < rules.n_rows:
                record(b, law, rules, tally, STOPPED, horizon, side, last, col, lane, never(), 1, 0.0, 0.0, 1.0, t, x)
            b.col[side][lane] += 1
    if b.col[side][lane] < rules.n_cols:
        for row in range(first, last):
            record(b, law, rules, tally, LIQUIDATED, horizon, side, row, b.col[side][lane], lane, rules.margin[row], 1,
                   0.0, 0.0, 1.0, t, x)
    b.row[side][lane] = last
    while last < rules.n_rows and b.col[side][lane] < rules.n_cols and (
            e * x <= e * rules.stop[side][b.col[side][lane]]):
        record(b, law, rules, tally, STOPPED, horizon, side, last, b.col[side][lane], lane, never(), 1,
               0.0, 0.0, 1.0, t, x)
        b.col[side][lane] += 1
    settle(b, rules, side, lane)


cdef inline void visit(Block *b, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side, int lane,
                       double x, double t) noexcept nogil:
    # The venue looks at the account by the requirement kept for such occasions and closes what does not meet it.
    cdef double e = 1.0 - 2.0 * side
    cdef const Tiers *tiers = &rules.tiers[rules.occasion][side]
    cdef const Tiers *usual = &rules.tiers[b.set_in_force][side]
    cdef int row = b.row[side][lane]
    cdef double paid = b.paid[side][lane]
    while row < rules.n_rows and e * x <= e * row_level(rules, tiers, side, rules.margin[row], paid, x):
        record(b, law, rules, tally, LIQUIDATED, horizon, side, row, b.col[side][lane], lane, rules.margin[row], 1,
               0.0, 0.0, 1.0, t, x)
        row += 1
    if row > b.row[side][lane]:
        b.row[side][lane] = row
        b.liquidation[side][lane] = row_level(rules, usual, side, rules.margin[row], paid, x)
        settle(b, rules, side, lane)


cdef inline void pay_funding(Block *b, const Rules *rules, double weight) noexcept nogil:
    # The rate: premium and clamped interest, scaled, smoothed, its change and then itself capped; `weight` is the
    # length of the interval over the usual one. What a long pays per whole position is left in w.
    cdef int i
    cdef int m = b.n
    cdef double rate, gap, last
    cdef double interest = rules.interest, clamp = rules.clamp, scale = weight * rules.scale, cap = rules.cap
    cdef double smoothing = rules.smoothing, change_cap = rules.change_cap
    cdef double turn = -1.0 if rules.inverse else 1.0
    for i in range(m):
        last = b.rate[i]
        gap = interest - b.premium[i]
        gap = gap if gap < clamp else clamp
        gap = gap if gap > -clamp else -clamp
        rate = scale * (b.premium[i] + gap)
        rate = (1.0 - smoothing) * rate + smoothing * last
        rate = rate if rate < last + change_cap else last + change_cap
        rate = rate if rate > last - change_cap else last - change_cap
        rate = rate if rate < cap else cap
        b.rate[i] = rate if rate > -cap else -cap
    if rules.paid_on == ON_ENTRY:
        for i in range(m):
            b.w[i] = b.rate[i]
    else:
        for i in range(m):
            b.w[i] = b.rate[i] * vexp(turn * b.x[i])
        if rules.paid_on != ON_MARK:
            if rules.inverse:
                for i in range(m):
                    b.w[i] = b.w[i] * (1.0 + b.premium[i])
            else:
                for i in range(m):
                    b.w[i] = b.w[i] / (1.0 + b.premium[i])
    if rules.defers:
        for i in range(m):
            b.accrued[i] += b.w[i]
        return
    for i in range(m):
        b.paid[0][i] += b.w[i]
        b.paid[1][i] -= b.w[i]


cdef inline void settle_accrued(Block *b) noexcept nogil:
    cdef int i
    for i in range(b.n):
        b.paid[0][i] += b.accrued[i]
        b.paid[1][i] -= b.accrued[i]
        b.accrued[i] = 0.0


cdef inline void pay_charge(Block *b, int side, double amount) noexcept nogil:
    cdef int i
    for i in range(b.n):
        b.paid[side][i] += amount
