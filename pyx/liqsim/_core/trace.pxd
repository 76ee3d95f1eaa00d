# What a path went through, written down while the kernel runs it: nothing is computed twice, and no bit of a run changes.
#
# A block with a `trace` tells it of every stage it comes to, through pointers, so that nothing of this is inlined into
# the loops; without one, a stage costs a test of that pointer. Either one path is followed, alone in its block and to the
# last horizon even where no position is open any more, or only the end of each of many paths is kept. A followed path has
# lane 0 and, among the few that jump, the first place.
#
# A row of a followed path is HEAD numbers and, for each side and row of the grid, STATE numbers: the share that is open,
# equity, requirement, and the log price at which the venue acts next, after the event; at its end, a position's before
# it. A row at a crossing is a moment on one side's extreme, and holds that side's state alone.
#
# A row that says how a path ended is its number, counted from the first; the end, one of KINDS or KINDS + the end of a
# carried position; what was paid and the price gain, of which the P&L of a whole position follows; P&L of a carried one.

from libc.math cimport NAN, isnan, sqrt
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport realloc

from liqsim._core.block cimport KINDS, LIQUIDATED, NEVER, SURVIVED, Block, Lanes, Law, Rules, Tiers, Trace
from liqsim._core.carried cimport END_CLOSED, END_CUT_OPEN, END_OPEN, Carried, slot
from liqsim._core.levels cimport coins, direction, level_from, log_level, requirement, row_ratio
from liqsim._core.tally cimport book
from liqsim._core.vmath cimport vexp

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
    END_WIDTH = 5         # of a row that says how a path ended


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
    # The position's share, equity, requirement with any haircut, and the log price at which that is met.
    cdef double d = direction(rules, side)
    cdef double w = vexp(-x if rules.inverse else x)
    state[0] = q
    state[1] = cash + (d * q + coins(tiers, margin)) * (w - 1.0)
    state[2] = requirement(tiers, q, w, margin)
    state[3] = log_level(rules, level_from(tiers, d, q, cash, margin, w))


cdef inline const Tiers *tested(const Block *b, int side) noexcept nogil:
    # The requirement in force, or, where nobody looks now, the one that is looked at on occasion.
    cdef const Rules *rules = b.trace.rules
    if rules.tiers[b.set_in_force][side].form != NEVER:
        return &rules.tiers[b.set_in_force][side]
    return &rules.tiers[rules.occasion + b.set_in_force][side]


cdef inline double *write_row(Block *b, int kind, int k, double index, double t, double x, int only) noexcept nogil:
    # A row at (t, x) with everything that does not depend on its kind; of side `only` unless that is negative.
    cdef Trace *trace = b.trace
    cdef const Rules *rules = trace.rules
    cdef const Carried *c = <const Carried *> trace.carried
    cdef const Tiers *tiers
    cdef double *head = new_row(trace)
    cdef double *state
    cdef double w = vexp(-x if rules.inverse else x)
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
                state[3] = log_level(rules, row_ratio(rules, tiers, side, r, b.paid[side][0], w))
            elif rules.carries and c.q[slot(c, side, r, 0)] > 0.0:
                i = slot(c, side, r, 0)
                write_state(state, rules, tiers, side, rules.margin[r], c.q[i], c.cash[i], x)
    return head


cdef inline void trace_event(Block *b, const Lanes *g, int kind, int k) noexcept nogil:
    # A stage of interval k that every path comes to; a jump has been counted by then.
    cdef Trace *trace = b.trace
    cdef const Rules *rules = trace.rules
    cdef const Law *law = trace.law
    cdef double *head
    cdef double spread, half, end
    if not trace.follows:
        return
    if kind == AT_SEGMENT_END:
        end = rules.instant[k + 1]
        head = write_row(b, kind, k, <double> g.index[0], g.jump[0] if g.jump[0] < end else end, g.y[0], -1)
        if head != NULL:
            spread = g.y[0] - g.x[0]
            half = sqrt(spread * spread + 2.0 * law.sigma * law.sigma * (g.dt[0] * g.bridge[0]))
            head[6] = 0.5 * (g.x[0] + g.y[0] - half)
            head[7] = 0.5 * (g.x[0] + g.y[0] + half)
            head[20] = vexp(head[6])
            head[21] = vexp(head[7])
    elif kind == AT_JUMP:
        write_row(b, AT_VISIT if g.code[0] & 1 else AT_JUMP, k, <double> (g.index[0] - 1), g.t[0], g.x[0], -1)
    else:
        head = write_row(b, kind, k, 0.0, g.t[0], g.x[0], -1)
        if head != NULL and kind == AT_ENTRY:
            head[12] = rules.charge[0][0]
            head[13] = rules.charge[1][0]
        elif head != NULL and kind == AT_INSTANT:
            head[11] = b.w[0] if rules.pays[k] > 0.0 else 0.0
            head[12] = rules.charge[0][k + 1]
            head[13] = rules.charge[1][k + 1]


cdef inline double log_price(const Trace *trace, double w) noexcept nogil:
    # At value ratio w; to the last bit that of the last row if the price has stood there since.
    cdef double x = trace.rows[(trace.n - 1) * trace.width + 4]
    return x if vexp(-x if trace.rules.inverse else x) == w else log_level(trace.rules, w)


cdef inline void place_row(double *head, int side, int row, int col, int horizon) noexcept nogil:
    # Which cells a row at a crossing is about; -1: all that are still open.
    if head != NULL:
        head[16] = side
        head[17] = row
        head[18] = col
        head[19] = horizon


cdef inline void end_row(Trace *trace, uint64_t path, int64_t end, double paid, double gain, double pnl) noexcept nogil:
    cdef double *row = new_row(trace)
    if row != NULL:
        row[0] = <double> (path - trace.first)
        row[1] = <double> end
        row[2] = paid
        row[3] = gain
        row[4] = pnl


cdef inline void trace_record(Block *b, int64_t *tally, int lane) noexcept nogil:
    # A record of whole positions: it is booked by itself, before anything else happens.
    cdef Trace *trace = b.trace
    cdef const Rules *rules = trace.rules
    cdef int64_t cell
    cdef int col, row, side
    book(b, trace.law, rules, tally)
    if b.bad:
        return
    cell = b.r_cell[0]
    col = <int> (cell % rules.n_cols)
    cell = cell // rules.n_cols
    row = <int> (cell % rules.n_rows)
    cell = cell // rules.n_rows
    if not trace.follows:
        end_row(trace, b.all.path[lane], cell % KINDS, b.u[0], b.w[0], NAN)
    elif b.r_kind[0] != SURVIVED and b.r_flip[0] == 0:
        cell = cell // KINDS
        side = <int> (cell % 2)
        place_row(write_row(b, AT_LIQUIDATION if b.r_kind[0] == LIQUIDATED else AT_STOP, -1, 0.0, b.v[0],
                            log_price(trace, b.r_ratio[0]), side), side, row, col, <int> (cell // 2))


cdef inline void write_state_before(Block *b, double *head, int n) noexcept nogil:
    # At the row of carried position n's end, of which nothing is left: what it was, by the last row that knows.
    cdef Trace *trace = b.trace
    cdef const Rules *rules = trace.rules
    cdef const Carried *c = <const Carried *> trace.carried
    cdef int side = c.side[n]
    cdef int64_t place = HEAD + STATE * (side * rules.n_rows + c.row[n])
    cdef double *earlier = head - trace.width
    cdef const Tiers *tiers = tested(b, side)
    cdef double q, cash, w, margin = rules.margin[c.row[n]]
    while isnan(earlier[place]):
        earlier -= trace.width
    q = earlier[place]
    w = vexp(-earlier[4] if rules.inverse else earlier[4])
    cash = earlier[place + 1] - (direction(rules, side) * q + coins(tiers, margin)) * (w - 1.0)
    write_state(head + place, rules, tiers, side, margin, q, cash, head[4])


cdef inline void trace_end(Block *b, int n, int end, int horizon, int col, double w, double t, const double *v) noexcept nogil:
    # Carried position n has ended at value ratio w, in its columns from `col` on, or in that one if it was stopped.
    cdef Trace *trace = b.trace
    cdef const Carried *c = <const Carried *> trace.carried
    cdef double *head
    cdef int side = c.side[n]
    if not trace.follows:
        end_row(trace, b.all.path[c.lane[n]], KINDS + end, NAN, NAN, v[3])
    elif end != END_OPEN and end != END_CUT_OPEN:
        head = write_row(b, AT_LIQUIDATION if end == END_CLOSED else AT_STOP_OF_REST, -1, 0.0, t, log_price(trace, w), side)
        place_row(head, side, c.row[n], col, horizon)
        if head != NULL and end == END_CLOSED:
            write_state_before(b, head, n)


cdef inline void trace_act(Block *b, int n, double w, double t) noexcept nogil:
    # The venue has acted on carried position n at value ratio w, and it lives on.
    cdef const Carried *c = <const Carried *> b.trace.carried
    if b.trace.follows:
        place_row(write_row(b, AT_ACT, -1, 0.0, t, log_price(b.trace, w), c.side[n]), c.side[n], c.row[n], -1, -1)


cdef inline void start_trace(Trace *trace, const Law *law, const Rules *rules, Carried *c, uint64_t first) noexcept nogil:
    trace.law = law
    trace.rules = rules
    trace.carried = c
    trace.first = first
    trace.n = 0
    trace.room = 0
    trace.rows = NULL
    trace.lacks_memory = 0
    trace.event = trace_event
    trace.record = trace_record
    trace.act = trace_act
    trace.end = trace_end
