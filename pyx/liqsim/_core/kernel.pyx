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
# In interval k the few lanes that jump are packed together and go from jump to jump, those that jump no more handing back
# in batches; then all lanes go to the interval's end at once. Segments are tested against the nearest log level of a lane,
# which follows what has been paid by a bound instead of a logarithm (levels.anchor); the few lanes that may have reached it
# are listed, and only those look at exact levels, as value ratios. Records are buffered and booked many at a time.
#
# A position that the venue has acted on without closing it (cut, or called for margin) has a size and a cash balance of
# its own from then on; carried.pxd takes it from there. Its level counts among the lane's nearest, so that segments and
# jumps cost the same; it is looked at only when one reaches a level.
#
# Single paths can be followed, event by event: where a block has a trace, it is told of every stage (trace.pxd).
#
# Sums are integers: a quantity v is booked as rint(v 2**32), a product as the multiple of 4 in it and rint(rest 2**44), so
# the tally is exact and does not depend on the order of paths, batches or threads.
#
# The time of a continuous crossing is booked as its conditional mean given both ends of the segment: for a Brownian
# bridge over dt from distance a before the level to distance c past or short of it,
# E[time | crossed] = a sqrt(dt)/sigma * mills((a + c)/(sigma sqrt(dt))), by convolving the first-passage density with
# the Gaussian kernel (both have Laplace transforms exp(-d sqrt(2 s))/sqrt(2 s) up to a factor). Unbiased, less noise.

from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from liqsim._core.binned cimport BIN_FIELDS, HALF, PASSAGES, PNL_BINS, WAYS, pnl_edge
from liqsim._core.block cimport (
    FIELDS, KINDS, LANES, NO_JUMPS, SURVIVED, Block, Lanes, Law, Rules, Tiers, Trace)
from liqsim._core.build cimport LIQSIM_COMPILER
from liqsim._core.carried cimport CARRIED_FIELDS, ENDS, Carried, free_carried, new_carried, start_carried
from liqsim._core.dynamics cimport (
    advance, draw, extremes, flag_standing, flagged, inform_premium, jump, jumping, list_jumping, move_premium, of_side,
    standing, two_exponentials, variates)
from liqsim._core.evaluators cimport Evaluator, evaluator_of
from liqsim._core.lanes cimport keep_jumping, pack_open, take_jumping
from liqsim._core.levels cimport anchor, coins, direction, never, set_levels, sharpen
from liqsim._core.numbers cimport set_law, set_procedure, set_rules, set_tiers
from liqsim._core.philox cimport JUMP, SEGMENT, philox, uniform32
from liqsim._core.rules cimport pay_charge, pay_funding, settle_accrued
from liqsim._core.tally cimport book, record
from liqsim._core.trace cimport (
    AT_CHECK, AT_ENTRY, AT_HORIZON, AT_INSTANT, AT_JUMP, AT_LOOK, AT_SEGMENT_END, AT_TEST, END_WIDTH, HEAD, STATE,
    start_trace)
from liqsim._core.vmath cimport mills, octant_cos, octant_sin, vexp, vlog

import numpy as np

COMPILER = LIQSIM_COMPILER.decode()


cdef inline void cross_sides(Block *b, Carried *c, const Evaluator *evaluator, const Law *law, const Rules *rules,
                             int64_t *tally, int horizon, Lanes *g, int n_any, int k) noexcept nogil:
    cdef int side, n_hit
    for side in range(2):
        n_hit = of_side(g, n_any, side)
        if n_hit > 0:
            extremes(g, n_hit, law, rules, side)
            evaluator.cross(b, c, law, rules, tally, horizon, side, g, n_hit, k)


cdef inline void land_sides(Block *b, Carried *c, const Evaluator *evaluator, const Law *law, const Rules *rules,
                            int64_t *tally, int horizon, Lanes *g, int n_any) noexcept nogil:
    cdef int side, n_hit
    for side in range(2):
        n_hit = of_side(g, n_any, side)
        if n_hit > 0:
            standing(g, n_hit, rules)
            evaluator.land(b, c, law, rules, tally, horizon, side, g, n_hit)


cdef void run_jumps(Block *b, Carried *c, const Evaluator *evaluator, const Law *law, const Rules *rules, int64_t *tally,
                    int k, int horizon) noexcept nogil:
    # Take the lanes that jump within interval k to just after their last jump in it.
    cdef Lanes *g = &b.few
    cdef double end = rules.instant[k + 1]
    cdef bint watches = rules.watches[k]
    cdef int i, side, n, n_again, n_any, m = take_jumping(b)
    while m > 0:
        draw(g, m, rules, k, SEGMENT)
        advance(g, m, law, end, end, True)
        if watches:
            cross_sides(b, c, evaluator, law, rules, tally, horizon, g, flagged(g, m, 2), k)
        if b.trace != NULL:
            b.trace.event(b, g, AT_SEGMENT_END, k)
        if law.correlation != 0.0:
            inform_premium(b, g, m, law, end)
        draw(g, m, rules, k, JUMP)
        n_again = jump(g, m, law, end)
        if b.trace != NULL:
            b.trace.event(b, g, AT_JUMP, k)
        if watches or law.visit_share > 0.0:
            n_any = flagged(g, m, 1)
            if watches:
                land_sides(b, c, evaluator, law, rules, tally, horizon, g, n_any)
            for i in range(n_any):
                n = g.any_hit[i]
                if g.code[n] & 1:
                    for side in range(2):
                        evaluator.visit(b, c, law, rules, tally, horizon, side, g.lane[n], g.x[n], g.t[n])
                        g.near[side][n] = b.all.near[side][g.lane[n]]
        if 4 * n_again < 3 * m or n_again == 0:
            m = keep_jumping(b, m, end)


cdef void run_interval(Block *b, Carried *c, const Evaluator *evaluator, const Law *law, const Rules *rules,
                       int64_t *tally, int k, int horizon) noexcept nogil:
    cdef Lanes *g = &b.all
    cdef double end = rules.instant[k + 1]
    cdef int i, side, n_any
    cdef bint watches = rules.watches[k]
    cdef bint moved = b.set_in_force != rules.set_of[k]
    b.set_in_force = rules.set_of[k]
    if rules.n_times > 0:
        b.time_bin = rules.time_bin[k]
    for side in range(2):
        if rules.has_side[side]:
            set_levels(b, rules, side, moved)
    if rules.carries:
        evaluator.begin(b, c, rules)
    if watches and rules.retests[k]:
        if b.trace != NULL:
            b.trace.event(b, g, AT_LOOK, k)
        if flag_standing(g, b.n):
            land_sides(b, c, evaluator, law, rules, tally, horizon, g, flagged(g, b.n, 2))
    if law.correlation != 0.0:
        for i in range(b.n):
            b.premium_shift[i] = 0.0
            b.premium_known[i] = 0.0
    if b.n_jumping > 0:
        run_jumps(b, c, evaluator, law, rules, tally, k, horizon)

    draw(g, b.n, rules, k, SEGMENT)
    advance(g, b.n, law, end, rules.instant[k + 2] if k + 2 <= rules.n_intervals else end, False)
    n_any = flagged(g, b.n, 1)
    if watches:
        cross_sides(b, c, evaluator, law, rules, tally, horizon, g, n_any, k)
    if b.trace != NULL:
        b.trace.event(b, g, AT_SEGMENT_END, k)
    jumping(b, n_any)
    if law.correlation != 0.0:
        inform_premium(b, g, b.n, law, end)
    for i in range(b.n):
        g.x[i] = g.y[i]
        g.t[i] = end
        g.index[i] = 0
    if rules.checks[k]:
        if b.trace != NULL:
            b.trace.event(b, g, AT_CHECK, k)
        if flag_standing(g, b.n):
            land_sides(b, c, evaluator, law, rules, tally, horizon, g, flagged(g, b.n, 2))
    if rules.calls[k]:
        if b.trace != NULL:
            b.trace.event(b, g, AT_TEST, k)
        evaluator.test(b, c, rules, horizon, k)
    if law.premium_vol > 0.0 or law.premium_start != law.premium_mean:
        move_premium(b, law, end - rules.instant[k])
    if rules.pays[k] > 0.0:
        pay_funding(b, rules, rules.pays[k])
        if rules.carries and not rules.defers:
            evaluator.pay(b, c, b.w)
    if rules.settles[k]:
        if rules.carries:
            evaluator.pay(b, c, b.accrued)
        settle_accrued(b)
    for side in range(2):
        if rules.charge[side][k + 1] != 0.0:
            pay_charge(b, side, rules.charge[side][k + 1])
            if rules.carries:
                evaluator.charge(b, c, side, rules.charge[side][k + 1])
    if b.trace != NULL:
        b.trace.event(b, g, AT_INSTANT, k)


cdef void start_block(Block *b, Carried *c, const Law *law, const Rules *rules, uint64_t first, int n) noexcept nogil:
    cdef Lanes *g = &b.all
    cdef int i, side
    b.n = n
    b.n_closed = 0
    b.set_in_force = rules.set_of[0]
    start_carried(c)
    for i in range(n):
        g.lane[i] = i
        g.path[i] = first + i
        g.index[i] = 0xffffffffULL
        g.x[i] = 0.0
        g.t[i] = rules.instant[0]
        g.jump[i] = 1e300
        b.premium[i] = law.premium_start
        b.rate[i] = rules.first_rate
        b.accrued[i] = 0.0
        b.premium_shift[i] = 0.0
        b.premium_known[i] = 0.0
    for side in range(2):
        for i in range(n):
            b.paid[side][i] = rules.charge[side][0]
            b.row[side][i] = 0 if rules.has_side[side] else rules.n_rows
            b.col[side][i] = 0 if rules.has_side[side] else rules.n_cols
            sharpen(b, rules, side, i)
        anchor(b, rules, side, g.lane, n)
    if law.jump_law != NO_JUMPS:
        draw(g, n, rules, 0, JUMP)
        for i in range(n):
            g.jump[i] = two_exponentials(g, i) * uniform32(g.w2[i]) * law.mean_gap
    for i in range(n):
        g.index[i] = 0
    list_jumping(b, rules.instant[1])


cdef void run_block(Block *b, Carried *c, const Evaluator *evaluator, const Law *law, const Rules *rules,
                    int64_t *tally, uint64_t first, int n, const int32_t *stop) noexcept nogil:
    cdef int i, k, side, horizon = 0
    cdef double turn = -1.0 if rules.inverse else 1.0
    start_block(b, c, law, rules, first, n)
    if b.trace != NULL:
        b.trace.event(b, &b.all, AT_ENTRY, 0)
    for k in range(rules.n_intervals):
        if stop[0]:
            return
        if 8 * b.n_closed > b.n and not (b.trace != NULL and b.trace.follows):
            b.n = pack_open(b, c, rules)
            if b.n == 0:
                break
            list_jumping(b, rules.instant[k + 1])
        run_interval(b, c, evaluator, law, rules, tally, k, horizon)
        if rules.horizon[k] >= 0:
            if b.trace != NULL:
                b.trace.event(b, &b.all, AT_HORIZON, k)
            for i in range(b.n):
                b.all.hit_ratio[i] = vexp(turn * b.all.x[i])
            for side in range(2):
                for i in range(b.n):
                    if b.row[side][i] < rules.n_rows:
                        record(b, law, rules, tally, SURVIVED, horizon, side, b.row[side][i], b.col[side][i], i,
                               never(), 1, b.all.hit_ratio[i], rules.instant[k + 1])
            if rules.carries:
                evaluator.book_open(b, c, rules, horizon, rules.instant[k + 1])
            horizon += 1
    book(b, law, rules, tally)


cdef class Kernel:
    """One model under one venue's rules on one grid, ready to run any range of paths.

    Built by :mod:`liqsim.engine.plan`, which checks every number; nothing is checked here.
    """

    cdef Law law
    cdef Rules rules
    cdef Evaluator evaluator
    cdef object arrays, kept    # keep what `rules` points to alive
    cdef double[:, ::1] stop_ratios

    def __init__(self, law, rules, arrays):
        cdef double[::1] margin = arrays["margin"]
        cdef double[::1] stop_long = arrays["stop_long"]
        cdef double[::1] stop_short = arrays["stop_short"]
        cdef double[::1] instant = arrays["instant"]
        cdef double[::1] pays = arrays["pays"]
        cdef double[::1] charge_long = arrays["charge_long"]
        cdef double[::1] charge_short = arrays["charge_short"]
        cdef uint8_t[::1] settles = arrays["settles"]
        cdef uint8_t[::1] set_of = arrays["set_of"]
        cdef uint8_t[::1] watches = arrays["watches"]
        cdef uint8_t[::1] retests = arrays["retests"]
        cdef uint8_t[::1] checks = arrays["checks"]
        cdef uint8_t[::1] calls = arrays["calls"]
        cdef int32_t[::1] due = arrays["due"]
        cdef int32_t[::1] horizon = arrays["horizon"]
        cdef int32_t[::1] time_bin
        cdef int side, k
        self.arrays = arrays
        self.kept = []
        set_law(&self.law, law)
        set_rules(&self.rules, rules)
        set_procedure(&self.rules.procedure, rules["procedure"])
        self.rules.procedure.due = &due[0]
        for k, pair in enumerate(rules["tiers"]):
            for side in range(2):
                set_tiers(&self.rules.tiers[k][side], pair[side])
                self.set_lines(&self.rules, &self.rules.tiers[k][side], side, margin, pair[side]["lines"])
        for side in range(2):
            self.rules.has_side[side] = rules["sides"][side]
        self.rules.n_rows = margin.shape[0] - 1
        self.rules.n_cols = stop_long.shape[0] - 1
        self.rules.n_intervals = instant.shape[0] - 1
        self.rules.margin = &margin[0]
        self.rules.stop[0] = &stop_long[0]
        self.rules.stop[1] = &stop_short[0]
        self.stop_ratios = np.empty((2, stop_long.shape[0]))
        for side in range(2):
            for k in range(stop_long.shape[0]):
                self.stop_ratios[side, k] = vexp(-self.rules.stop[side][k] if self.rules.inverse else self.rules.stop[side][k])
            self.rules.stop_ratio[side] = &self.stop_ratios[side, 0]
        self.rules.instant = &instant[0]
        self.rules.pays = &pays[0]
        self.rules.charge[0] = &charge_long[0]
        self.rules.charge[1] = &charge_short[0]
        self.rules.settles = &settles[0]
        self.rules.set_of = &set_of[0]
        self.rules.watches = &watches[0]
        self.rules.retests = &retests[0]
        self.rules.checks = &checks[0]
        self.rules.calls = &calls[0]
        self.rules.horizon = &horizon[0]
        self.rules.n_horizons = int((arrays["horizon"] >= 0).sum())
        self.rules.time_bin = NULL
        self.rules.n_times = 0
        if "time_bin" in arrays:
            time_bin = arrays["time_bin"]
            self.rules.time_bin = &time_bin[0]
            self.rules.n_times = int(arrays["time_bin"].max()) + 1
        self.rules.books_pnl = rules.get("books_pnl", False)
        self.rules.books_shortfall = rules.get("books_shortfall", False)
        self.evaluator = evaluator_of(&self.rules)

    cdef set_lines(self, Rules *rules, Tiers *t, int side, const double[::1] margin, lines):
        # A line, requirement alpha w + beta, is met at w = (1 - d (margin - paid - beta)) / (1 - d alpha); of margin in coin
        # what counts at w is taken from the requirement instead.
        cdef double d = direction(rules, side)
        cdef double posted, slope
        numbers = np.zeros((2, max(len(lines), 1), margin.shape[0]))
        cdef double[:, ::1] at = numbers[0]
        cdef double[:, ::1] per = numbers[1]
        cdef int k, row
        t.n_lines = len(lines)
        for k in range(t.n_lines):
            for row in range(margin.shape[0]):
                posted = coins(t, margin[row])
                slope = 1.0 - d * (<double> lines[k][0] + t.haircut * posted - posted)
                at[k, row] = (1.0 - d * (margin[row] - posted - <double> lines[k][1])) / slope
                per[k, row] = d / slope
        t.at = &at[0, 0]
        t.per = &per[0, 0]
        t.up = (d * numbers[1]).max()
        t.down = (d * numbers[1]).min()
        self.kept.append(numbers)

    def tally_shape(self):
        """Shape of a tally of whole positions: (horizon, side, end, row, column, field)."""
        return (self.rules.n_horizons, 2, KINDS, self.rules.n_rows, self.rules.n_cols, FIELDS)

    def carried_shape(self):
        """Shape of a tally of positions that outlive the venue's first act, (horizon, side, end, row, column, field)."""
        if not self.rules.carries:
            return (0, 2, ENDS, 1, 1, CARRIED_FIELDS)
        return (self.rules.n_horizons, 2, ENDS, self.rules.n_rows, self.rules.n_cols, CARRIED_FIELDS)

    def passages_shape(self):
        """Shape of a tally of passages, (bin of times, side, way, row, column); none where no bins were given."""
        return (self.rules.n_times, 2, PASSAGES, self.rules.n_rows, self.rules.n_cols)

    def pnl_shape(self):
        """Shape of a histogram of the P&L, (horizon, side, way, row, column, bin, field); none unless asked for."""
        return (self.rules.n_horizons if self.rules.books_pnl else 0, 2, WAYS, self.rules.n_rows, self.rules.n_cols,
                PNL_BINS, BIN_FIELDS)

    def shortfall_shape(self):
        """Shape of a histogram of the shortfall, like that of the P&L; none unless asked for."""
        return (self.rules.n_horizons if self.rules.books_shortfall else 0, 2, WAYS, self.rules.n_rows, self.rules.n_cols,
                HALF, BIN_FIELDS)

    def run(self, uint64_t first, int64_t count, int64_t[:, :, :, :, :, ::1] tally,
            int64_t[:, :, :, :, :, ::1] carried, const int32_t[::1] stop, int64_t[:, :, :, :, ::1] passages=None,
            int64_t[:, :, :, :, :, :, ::1] pnl=None, int64_t[:, :, :, :, :, :, ::1] shortfall=None):
        """Add paths ``first .. first + count - 1`` to the tallies; False if a value left the range of the sums.

        The GIL is released. At most 2**16 paths may be added to the first two tallies, 2**32 to the others. Once another
        thread has set ``stop[0]`` the call returns within one interval, and the tallies are not to be used.
        """
        return self.simulate(NULL, first, count, tally, carried, stop, passages, pnl, shortfall)

    def trace(self, uint64_t path, int64_t[:, :, :, :, :, ::1] tally, int64_t[:, :, :, :, :, ::1] carried):
        """Add one path to the two tallies and return what happened on it, in order.

        Returns an array of shape (event, HEAD + 2 * rows * STATE), described in trace.pxd, or None if a value left the
        range of the sums.
        """
        cdef Trace trace
        cdef int32_t stop = 0
        trace.follows = 1
        trace.width = HEAD + 2 * self.rules.n_rows * STATE
        fits = self.simulate(&trace, path, 1, tally, carried, <int32_t[:1]> &stop, None, None, None)
        rows = rows_of(&trace)
        return rows if fits else None

    def ends(self, uint64_t first, int64_t count, const int32_t[::1] stop):
        """How each of paths ``first .. first + count - 1`` ends, on a grid of one cell at one horizon.

        Returns an array of shape (path, END_WIDTH), described in trace.pxd, or None if a value left the range of the
        sums. Once another thread has set ``stop[0]`` the array is not to be used.
        """
        cdef Trace trace
        tally = np.zeros(self.tally_shape(), dtype=np.int64)
        carried = np.zeros(self.carried_shape(), dtype=np.int64)
        trace.follows = 0
        trace.width = END_WIDTH
        fits = self.simulate(&trace, first, count, tally, carried, stop, None, None, None)
        rows = rows_of(&trace)
        return rows if fits else None

    cdef bint simulate(self, Trace *trace, uint64_t first, int64_t count, int64_t[:, :, :, :, :, ::1] tally,
                       int64_t[:, :, :, :, :, ::1] carried, const int32_t[::1] stop,
                       int64_t[:, :, :, :, ::1] passages, int64_t[:, :, :, :, :, :, ::1] pnl,
                       int64_t[:, :, :, :, :, :, ::1] shortfall) except? -1:
        """Run paths and say whether every value fitted into the sums."""
        cdef Block *b = <Block *> calloc(1, sizeof(Block))
        cdef Carried *c = new_carried(&self.rules, self.rules.n_rows if self.rules.carries else 0)
        cdef int64_t done = 0
        cdef int n, bad
        if b == NULL or c == NULL:
            free(b)
            free_carried(c)
            raise MemoryError
        if self.rules.carries:
            c.tally = &carried[0, 0, 0, 0, 0, 0]
        if passages is not None and self.rules.n_times > 0:
            b.passages = &passages[0, 0, 0, 0, 0]
        if pnl is not None and self.rules.books_pnl:
            b.pnl = &pnl[0, 0, 0, 0, 0, 0, 0]
        if shortfall is not None and self.rules.books_shortfall:
            b.shortfall = &shortfall[0, 0, 0, 0, 0, 0, 0]
        if trace != NULL:
            start_trace(trace, &self.law, &self.rules, c, first)
            b.trace = trace
        with nogil:
            while done < count and not stop[0]:
                n = <int> (count - done if count - done < LANES else LANES)
                run_block(b, c, &self.evaluator, &self.law, &self.rules, &tally[0, 0, 0, 0, 0, 0],
                          first + <uint64_t> done, n, &stop[0])
                done += n
            bad = b.bad
            free(b)
            free_carried(c)
        return not bad


cdef object rows_of(Trace *trace):
    """The rows written, as an array; their memory is given back."""
    if trace.lacks_memory:
        free(trace.rows)
        raise MemoryError
    rows = np.empty((trace.n, trace.width))
    cdef double[:, ::1] view = rows
    if trace.n > 0:
        memcpy(&view[0, 0], trace.rows, <size_t> trace.n * <size_t> trace.width * sizeof(double))
    free(trace.rows)
    return rows


def pnl_edges():
    """Ends of the bins of the P&L, rising, per entry notional; the middle one is 0, where those of the shortfall begin."""
    return np.array([pnl_edge(k) for k in range(PNL_BINS + 1)])


def random_numbers(int64_t n_blocks, int n_intervals):
    """Draw what every path-interval needs at least, two normals and an exponential, and nothing else: the benchmarks' floor."""
    cdef Block *b = <Block *> calloc(1, sizeof(Block))
    cdef Lanes *g
    cdef Rules rules
    cdef int64_t block
    cdef int k, n
    cdef double total = 0.0
    if b == NULL:
        raise MemoryError
    g = &b.all
    rules.key[0] = 1
    rules.key[1] = 2
    with nogil:
        for block in range(n_blocks):
            for n in range(LANES):
                g.path[n] = <uint64_t> (block * LANES + n)
            for k in range(n_intervals):
                draw(g, LANES, &rules, k, SEGMENT)
                for n in range(LANES):
                    variates(g, n)
                    g.dt[n] = sqrt(g.r2[n])
                    g.y[n] += g.dt[n] * g.c1[n] + g.dt[n] * g.c2[n] + g.bridge[n]
        for n in range(LANES):
            total += g.y[n]
        free(b)
    return total


def philox_words(counter, key):
    """The four words of one Philox4x32-10 block, for the known-answer tests."""
    words = philox(counter[0], counter[1], counter[2], counter[3], key[0], key[1])
    return words.w0, words.w1, words.w2, words.w3


def elementary(str name, double[::1] x):
    """A vmath function over an array, for the tests of its accuracy and the benchmarks of its speed."""
    cdef Py_ssize_t i, n = x.shape[0]
    out = np.empty(n)
    cdef double[::1] y = out
    if name == "log":
        for i in range(n):
            y[i] = vlog(x[i])
    elif name == "exp":
        for i in range(n):
            y[i] = vexp(x[i])
    elif name == "sin":
        for i in range(n):
            y[i] = octant_sin(x[i])
    elif name == "cos":
        for i in range(n):
            y[i] = octant_cos(x[i])
    elif name == "mills":
        for i in range(n):
            y[i] = mills(x[i])
    else:
        raise ValueError(name)
    return out
