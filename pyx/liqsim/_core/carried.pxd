# Positions that live on after the venue has acted on them: cut to a smaller size, or called for margin.
#
# Until then a position is whole and shares the path's records with every other (rules.pxd). From then on it has a size
# and a cash balance of its own, so it is carried by itself until it is closed, stopped or at the horizon, and booked in
# a tally of its own (procedures.pxd says what happens to it). A stop closes what is left of it: columns that have been
# passed are booked, the position goes on for the others.
#
# Each side, row and lane has a slot, lanes side by side, so that what is done to all positions in every interval is a few
# plain loops over lanes, without logarithms: paying, and finding the value ratio at which the venue acts next. An empty
# slot holds numbers by which it never acts; rows without a position are passed over.

from libc.math cimport fabs, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from liqsim._core.binned cimport book_carried_values
from liqsim._core.block cimport LANES, NEVER, ONE_RATE, STEPS, TIERS, Block, Rules, Tiers
from liqsim._core.levels cimport Line, anchor, coins, direction, level_from, line_of, log_level, never, sharpen, tier_of
from liqsim._core.tally cimport largest
from liqsim._core.vmath cimport bits_of, vexp, vlog
from liqsim._core.weights cimport split, weight_of

cdef enum:
    ENDS = 5              # closed by the venue; stopped; open at the horizon; cut, then stopped; cut, then open
    END_CLOSED = 0
    END_STOPPED = 1
    END_OPEN = 2
    END_CUT_STOPPED = 3
    END_CUT_OPEN = 4
    VALUES = 9            # funding, time, fees, P&L, shortfall, kept, share closed by the venue, topped up, uncovered
    CALLED = 28           # counts of those called for margin, of those with a shortfall, of those with nothing left
    SHORT = 29
    RUINED = 30
    CARRIED_FIELDS = 31   # count; value, high and low part of the square for each; the three

cdef struct Carried:
    int n, n_rows, set_in_force   # positions, rows on each side
    int rows[2]                   # those above hold none
    int is_square[2]              # the requirement is quadratic in the value ratio
    double direction[2]           # 1 where profit rises with the value ratio
    int32_t *alive                # [2 n_rows] positions in each row
    int32_t *lane                 # of a slot, as are side and row
    int32_t *side
    int32_t *row
    int32_t *due
    int32_t *acts
    int32_t *tier         # that the venue has cut the position down to
    uint8_t *is_cut
    uint8_t *is_called
    double *q             # share of the entry position that is left; 0: no position
    double *cash
    double *meets         # the requirement is met at w = (meets - cash) * per while low < w <= high; see fit
    double *per
    double *square
    double *low
    double *high
    double *ratio         # value ratio at which the venue acts next
    double *gain          # realised, of the price alone
    double *fees
    double *kept
    double *closed
    double *topped
    double *since         # when the venue last acted, and the log price then
    double *at
    int64_t *tally


cdef inline Carried *new_carried(const Rules *rules, int n_rows) noexcept nogil:
    cdef Carried *c = <Carried *> calloc(1, sizeof(Carried))
    cdef double *doubles
    cdef int32_t *whole
    cdef const Tiers *t
    cdef int n, capacity = 2 * n_rows * LANES
    if c == NULL:
        return NULL
    doubles = <double *> calloc(<size_t> capacity * 15 + 1, sizeof(double))
    whole = <int32_t *> calloc(<size_t> capacity * 7 + 2 * n_rows + 1, sizeof(int32_t))
    if doubles == NULL or whole == NULL:
        free(doubles)
        free(whole)
        free(c)
        return NULL
    c.n_rows = n_rows
    c.q = doubles
    c.cash = doubles + capacity
    c.meets = doubles + 2 * capacity
    c.per = doubles + 3 * capacity
    c.square = doubles + 4 * capacity
    c.low = doubles + 5 * capacity
    c.high = doubles + 6 * capacity
    c.ratio = doubles + 7 * capacity
    c.gain = doubles + 8 * capacity
    c.fees = doubles + 9 * capacity
    c.kept = doubles + 10 * capacity
    c.closed = doubles + 11 * capacity
    c.topped = doubles + 12 * capacity
    c.since = doubles + 13 * capacity
    c.at = doubles + 14 * capacity
    c.lane = whole
    c.side = whole + capacity
    c.row = whole + 2 * capacity
    c.due = whole + 3 * capacity
    c.acts = whole + 4 * capacity
    c.tier = whole + 5 * capacity
    c.is_cut = <uint8_t *> (whole + 6 * capacity)
    c.is_called = c.is_cut + capacity
    c.alive = whole + 7 * capacity
    for n in range(capacity):
        c.lane[n] = n % LANES
        c.row[n] = n // LANES % n_rows
        c.side[n] = n // LANES // n_rows
    c.rows[0] = n_rows
    c.rows[1] = n_rows
    for n in range(2):
        t = &rules.tiers[0][n]
        c.direction[n] = direction(rules, n)
        c.is_square[n] = t.form == ONE_RATE and t.slope != 0.0 and t.size_moves and t.on_mark
    return c


cdef inline void free_carried(Carried *c) noexcept nogil:
    if c != NULL:
        free(c.q)
        free(c.lane)
        free(c)


cdef inline int slot(const Carried *c, int side, int row, int lane) noexcept nogil:
    return (side * c.n_rows + row) * LANES + lane


cdef inline void empty(Carried *c, int n) noexcept nogil:
    # No position, on which the venue never acts, by either formula of fit.
    cdef bint rises = c.direction[c.side[n]] > 0.0
    c.q[n] = 0.0
    c.cash[n] = 0.0
    c.meets[n] = 0.0 if rises else -never() if c.is_square[c.side[n]] else never()
    c.per[n] = 1.0
    c.square[n] = 0.0
    c.low[n] = -1.0
    c.high[n] = 1e301


cdef inline void drop(Carried *c, int n) noexcept nogil:
    c.alive[n // LANES] -= 1
    c.n -= 1
    empty(c, n)


cdef inline void start_carried(Carried *c) noexcept nogil:
    cdef int side, row, lane
    c.n = 0
    c.set_in_force = -1
    for side in range(2):
        for row in range(c.rows[side]):
            for lane in range(LANES):
                empty(c, slot(c, side, row, lane))
        c.rows[side] = 0
    memset(c.alive, 0, 2 * c.n_rows * sizeof(int32_t))


cdef inline double gained(const Carried *c, const Rules *rules, int n, double w) noexcept nogil:
    # By the coin that has been posted as margin, if it has.
    return rules.coin * rules.margin[c.row[n]] * (w - 1.0)


cdef inline double equity(const Carried *c, const Rules *rules, int n, double w) noexcept nogil:
    return c.cash[n] + direction(rules, c.side[n]) * c.q[n] * (w - 1.0) + gained(c, rules, n, w)


cdef inline void fit(Carried *c, const Rules *rules, int set_in_force, int n, double w) noexcept nogil:
    # Where the venue acts next on position n, the value ratio being w now. While that stays in one tier it moves with
    # the cash as (meets - cash) * per, or, where the requirement is quadratic, as levels.root_of has it.
    cdef const Tiers *t = &rules.tiers[set_in_force][c.side[n]]
    cdef double d = c.direction[c.side[n]]
    cdef double q = c.q[n], margin = rules.margin[c.row[n]]
    cdef double exposure = d * q + coins(t, margin)
    cdef double level = level_from(t, d, q, c.cash[n], margin, w)
    cdef int k
    cdef Line line
    c.ratio[n] = level
    c.low[n] = -1.0
    c.high[n] = 1e301
    c.square[n] = 0.0
    if t.form == NEVER:
        c.meets[n] = 0.0 if d > 0.0 else never()
        c.per[n] = 1.0 if d < 0.0 else 0.0
        return
    k = tier_of(t, q, level)
    line = line_of(t, k, q, margin)
    if c.is_square[c.side[n]]:
        c.meets[n] = line.offset + exposure
        c.per[n] = line.slope - exposure
        c.square[n] = line.square
        return
    c.meets[n] = exposure + line.offset
    c.per[n] = 1.0 / (exposure - line.slope)
    if t.size_moves and t.n > 1:
        c.low[n] = t.cap[k - 1] / q if k > 0 else -1.0
        c.high[n] = t.cap[k] / q


cdef inline double level_of(const Carried *c, const Rules *rules, int n) noexcept nogil:
    # Log price ratio at which the venue acts next on position n.
    return log_level(rules, c.ratio[n])


cdef inline int carry(Carried *c, Block *b, const Rules *rules, int side, int lane) noexcept nogil:
    # The lane's next row becomes a position of its own.
    cdef int row = b.row[side][lane]
    cdef int n = slot(c, side, row, lane)
    c.n += 1
    c.alive[n // LANES] += 1
    c.rows[side] = row + 1 if row + 1 > c.rows[side] else c.rows[side]
    c.due[n] = -1
    c.acts[n] = 0
    c.tier[n] = TIERS
    c.is_cut[n] = 0
    c.is_called[n] = 0
    c.q[n] = 1.0
    c.cash[n] = rules.margin[row] - b.paid[side][lane]
    c.gain[n] = 0.0
    c.fees[n] = rules.entry_fee
    c.kept[n] = 0.0
    c.closed[n] = 0.0
    c.topped[n] = 0.0
    c.since[n] = -1e300
    c.at[n] = 0.0
    b.row[side][lane] = row + 1
    return n


cdef inline void move_carried(Carried *c, int old, int new) noexcept nogil:
    # The positions of one lane become those of another, which has none.
    cdef int group, i, n
    for group in range(2 * c.n_rows):
        if c.alive[group] == 0 or c.q[group * LANES + old] == 0.0:
            continue
        i = group * LANES + old
        n = group * LANES + new
        c.due[n] = c.due[i]
        c.acts[n] = c.acts[i]
        c.tier[n] = c.tier[i]
        c.is_cut[n] = c.is_cut[i]
        c.is_called[n] = c.is_called[i]
        c.q[n] = c.q[i]
        c.cash[n] = c.cash[i]
        c.meets[n] = c.meets[i]
        c.per[n] = c.per[i]
        c.square[n] = c.square[i]
        c.low[n] = c.low[i]
        c.high[n] = c.high[i]
        c.ratio[n] = c.ratio[i]
        c.gain[n] = c.gain[i]
        c.fees[n] = c.fees[i]
        c.kept[n] = c.kept[i]
        c.closed[n] = c.closed[i]
        c.topped[n] = c.topped[i]
        c.since[n] = c.since[i]
        c.at[n] = c.at[i]
        empty(c, i)


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


cdef inline void post_weighted(int64_t *cell, const double *v, double weight, const uint8_t *flags, Block *b) noexcept nogil:
    # The same with weights, whose squares stand where those of values would; a low part follows or stands three on.
    cdef int k
    split(weight, &cell[0], &cell[3], 0)
    split(weight * weight, &cell[6], &cell[9], 0)
    for k in range(VALUES):
        if not weight * fabs(v[k]) < largest():
            b.bad = 1
            return
        split(weight * v[k], &cell[1 + 3 * k], &cell[2 + 3 * k], 0)
    for k in range(3):
        if flags[k]:
            split(weight, &cell[CALLED + k], &cell[12 + 3 * k], 0)


cdef inline void book_end(Carried *c, Block *b, const Rules *rules, int n, int end, int horizon, int col, double w,
                          double t) noexcept nogil:
    # Book position n as if all that is left of it were closed at value ratio w; the position itself stays as it is.
    cdef double v[VALUES]
    cdef uint8_t flags[3]
    cdef int64_t *cell = c.tally + (
        (<int64_t> ((horizon * 2 + c.side[n]) * ENDS + end) * rules.n_rows + c.row[n]) * rules.n_cols + col) * CARRIED_FIELDS
    cdef double q = c.q[n], cash = c.cash[n], margin = rules.margin[c.row[n]]
    cdef double gain = direction(rules, c.side[n]) * q * (w - 1.0)
    cdef double fee = q * (rules.exit_fee * w + rules.exit_money)
    cdef double fees = c.fees[n] + fee
    cash += gain - fee - (1.0 - 2.0 * c.side[n]) * b.accrued[c.lane[n]] * q
    gain += c.gain[n]
    v[0] = margin + c.topped[n] + gain - (fees - rules.entry_fee) - c.kept[n] - cash
    cash += gained(c, rules, n, w)
    v[1] = t
    v[2] = fees
    v[3] = (cash if cash > 0.0 or rules.client_pays else 0.0) - margin - c.topped[n] - rules.entry_fee
    v[4] = -cash if cash < 0.0 else 0.0
    v[5] = c.kept[n]
    v[6] = c.closed[n]
    v[7] = c.topped[n]
    v[8] = v[4] - rules.procedure.fund if v[4] > rules.procedure.fund else 0.0
    if rules.n_tilts > 0:
        flags[0] = c.is_called[n]
        flags[1] = cash < -1e-12
        flags[2] = cash < 1e-12
        post_weighted(cell, v, weight_of(rules, log_level(rules, w), t), flags, b)
        return
    post(cell, v, b)
    if b.pnl != NULL or b.shortfall != NULL:
        book_carried_values(b, rules, horizon * 2 + c.side[n], 0 if end == END_CLOSED else 2
                            if end in (END_OPEN, END_CUT_OPEN) else 1, c.row[n], col, v[3], v[4], cash < -1e-12)
    cell[CALLED] += c.is_called[n]
    cell[SHORT] += cash < -1e-12
    cell[RUINED] += cash < 1e-12
    if b.trace != NULL:
        b.trace.end(b, n, end, horizon, col, w, t, v)


cdef inline int nearest_carried(const Carried *c, int side, int lane) noexcept nogil:
    # The lane's position on which the venue acts next, or -1.
    cdef double d = c.direction[side]
    cdef int n, row, best = -1
    for row in range(c.rows[side]):
        n = slot(c, side, row, lane)
        if c.q[n] > 0.0 and (best < 0 or d * c.ratio[n] > d * c.ratio[best]):
            best = n
    return best


cdef inline void settle_carried(Carried *c, Block *b, const Rules *rules, int side, int lane) noexcept nogil:
    # After crossings: the nearest level still open, or none when no position or no column is left.
    cdef double e = 1.0 - 2.0 * side
    cdef int row, n = nearest_carried(c, side, lane)
    cdef double level
    if b.col[side][lane] == rules.n_cols or (b.row[side][lane] == rules.n_rows and n < 0):
        for row in range(c.rows[side]):
            n = slot(c, side, row, lane)
            if c.q[n] > 0.0:
                drop(c, n)
        b.n_closed += b.col[1 - side][lane] == rules.n_cols
        b.row[side][lane] = rules.n_rows
        b.col[side][lane] = rules.n_cols
        n = -1
    sharpen(b, rules, side, lane)
    anchor(b, rules, side, &b.all.lane[lane], 1)
    level = level_of(c, rules, n) if n >= 0 else b.all.near[side][lane]
    if e * level > e * b.all.near[side][lane]:
        b.all.near[side][lane] = level


cdef inline void refit(Carried *c, Block *b, const Rules *rules, int group, bint all_of_them) noexcept nogil:
    # Anew for the positions of a row whose level has left its tier.
    cdef int i, n
    for i in range(b.n):
        n = group * LANES + i
        if c.q[n] == 0.0:
            empty(c, n)
        elif all_of_them or c.ratio[n] <= c.low[n] or c.ratio[n] > c.high[n]:
            fit(c, rules, b.set_in_force, n, vexp(-b.all.x[i] if rules.inverse else b.all.x[i]))


cdef inline void refresh(Carried *c, Block *b, const Rules *rules) noexcept nogil:
    # At the start of an interval: where the venue acts next on each position, and what is nearest in each lane.
    cdef double key[LANES]
    cdef double *ratio
    cdef const double *meets
    cdef const double *cash
    cdef const double *per
    cdef const double *square
    cdef const double *low
    cdef const double *high
    cdef double d, e, w, p, r, inner, level, floor
    cdef double turn = -1.0 if rules.inverse else 1.0
    cdef int i, row, side, group, n_out, m = b.n
    cdef bint moved = c.set_in_force != b.set_in_force
    cdef const Tiers *t
    for side in range(2):
        t = &rules.tiers[b.set_in_force][side]
        if c.rows[side] == 0:
            continue
        d = c.direction[side]
        e = 1.0 - 2.0 * side
        floor = 0.0 if d > 0.0 else -never()    # of those that are never reached
        for i in range(m):
            key[i] = floor
        for row in range(c.rows[side]):
            group = side * c.n_rows + row
            if c.alive[group] == 0:
                continue
            ratio = c.ratio + group * LANES
            cash = c.cash + group * LANES
            meets = c.meets + group * LANES
            per = c.per + group * LANES
            if rules.procedure.cooldown > 0.0:
                memset(c.acts + group * LANES, 0, LANES * sizeof(int32_t))
            if moved or (t.form == STEPS and t.n > 1):
                refit(c, b, rules, group, True)
            elif c.is_square[side]:
                square = c.square + group * LANES
                for i in range(m):
                    p = per[i]
                    r = meets[i] - cash[i]
                    inner = p * p - 4.0 * square[i] * r
                    ratio[i] = 2.0 * d * r / ((p if p > 0.0 else -p) + sqrt(inner if inner > 0.0 else 0.0))
            else:
                for i in range(m):
                    ratio[i] = (meets[i] - cash[i]) * per[i]
                if t.size_moves and t.n > 1:
                    low = c.low + group * LANES
                    high = c.high + group * LANES
                    n_out = 0
                    for i in range(m):
                        n_out += (ratio[i] <= low[i]) | (ratio[i] > high[i])
                    if n_out > 0:
                        refit(c, b, rules, group, False)
            for i in range(m):
                w = d * ratio[i]
                key[i] = w if w > key[i] else key[i]
        for i in range(m):
            w = d * key[i]
            w = w if w > 1e-300 else 1e-300
            w = w if w < 1e300 else 1e300
            level = turn * vlog(w)
            level = level if key[i] > floor and e * level > e * b.all.near[side][i] else b.all.near[side][i]
            b.all.near[side][i] = level


cdef inline void pay_carried(Carried *c, int m, const double *amount) noexcept nogil:
    # Longs pay each lane's amount per whole position, shorts receive it.
    cdef double what[LANES]
    cdef double *cash
    cdef const double *q
    cdef double sign
    cdef int i, side, row, group
    for side in range(2):
        sign = 1.0 - 2.0 * side
        for i in range(m):
            what[i] = sign * amount[i]
        for row in range(c.rows[side]):
            group = side * c.n_rows + row
            if c.alive[group] == 0:
                continue
            cash = c.cash + group * LANES
            q = c.q + group * LANES
            for i in range(m):
                cash[i] -= what[i] * q[i]


cdef inline void charge_carried(Carried *c, int m, int side, double amount) noexcept nogil:
    cdef double *cash
    cdef const double *q
    cdef int i, row, group
    for row in range(c.rows[side]):
        group = side * c.n_rows + row
        if c.alive[group] == 0:
            continue
        cash = c.cash + group * LANES
        q = c.q + group * LANES
        for i in range(m):
            cash[i] -= amount * q[i]


cdef inline void book_open(Carried *c, Block *b, const Rules *rules, int horizon, double t) noexcept nogil:
    cdef int n, i, side, row
    for side in range(2):
        for row in range(c.rows[side]):
            for i in range(b.n):
                n = slot(c, side, row, i)
                if c.q[n] > 0.0:
                    book_end(c, b, rules, n, END_CUT_OPEN if c.is_cut[n] else END_OPEN, horizon, b.col[side][i],
                             vexp(-b.all.x[i] if rules.inverse else b.all.x[i]), t)
