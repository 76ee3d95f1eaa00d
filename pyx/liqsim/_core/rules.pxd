# The venue's rules on a block: liquidation levels, crossings, gaps, funding.

from libc.math cimport fabs
from libc.stdint cimport int64_t

from liqsim._core.block cimport LIQUIDATED, ON_ENTRY, ON_MARK, STOPPED, Block, Law, Rules
from liqsim._core.tally cimport record
from liqsim._core.vmath cimport vexp, vlog


cdef inline double never() noexcept nogil:
    # Margin of a row, or distance of a stop, that cannot be reached.
    return 1e300


cdef inline double row_level(const Rules *rules, int side, double margin, double cost) noexcept nogil:
    # Log price ratio at which a position with this margin is liquidated once `cost` of funding has been paid.
    # Equity margin + q (w - 1) - e cost falls to the requirement max_k(alpha_k w + beta_k); w is the price ratio of a
    # linear contract or its inverse, e the side, q = e for linear and -e for inverse contracts.
    cdef double e = 1.0 - 2.0 * side
    cdef double w, other
    cdef int k
    cdef bint falls = (side == 0) != (rules.inverse != 0)
    if falls:
        w = 1e-300
        for k in range(rules.n_lines[side]):
            other = (1.0 - margin + e * cost + rules.beta[side][k]) / (1.0 - rules.alpha[side][k])
            w = other if other > w else w
    else:
        w = 1e300
        for k in range(rules.n_lines[side]):
            other = (1.0 + margin - e * cost - rules.beta[side][k]) / (1.0 + rules.alpha[side][k])
            w = other if other < w else w
        w = w if w > 1e-300 else 1e-300
    return -vlog(w) if rules.inverse else vlog(w)


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
            b.liquidation[side][lane] = row_level(rules, side, rules.margin[b.row[side][lane]], b.cost[lane])
        else:
            b.col[side][lane] += 1
    settle(b, rules, side, lane)


cdef inline void land(Block *b, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side, int lane,
                      double x, double t) noexcept nogil:
    # At instant t the price stands at x, past one or more levels: a jump, a funding payment or a discrete check.
    # Fills are at x. A cell past both its levels is liquidated, or stopped if the rules say so.
    cdef double e = 1.0 - 2.0 * side
    cdef int first = b.row[side][lane]
    cdef int last = first
    cdef int row, col
    while last < rules.n_rows and e * x <= e * b.liquidation[side][lane]:
        last += 1
        b.liquidation[side][lane] = row_level(rules, side, rules.margin[last], b.cost[lane])
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


cdef inline void set_levels(Block *b, const Rules *rules, int side) noexcept nogil:
    # Levels of every lane at the start of an interval: row_level for all lanes at once.
    cdef double e = 1.0 - 2.0 * side
    cdef double slope, offset, other, level, stop
    cdef bint falls = (side == 0) != (rules.inverse != 0)
    cdef double turn = -1.0 if rules.inverse else 1.0
    cdef const double *margins = rules.margin
    cdef const double *stops = rules.stop[side]
    cdef int n = b.n
    cdef int i, k
    for i in range(n):
        b.margin[i] = margins[b.row[side][i]]
        b.stop[i] = stops[b.col[side][i]]
        b.w[i] = 1e-300 if falls else 1e300
    for k in range(rules.n_lines[side]):
        offset = rules.beta[side][k]
        if falls:
            slope = 1.0 - rules.alpha[side][k]
            for i in range(n):
                other = (1.0 - b.margin[i] + e * b.cost[i] + offset) / slope
                b.w[i] = other if other > b.w[i] else b.w[i]
        else:
            slope = 1.0 + rules.alpha[side][k]
            for i in range(n):
                other = (1.0 + b.margin[i] - e * b.cost[i] - offset) / slope
                b.w[i] = other if other < b.w[i] else b.w[i]
    for i in range(n):
        other = b.w[i] if b.w[i] > 1e-300 else 1e-300
        b.liquidation[side][i] = turn * vlog(other)
    for i in range(n):
        level = b.liquidation[side][i]
        stop = b.stop[i]
        b.nearest[side][i] = level if e * level >= e * stop else stop


cdef inline void pay_funding(Block *b, const Rules *rules) noexcept nogil:
    # The rate: premium and clamped interest, scaled, smoothed, its change and then itself capped.
    cdef int i
    cdef int m = b.n
    cdef double rate, gap, last
    cdef double interest = rules.interest, clamp = rules.clamp, scale = rules.scale, cap = rules.cap
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
            b.cost[i] += b.rate[i]
        return
    for i in range(m):
        b.w[i] = b.rate[i] * vexp(turn * b.x[i])
    if rules.paid_on == ON_MARK:
        for i in range(m):
            b.cost[i] += b.w[i]
    elif rules.inverse:
        for i in range(m):
            b.cost[i] += b.w[i] * (1.0 + b.premium[i])
    else:
        for i in range(m):
            b.cost[i] += b.w[i] / (1.0 + b.premium[i])
