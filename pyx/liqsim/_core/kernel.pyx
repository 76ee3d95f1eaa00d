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
# A position that the venue has acted on without closing it (cut, or called for margin) has a size and a cash balance of
# its own from then on; carried.pxd takes it from there. Its level counts among the lane's nearest, so that segments and
# jumps cost the same; it is looked at only when one reaches a level.
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

from liqsim._core.block cimport FIELDS, LANES, NO_JUMPS, SURVIVED, Block, Law, Procedure, Rules, Tiers
from liqsim._core.carried cimport (
    CARRIED_FIELDS, ENDS, Carried, book_open, charge_carried, free_carried, new_carried, pay_carried, refresh,
    start_carried)
from liqsim._core.dynamics cimport advance, bridge_half, draw, inform_premium, jump, move_premium, normals, two_exponentials
from liqsim._core.philox cimport JUMP, SEGMENT, philox, uniform32
from liqsim._core.lanes cimport pack_jumped, pack_open, put_back
from liqsim._core.levels cimport never, set_levels
from liqsim._core.procedures cimport call_margin, cross_carried, land_carried, visit_carried
from liqsim._core.rules cimport cross, land, pay_charge, pay_funding, settle_accrued, visit
from liqsim._core.tally cimport book, record
from liqsim._core.vmath cimport mills, octant_cos, octant_sin, vexp, vlog

import numpy as np


cdef void cross_whole(Block *b, Carried *c, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side,
                      int n, int k, uint64_t index, double extreme) noexcept nogil:
    cross(b, law, rules, tally, horizon, side, b.lane[n], extreme, b.p_x[n], b.y[n], b.p_t[n], b.dt[n])


cdef void land_whole(Block *b, Carried *c, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side,
                     int lane, double x, double t) noexcept nogil:
    land(b, law, rules, tally, horizon, side, lane, x, t)


cdef void cross_any(Block *b, Carried *c, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side,
                    int n, int k, uint64_t index, double extreme) noexcept nogil:
    cross_carried(c, b, law, rules, tally, horizon, side, b.lane[n], k, index, extreme, b.p_x[n], b.y[n], b.p_t[n], b.dt[n])


cdef void land_any(Block *b, Carried *c, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side,
                   int lane, double x, double t) noexcept nogil:
    land_carried(c, b, law, rules, tally, horizon, side, lane, x, t)


cdef void visit_whole(Block *b, Carried *c, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side,
                      int lane, double x, double t) noexcept nogil:
    visit(b, law, rules, tally, horizon, side, lane, x, t)


cdef void visit_any(Block *b, Carried *c, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side,
                    int lane, double x, double t) noexcept nogil:
    visit_carried(c, b, rules, horizon, side, lane, x, t)


cdef void begin_any(Block *b, Carried *c, const Rules *rules) noexcept nogil:
    if c.n > 0:
        refresh(c, b, rules)
    c.set_in_force = b.set_in_force


cdef void test_any(Block *b, Carried *c, const Rules *rules, int horizon, int k) noexcept nogil:
    call_margin(c, b, rules, horizon, k, rules.instant[k + 1])


cdef void pay_any(Block *b, Carried *c, const double *amount) noexcept nogil:
    pay_carried(c, b.n, amount)


cdef void charge_any(Block *b, Carried *c, int side, double amount) noexcept nogil:
    charge_carried(c, b.n, side, amount)


cdef void book_any(Block *b, Carried *c, const Rules *rules, int horizon, double t) noexcept nogil:
    book_open(c, b, rules, horizon, t)


cdef struct Evaluator:
    # What differs where positions are carried. Called through pointers, which also keeps the compiler from inlining so
    # much into run_interval that it gives up on the loops.
    void (*cross)(Block *, Carried *, const Law *, const Rules *, int64_t *, int, int, int, int, uint64_t, double) noexcept nogil
    void (*land)(Block *, Carried *, const Law *, const Rules *, int64_t *, int, int, int, double, double) noexcept nogil
    void (*visit)(Block *, Carried *, const Law *, const Rules *, int64_t *, int, int, int, double, double) noexcept nogil
    void (*begin)(Block *, Carried *, const Rules *) noexcept nogil
    void (*test)(Block *, Carried *, const Rules *, int, int) noexcept nogil
    void (*pay)(Block *, Carried *, const double *) noexcept nogil
    void (*charge)(Block *, Carried *, int, double) noexcept nogil
    void (*book_open)(Block *, Carried *, const Rules *, int, double) noexcept nogil


cdef void run_interval(Block *b, Carried *c, const Evaluator *evaluator, const Law *law, const Rules *rules,
                       int64_t *tally, int k, int horizon) noexcept nogil:
    cdef double start = rules.instant[k]
    cdef double end = rules.instant[k + 1]
    cdef double e, half, extreme
    cdef int i, n, m, side, n_jumped, n_hit, index
    cdef bint packed
    cdef bint informs = law.correlation != 0.0
    cdef bint watches = rules.watches[k]
    b.set_in_force = rules.set_of[k]
    for side in range(2):
        if rules.has_side[side]:
            set_levels(b, rules, side, b.set_in_force)
    if rules.carries:
        evaluator.begin(b, c, rules)
    if watches and rules.retests[k]:
        for side in range(2):
            e = 1.0 - 2.0 * side
            n_hit = 0
            for i in range(b.n):
                b.hit[n_hit] = i
                n_hit += e * b.x[i] <= e * b.nearest[side][i]
            for n in range(n_hit):
                i = b.hit[n]
                evaluator.land(b, c, law, rules, tally, horizon, side, i, b.x[i], start)
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
        advance(b, law, m, end, watches)
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
            for side in range(2):
                if not b.code[n] & (2 << side):
                    continue
                extreme = 0.5 * (b.p_x[n] + b.y[n] - (half if side == 0 else -half))
                evaluator.cross(b, c, law, rules, tally, horizon, side, n, k, index, extreme)
            b.p_low[n] = b.nearest[0][b.lane[n]]
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
        if watches or law.visit_share > 0.0:
            n_hit = 0
            for n in range(m):
                b.hit[n_hit] = n
                n_hit += b.code[n] != 0
            for i in range(n_hit):
                n = b.hit[i]
                if watches and b.p_x[n] <= b.p_low[n]:
                    evaluator.land(b, c, law, rules, tally, horizon, 0, b.lane[n], b.p_x[n], b.p_t[n])
                if watches and b.p_x[n] >= b.p_high[n]:
                    evaluator.land(b, c, law, rules, tally, horizon, 1, b.lane[n], b.p_x[n], b.p_t[n])
                if b.code[n] & 8:
                    for side in range(2):
                        evaluator.visit(b, c, law, rules, tally, horizon, side, b.lane[n], b.p_x[n], b.p_t[n])
                b.p_low[n] = b.nearest[0][b.lane[n]]
                b.p_high[n] = b.nearest[1][b.lane[n]]
        index += 1
    put_back(b, m, packed)

    if rules.checks[k]:
        for i in range(b.n):
            if b.x[i] <= b.nearest[0][i]:
                evaluator.land(b, c, law, rules, tally, horizon, 0, i, b.x[i], end)
            if b.x[i] >= b.nearest[1][i]:
                evaluator.land(b, c, law, rules, tally, horizon, 1, i, b.x[i], end)
    if rules.calls[k]:
        evaluator.test(b, c, rules, horizon, k)
    if law.premium_vol > 0.0 or law.premium_start != law.premium_mean:
        move_premium(b, law, end - start)
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


cdef void run_block(Block *b, Carried *c, const Evaluator *evaluator, const Law *law, const Rules *rules,
                    int64_t *tally, uint64_t first, int n, const int32_t *stop) noexcept nogil:
    cdef int i, k, side, horizon = 0
    cdef double premium = law.premium_start
    b.n = n
    b.n_closed = 0
    start_carried(c)
    for i in range(n):
        b.path[i] = first + i
        b.x[i] = 0.0
        b.next_jump[i] = 1e300
        b.premium[i] = premium
        b.rate[i] = rules.first_rate
        b.accrued[i] = 0.0
        b.premium_shift[i] = 0.0
        b.premium_known[i] = 0.0
    for side in range(2):
        for i in range(n):
            b.paid[side][i] = rules.charge[side][0]
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
            b.n = pack_open(b, c, rules)
            if b.n == 0:
                break
        run_interval(b, c, evaluator, law, rules, tally, k, horizon)
        if rules.horizon[k] >= 0:
            for side in range(2):
                for i in range(b.n):
                    if b.row[side][i] < rules.n_rows:
                        record(b, law, rules, tally, SURVIVED, horizon, side, b.row[side][i], b.col[side][i], i,
                               never(), 1, 0.0, 0.0, 1.0, rules.instant[k + 1], b.x[i])
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
    cdef object arrays    # keeps what `rules` points to alive

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
        self.law.visit_share = law["visit_share"]
        self.law.premium_start = law["premium_start"]
        self.law.premium_mean = law["premium_mean"]
        self.law.reversion = law["reversion"]
        self.law.premium_vol = law["premium_vol"]
        self.law.correlation = law["correlation"]
        self.rules.inverse = rules["inverse"]
        self.rules.liquidation_first = rules["liquidation_first"]
        self.rules.paid_on = rules["paid_on"]
        self.rules.returns_rest = rules["returns_rest"]
        self.rules.client_pays = rules["client_pays"]
        self.rules.defers = rules["defers"]
        self.rules.carries = rules["carries"]
        self.rules.occasion = rules["occasion"]
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
        set_procedure(&self.rules.procedure, rules["procedure"])
        self.rules.procedure.due = &due[0]
        for k, pair in enumerate(rules["tiers"]):
            for side in range(2):
                set_tiers(&self.rules.tiers[k][side], pair[side])
        for side in range(2):
            self.rules.has_side[side] = rules["sides"][side]
        self.rules.n_rows = margin.shape[0] - 1
        self.rules.n_cols = stop_long.shape[0] - 1
        self.rules.n_intervals = instant.shape[0] - 1
        self.rules.margin = &margin[0]
        self.rules.stop[0] = &stop_long[0]
        self.rules.stop[1] = &stop_short[0]
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
        self.evaluator.cross = cross_any if self.rules.carries else cross_whole
        self.evaluator.land = land_any if self.rules.carries else land_whole
        self.evaluator.visit = visit_any if self.rules.carries else visit_whole
        self.evaluator.begin = begin_any
        self.evaluator.test = test_any
        self.evaluator.pay = pay_any
        self.evaluator.charge = charge_any
        self.evaluator.book_open = book_any

    def tally_shape(self):
        """Shape of a tally of whole positions: (horizon, side, outcome, row, column, field)."""
        return (self.rules.n_horizons, 2, 3, self.rules.n_rows, self.rules.n_cols, FIELDS)

    def carried_shape(self):
        """Shape of a tally of positions that outlive the venue's first act, (horizon, side, end, row, column, field)."""
        if not self.rules.carries:
            return (0, 2, ENDS, 1, 1, CARRIED_FIELDS)
        return (self.rules.n_horizons, 2, ENDS, self.rules.n_rows, self.rules.n_cols, CARRIED_FIELDS)

    def run(self, uint64_t first, int64_t count, int64_t[:, :, :, :, :, ::1] tally,
            int64_t[:, :, :, :, :, ::1] carried, const int32_t[::1] stop):
        """Add paths ``first .. first + count - 1`` to the two tallies; False if a value left the range of the sums.

        The GIL is released. At most 2**16 paths may be added to one tally. Once another thread has set ``stop[0]``
        the call returns within one interval, and the tallies are not to be used.
        """
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


cdef void set_procedure(Procedure *p, object numbers):
    p.kind = numbers["kind"]
    p.tiers_per_step = numbers["tiers_per_step"]
    p.steps_from_tier = numbers["steps_from_tier"]
    p.step = numbers["step"]
    p.threshold = numbers["threshold"]
    p.cooldown = numbers["cooldown"]
    p.backstop = numbers["backstop"]
    p.fee = numbers["fee"]
    p.initial_ratio = numbers["initial_ratio"]
    p.top_up = numbers["top_up"]
    p.fund = numbers["fund"]


cdef void set_tiers(Tiers *t, object numbers):
    cdef int k
    t.form = numbers["form"]
    t.on_mark = numbers["on_mark"]
    t.size_moves = numbers["size_moves"]
    t.per_margin = numbers["per_margin"]
    t.slope = numbers["slope"]
    t.fee = numbers["fee"]
    t.n = len(numbers["caps"])
    for k in range(t.n):
        t.cap[k] = numbers["caps"][k]
        t.rate[k] = numbers["rates"][k]
        t.deduction[k] = numbers["deductions"][k]
    t.n_lines = len(numbers["lines"])
    for k in range(t.n_lines):
        t.alpha[k] = numbers["lines"][k][0]
        t.beta[k] = numbers["lines"][k][1]


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
