# What the venue does with a position that does not meet its requirement, and when: rounds, tiers, take-over, margin calls.

from libc.math cimport fabs, sqrt
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from liqsim._core.binned cimport book_carried_stop, book_passage
from liqsim._core.block cimport CUT, CUT_TIERS, LANES, STOPPED, TAKE_OVER, Block, Law, Procedure, Rules, Tiers
from liqsim._core.carried cimport (
    END_CLOSED, END_CUT_STOPPED, END_STOPPED, Carried, book_end, carry, drop, equity, fit, gained, level_of,
    nearest_carried, settle_carried, slot)
from liqsim._core.levels cimport direction, haircut, log_level, never, requirement, row_ratio, sharpen, tier_of
from liqsim._core.philox cimport PASSAGE, Words, philox
from liqsim._core.tally cimport record, record_passage
from liqsim._core.vmath cimport mills, vexp
from liqsim._core.weights cimport passage


cdef inline double owed(const Carried *c, const Block *b, int n, double share) noexcept nogil:
    # Funding that has accrued on a share of the entry position and is not paid yet.
    return (1.0 - 2.0 * c.side[n]) * b.accrued[c.lane[n]] * share


cdef inline void mark_cut(Carried *c, Block *b, const Rules *rules, int n) noexcept nogil:
    # The venue closes a part of position n, or all of it.
    if not c.is_cut[n] and b.passages != NULL:
        book_passage(b, rules, c.side[n], False, c.row[n], b.col[c.side[n]][c.lane[n]], 1)
    c.is_cut[n] = 1


cdef inline void sell(Carried *c, Block *b, const Rules *rules, int n, double share, double w) noexcept nogil:
    # The venue sells a share of the entry position at the market. Its own fee takes no more than is left.
    cdef double d = direction(rules, c.side[n])
    cdef double gain = d * share * (w - 1.0)
    cdef double fee = share * (rules.exit_fee * w + rules.exit_money)
    cdef double kept = share * rules.procedure.fee * w
    cdef double left
    c.q[n] -= share
    c.q[n] = c.q[n] if c.q[n] > 1e-12 else 0.0
    c.cash[n] += gain - fee - owed(c, b, n, share)
    c.gain[n] += gain
    c.fees[n] += fee
    c.closed[n] += share
    mark_cut(c, b, rules, n)
    left = equity(c, rules, n, w)
    left = left if left > 0.0 else 0.0
    kept = kept if kept < left else left
    c.cash[n] -= kept
    c.kept[n] += kept


cdef inline void take_over(Carried *c, Block *b, const Rules *rules, int n, double w) noexcept nogil:
    cdef double left = equity(c, rules, n, w) - owed(c, b, n, c.q[n])
    c.gain[n] += direction(rules, c.side[n]) * c.q[n] * (w - 1.0)
    c.closed[n] += c.q[n]
    mark_cut(c, b, rules, n)
    c.q[n] = 0.0
    c.kept[n] += left if left > 0.0 else 0.0
    c.cash[n] = (left if left < 0.0 else 0.0) - gained(c, rules, n, w)


cdef inline void close_out(Carried *c, Block *b, const Rules *rules, int n, double w) noexcept nogil:
    # Everything is sold; without equity, to rounding, it is taken over at the bankruptcy price, unless the trader owes the loss.
    if equity(c, rules, n, w) - owed(c, b, n, c.q[n]) > 1e-12 or rules.client_pays:
        sell(c, b, rules, n, c.q[n], w)
    else:
        take_over(c, b, rules, n, w)


cdef inline void act(Carried *c, Block *b, const Rules *rules, int n, int set_in_force, double w, double t) noexcept nogil:
    # Position n does not meet the requirement at value ratio w and time t.
    cdef const Procedure *p = &rules.procedure
    cdef const Tiers *tiers = &rules.tiers[set_in_force][c.side[n]]
    cdef double margin = rules.margin[c.row[n]]
    cdef double left = equity(c, rules, n, w)
    cdef double blocked = haircut(tiers, w, margin)
    cdef double target
    cdef bint is_met = False
    cdef int k
    if p.kind == TAKE_OVER or (
            p.backstop > 0.0 and left - blocked < p.backstop * (requirement(tiers, c.q[n], w, margin) - blocked)):
        take_over(c, b, rules, n, w)
        return
    if p.kind == CUT and c.q[n] * w > p.threshold and not (p.cooldown > 0.0 and t - c.since[n] < p.cooldown):
        while left > 1e-12 and c.q[n] > 0.0 and not is_met:
            sell(c, b, rules, n, p.step if p.step < c.q[n] else c.q[n], w)
            left = equity(c, rules, n, w)
            is_met = left > requirement(tiers, c.q[n], w, margin)
    elif p.kind == CUT_TIERS:
        k = tier_of(tiers, c.q[n], w)
        k = k if k < c.tier[n] else c.tier[n]
        while left > 1e-12 and k > 0 and k + 1 >= p.steps_from_tier and not is_met:
            k = k - p.tiers_per_step if k > p.tiers_per_step else 0
            target = tiers.cap[k] / w if tiers.size_moves else tiers.cap[k]
            if target < c.q[n]:
                sell(c, b, rules, n, c.q[n] - target, w)
            left = equity(c, rules, n, w)
            is_met = left > requirement(tiers, c.q[n], w, margin)
        c.tier[n] = k
    c.since[n] = t
    if c.q[n] > 0.0 and not is_met:
        if p.kind == CUT_TIERS:
            take_over(c, b, rules, n, w)
        else:
            close_out(c, b, rules, n, w)


cdef inline void after(Carried *c, Block *b, const Rules *rules, int n, int horizon, double w, double t) noexcept nogil:
    # The venue has acted on position n: book it if nothing is left, otherwise see where it would act again.
    if c.q[n] > 0.0:
        fit(c, rules, b.set_in_force, n, w)
        if b.trace != NULL:
            b.trace.act(b, n, w, t)
    else:
        book_end(c, b, rules, n, END_CLOSED, horizon, b.col[c.side[n]][c.lane[n]], w, t)
        drop(c, n)


cdef inline void stop_carried(Carried *c, Block *b, const Rules *rules, int horizon, int side, int lane, double w,
                              double t) noexcept nogil:
    # The stop of the lane's current column closes what is left of every carried position.
    cdef int n, row
    for row in range(c.rows[side]):
        n = slot(c, side, row, lane)
        if c.q[n] > 0.0:
            book_end(c, b, rules, n, END_CUT_STOPPED if c.is_cut[n] else END_STOPPED, horizon, b.col[side][lane], w, t)
            if b.passages != NULL and not c.is_cut[n]:
                book_carried_stop(b, rules, side, row, b.col[side][lane])


cdef inline double passage_time(Block *b, const Rules *rules, double sigma, int lane, int k, uint64_t index,
                                double before, double behind, double t, double dt) noexcept nogil:
    # A draw of the time at which a Brownian segment that crosses a level first reaches it.
    cdef Words words
    if before <= 0.0 or dt <= 0.0:
        return t
    words = philox(index, <uint64_t> k | (<uint64_t> PASSAGE << 28), b.all.path[lane] & 0xffffffffULL, b.all.path[lane] >> 32,
                   rules.key[0], rules.key[1])
    return t + passage(&words, sigma, before, behind, dt)


cdef inline double acting_time(Carried *c, Block *b, const Law *law, const Rules *rules, int n, int k, uint64_t index,
                               double level, double x, double y, double t, double dt) noexcept nogil:
    # When the segment reaches the level at which the venue acts on position n, drawn: only a cooldown and a weight ask for it.
    cdef double sigma = law.sigma if law.sigma > 1e-9 else 1e-9
    cdef double start = t, origin = x
    cdef uint64_t draw_number
    if rules.procedure.cooldown <= 0.0 and rules.n_tilts == 0:
        return t
    if c.since[n] > t:
        start = c.since[n]
        origin = c.at[n]
    draw_number = index * 64 + <uint64_t> (c.acts[n] if c.acts[n] < 63 else 63)
    return passage_time(b, rules, sigma, c.lane[n], k, draw_number, fabs(origin - level), fabs(y - level), start,
                        t + dt - start)


cdef inline double mean_passage(const Law *law, double level, double x, double y, double t, double dt, double e) noexcept nogil:
    # Mean time at which the segment from (t, x) to (t + dt, y) reaches the level, given that it does; see kernel.pyx.
    cdef double before = e * (x - level) if e * (x - level) > 0.0 else 0.0
    cdef double root
    if dt <= 0.0:
        return t
    root = sqrt(dt) / (law.sigma if law.sigma > 1e-9 else 1e-9)
    return t + before * root * mills((before + fabs(y - level)) / dt * root)


cdef inline void cross_carried(Carried *c, Block *b, const Law *law, const Rules *rules, int64_t *tally, int horizon,
                               int side, int lane, int k, uint64_t index, double extreme, double x, double y, double t,
                               double dt) noexcept nogil:
    # A Brownian segment from (t, x) to (t + dt, y) has gone as far as `extreme`: act at its levels, nearest first.
    # After the first passage of a level the segment starts anew from there, and its extreme is that of the rest.
    cdef double e = 1.0 - 2.0 * side
    cdef const Tiers *tiers = &rules.tiers[b.set_in_force][side]
    cdef double level, other, stop, w, when
    cdef bint acts
    cdef int n
    sharpen(b, rules, side, lane)
    while b.col[side][lane] < rules.n_cols:
        n = nearest_carried(c, side, lane)
        if n < 0 and b.row[side][lane] == rules.n_rows:
            break
        level = log_level(rules, b.liquidation[side][lane]) if b.row[side][lane] < rules.n_rows else -e * never()
        other = level_of(c, rules, n) if n >= 0 else level
        if n >= 0 and e * other >= e * level:
            level = other
        else:
            n = -1
        stop = rules.stop[side][b.col[side][lane]]
        acts = e * level >= e * stop if rules.liquidation_first else e * level > e * stop
        level = level if acts else stop
        if e * extreme > e * level:
            break
        w = c.ratio[n] if acts and n >= 0 else vexp(-level if rules.inverse else level)
        if acts:
            if n < 0:
                n = carry(c, b, rules, side, lane)
                b.liquidation[side][lane] = row_ratio(
                    rules, tiers, side, b.row[side][lane], b.paid[side][lane], w)
            when = acting_time(c, b, law, rules, n, k, index, level, x, y, t, dt)
            act(c, b, rules, n, b.set_in_force, w, when)
            c.acts[n] += 1
            c.at[n] = level
            if rules.n_tilts == 0:
                when = mean_passage(law, level, x, y, t, dt, e) if c.q[n] == 0.0 or b.trace != NULL else t
            after(c, b, rules, n, horizon, w, when)
        else:
            when = mean_passage(law, level, x, y, t, dt, e)
            if rules.n_tilts > 0:
                when = passage_time(b, rules, law.sigma if law.sigma > 1e-9 else 1e-9, lane, k, index * 64 + 63,
                                    e * (x - level), fabs(y - level), t, dt)
            if b.row[side][lane] < rules.n_rows:
                record_passage(b, law, rules, tally, STOPPED, horizon, side, b.row[side][lane], b.col[side][lane], lane,
                               never(), w, x, y, t, dt)
            stop_carried(c, b, rules, horizon, side, lane, w, when)
            b.col[side][lane] += 1
    settle_carried(c, b, rules, side, lane)


cdef inline void act_here(Carried *c, Block *b, const Law *law, const Rules *rules, int horizon, int side, int lane,
                          double x, double t) noexcept nogil:
    # Every position of the lane that does not meet the requirement at log price x.
    cdef double d = direction(rules, side)
    cdef const Tiers *tiers = &rules.tiers[b.set_in_force][side]
    cdef double w = vexp(-x if rules.inverse else x)
    cdef int n, row
    for row in range(c.rows[side]):
        n = slot(c, side, row, lane)
        if c.q[n] > 0.0 and d * w <= d * c.ratio[n]:
            act(c, b, rules, n, b.set_in_force, w, t)
            c.at[n] = x
            after(c, b, rules, n, horizon, w, t)
    while b.row[side][lane] < rules.n_rows and d * w <= d * b.liquidation[side][lane]:
        n = carry(c, b, rules, side, lane)
        b.liquidation[side][lane] = row_ratio(
            rules, tiers, side, b.row[side][lane], b.paid[side][lane], w)
        act(c, b, rules, n, b.set_in_force, w, t)
        c.at[n] = x
        after(c, b, rules, n, horizon, w, t)


cdef inline void land_carried(Carried *c, Block *b, const Law *law, const Rules *rules, int64_t *tally, int horizon,
                              int side, int lane, double x, double t) noexcept nogil:
    # At instant t the price stands at x, past one or more levels: a jump, a payment, a discrete check, a reopening.
    cdef double d = direction(rules, side)
    cdef const Tiers *tiers = &rules.tiers[b.set_in_force][side]
    cdef double w = vexp(-x if rules.inverse else x)
    cdef int n
    sharpen(b, rules, side, lane)
    if rules.liquidation_first:
        act_here(c, b, law, rules, horizon, side, lane, x, t)
    else:
        # the loss of a position past its level is limited to its own margin, so its stop is booked by itself
        while b.row[side][lane] < rules.n_rows and d * w <= d * b.liquidation[side][lane]:
            n = carry(c, b, rules, side, lane)
            fit(c, rules, b.set_in_force, n, w)
            b.liquidation[side][lane] = row_ratio(
                rules, tiers, side, b.row[side][lane], b.paid[side][lane], w)
    while b.col[side][lane] < rules.n_cols and d * w <= d * rules.stop_ratio[side][b.col[side][lane]]:
        if b.row[side][lane] < rules.n_rows:
            record(b, law, rules, tally, STOPPED, horizon, side, b.row[side][lane], b.col[side][lane], lane, never(), 1, w, t)
        stop_carried(c, b, rules, horizon, side, lane, w, t)
        b.col[side][lane] += 1
    if not rules.liquidation_first and b.col[side][lane] < rules.n_cols:
        act_here(c, b, law, rules, horizon, side, lane, x, t)
    settle_carried(c, b, rules, side, lane)


cdef inline void close_whole(Carried *c, Block *b, const Rules *rules, int n, double w) noexcept nogil:
    # Nothing is handed back by a venue that takes positions over.
    if rules.procedure.kind == TAKE_OVER:
        take_over(c, b, rules, n, w)
    else:
        close_out(c, b, rules, n, w)


cdef inline void visit_carried(Carried *c, Block *b, const Rules *rules, int horizon, int side, int lane, double x,
                               double t) noexcept nogil:
    # The venue looks of its own accord and closes what does not meet the requirement kept for such occasions.
    cdef double d = direction(rules, side)
    cdef const Tiers *tiers = &rules.tiers[rules.occasion + b.set_in_force][side]
    cdef double w = vexp(-x if rules.inverse else x)
    cdef int n, row
    for row in range(c.rows[side]):
        n = slot(c, side, row, lane)
        if c.q[n] > 0.0 and equity(c, rules, n, w) <= requirement(tiers, c.q[n], w, rules.margin[c.row[n]]):
            close_whole(c, b, rules, n, w)
            after(c, b, rules, n, horizon, w, t)
    while b.row[side][lane] < rules.n_rows and d * w <= d * row_ratio(
            rules, tiers, side, b.row[side][lane], b.paid[side][lane], w):
        n = carry(c, b, rules, side, lane)
        b.liquidation[side][lane] = row_ratio(
            rules, &rules.tiers[b.set_in_force][side], side, b.row[side][lane], b.paid[side][lane], w)
        close_whole(c, b, rules, n, w)
        after(c, b, rules, n, horizon, w, t)
    settle_carried(c, b, rules, side, lane)


cdef inline void call(Carried *c, Block *b, const Rules *rules, int n, int horizon, int k, double w, double t) noexcept nogil:
    # Position n is below the requirement when margin is tested at the end of interval k: the trader pays if they will,
    # otherwise everything is sold at the deadline.
    cdef const Procedure *p = &rules.procedure
    cdef const Tiers *tiers = &rules.tiers[rules.occasion + b.set_in_force][c.side[n]]
    cdef double margin = rules.margin[c.row[n]]
    cdef double blocked = haircut(tiers, w, margin)
    cdef double amount = p.initial_ratio * (requirement(tiers, c.q[n], w, margin) - blocked) - (
        equity(c, rules, n, w) - blocked)
    c.is_called[n] = 1
    if amount <= p.top_up - c.topped[n]:
        if amount > 0.0:
            c.cash[n] += amount
            c.topped[n] += amount
        c.due[n] = -1
    elif c.due[n] == k or p.due[k] == k:
        close_out(c, b, rules, n, w)
    elif c.due[n] < 0:
        c.due[n] = p.due[k]
    after(c, b, rules, n, horizon, w, t)


cdef inline void call_margin(Carried *c, Block *b, const Rules *rules, int horizon, int k, double t) noexcept nogil:
    # Test every position's margin; calls that fall due now are settled even where the requirement is met again.
    cdef const Tiers *tiers
    cdef double turn = -1.0 if rules.inverse else 1.0
    cdef double d
    cdef double w[LANES]
    cdef int side, i, n, row
    for i in range(b.n):
        w[i] = vexp(turn * b.all.x[i])
    for side in range(2):
        d = direction(rules, side)
        tiers = &rules.tiers[rules.occasion + b.set_in_force][side]
        memset(b.mark, 0, b.n * sizeof(int32_t))    # lanes in which something has been called
        for row in range(c.rows[side]):
            if c.alive[side * c.n_rows + row] == 0:
                continue
            for i in range(b.n):
                n = slot(c, side, row, i)
                if c.q[n] > 0.0 and (c.due[n] == k or (rules.calls[k] & 1 and c.due[n] < 0 and equity(
                        c, rules, n, w[i]) <= requirement(tiers, c.q[n], w[i], rules.margin[row]))):
                    call(c, b, rules, n, horizon, k, w[i], t)
                    b.mark[i] = 1
        for i in range(b.n):
            while rules.calls[k] & 1 and b.row[side][i] < rules.n_rows and d * w[i] <= d * row_ratio(
                    rules, tiers, side, b.row[side][i], b.paid[side][i], w[i]):
                n = carry(c, b, rules, side, i)
                b.liquidation[side][i] = row_ratio(rules, &rules.tiers[b.set_in_force][side], side,
                                                   b.row[side][i], b.paid[side][i], w[i])
                call(c, b, rules, n, horizon, k, w[i], t)
                b.mark[i] = 1
        for i in range(b.n):
            if b.mark[i]:
                settle_carried(c, b, rules, side, i)
