# The maintenance requirement and the price levels at which it is met.
#
# Equity of a share q of the position at value ratio w is cash + d q (w - 1): w is the price ratio of a linear contract
# or its inverse, d = 1 where profit rises with w (linear long, inverse short) and -1 otherwise. `cash` is the margin net
# of what has been paid; everything is per unit of entry value.

from libc.math cimport sqrt

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
    line.slope = share * line.slope + t.fee * q
    line.offset *= share
    line.square *= share
    return line


cdef inline double requirement(const Tiers *t, double q, double w, double margin) noexcept nogil:
    cdef Line line
    if t.form == NEVER:
        return -never()
    line = line_of(t, tier_of(t, q, w), q, margin)
    return line.slope * w + line.offset + line.square * w * w


cdef inline double root_of(Line line, double d, double q, double cash) noexcept nogil:
    # Value ratio at which cash + d q (w - 1) meets the line.
    cdef double p = line.slope - d * q
    cdef double r = line.offset + d * q - cash
    cdef double inner
    if line.square == 0.0:
        return -r / p
    inner = p * p - 4.0 * line.square * r
    return 2.0 * d * r / ((p if p > 0.0 else -p) + sqrt(inner if inner > 0.0 else 0.0))


cdef inline double level_from(const Tiers *t, double d, double q, double cash, double margin, double start) noexcept nogil:
    # First value ratio, going from `start` in the direction that loses, at which the requirement is met.
    cdef int k
    cdef double root, edge, other
    cdef Line line
    if t.form == NEVER:
        return 0.0 if d > 0.0 else never()
    k = tier_of(t, q, start)
    while True:
        line = line_of(t, k, q, margin)
        root = root_of(line, d, q, cash)
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
            if cash + d * q * (edge - 1.0) <= other:
                return edge


cdef inline double row_level(const Rules *rules, const Tiers *t, int side, double margin, double paid, double x) noexcept nogil:
    # Log price ratio, from x on, at which a whole position with this margin meets the requirement.
    cdef double d = direction(rules, side)
    cdef double cash = margin - paid
    cdef double w, other
    cdef int k
    if t.form != CONVEX:
        if margin >= never():
            return log_level(rules, 0.0 if d > 0.0 else never())
        return log_level(rules, level_from(t, d, 1.0, cash, margin, vexp(-x if rules.inverse else x)))
    if d > 0.0:
        w = 1e-300
        for k in range(t.n_lines):
            other = (1.0 - cash + t.beta[k]) / (1.0 - t.alpha[k])
            w = other if other > w else w
    else:
        w = 1e300
        for k in range(t.n_lines):
            other = (1.0 + cash - t.beta[k]) / (1.0 + t.alpha[k])
            w = other if other < w else w
    return log_level(rules, w)


cdef inline void set_levels(Block *b, const Rules *rules, int side, int set_in_force) noexcept nogil:
    # Levels of every lane at the start of an interval: row_level for all lanes at once.
    cdef double e = 1.0 - 2.0 * side
    cdef double d = direction(rules, side)
    cdef double slope, offset, other, level, stop, p, r, inner
    cdef double turn = -1.0 if rules.inverse else 1.0
    cdef const Tiers *t = &rules.tiers[set_in_force][side]
    cdef const double *margins = rules.margin
    cdef const double *stops = rules.stop[side]
    cdef double *paid = b.paid[side]
    cdef int n = b.n
    cdef int i, k
    cdef Line line
    for i in range(n):
        b.margin[i] = margins[b.row[side][i]]
        b.stop[i] = stops[b.col[side][i]]
        b.w[i] = 1e-300 if d > 0.0 else 1e300
    if t.form == CONVEX:
        for k in range(t.n_lines):
            offset = t.beta[k]
            if d > 0.0:
                slope = 1.0 - t.alpha[k]
                for i in range(n):
                    other = (1.0 - (b.margin[i] - paid[i]) + offset) / slope
                    b.w[i] = other if other > b.w[i] else b.w[i]
            else:
                slope = 1.0 + t.alpha[k]
                for i in range(n):
                    other = (1.0 + (b.margin[i] - paid[i]) - offset) / slope
                    b.w[i] = other if other < b.w[i] else b.w[i]
    elif t.form == ONE_RATE and not t.per_margin:
        line = line_of(t, 0, 1.0, 1.0)
        p = line.slope - d
        for i in range(n):
            r = line.offset + d - (b.margin[i] - paid[i])
            inner = p * p - 4.0 * line.square * r
            other = 2.0 * d * r / ((p if p > 0.0 else -p) + sqrt(inner if inner > 0.0 else 0.0))
            b.w[i] = other if b.margin[i] < 1e299 else b.w[i]
    elif t.form != NEVER:
        for i in range(n):
            if b.margin[i] < 1e299:
                b.w[i] = level_from(t, d, 1.0, b.margin[i] - paid[i], b.margin[i], vexp(turn * b.x[i]))
    for i in range(n):
        other = b.w[i] if b.w[i] > 1e-300 else 1e-300
        other = other if other < 1e300 else 1e300
        b.liquidation[side][i] = turn * vlog(other)
    for i in range(n):
        level = b.liquidation[side][i]
        stop = b.stop[i]
        b.nearest[side][i] = level if e * level >= e * stop else stop
