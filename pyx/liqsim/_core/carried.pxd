# Positions that live on after the venue has acted on them: cut to a smaller size, or called for margin.
#
# Until then a position is whole and shares the path's records with every other (rules.pxd). From then on it has a size
# and a cash balance of its own, so it is carried by itself until it is closed, stopped or at the horizon, and booked in
# a tally of its own (procedures.pxd says what happens to it). A stop closes what is left of it: columns that have been
# passed are booked, the position goes on for the others. Positions of a lane and side are chained; dead ones are dropped
# at the start of the next interval.

from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from liqsim._core.block cimport CONVEX, LANES, NEVER, TIERS, Block, Rules, Tiers
from liqsim._core.levels cimport Line, direction, level_from, line_of, log_level, never, tier_of
from liqsim._core.tally cimport largest
from liqsim._core.vmath cimport bits_of, vexp, vlog

cdef enum:
    ENDS = 5              # closed by the venue; stopped; open at the horizon; cut, then stopped; cut, then open
    END_CLOSED = 0
    END_STOPPED = 1
    END_OPEN = 2
    END_CUT_STOPPED = 3
    END_CUT_OPEN = 4
    VALUES = 9            # funding, time, fees, P&L, shortfall, kept, share closed by the venue, topped up, uncovered
    CARRIED_FIELDS = 29   # count; value, high and low part of the square for each; count of those called for margin

cdef struct Carried:
    int n, capacity, set_in_force, is_moved
    int32_t head[2][LANES]
    int32_t *next
    int32_t *lane
    int32_t *side
    int32_t *row
    int32_t *due
    int32_t *acts
    int32_t *tier         # that the venue has cut the position down to
    uint8_t *is_cut
    uint8_t *is_called
    double *sign          # 1 long, -1 short
    double *q             # share of the entry position that is left; 0: dead
    double *cash
    double *meets         # the requirement is met at w = (meets - cash) * per while low < w <= high
    double *per
    double *low
    double *high
    double *level         # log price ratio at which the venue acts next
    double *ratio         # and the value ratio there
    double *gain          # realised, of the price alone
    double *fees
    double *kept
    double *closed
    double *topped
    double *since         # when the venue last acted, and the log price then
    double *at
    int64_t *tally


cdef inline Carried *new_carried(int capacity) noexcept nogil:
    cdef Carried *c = <Carried *> calloc(1, sizeof(Carried))
    cdef double *doubles
    cdef int32_t *whole
    if c == NULL:
        return NULL
    doubles = <double *> calloc(<size_t> capacity * 16, sizeof(double))
    whole = <int32_t *> calloc(<size_t> capacity * 8, sizeof(int32_t))
    if doubles == NULL or whole == NULL:
        free(doubles)
        free(whole)
        free(c)
        return NULL
    c.capacity = capacity
    c.sign = doubles
    c.q = doubles + capacity
    c.cash = doubles + 2 * capacity
    c.meets = doubles + 3 * capacity
    c.per = doubles + 4 * capacity
    c.low = doubles + 5 * capacity
    c.high = doubles + 6 * capacity
    c.level = doubles + 7 * capacity
    c.gain = doubles + 8 * capacity
    c.fees = doubles + 9 * capacity
    c.kept = doubles + 10 * capacity
    c.closed = doubles + 11 * capacity
    c.topped = doubles + 12 * capacity
    c.since = doubles + 13 * capacity
    c.at = doubles + 14 * capacity
    c.ratio = doubles + 15 * capacity
    c.next = whole
    c.lane = whole + capacity
    c.side = whole + 2 * capacity
    c.row = whole + 3 * capacity
    c.due = whole + 4 * capacity
    c.acts = whole + 5 * capacity
    c.tier = whole + 6 * capacity
    c.is_cut = <uint8_t *> (whole + 7 * capacity)
    c.is_called = c.is_cut + capacity
    return c


cdef inline void free_carried(Carried *c) noexcept nogil:
    if c != NULL:
        free(c.sign)
        free(c.next)
        free(c)


cdef inline void start_carried(Carried *c) noexcept nogil:
    c.n = 0
    c.set_in_force = -1
    c.is_moved = 0
    memset(c.head, 0xff, sizeof(c.head))


cdef inline double equity(const Carried *c, const Rules *rules, int n, double w) noexcept nogil:
    return c.cash[n] + direction(rules, c.side[n]) * c.q[n] * (w - 1.0)


cdef inline void fit(Carried *c, const Rules *rules, int set_in_force, int n, double w) noexcept nogil:
    # Where the venue acts next on position n, the value ratio being w now.
    cdef const Tiers *t = &rules.tiers[set_in_force][c.side[n]]
    cdef double d = direction(rules, c.side[n])
    cdef double q = c.q[n], margin = rules.margin[c.row[n]]
    cdef double level = level_from(t, d, q, c.cash[n], margin, w)
    cdef int k
    cdef Line line
    c.level[n] = log_level(rules, level)
    c.ratio[n] = level
    c.low[n] = -1.0
    c.high[n] = 1e301
    if t.form == NEVER:
        c.meets[n] = 0.0 if d > 0.0 else never()
        c.per[n] = 0.0 if d > 0.0 else 1.0
        return
    k = tier_of(t, q, level)
    line = line_of(t, k, q, margin)
    c.meets[n] = d * q + line.offset
    c.per[n] = 1.0 / (d * q - line.slope)
    if t.size_moves and t.n > 1:
        c.low[n] = t.cap[k - 1] / q if k > 0 else -1.0
        c.high[n] = t.cap[k] / q
    if line.square != 0.0 or (t.form != CONVEX and t.n > 1):
        c.low[n] = 1e302    # no straight line: fit again in every interval


cdef inline int carry(Carried *c, Block *b, const Rules *rules, int side, int lane) noexcept nogil:
    # The lane's next row becomes a position of its own.
    cdef int n = c.n
    cdef int row = b.row[side][lane]
    c.n += 1
    c.lane[n] = lane
    c.side[n] = side
    c.row[n] = row
    c.due[n] = -1
    c.acts[n] = 0
    c.tier[n] = TIERS
    c.is_cut[n] = 0
    c.is_called[n] = 0
    c.sign[n] = 1.0 - 2.0 * side
    c.q[n] = 1.0
    c.cash[n] = rules.margin[row] - b.paid[side][lane]
    c.gain[n] = 0.0
    c.fees[n] = rules.entry_fee
    c.kept[n] = 0.0
    c.closed[n] = 0.0
    c.topped[n] = 0.0
    c.since[n] = -1e300
    c.at[n] = 0.0
    c.next[n] = c.head[side][lane]
    c.head[side][lane] = n
    b.row[side][lane] = row + 1
    return n


cdef inline void post(int64_t *cell, const double *v, Block *b) noexcept nogil:
    cdef int k
    cdef double magic = 6755399441055744.0
    cdef uint64_t magic_bits = bits_of(magic)
    cdef double square, high, value
    cell[0] += 1
    for k in range(VALUES):
        value = v[k]
        if not fabs(value) < largest():
            b.bad = 1
            value = 0.0
        square = value * value
        high = square * 65536.0 + magic
        cell[1 + 3 * k] += <int64_t> (bits_of(value * 4294967296.0 + magic) - magic_bits)
        cell[2 + 3 * k] += <int64_t> (bits_of(high) - magic_bits)
        cell[3 + 3 * k] += <int64_t> (
            bits_of((square - (high - magic) * 1.52587890625e-05) * 288230376151711744.0 + magic) - magic_bits)


cdef inline void book_end(Carried *c, Block *b, const Rules *rules, int n, int end, int horizon, int col, double w,
                          double t) noexcept nogil:
    # Book position n as if all that is left of it were closed at value ratio w; the position itself stays as it is.
    cdef double v[VALUES]
    cdef int64_t *cell = c.tally + (
        (<int64_t> ((horizon * 2 + c.side[n]) * ENDS + end) * rules.n_rows + c.row[n]) * rules.n_cols + col) * CARRIED_FIELDS
    cdef double q = c.q[n], cash = c.cash[n], margin = rules.margin[c.row[n]]
    cdef double gain = direction(rules, c.side[n]) * q * (w - 1.0)
    cdef double fee = q * (rules.exit_fee * w + rules.exit_money)
    cdef double fees = c.fees[n] + fee
    cash += gain - fee - c.sign[n] * b.accrued[c.lane[n]] * q
    gain += c.gain[n]
    v[0] = margin + c.topped[n] + gain - (fees - rules.entry_fee) - c.kept[n] - cash
    v[1] = t
    v[2] = fees
    v[3] = (cash if cash > 0.0 or rules.client_pays else 0.0) - margin - c.topped[n] - rules.entry_fee
    v[4] = -cash if cash < 0.0 else 0.0
    v[5] = c.kept[n]
    v[6] = c.closed[n]
    v[7] = c.topped[n]
    v[8] = v[4] - rules.procedure.fund if v[4] > rules.procedure.fund else 0.0
    post(cell, v, b)
    cell[CARRIED_FIELDS - 1] += c.is_called[n]


cdef inline int nearest_carried(Carried *c, int side, int lane) noexcept nogil:
    # The lane's open position on which the venue acts next, or -1; dead ones are unchained on the way.
    cdef double e = 1.0 - 2.0 * side
    cdef int n = c.head[side][lane], best = -1, last = -1
    while n >= 0:
        if c.q[n] > 0.0:
            if best < 0 or e * c.level[n] > e * c.level[best]:
                best = n
            last = n
        elif last < 0:
            c.head[side][lane] = c.next[n]
        else:
            c.next[last] = c.next[n]
        n = c.next[n]
    return best


cdef inline void settle_carried(Carried *c, Block *b, const Rules *rules, int side, int lane) noexcept nogil:
    # After crossings: the nearest level still open, or none when no position or no column is left.
    cdef double e = 1.0 - 2.0 * side
    cdef int n = nearest_carried(c, side, lane)
    cdef double level
    if b.col[side][lane] == rules.n_cols or (b.row[side][lane] == rules.n_rows and n < 0):
        n = c.head[side][lane]
        while n >= 0:
            c.q[n] = 0.0
            n = c.next[n]
        b.n_closed += b.col[1 - side][lane] == rules.n_cols
        b.row[side][lane] = rules.n_rows
        b.col[side][lane] = rules.n_cols
        b.nearest[side][lane] = -e * never()
        return
    level = b.liquidation[side][lane]
    if n >= 0 and e * c.level[n] > e * level:
        level = c.level[n]
    if e * rules.stop[side][b.col[side][lane]] > e * level:
        level = rules.stop[side][b.col[side][lane]]
    b.nearest[side][lane] = level


cdef inline void bury(Carried *c) noexcept nogil:
    # Drop the dead and chain the living.
    cdef int n, i, side, alive = 0
    memset(c.head, 0xff, sizeof(c.head))
    for n in range(c.n):
        if c.q[n] <= 0.0:
            continue
        if alive < n:
            c.lane[alive] = c.lane[n]
            c.side[alive] = c.side[n]
            c.row[alive] = c.row[n]
            c.due[alive] = c.due[n]
            c.acts[alive] = c.acts[n]
            c.tier[alive] = c.tier[n]
            c.is_cut[alive] = c.is_cut[n]
            c.is_called[alive] = c.is_called[n]
            c.sign[alive] = c.sign[n]
            c.q[alive] = c.q[n]
            c.cash[alive] = c.cash[n]
            c.meets[alive] = c.meets[n]
            c.per[alive] = c.per[n]
            c.low[alive] = c.low[n]
            c.high[alive] = c.high[n]
            c.gain[alive] = c.gain[n]
            c.fees[alive] = c.fees[n]
            c.kept[alive] = c.kept[n]
            c.closed[alive] = c.closed[n]
            c.topped[alive] = c.topped[n]
            c.since[alive] = c.since[n]
            c.at[alive] = c.at[n]
        i = c.lane[alive]
        side = c.side[alive]
        c.next[alive] = c.head[side][i]
        c.head[side][i] = alive
        alive += 1
    c.n = alive
    c.is_moved = 0


cdef inline void refresh(Carried *c, Block *b, const Rules *rules) noexcept nogil:
    # At the start of an interval: where the venue acts next on every position, and which level of a lane is nearest.
    # Pointers are local so that the compiler knows that no store moves them, and vectorises.
    cdef double *q = c.q
    cdef double *cash = c.cash
    cdef double *meets = c.meets
    cdef double *per = c.per
    cdef double *low = c.low
    cdef double *high = c.high
    cdef double *ratio = c.ratio
    cdef double *level = c.level
    cdef double *sign = c.sign
    cdef int32_t *lane = c.lane
    cdef int32_t *side = c.side
    cdef double turn = -1.0 if rules.inverse else 1.0
    cdef double w, e
    cdef double *nearest
    cdef int n, i, m = c.n, unfit = 0, dead = 0
    for n in range(m):
        dead += q[n] <= 0.0
    if dead > 0 or c.is_moved:
        bury(c)
        m = c.n
    if rules.procedure.cooldown > 0.0:
        for n in range(m):
            c.acts[n] = 0
    for n in range(m):
        ratio[n] = (meets[n] - cash[n]) * per[n]
    for n in range(m):
        unfit += (ratio[n] <= low[n]) | (ratio[n] > high[n])
    if unfit > 0 or c.set_in_force != b.set_in_force:
        for n in range(m):
            if ratio[n] <= low[n] or ratio[n] > high[n] or c.set_in_force != b.set_in_force:
                fit(c, rules, b.set_in_force, n, vexp(turn * b.x[lane[n]]))
    for n in range(m):
        w = ratio[n] if ratio[n] > 1e-300 else 1e-300
        w = w if w < 1e300 else 1e300
        level[n] = turn * vlog(w)
    for n in range(m):
        i = lane[n]
        e = sign[n]
        nearest = b.nearest[side[n]]
        if e * level[n] > e * nearest[i]:
            nearest[i] = level[n]


cdef inline void pay_carried(Carried *c, const double *amount) noexcept nogil:
    # Longs pay each lane's amount per whole position, shorts receive it.
    cdef double *q = c.q
    cdef double *cash = c.cash
    cdef double *sign = c.sign
    cdef int32_t *lane = c.lane
    cdef int n
    for n in range(c.n):
        cash[n] -= sign[n] * amount[lane[n]] * q[n]


cdef inline void charge_carried(Carried *c, int side, double amount) noexcept nogil:
    cdef int n
    for n in range(c.n):
        if c.side[n] == side:
            c.cash[n] -= amount * c.q[n]


cdef inline void book_open(Carried *c, Block *b, const Rules *rules, int horizon, double t) noexcept nogil:
    cdef int n, i
    for n in range(c.n):
        if c.q[n] > 0.0:
            i = c.lane[n]
            book_end(c, b, rules, n, END_CUT_OPEN if c.is_cut[n] else END_OPEN, horizon, b.col[c.side[n]][i],
                     vexp(-b.x[i] if rules.inverse else b.x[i]), t)
