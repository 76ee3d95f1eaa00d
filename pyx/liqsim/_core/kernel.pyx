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
# come from the same exponential: each has its exact law, and no cell looks at both.
#
# In interval k all lanes advance to the end of the interval or to their next jump, whichever comes first, and go again
# until no lane has jumped. Lanes that have arrived stay where they are, by segments of no length; once a quarter of the
# lanes only waits, the others are packed together. Records are buffered and booked many at a time.
#
# Sums are integers: a quantity v is booked as rint(v 2**32) and v**2 as rint(v**2 2**16) and rint(rest 2**58), so the
# tally is exact and does not depend on the order of paths, batches or threads.
#
# The time of a continuous crossing is booked as its conditional mean given both ends of the segment: for a Brownian
# bridge over dt from distance a before the level to distance c past or short of it,
# E[time | crossed] = a sqrt(dt)/sigma * mills((a + c)/(sigma sqrt(dt))), by convolving the first-passage density with
# the Gaussian kernel (both have Laplace transforms exp(-d sqrt(2 s))/sqrt(2 s) up to a factor). Unbiased, less noise.

from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from liqsim._core.block cimport FIELDS, LANES, NO_JUMPS, SURVIVED, Block, Law, Rules
from liqsim._core.dynamics cimport advance, bridge_half, draw, inform_premium, jump, move_premium, normals, two_exponentials
from liqsim._core.philox cimport JUMP, SEGMENT, philox, uniform32
from liqsim._core.rules cimport cross, land, never, pay_funding, set_levels
from liqsim._core.tally cimport book, record
from liqsim._core.vmath cimport mills, octant_cos, octant_sin, vexp, vlog

import numpy as np


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


cdef void put_back(Block *b, int m, bint packed) noexcept nogil:
    # What the m lanes under way have come to.
    cdef int n, i
    if not packed:
        memcpy(b.x, b.y, m * sizeof(double))
        memcpy(b.next_jump, b.p_jump, m * sizeof(double))
        memcpy(b.last_r2, b.p_r2, m * sizeof(double))
        memcpy(b.last_c2, b.p_c2, m * sizeof(double))
        return
    for n in range(m):
        i = b.lane[n]
        b.x[i] = b.y[n]
        b.next_jump[i] = b.p_jump[n]
        b.last_r2[i] = b.p_r2[n]
        b.last_c2[i] = b.p_c2[n]


cdef void pack_jumped(Block *b, int n_jumped) noexcept nogil:
    # Keep only the lanes that have jumped under way: the others have reached the interval's end.
    cdef int n, i
    for n in range(n_jumped):
        i = b.jumped[n]
        b.lane[n] = b.lane[i]
        b.p_path[n] = b.p_path[i]
        b.p_t[n] = b.p_t[i]
        b.p_jump[n] = b.p_jump[i]
        b.p_low[n] = b.p_low[i]
        b.p_high[n] = b.p_high[i]
        b.p_r2[n] = b.p_r2[i]
        b.p_c2[n] = b.p_c2[i]
        b.y[n] = b.y[i]
        b.code[n] = 1


cdef void run_interval(Block *b, const Law *law, const Rules *rules, int64_t *tally, int k, int horizon) noexcept nogil:
    cdef double start = rules.instant[k]
    cdef double end = rules.instant[k + 1]
    cdef double e, half
    cdef int i, n, m, side, n_jumped, n_hit, index
    cdef bint packed
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
    memcpy(b.p_low, b.nearest[0], m * sizeof(double))
    memcpy(b.p_high, b.nearest[1], m * sizeof(double))
    for n in range(m):
        b.lane[n] = n
        b.p_t[n] = start
    packed = False
    index = 0
    while True:
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
            half = bridge_half(b, law, n)
            if b.code[n] & 2:
                cross(b, law, rules, tally, horizon, 0, b.lane[n], 0.5 * (b.p_x[n] + b.y[n] - half), b.p_x[n], b.y[n],
                      b.p_t[n], b.dt[n])
                b.p_low[n] = b.nearest[0][b.lane[n]]
            if b.code[n] & 4:
                cross(b, law, rules, tally, horizon, 1, b.lane[n], 0.5 * (b.p_x[n] + b.y[n] + half), b.p_x[n], b.y[n],
                      b.p_t[n], b.dt[n])
                b.p_high[n] = b.nearest[1][b.lane[n]]
        if informs:
            inform_premium(b, law, m, end)
        if n_jumped == 0:
            break
        if 4 * n_jumped < 3 * m:
            put_back(b, m, packed)
            pack_jumped(b, n_jumped)
            packed = True
            m = n_jumped
        draw(b, rules, m, b.p_path, k, JUMP, index)
        jump(b, law, m, end)
        if rules.continuous:
            n_hit = 0
            for n in range(m):
                b.hit[n_hit] = n
                n_hit += b.code[n] & 1
            for i in range(n_hit):
                n = b.hit[i]
                if b.p_x[n] <= b.p_low[n]:
                    land(b, law, rules, tally, horizon, 0, b.lane[n], b.p_x[n], b.p_t[n])
                    b.p_low[n] = b.nearest[0][b.lane[n]]
                if b.p_x[n] >= b.p_high[n]:
                    land(b, law, rules, tally, horizon, 1, b.lane[n], b.p_x[n], b.p_t[n])
                    b.p_high[n] = b.nearest[1][b.lane[n]]
        index += 1
    put_back(b, m, packed)

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


cdef void run_block(Block *b, const Law *law, const Rules *rules, int64_t *tally, uint64_t first, int n,
                    const int32_t *stop) noexcept nogil:
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
            b.nearest[side][i] = -never() if side == 0 else never()
    if law.jump_law != NO_JUMPS:
        draw(b, rules, n, b.path, 0, JUMP, 0xffffffffULL)
        for i in range(n):
            b.next_jump[i] = two_exponentials(b, i) * uniform32(b.w2[i]) * law.mean_gap
    for k in range(rules.n_intervals):
        if stop[0]:
            return
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
                               never(), 1, 0.0, 0.0, 1.0, rules.instant[k + 1], b.x[i])
            horizon += 1
    book(b, law, rules, tally)


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

    def run(self, uint64_t first, int64_t count, int64_t[:, :, :, :, :, ::1] tally, const int32_t[::1] stop):
        """Add paths ``first .. first + count - 1`` to ``tally``; False if a value left the range of the sums.

        The GIL is released. At most 2**16 paths may be added to one tally. Once another thread has set ``stop[0]``
        the call returns within one interval, and the tally is not to be used.
        """
        cdef Block *b = <Block *> calloc(1, sizeof(Block))
        cdef int64_t done = 0
        cdef int n, bad
        if b == NULL:
            raise MemoryError
        with nogil:
            while done < count and not stop[0]:
                n = <int> (count - done if count - done < LANES else LANES)
                run_block(b, &self.law, &self.rules, &tally[0, 0, 0, 0, 0, 0], first + <uint64_t> done, n, &stop[0])
                done += n
            bad = b.bad
            free(b)
        return not bad


def random_numbers(int64_t n_blocks, int n_intervals):
    """Draw what every path-interval needs at least, two normals and an exponential, and nothing else: the benchmarks' floor."""
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
                    b.w[n] = sqrt(b.r2[n])
                    b.y[n] += b.w[n] * b.c1[n] + b.w[n] * b.c2[n] + b.bridge[n]
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
