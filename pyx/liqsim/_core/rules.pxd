# The venue's rules on a block of whole positions: crossings, gaps, looks on occasion, funding.

from libc.stdint cimport int64_t

from liqsim._core.block cimport CONVEX, LIQUIDATED, ON_ENTRY, ON_MARK, STOPPED, Block, Lanes, Law, Rules, Tiers
from liqsim._core.levels cimport anchor, direction, never, row_ratio, sharpen
from liqsim._core.tally cimport record, record_passage
from liqsim._core.vmath cimport vexp


cdef inline void place(Block *b, const Rules *rules, int side, int lane, int row, int col) noexcept nogil:
    # The corner of the lane's open cells; beyond the last row or column nothing is left.
    if row == rules.n_rows or col == rules.n_cols:
        b.n_closed += b.row[1 - side][lane] == rules.n_rows
        row = rules.n_rows
        col = rules.n_cols
    b.row[side][lane] = row
    b.col[side][lane] = col


cdef inline void cross(Block *b, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side,
                       Lanes *g, int n_hit) noexcept nogil:
    # Brownian segments have gone as far as `hit_ratio`: book the levels passed, nearest first.
    cdef double d = direction(rules, side)
    cdef const Tiers *tiers = &rules.tiers[b.set_in_force][side]
    cdef const double *stops = rules.stop_ratio[side]
    cdef bint liquidation_first = rules.liquidation_first, is_convex = tiers.form == CONVEX
    cdef double level, stop, nearest, reached, paid
    cdef int i, n, lane, row, col, liquidated
    for i in range(n_hit):
        n = g.hit[i]
        lane = g.lane[n]
        row = b.row[side][lane]
        col = b.col[side][lane]
        paid = b.paid[side][lane]
        reached = d * g.hit_ratio[i]
        level = row_ratio(rules, tiers, side, row, paid, 1.0) if is_convex else b.liquidation[side][lane]
        stop = stops[col]
        while row < rules.n_rows and col < rules.n_cols:
            # no branch on which of the two it is: that is as good as random
            liquidated = (d * level >= d * stop) if liquidation_first else (d * level > d * stop)
            nearest = level if liquidated else stop
            if reached > d * nearest:
                break
            record_passage(b, law, rules, tally, STOPPED - liquidated * (STOPPED - LIQUIDATED), horizon, side, row, col,
                           lane, rules.margin[row] if liquidated else never(), nearest, g.x[n], g.y[n], g.t[n], g.dt[n])
            row += liquidated
            col += 1 - liquidated
            level = row_ratio(rules, tiers, side, row, paid, level) if is_convex or liquidated else level
            stop = stops[col]
        b.liquidation[side][lane] = level
        place(b, rules, side, lane, row, col)


cdef inline void land(Block *b, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side,
                      Lanes *g, int n_hit) noexcept nogil:
    # Prices stand at `hit_ratio`, past one or more levels: a jump, a funding payment or a discrete check. Fills are there.
    # A cell past both its levels is liquidated, or stopped if the rules say so.
    cdef double d = direction(rules, side)
    cdef const Tiers *tiers = &rules.tiers[b.set_in_force][side]
    cdef const double *stops = rules.stop_ratio[side]
    cdef double w, t, paid, level
    cdef int i, lane, first, last, row, col
    for i in range(n_hit):
        lane = g.lane[g.hit[i]]
        t = g.t[g.hit[i]]
        w = g.hit_ratio[i]
        paid = b.paid[side][lane]
        first = b.row[side][lane]
        col = b.col[side][lane]
        last = first
        sharpen(b, rules, side, lane)
        level = b.liquidation[side][lane]
        while last < rules.n_rows and d * w <= d * level:
            last += 1
            level = row_ratio(rules, tiers, side, last, paid, w)
        b.liquidation[side][lane] = level
        if not rules.liquidation_first:
            # rows past their liquidation level are stopped one by one: the loss of each is limited to its own margin
            while col < rules.n_cols and d * w <= d * stops[col]:
                for row in range(first, last):
                    record(b, law, rules, tally, STOPPED, horizon, side, row, col, lane, rules.margin[row], 1, w, t)
                    if row + 1 < rules.n_rows:
                        record(b, law, rules, tally, STOPPED, horizon, side, row + 1, col, lane, rules.margin[row], -1, w, t)
                if last < rules.n_rows:
                    record(b, law, rules, tally, STOPPED, horizon, side, last, col, lane, never(), 1, w, t)
                col += 1
        if col < rules.n_cols:
            for row in range(first, last):
                record(b, law, rules, tally, LIQUIDATED, horizon, side, row, col, lane, rules.margin[row], 1, w, t)
        while last < rules.n_rows and col < rules.n_cols and d * w <= d * stops[col]:
            record(b, law, rules, tally, STOPPED, horizon, side, last, col, lane, never(), 1, w, t)
            col += 1
        place(b, rules, side, lane, last, col)


cdef inline void settle(Block *b, const Rules *rules, int side, const Lanes *g, int n_hit) noexcept nogil:
    # After crossings: the levels still open.
    cdef int i
    for i in range(n_hit):
        b.mark[i] = g.lane[g.hit[i]]
    anchor(b, rules, side, b.mark, n_hit)


cdef inline void visit(Block *b, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side, int lane,
                       double w, double t) noexcept nogil:
    # The venue looks at the account by the requirement kept for such occasions and closes what does not meet it.
    cdef double d = direction(rules, side)
    cdef const Tiers *tiers = &rules.tiers[rules.occasion + b.set_in_force][side]
    cdef const Tiers *usual = &rules.tiers[b.set_in_force][side]
    cdef int row = b.row[side][lane]
    cdef double paid = b.paid[side][lane]
    while row < rules.n_rows and d * w <= d * row_ratio(rules, tiers, side, row, paid, w):
        record(b, law, rules, tally, LIQUIDATED, horizon, side, row, b.col[side][lane], lane, rules.margin[row], 1, w, t)
        row += 1
    if row > b.row[side][lane]:
        b.liquidation[side][lane] = row_ratio(rules, usual, side, row, paid, w)
        place(b, rules, side, lane, row, b.col[side][lane])
        anchor(b, rules, side, &b.all.lane[lane], 1)


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
    elif rules.paid_on == ON_MARK:
        for i in range(m):
            b.w[i] = b.rate[i] * vexp(turn * b.all.x[i])
    elif rules.inverse:
        for i in range(m):
            b.w[i] = b.rate[i] * vexp(turn * b.all.x[i]) * (1.0 + b.premium[i])
    else:
        for i in range(m):
            b.w[i] = b.rate[i] * vexp(turn * b.all.x[i]) / (1.0 + b.premium[i])
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
