# The simulation kernel: blocks of paths -> dynamics -> rules -> tally. Numbers in, integer sums out.
#
# Design
# ------
# A path is a jump-diffusion of x = log(mark / entry) between the instants of a timeline (funding stamps, horizons,
# days). Between instants and jumps it is a Brownian motion, so its extremes are drawn exactly from the bridge; there
# is no time step. State of a lane (one path): x, the time of its next jump, the premium, the funding paid so far per
# unit of entry notional, and for each side how far the sorted liquidation rows and stop columns have been crossed.
#
# One pass serves the grid: rows are leverages from the highest down, columns stops from the nearest out. Open cells
# are always the rectangle {rows >= row} x {columns >= col}; a crossing books one record at its corner and prefix sums
# over the grid (liqsim.engine.tally) recover every cell. Shorts use the maxima of the same path. Minimum and maximum
# come from the same uniform: each has its exact law, and no cell looks at both.
#
# In interval k all lanes advance to the end of the interval or to their next jump, whichever comes first; those that
# jumped are packed together and go again until none is left. Records are buffered and booked many at a time.
#
# Sums are integers: a quantity v is booked as rint(v 2**32) and v**2 as rint(v**2 2**16) and rint(rest 2**58), so the
# tally is exact and does not depend on the order of paths, batches or threads.
#
# The time of a continuous crossing is booked as its conditional mean given both ends of the segment: for a Brownian
# bridge over dt from distance a before the level to distance c past or short of it,
# E[time | crossed] = a sqrt(dt)/sigma * mills((a + c)/(sigma sqrt(dt))), by convolving the first-passage density with
# the Gaussian kernel (both have Laplace transforms exp(-d sqrt(2 s))/sqrt(2 s) up to a factor). Unbiased, less noise.

from libc.math cimport fabs, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from liqsim._core.philox cimport JUMP, SEGMENT, Words, philox, uniform29, uniform44, uniform52
from liqsim._core.vmath cimport bits_of, double_of, mills, octant_cos, octant_sin, vexp, vlog

import numpy as np

cdef enum:
    LANES = 256
    LINES = 64           # affine pieces of the maintenance requirement, at most
    BUFFER = 128         # records that wait to be booked; they and their values fit in L1
    QUANTITIES = 5
    FIELDS = 16          # count, then value, high and low part of the square for each quantity
    LIQUIDATED = 0
    STOPPED = 1
    SURVIVED = 2
    NO_JUMPS = 0
    NORMAL_JUMPS = 1
    EXPONENTIAL_JUMPS = 2
    ON_ENTRY = 0
    ON_MARK = 1
    ON_INDEX = 2

cdef double NEVER = 1e300        # margin of a row, or distance of a stop, that cannot be reached
cdef double LARGEST = 16384.0    # times the entry notional: what the integer sums can hold

cdef struct Law:
    double log_drift, sigma, mean_gap
    int jump_law
    double jump_mean, jump_std
    double p_up, inverse_p_up, inverse_p_down, mean_up, mean_down
    double premium_start, premium_mean, reversion, premium_vol, correlation

cdef struct Rules:
    int inverse, n_rows, n_cols, n_horizons, n_intervals, continuous, liquidation_first, paid_on
    int has_side[2]
    int n_lines[2]
    double alpha[2][LINES]
    double beta[2][LINES]
    double entry_fee, exit_fee, exit_money    # exit: share of the value then, and money whatever the price
    double scale, interest, clamp, cap, smoothing, change_cap, first_rate
    const double *margin          # [n_rows + 1] per unit of entry notional, rising; the last is NEVER
    const double *stop[2]         # [n_cols + 1] log level, receding from 0; the last cannot be reached
    const double *instant         # [n_intervals + 1] years
    const uint8_t *pays           # [n_intervals] funding is paid at the interval's end
    const uint8_t *checks         # [n_intervals] the venue looks at the interval's end (discrete monitoring)
    const int32_t *horizon        # [n_intervals] horizon that ends here, or -1
    uint32_t key[2]

cdef struct Block:
    int n, n_closed, n_records, bad
    # lanes
    uint64_t path[LANES]
    double x[LANES]
    double next_jump[LANES]
    double premium[LANES]
    double cost[LANES]
    double rate[LANES]
    double normal[LANES]             # left over from the last segment, for the premium
    double premium_shift[LANES]      # mean of the premium's innovation given the price's increments
    double premium_known[LANES]      # and the variance that they explain
    int32_t row[2][LANES]
    int32_t col[2][LANES]
    double liquidation[2][LANES]     # log level of the current row
    double nearest[2][LANES]         # of this and the current stop, whichever comes first
    double margin[LANES]
    double stop[LANES]
    double w[LANES]
    # lanes under way in a pass
    int32_t lane[LANES]
    uint64_t p_path[LANES]
    double p_x[LANES]
    double p_t[LANES]
    double p_jump[LANES]
    double p_low[LANES]
    double p_high[LANES]
    double z1[LANES]
    double z2[LANES]
    double y[LANES]
    double dt[LANES]
    double low[LANES]
    double high[LANES]
    uint64_t code[LANES]
    uint64_t w0[LANES]
    uint64_t w1[LANES]
    uint64_t w2[LANES]
    uint64_t w3[LANES]
    int32_t jumped[LANES]
    int32_t hit[LANES]
    int32_t j_lane[LANES]
    double j_y[LANES]
    double j_t[LANES]
    double j_z[LANES]
    # records
    int32_t r_kind[BUFFER]
    int64_t r_cell[BUFFER]
    int64_t r_sign[BUFFER]
    double r_side[BUFFER]
    double r_margin[BUFFER]
    double r_before[BUFFER]          # distance from the segment's start to the level
    double r_zigzag[BUFFER]          # the same plus the distance from the level to the segment's end
    double r_dt[BUFFER]
    double r_t[BUFFER]
    double r_x[BUFFER]
    double r_cost[BUFFER]
    double v[QUANTITIES][BUFFER]
    int64_t q[FIELDS][BUFFER]


# ---------------------------------------------------------------------------------------------------- records

cdef void book(Block *b, const Law *law, const Rules *rules, int64_t *tally) noexcept nogil:
    # Value every waiting record and add it to its cell.
    # Quantities: funding cost; time; fees (liquidated: margin that the engine kept); P&L (liquidated: of the price
    # alone); shortfall.
    cdef int n, f, k
    cdef double sigma = law.sigma if law.sigma > 1e-9 else 1e-9
    cdef double root, w, gain, paid, equity, fees, net, floor, square, high
    cdef double turn = -1.0 if rules.inverse else 1.0
    cdef double magic = 6755399441055744.0
    cdef uint64_t magic_bits = bits_of(magic)
    cdef int64_t *cell
    for n in range(b.n_records):
        root = sqrt(b.r_dt[n]) / sigma
        b.v[1][n] = b.r_t[n] + b.r_before[n] * root * mills(b.r_zigzag[n] / b.r_dt[n] * root)
        w = vexp(turn * b.r_x[n])
        gain = b.r_side[n] * turn * (w - 1.0)
        paid = b.r_side[n] * b.r_cost[n]
        equity = b.r_margin[n] + gain - paid
        fees = rules.entry_fee + rules.exit_fee * w + rules.exit_money
        net = gain - paid - fees
        floor = -b.r_margin[n] - rules.entry_fee
        b.v[0][n] = paid
        b.v[2][n] = (equity if equity > 0.0 else 0.0) if b.r_kind[n] == LIQUIDATED else fees
        b.v[3][n] = gain if b.r_kind[n] == LIQUIDATED else (net if net > floor else floor)
        b.v[4][n] = (-equity if equity < 0.0 else 0.0) if b.r_kind[n] == LIQUIDATED else (
            floor - net if net < floor else 0.0)
    for k in range(QUANTITIES):
        for n in range(b.n_records):
            if not fabs(b.v[k][n]) < LARGEST:
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
    b.r_sign[n] = sign
    b.r_side[n] = 1.0 - 2.0 * side
    b.r_margin[n] = margin
    b.r_before[n] = before
    b.r_zigzag[n] = before + after
    b.r_dt[n] = dt
    b.r_t[n] = t
    b.r_x[n] = x
    b.r_cost[n] = b.cost[lane]
    b.n_records = n + 1
    if b.n_records == BUFFER:
        book(b, law, rules, tally)


# ------------------------------------------------------------------------------------------ levels and crossings

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
        b.nearest[side][lane] = -e * NEVER
        return
    level = b.liquidation[side][lane]
    stop = rules.stop[side][b.col[side][lane]]
    b.nearest[side][lane] = level if e * level >= e * stop else stop


cdef void cross(Block *b, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side, int lane,
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
               rules.margin[b.row[side][lane]] if liquidated else NEVER, 1,
               e * (x - level) if e * (x - level) > 0.0 else 0.0, fabs(y - level), dt, t, level)
        if liquidated:
            b.row[side][lane] += 1
            b.liquidation[side][lane] = row_level(rules, side, rules.margin[b.row[side][lane]], b.cost[lane])
        else:
            b.col[side][lane] += 1
    settle(b, rules, side, lane)


cdef void land(Block *b, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side, int lane,
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
                record(b, law, rules, tally, STOPPED, horizon, side, last, col, lane, NEVER, 1, 0.0, 0.0, 1.0, t, x)
            b.col[side][lane] += 1
    if b.col[side][lane] < rules.n_cols:
        for row in range(first, last):
            record(b, law, rules, tally, LIQUIDATED, horizon, side, row, b.col[side][lane], lane, rules.margin[row], 1,
                   0.0, 0.0, 1.0, t, x)
    b.row[side][lane] = last
    while last < rules.n_rows and b.col[side][lane] < rules.n_cols and (
            e * x <= e * rules.stop[side][b.col[side][lane]]):
        record(b, law, rules, tally, STOPPED, horizon, side, last, b.col[side][lane], lane, NEVER, 1,
               0.0, 0.0, 1.0, t, x)
        b.col[side][lane] += 1
    settle(b, rules, side, lane)


cdef void set_levels(Block *b, const Rules *rules, int side) noexcept nogil:
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


# --------------------------------------------------------------------------------------------------- dynamics

cdef void draw(Block *b, const Rules *rules, int m, const uint64_t *path, uint64_t interval, uint64_t purpose,
               uint64_t index) noexcept nogil:
    cdef int n
    cdef Words words
    cdef uint64_t where = interval | (purpose << 28)
    cdef uint32_t key0 = rules.key[0], key1 = rules.key[1]
    for n in range(m):
        words = philox(index, where, path[n] & 0xffffffffULL, path[n] >> 32, key0, key1)
        b.w0[n] = words.w0
        b.w1[n] = words.w1
        b.w2[n] = words.w2
        b.w3[n] = words.w3


cdef void normals(Block *b, int m) noexcept nogil:
    # Two independent normals a lane from the words drawn.
    cdef int n
    cdef double radius, theta, s, c, z1, z2
    cdef uint64_t flips
    for n in range(m):
        radius = sqrt(-2.0 * vlog(uniform44(b.w2[n], b.w1[n] >> 20)))
        flips = b.w3[n]
        theta = uniform29(flips & 0x1fffffff) * 0.78539816339744830962    # Box-Muller, by octants
        c = radius * octant_cos(theta)
        s = radius * octant_sin(theta)
        z1 = c if flips & 0x20000000 else s
        z2 = s if flips & 0x20000000 else c
        b.z1[n] = double_of(bits_of(z1) ^ ((flips & 0x40000000) << 33))
        b.z2[n] = double_of(bits_of(z2) ^ ((flips & 0x80000000ULL) << 32))


cdef void advance(Block *b, const Law *law, int m, double end, bint bridge) noexcept nogil:
    # One Brownian segment of every lane under way: to the interval's end or to the lane's next jump.
    cdef int n
    cdef double stop, spread, half, y
    cdef double drift = law.log_drift, sigma = law.sigma
    cdef double twice_variance = 2.0 * sigma * sigma
    normals(b, m)
    for n in range(m):
        stop = b.p_jump[n] if b.p_jump[n] < end else end
        b.dt[n] = stop - b.p_t[n]
        b.y[n] = b.p_x[n] + (drift * b.dt[n] + sigma * sqrt(b.dt[n]) * b.z1[n])
    if not bridge:
        for n in range(m):
            b.code[n] = 1 if b.p_jump[n] < end else 0
        return
    for n in range(m):
        spread = b.y[n] - b.p_x[n]
        half = sqrt(spread * spread - twice_variance * b.dt[n] * vlog(uniform52(b.w0[n], b.w1[n] & 0xfffff)))
        y = b.p_x[n] + b.y[n]
        b.low[n] = 0.5 * (y - half)
        b.high[n] = 0.5 * (y + half)
        b.code[n] = (1 if b.p_jump[n] < end else 0) | (2 if b.low[n] <= b.p_low[n] else 0) | (
            4 if b.high[n] >= b.p_high[n] else 0)


cdef void inform_premium(Block *b, const Law *law, int m, double end) noexcept nogil:
    # What a segment's price increment says about the premium's innovation over the interval: for the segment (t, t+dt)
    # Cov(int exp(-k(end - s)) dB, dW) = correlation (exp(-k(end - t - dt)) - exp(-k(end - t)))/k.
    cdef int n
    cdef double xi = law.premium_vol * sqrt(2.0 * law.reversion)
    cdef double covariance, dt
    for n in range(m):
        covariance = law.correlation * xi / law.reversion * (
            vexp(law.reversion * (b.p_t[n] + b.dt[n] - end)) - vexp(law.reversion * (b.p_t[n] - end)))
        dt = b.dt[n] if b.dt[n] > 1e-30 else 1e-30
        b.low[n] = covariance * b.z1[n] / sqrt(dt)
        b.high[n] = covariance * covariance / dt
    for n in range(m):
        b.premium_shift[b.lane[n]] += b.low[n]
        b.premium_known[b.lane[n]] += b.high[n]


cdef void jump(Block *b, const Law *law, int m) noexcept nogil:
    # Size of the jump at j_t and time of the next one, for the lanes that have jumped.
    cdef int n
    cdef double u, magnitude, share
    cdef double p_up = law.p_up, inverse_p_up = law.inverse_p_up, inverse_p_down = law.inverse_p_down
    cdef double mean_up = law.mean_up, mean_down = law.mean_down
    cdef double mean = law.jump_mean, std = law.jump_std
    cdef double gap = law.mean_gap
    if law.jump_law == NORMAL_JUMPS:
        for n in range(m):
            b.j_y[n] = b.j_y[n] + (mean + std * b.j_z[n])
    else:
        for n in range(m):
            u = uniform52(b.w2[n], (b.w1[n] >> 20 << 8) | (b.w3[n] & 0xff))
            share = u * inverse_p_up if u < p_up else (1.0 - u) * inverse_p_down
            magnitude = -mean_up if u < p_up else mean_down
            b.j_y[n] = b.j_y[n] + magnitude * vlog(share)
    for n in range(m):
        b.j_t[n] = b.j_t[n] - vlog(uniform52(b.w0[n], b.w1[n] & 0xfffff)) * gap


cdef void pay_funding(Block *b, const Rules *rules) noexcept nogil:
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


cdef void move_premium(Block *b, const Law *law, double years) noexcept nogil:
    cdef int i
    cdef double mean = law.premium_mean
    cdef double decay = vexp(-law.reversion * years)
    cdef double variance = law.premium_vol * law.premium_vol * (1.0 - decay * decay)
    cdef double rest
    for i in range(b.n):
        rest = variance - b.premium_known[i]
        rest = rest if rest > 0.0 else 0.0
        b.premium[i] = mean + (b.premium[i] - mean) * decay + (b.premium_shift[i] + sqrt(rest) * b.normal[i])


cdef int pack_open(Block *b, const Rules *rules) noexcept nogil:
    # Drop the lanes in which no cell is open any more.
    cdef int i, side, n = 0
    cdef bint is_open
    for i in range(b.n):
        is_open = (b.row[0][i] < rules.n_rows) | (b.row[1][i] < rules.n_rows)
        b.path[n] = b.path[i]
        b.x[n] = b.x[i]
        b.next_jump[n] = b.next_jump[i]
        b.premium[n] = b.premium[i]
        b.cost[n] = b.cost[i]
        b.rate[n] = b.rate[i]
        for side in range(2):
            b.row[side][n] = b.row[side][i]
            b.col[side][n] = b.col[side][i]
        n += is_open
    b.n_closed = 0
    return n


cdef void run_interval(Block *b, const Law *law, const Rules *rules, int64_t *tally, int k, int horizon) noexcept nogil:
    cdef double start = rules.instant[k]
    cdef double end = rules.instant[k + 1]
    cdef double e
    cdef int i, n, m, side, n_jumped, n_hit, index
    cdef bint informs = law.correlation != 0.0
    for side in range(2):
        if not rules.has_side[side]:
            continue
        set_levels(b, rules, side)
        if rules.continuous and k > 0 and rules.pays[k - 1]:
            e = 1.0 - 2.0 * side
            n_hit = 0
            for i in range(b.n):    # the payment alone may have used up the margin
                b.hit[n_hit] = i
                n_hit += e * b.x[i] <= e * b.liquidation[side][i]
            for n in range(n_hit):
                i = b.hit[n]
                land(b, law, rules, tally, horizon, side, i, b.x[i], start)
    if informs:
        for i in range(b.n):
            b.premium_shift[i] = 0.0
            b.premium_known[i] = 0.0

    m = b.n
    memcpy(b.p_path, b.path, m * sizeof(uint64_t))
    memcpy(b.p_x, b.x, m * sizeof(double))
    memcpy(b.p_jump, b.next_jump, m * sizeof(double))
    for n in range(m):
        b.lane[n] = n
        b.p_t[n] = start
    index = 0
    while m > 0:
        for n in range(m):
            b.p_low[n] = b.nearest[0][b.lane[n]]
            b.p_high[n] = b.nearest[1][b.lane[n]]
        draw(b, rules, m, b.p_path, k, SEGMENT, index)
        advance(b, law, m, end, rules.continuous)
        n_jumped = 0
        n_hit = 0
        for n in range(m):
            b.jumped[n_jumped] = n
            b.hit[n_hit] = n
            n_jumped += b.code[n] & 1
            n_hit += b.code[n] > 1
        for i in range(n_hit):
            n = b.hit[i]
            if b.code[n] & 2:
                cross(b, law, rules, tally, horizon, 0, b.lane[n], b.low[n], b.p_x[n], b.y[n], b.p_t[n], b.dt[n])
            if b.code[n] & 4:
                cross(b, law, rules, tally, horizon, 1, b.lane[n], b.high[n], b.p_x[n], b.y[n], b.p_t[n], b.dt[n])
        if informs:
            inform_premium(b, law, m, end)
        if index == 0:
            memcpy(b.x, b.y, m * sizeof(double))
            memcpy(b.normal, b.z2, m * sizeof(double))
        else:
            for n in range(m):
                b.x[b.lane[n]] = b.y[n]
                b.normal[b.lane[n]] = b.z2[n]

        m = n_jumped
        for n in range(m):
            i = b.jumped[n]
            b.j_lane[n] = b.lane[i]
            b.j_y[n] = b.y[i]
            b.j_t[n] = b.p_jump[i]
            b.j_z[n] = b.z2[i]
            b.p_path[n] = b.p_path[i]
            b.p_t[n] = b.p_jump[i]
        draw(b, rules, m, b.p_path, k, JUMP, index)
        jump(b, law, m)
        for n in range(m):
            i = b.j_lane[n]
            b.lane[n] = i
            b.p_x[n] = b.j_y[n]
            b.p_jump[n] = b.j_t[n]
            b.next_jump[i] = b.j_t[n]
        if rules.continuous:
            for n in range(m):
                i = b.lane[n]
                if b.p_x[n] <= b.nearest[0][i]:
                    land(b, law, rules, tally, horizon, 0, i, b.p_x[n], b.p_t[n])
                if b.p_x[n] >= b.nearest[1][i]:
                    land(b, law, rules, tally, horizon, 1, i, b.p_x[n], b.p_t[n])
        index += 1

    if rules.checks[k]:
        for i in range(b.n):
            if b.x[i] <= b.nearest[0][i]:
                land(b, law, rules, tally, horizon, 0, i, b.x[i], end)
            if b.x[i] >= b.nearest[1][i]:
                land(b, law, rules, tally, horizon, 1, i, b.x[i], end)
    if law.premium_vol > 0.0 or law.premium_start != law.premium_mean:
        move_premium(b, law, end - start)
    if rules.pays[k]:
        pay_funding(b, rules)


cdef void run_block(Block *b, const Law *law, const Rules *rules, int64_t *tally, uint64_t first, int n) noexcept nogil:
    cdef int i, k, side, horizon = 0
    cdef double premium = law.premium_start
    b.n = n
    b.n_closed = 0
    for i in range(n):
        b.path[i] = first + i
        b.x[i] = 0.0
        b.next_jump[i] = 1e300
        b.premium[i] = premium
        b.cost[i] = 0.0
        b.rate[i] = rules.first_rate
        b.premium_shift[i] = 0.0
        b.premium_known[i] = 0.0
    for side in range(2):
        for i in range(n):
            b.row[side][i] = 0 if rules.has_side[side] else rules.n_rows
            b.col[side][i] = 0 if rules.has_side[side] else rules.n_cols
            b.nearest[side][i] = -NEVER if side == 0 else NEVER
    if law.jump_law != NO_JUMPS:
        draw(b, rules, n, b.path, 0, JUMP, 0xffffffffULL)
        for i in range(n):
            b.next_jump[i] = -vlog(uniform52(b.w0[i], b.w1[i] & 0xfffff)) * law.mean_gap
    for k in range(rules.n_intervals):
        if 8 * b.n_closed > b.n:
            b.n = pack_open(b, rules)
            if b.n == 0:
                break
        run_interval(b, law, rules, tally, k, horizon)
        if rules.horizon[k] >= 0:
            for side in range(2):
                for i in range(b.n):
                    if b.row[side][i] < rules.n_rows:
                        record(b, law, rules, tally, SURVIVED, horizon, side, b.row[side][i], b.col[side][i], i,
                               NEVER, 1, 0.0, 0.0, 1.0, rules.instant[k + 1], b.x[i])
            horizon += 1
    book(b, law, rules, tally)


# ------------------------------------------------------------------------------------------------------- face

cdef class Kernel:
    """One model under one venue's rules on one grid, ready to run any range of paths.

    Built by :mod:`liqsim.engine.plan`, which checks every number; nothing is checked here.
    """

    cdef Law law
    cdef Rules rules
    cdef object arrays    # keeps what `rules` points to alive

    def __init__(self, law, rules, arrays):
        cdef double[::1] margin = arrays["margin"]
        cdef double[::1] stop_long = arrays["stop_long"]
        cdef double[::1] stop_short = arrays["stop_short"]
        cdef double[::1] instant = arrays["instant"]
        cdef uint8_t[::1] pays = arrays["pays"]
        cdef uint8_t[::1] checks = arrays["checks"]
        cdef int32_t[::1] horizon = arrays["horizon"]
        cdef int side, k
        self.arrays = arrays
        self.law.log_drift = law["log_drift"]
        self.law.sigma = law["sigma"]
        self.law.mean_gap = law["mean_gap"]
        self.law.jump_law = law["jump_law"]
        self.law.jump_mean = law["jump_mean"]
        self.law.jump_std = law["jump_std"]
        self.law.p_up = law["p_up"]
        self.law.inverse_p_up = 1.0 / self.law.p_up if self.law.p_up > 0 else 1.0
        self.law.inverse_p_down = 1.0 / (1.0 - self.law.p_up) if self.law.p_up < 1 else 1.0
        self.law.mean_up = law["mean_up"]
        self.law.mean_down = law["mean_down"]
        self.law.premium_start = law["premium_start"]
        self.law.premium_mean = law["premium_mean"]
        self.law.reversion = law["reversion"]
        self.law.premium_vol = law["premium_vol"]
        self.law.correlation = law["correlation"]
        self.rules.inverse = rules["inverse"]
        self.rules.continuous = rules["continuous"]
        self.rules.liquidation_first = rules["liquidation_first"]
        self.rules.paid_on = rules["paid_on"]
        self.rules.entry_fee = rules["entry_fee"]
        self.rules.exit_fee = rules["exit_fee"]
        self.rules.exit_money = rules["exit_money"]
        self.rules.scale = rules["scale"]
        self.rules.interest = rules["interest"]
        self.rules.clamp = rules["clamp"]
        self.rules.cap = rules["cap"]
        self.rules.smoothing = rules["smoothing"]
        self.rules.change_cap = rules["change_cap"]
        self.rules.first_rate = rules["first_rate"]
        self.rules.key[0] = rules["key"][0]
        self.rules.key[1] = rules["key"][1]
        for side in range(2):
            self.rules.has_side[side] = rules["sides"][side]
            self.rules.n_lines[side] = len(rules["lines"][side])
            for k, (alpha, beta) in enumerate(rules["lines"][side]):
                self.rules.alpha[side][k] = alpha
                self.rules.beta[side][k] = beta
        self.rules.n_rows = margin.shape[0] - 1
        self.rules.n_cols = stop_long.shape[0] - 1
        self.rules.n_intervals = instant.shape[0] - 1
        self.rules.margin = &margin[0]
        self.rules.stop[0] = &stop_long[0]
        self.rules.stop[1] = &stop_short[0]
        self.rules.instant = &instant[0]
        self.rules.pays = &pays[0]
        self.rules.checks = &checks[0]
        self.rules.horizon = &horizon[0]
        self.rules.n_horizons = int((arrays["horizon"] >= 0).sum())

    def tally_shape(self):
        """Shape of a tally: (horizon, side, outcome, row, column, field)."""
        return (self.rules.n_horizons, 2, 3, self.rules.n_rows, self.rules.n_cols, FIELDS)

    def run(self, uint64_t first, int64_t count, int64_t[:, :, :, :, :, ::1] tally):
        """Add paths ``first .. first + count - 1`` to ``tally``; False if a value left the range of the sums.

        The GIL is released. At most 2**16 paths may be added to one tally.
        """
        cdef Block *b = <Block *> calloc(1, sizeof(Block))
        cdef int64_t done = 0
        cdef int n, bad
        if b == NULL:
            raise MemoryError
        with nogil:
            while done < count:
                n = <int> (count - done if count - done < LANES else LANES)
                run_block(b, &self.law, &self.rules, &tally[0, 0, 0, 0, 0, 0], first + <uint64_t> done, n)
                done += n
            bad = b.bad
            free(b)
        return not bad


def random_numbers(int64_t n_blocks, int n_intervals):
    """Draw what every path-interval needs at least, two normals and a log, and nothing else: the benchmarks' floor."""
    cdef Block *b = <Block *> calloc(1, sizeof(Block))
    cdef Rules rules
    cdef int64_t block
    cdef int k, n
    cdef double total = 0.0
    if b == NULL:
        raise MemoryError
    rules.key[0] = 1
    rules.key[1] = 2
    with nogil:
        for block in range(n_blocks):
            for n in range(LANES):
                b.path[n] = <uint64_t> (block * LANES + n)
            for k in range(n_intervals):
                draw(b, &rules, LANES, b.path, k, SEGMENT, 0)
                normals(b, LANES)
                for n in range(LANES):
                    b.low[n] = vlog(uniform52(b.w0[n], b.w1[n] & 0xfffff))
                for n in range(LANES):
                    b.y[n] += b.z1[n] + b.z2[n] + b.low[n]
        for n in range(LANES):
            total += b.y[n]
        free(b)
    return total


def philox_words(counter, key):
    """The four words of one Philox4x32-10 block, for the known-answer tests."""
    words = philox(counter[0], counter[1], counter[2], counter[3], key[0], key[1])
    return words.w0, words.w1, words.w2, words.w3


def elementary(str name, double[::1] x):
    """A vmath function over an array, for the accuracy tests."""
    cdef Py_ssize_t i
    out = np.empty(x.shape[0])
    cdef double[::1] y = out
    for i in range(x.shape[0]):
        if name == "log":
            y[i] = vlog(x[i])
        elif name == "exp":
            y[i] = vexp(x[i])
        elif name == "sin":
            y[i] = octant_sin(x[i])
        elif name == "cos":
            y[i] = octant_cos(x[i])
        elif name == "mills":
            y[i] = mills(x[i])
        else:
            raise ValueError(name)
    return out
