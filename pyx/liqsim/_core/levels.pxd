# The maintenance requirement and the price levels at which it is met.
#
# Equity of a share q of the position at value ratio w is cash + d q (w - 1): w is the price ratio of a linear contract
# or its inverse, d = 1 where profit rises with w (linear long, inverse short) and -1 otherwise. `cash` is the margin net
# of what has been paid; everything is per unit of entry value. Margin that is posted in the coin itself follows its price:
# to the exposure d q is added the margin at entry. The haircut on it counts as a part of the requirement.

from libc.math cimport fabs, sqrt
from libc.stdint cimport int32_t

from liqsim._core.block cimport CONVEX, NEVER, ONE_RATE, Block, Rules, Tiers
from liqsim._core.vmath cimport vexp, vlog

cdef struct Line:
    double slope, offset, square    # requirement slope w + offset + square w^2


cdef inline double never() noexcept nogil:
    # Margin of a row, or distance of a stop, that cannot be reached.
    return 1e300


cdef inline double direction(const Rules *rules, int side) noexcept nogil:
    return 1.0 if (side == 0) != (rules.inverse != 0) else -1.0


cdef inline double log_level(const Rules *rules, double w) noexcept nogil:
    # Log price ratio at value ratio w.
    cdef double bounded = w if w > 1e-300 else 1e-300
    bounded = bounded if bounded < 1e300 else 1e300
    return -vlog(bounded) if rules.inverse else vlog(bounded)


cdef inline double coins(const Tiers *t, double margin) noexcept nogil:
    # Coin that a row has posted, at its value at entry; none in the row that cannot be reached.
    return t.coin * margin if margin < never() else 0.0


cdef inline double haircut(const Tiers *t, double w, double margin) noexcept nogil:
    # What the venue does not count of it.
    return t.haircut * coins(t, margin) * w


cdef inline int tier_of(const Tiers *t, double q, double w) noexcept nogil:
    # A size at a cap, to rounding, belongs to the tier below it: that is where the venue cuts to.
    cdef double z = (q * w if t.size_moves else q) * (1.0 - 1e-12)
    cdef int k = 0
    while k < t.n - 1 and z > t.cap[k]:
        k += 1
    return k


cdef inline Line line_of(const Tiers *t, int k, double q, double margin) noexcept nogil:
    # Requirement of a share q as a function of w while it is in tier k.
    cdef Line line
    cdef double share = margin if t.per_margin else 1.0
    line.slope = 0.0
    line.offset = 0.0
    line.square = 0.0
    if t.on_mark and t.size_moves:
        line.slope = t.rate[k] * q
        line.offset = -t.deduction[k]
        line.square = t.slope * q * q
    elif t.on_mark:
        line.slope = (t.rate[k] + t.slope * q) * q - t.deduction[k]
    else:
        line.offset = (t.rate[k] + t.slope * q) * q - t.deduction[k]
    line.slope = share * line.slope + t.fee * q + haircut(t, 1.0, margin)
    line.offset *= share
    line.square *= share
    return line


cdef inline double requirement(const Tiers *t, double q, double w, double margin) noexcept nogil:
    cdef Line line
    if t.form == NEVER:
        return -never()
    line = line_of(t, tier_of(t, q, w), q, margin)
    return line.slope * w + line.offset + line.square * w * w


cdef inline double root_of(Line line, double d, double exposure, double cash) noexcept nogil:
    # Value ratio at which cash + exposure (w - 1) meets the line.
    cdef double p = line.slope - exposure
    cdef double r = line.offset + exposure - cash
    cdef double inner
    if line.square == 0.0:
        return -r / p
    inner = p * p - 4.0 * line.square * r
    return 2.0 * d * r / ((p if p > 0.0 else -p) + sqrt(inner if inner > 0.0 else 0.0))


cdef inline double level_from(const Tiers *t, double d, double q, double cash, double margin, double start) noexcept nogil:
    # First value ratio, going from `start` in the direction that loses, at which the requirement is met.
    cdef int k
    cdef double root, edge, other
    cdef double exposure = d * q + coins(t, margin)
    cdef Line line
    if t.form == NEVER:
        return 0.0 if d > 0.0 else never()
    k = tier_of(t, q, start)
    while True:
        line = line_of(t, k, q, margin)
        root = root_of(line, d, exposure, cash)
        if not t.size_moves:
            return root
        if d > 0.0:
            if k == 0 or root > t.cap[k - 1] / q:
                return root
            k -= 1
        else:
            if k == t.n - 1 or root <= t.cap[k] / q:
                return root
            edge = t.cap[k] / q
            k += 1
            line = line_of(t, k, q, margin)
            other = line.slope * edge + line.offset + line.square * edge * edge
            if cash + exposure * (edge - 1.0) <= other:
                return edge


cdef inline double row_ratio(const Rules *rules, const Tiers *t, int side, int row, double paid, double w) noexcept nogil:
    # Value ratio, from w on, at which a whole position of this row meets the requirement.
    cdef double d = direction(rules, side)
    cdef double level, other
    cdef int k, place
    if t.form != CONVEX:
        if rules.margin[row] >= never():
            return 0.0 if d > 0.0 else never()
        return level_from(t, d, 1.0, rules.margin[row] - paid, rules.margin[row], w)
    level = t.at[row] + t.per[row] * paid
    for k in range(1, t.n_lines):
        place = k * (rules.n_rows + 1) + row
        other = t.at[place] + t.per[place] * paid
        level = other if d * other > d * level else level
    return level


cdef inline void sharpen(Block *b, const Rules *rules, int side, int lane) noexcept nogil:
    # The level of the lane's row with what has been paid by now. Where the requirement is looked up tier by tier, it is
    # the level found at the interval's start or since.
    cdef const Tiers *t = &rules.tiers[b.set_in_force][side]
    if t.form == CONVEX:
        b.liquidation[side][lane] = row_ratio(rules, t, side, b.row[side][lane], b.paid[side][lane], 1.0)


cdef inline void anchor(Block *b, const Rules *rules, int side, const int32_t *list, int n) noexcept nogil:
    # The log levels of the listed lanes, from the ratios found just now. Payments move them: with `u` what has been paid
    # since over the slope and the value ratio, a level comes closer by no more than u + u^2, which spares logarithms in
    # every interval.
    cdef double e = 1.0 - 2.0 * side
    cdef double turn = -1.0 if rules.inverse else 1.0
    cdef double floor = 0.05 if direction(rules, side) > 0.0 else 1e-300    # lower levels count as this one
    cdef const double *stops = rules.stop[side]
    cdef double w, level, stop
    cdef int i, j, n_rows = rules.n_rows
    for j in range(n):
        b.u[j] = b.liquidation[side][list[j]]
    for j in range(n):
        w = b.u[j]
        w = w if w > floor else floor
        w = w if w < 1e300 else 1e300
        b.u[j] = turn * vlog(w)
        b.v[j] = 1.0 / w
    for j in range(n):
        i = list[j]
        stop = stops[b.col[side][i]]
        level = b.u[j]
        if b.row[side][i] == n_rows:
            level = -e * never()
            b.v[j] = 0.0
        b.level[side][i] = level
        b.per_ratio[side][i] = b.v[j]
        b.paid_then[side][i] = b.paid[side][i]
        b.stop[side][i] = stop
        b.all.near[side][i] = level if e * level > e * stop else stop


cdef inline void set_levels(Block *b, const Rules *rules, int side, bint moved) noexcept nogil:
    # What is nearest in every lane at the start of an interval; `moved`: another requirement is in force.
    cdef double e = 1.0 - 2.0 * side
    cdef const Tiers *t = &rules.tiers[b.set_in_force][side]
    cdef int n = b.n
    cdef int i
    cdef double up, down, u, level, stop, turn = -1.0 if rules.inverse else 1.0
    if t.form != CONVEX:
        if t.form == ONE_RATE and not t.per_margin and t.coin == 0.0:
            one_rate_ratios(b, rules, t, side)
        else:
            for i in range(n):
                b.liquidation[side][i] = row_ratio(rules, t, side, b.row[side][i], b.paid[side][i], vexp(turn * b.all.x[i]))
        anchor(b, rules, side, b.all.lane, n)
        return
    if moved:
        for i in range(n):
            sharpen(b, rules, side, i)
        anchor(b, rules, side, b.all.lane, n)
        return
    up = t.up
    down = t.down
    for i in range(n):
        u = b.paid[side][i] - b.paid_then[side][i]
        u = u * b.per_ratio[side][i] * (up if u > 0.0 else down)
        level = b.level[side][i] + e * (u + u * u)
        level = level if fabs(u) < 0.5 else e * never()    # too far for the bound: look closely
        stop = b.stop[side][i]
        b.all.near[side][i] = level if e * level > e * stop else stop


cdef inline void one_rate_ratios(Block *b, const Rules *rules, const Tiers *t, int side) noexcept nogil:
    # root_of for every lane at once.
    cdef double d = direction(rules, side)
    cdef Line line = line_of(t, 0, 1.0, 1.0)
    cdef double p = line.slope - d
    cdef double size = p if p > 0.0 else -p
    cdef double r, inner, margin
    cdef int i
    for i in range(b.n):
        margin = rules.margin[b.row[side][i]]
        r = line.offset + d - (margin - b.paid[side][i])
        inner = p * p - 4.0 * line.square * r
        r = 2.0 * d * r / (size + sqrt(inner if inner > 0.0 else 0.0))
        b.liquidation[side][i] = r if margin < 1e299 else 0.0 if d > 0.0 else never()
