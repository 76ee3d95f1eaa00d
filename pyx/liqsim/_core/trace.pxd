# What a path went through, written down while the kernel runs it: nothing is computed twice, and no bit of a run changes.
#
# A block with a `trace` tells it of every stage it comes to, through pointers, so that nothing of this is inlined into
# the loops; without one, a stage costs a test of that pointer. One path is followed, alone in its block, and to the last
# horizon even where no position is open any more.
#
# A row is HEAD numbers and, for each side and row of the grid, STATE numbers: the share that is open, equity,
# requirement, and the log price at which the venue acts next, after the event; at its end, a position's before it. A row
# at a crossing is a moment on one side's extreme, and holds that side's state alone.

from libc.math cimport NAN, sqrt
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from liqsim._core.block cimport LIQUIDATED, NEVER, SURVIVED, Block, Law, Rules, Tiers, Trace
from liqsim._core.carried cimport (
    END_CLOSED, END_CUT_OPEN, END_OPEN, Carried, slot)
from liqsim._core.dynamics cimport bridge_half
from liqsim._core.levels cimport direction, level_from, log_level, requirement, row_level
from liqsim._core.vmath cimport mills, vexp

cdef enum:
    AT_ENTRY = 0
    AT_SEGMENT_END = 1
    AT_JUMP = 2
    AT_VISIT = 3          # the venue looks of its own accord
    AT_LOOK = 4           # cash or requirement has changed
    AT_CHECK = 5          # a look of discrete monitoring, or as trading resumes
    AT_TEST = 6           # margin is tested, or a call falls due
    AT_INSTANT = 7        # the interval's end, when all that is paid there has been
    AT_HORIZON = 8
    AT_LIQUIDATION = 9    # all of a position, or all that is left of it, is closed by the venue
    AT_STOP = 10          # of whole positions
    AT_STOP_OF_REST = 11  # of what is left of one on which the venue has acted
    AT_ACT = 12           # the venue has cut a position or called for margin, and it lives on
    HEAD = 22
    STATE = 4


cdef inline double *new_row(Trace *trace) noexcept nogil:
    # Room for one row more, or NULL.
    cdef int64_t room
    cdef double *rows
    if trace.n == trace.room:
        room = 2 * trace.room if trace.room > 0 else 256
        rows = <double *> realloc(trace.rows, <size_t> room * <size_t> trace.width * sizeof(double))
        if rows == NULL:
            trace.lacks_memory = 1
            return NULL
        trace.rows = rows
        trace.room = room
    trace.n += 1
    return trace.rows + (trace.n - 1) * trace.width


cdef inline void write_state(double *state, const Rules *rules, const Tiers *tiers, int side, double margin, double q,
                             double cash, double x) noexcept nogil:
    # The position's share, equity, requirement, and the log price at which that is met.
    cdef double d = direction(rules, side)
    cdef double w = vexp(-x if rules.inverse else x)
    state[0] = q
    state[1] = cash + d * q * (w - 1.0)
    state[2] = requirement(tiers, q, w, margin)
    state[3] = log_level(rules, level_from(tiers, d, q, cash, margin, w))


cdef inline const Tiers *tested(const Block *b, int side) noexcept nogil:
    # The requirement in force, or, where nobody looks now, the one that is looked at on occasion.
    cdef const Rules *rules = b.trace.rules
    if rules.tiers[b.set_in_force][side].form != NEVER:
        return &rules.tiers[b.set_in_force][side]
    return &rules.tiers[rules.occasion][side]


cdef inline double *write_row(Block *b, int kind, int k, double index, double t, double x, int only) noexcept nogil:
    # A row at (t, x) with everything that does not depend on its kind; of side `only` unless that is negative.
    cdef Trace *trace = b.trace
    cdef const Rules *rules = trace.rules
    cdef const Carried *c = <const Carried *> trace.carried
    cdef const Tiers *tiers
    cdef double *head = new_row(trace)
    cdef double *state
    cdef int side, r, i
    if head == NULL:
        return NULL
    for i in range(HEAD):
        head[i] = NAN
    head[0] = kind
    head[1] = k
    head[2] = index
    head[3] = t
    head[4] = x
    head[5] = vexp(x)
    head[8] = b.premium[0]
    head[9] = b.rate[0]
    head[10] = b.accrued[0]
    head[11] = 0.0
    head[12] = 0.0
    head[13] = 0.0
    head[14] = b.paid[0][0]
    head[15] = b.paid[1][0]
    for side in range(2):
        tiers = tested(b, side)
        for r in range(rules.n_rows):
            state = head + HEAD + STATE * (side * rules.n_rows + r)
            for i in range(STATE):
                state[i] = NAN
            if only >= 0 and only != side:
                continue
            if r >= b.row[side][0]:
                write_state(state, rules, tiers, side, rules.margin[r], 1.0, rules.margin[r] - b.paid[side][0], x)
                state[3] = row_level(rules, tiers, side, rules.margin[r], b.paid[side][0], x)
            elif rules.carries and c.q[slot(c, side, r, 0)] > 0.0:
                i = slot(c, side, r, 0)
                write_state(state, rules, tiers, side, rules.margin[r], c.q[i], c.cash[i], x)
    return head


cdef inline void trace_event(Block *b, int kind, int k, uint64_t index) noexcept nogil:
    # A stage of interval k that every path comes to.
    cdef Trace *trace = b.trace
    cdef const Rules *rules = trace.rules
    cdef double *head
    cdef double half, t
    if kind == AT_ENTRY:
        b.set_in_force = rules.set_of[0]
        head = write_row(b, kind, k, 0.0, rules.instant[0], b.x[0], -1)
        if head != NULL:
            head[12] = rules.charge[0][0]
            head[13] = rules.charge[1][0]
    elif kind == AT_SEGMENT_END:
        t = rules.instant[k + 1]
        head = write_row(b, kind, k, <double> index, b.p_jump[0] if b.p_jump[0] < t else t, b.y[0], -1)
        if head != NULL:
            half = bridge_half(b, trace.law, 0)
            head[6] = 0.5 * (b.p_x[0] + b.y[0] - half)
            head[7] = 0.5 * (b.p_x[0] + b.y[0] + half)
            head[20] = vexp(head[6])
            head[21] = vexp(head[7])
    elif kind == AT_JUMP:
        write_row(b, AT_VISIT if b.code[0] & 8 else AT_JUMP, k, <double> index, b.p_t[0], b.p_x[0], -1)
    elif kind == AT_INSTANT:
        head = write_row(b, kind, k, 0.0, rules.instant[k + 1], b.x[0], -1)
        if head != NULL:
            head[11] = b.w[0] if rules.pays[k] > 0.0 else 0.0
            head[12] = rules.charge[0][k + 1]
            head[13] = rules.charge[1][k + 1]
    else:
        write_row(b, kind, k, 0.0, rules.instant[k if kind == AT_LOOK else k + 1], b.x[0], -1)


cdef inline void place(double *head, int side, int row, int col, int horizon) noexcept nogil:
    # Which cells a row at a crossing is about; -1: all that are still open.
    if head != NULL:
        head[16] = side
        head[17] = row
        head[18] = col
        head[19] = horizon


cdef inline void trace_record(Block *b, int kind, int horizon, int side, int row, int col, double before, double zigzag,
                              double dt, double t, double x) noexcept nogil:
    # A record of whole positions, with the mean time of the crossing, as it is booked: see kernel.pyx.
    cdef double sigma = b.trace.law.sigma if b.trace.law.sigma > 1e-9 else 1e-9
    cdef double root = sqrt(dt) / sigma
    if kind != SURVIVED:
        place(write_row(b, AT_LIQUIDATION if kind == LIQUIDATED else AT_STOP, -1, 0.0,
                        t + before * root * mills(zigzag / dt * root), x, side), side, row, col, horizon)


cdef inline void trace_end(Block *b, int n, int end, int horizon, int col, double w, double t) noexcept nogil:
    # Carried position n has ended at value ratio w, in its columns from `col` on, or in that one if it was stopped.
    cdef Trace *trace = b.trace
    cdef const Rules *rules = trace.rules
    cdef const Carried *c = <const Carried *> trace.carried
    cdef double x = log_level(rules, w)
    cdef double *head
    if end == END_CLOSED:
        head = write_row(b, AT_LIQUIDATION, -1, 0.0, t, x, c.side[n])
        place(head, c.side[n], c.row[n], col, horizon)
        if head != NULL:
            write_state(head + HEAD + STATE * (c.side[n] * rules.n_rows + c.row[n]), rules, tested(b, c.side[n]),
                        c.side[n], rules.margin[c.row[n]], trace.q_before, trace.cash_before, x)
        trace.acting = -1
    elif end != END_OPEN and end != END_CUT_OPEN:
        place(write_row(b, AT_STOP_OF_REST, -1, 0.0, t, x, c.side[n]), c.side[n], c.row[n], col, horizon)


cdef inline void trace_before(Block *b, int n) noexcept nogil:
    # The venue begins to act on position n, maybe in several steps.
    cdef const Carried *c = <const Carried *> b.trace.carried
    if b.trace.acting < 0:
        b.trace.acting = n
        b.trace.q_before = c.q[n]
        b.trace.cash_before = c.cash[n]


cdef inline void trace_act(Block *b, int n, double w, double t) noexcept nogil:
    # The venue has acted on position n at value ratio w, and it lives on.
    cdef const Carried *c = <const Carried *> b.trace.carried
    b.trace.acting = -1
    place(write_row(b, AT_ACT, -1, 0.0, t, log_level(b.trace.rules, w), c.side[n]), c.side[n], c.row[n], -1, -1)


cdef inline void start_trace(Trace *trace, const Law *law, const Rules *rules) noexcept nogil:
    trace.law = law
    trace.rules = rules
    trace.width = HEAD + 2 * rules.n_rows * STATE
    trace.lacks_memory = 0
    trace.acting = -1
    trace.n = 0
    trace.room = 0
    trace.rows = NULL
    trace.event = trace_event
    trace.record = trace_record
    trace.before = trace_before
    trace.act = trace_act
    trace.end = trace_end


cdef inline object taken_rows(Trace *trace):
    # The rows as an array; their memory is given back.
    import numpy as np

    rows = np.empty((trace.n if not trace.lacks_memory else 0, trace.width))
    cdef double[:, ::1] view = rows
    if rows.size > 0:
        memcpy(&view[0, 0], trace.rows, <size_t> rows.nbytes)
    free(trace.rows)
    trace.rows = NULL
    if trace.lacks_memory:
        raise MemoryError
    return rows
