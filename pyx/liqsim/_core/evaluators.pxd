# The two evaluators: positions that are whole and share a path's records, and positions that may be carried.

from libc.stdint cimport int64_t

from liqsim._core.block cimport Block, Lanes, Law, Rules
from liqsim._core.carried cimport Carried, book_open, charge_carried, pay_carried, refresh
from liqsim._core.lanes cimport copy_near
from liqsim._core.levels cimport log_level
from liqsim._core.procedures cimport call_margin, cross_carried, land_carried, visit_carried
from liqsim._core.rules cimport cross, land, settle, visit
from liqsim._core.vmath cimport vexp

cdef struct Evaluator:
    # What differs where positions are carried. Called through pointers, which also keeps the compiler from inlining so
    # much into run_interval that it gives up on the loops.
    void (*cross)(Block *, Carried *, const Law *, const Rules *, int64_t *, int, int, Lanes *, int, int) noexcept nogil
    void (*land)(Block *, Carried *, const Law *, const Rules *, int64_t *, int, int, Lanes *, int) noexcept nogil
    void (*visit)(Block *, Carried *, const Law *, const Rules *, int64_t *, int, int, int, double, double) noexcept nogil
    void (*begin)(Block *, Carried *, const Rules *) noexcept nogil
    void (*test)(Block *, Carried *, const Rules *, int, int) noexcept nogil
    void (*pay)(Block *, Carried *, const double *) noexcept nogil
    void (*charge)(Block *, Carried *, int, double) noexcept nogil
    void (*book_open)(Block *, Carried *, const Rules *, int, double) noexcept nogil


cdef inline void cross_whole(Block *b, Carried *c, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side,
                             Lanes *g, int n_hit, int k) noexcept nogil:
    cross(b, law, rules, tally, horizon, side, g, n_hit)
    settle(b, rules, side, g, n_hit)
    copy_near(b, g, side, n_hit)


cdef inline void land_whole(Block *b, Carried *c, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side,
                            Lanes *g, int n_hit) noexcept nogil:
    land(b, law, rules, tally, horizon, side, g, n_hit)
    settle(b, rules, side, g, n_hit)
    copy_near(b, g, side, n_hit)


cdef inline void visit_whole(Block *b, Carried *c, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side,
                             int lane, double x, double t) noexcept nogil:
    visit(b, law, rules, tally, horizon, side, lane, vexp(-x if rules.inverse else x), t)


cdef inline void cross_any(Block *b, Carried *c, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side,
                           Lanes *g, int n_hit, int k) noexcept nogil:
    cdef int i, n
    for i in range(n_hit):
        n = g.hit[i]
        cross_carried(c, b, law, rules, tally, horizon, side, g.lane[n], k, g.index[n], log_level(rules, g.hit_ratio[i]),
                      g.x[n], g.y[n], g.t[n], g.dt[n])
    copy_near(b, g, side, n_hit)


cdef inline void land_any(Block *b, Carried *c, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side,
                          Lanes *g, int n_hit) noexcept nogil:
    cdef int i, n
    for i in range(n_hit):
        n = g.hit[i]
        land_carried(c, b, law, rules, tally, horizon, side, g.lane[n], g.x[n], g.t[n])
    copy_near(b, g, side, n_hit)


cdef inline void visit_any(Block *b, Carried *c, const Law *law, const Rules *rules, int64_t *tally, int horizon, int side,
                           int lane, double x, double t) noexcept nogil:
    visit_carried(c, b, rules, horizon, side, lane, x, t)


cdef inline void begin_any(Block *b, Carried *c, const Rules *rules) noexcept nogil:
    if c.n > 0:
        refresh(c, b, rules)
    c.set_in_force = b.set_in_force


cdef inline void test_any(Block *b, Carried *c, const Rules *rules, int horizon, int k) noexcept nogil:
    call_margin(c, b, rules, horizon, k, rules.instant[k + 1])


cdef inline void pay_any(Block *b, Carried *c, const double *amount) noexcept nogil:
    pay_carried(c, b.n, amount)


cdef inline void charge_any(Block *b, Carried *c, int side, double amount) noexcept nogil:
    charge_carried(c, b.n, side, amount)


cdef inline void book_any(Block *b, Carried *c, const Rules *rules, int horizon, double t) noexcept nogil:
    book_open(c, b, rules, horizon, t)


cdef inline Evaluator evaluator_of(const Rules *rules) noexcept nogil:
    cdef Evaluator found
    found.cross = cross_any if rules.carries else cross_whole
    found.land = land_any if rules.carries else land_whole
    found.visit = visit_any if rules.carries else visit_whole
    found.begin = begin_any
    found.test = test_any
    found.pay = pay_any
    found.charge = charge_any
    found.book_open = book_any
    return found
