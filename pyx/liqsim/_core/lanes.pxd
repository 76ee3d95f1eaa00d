# Which lanes advance together: all of a block, and the few that jump before the interval's end, packed.

from libc.stdint cimport int32_t

from liqsim._core.block cimport Block, Lanes, Rules
from liqsim._core.carried cimport Carried, move_carried
from liqsim._core.lists cimport list_before


cdef inline int pack_open(Block *b, Carried *c, const Rules *rules) noexcept nogil:
    # Drop the lanes in which no cell is open any more.
    cdef int i, side, n = 0
    cdef bint is_open
    cdef Lanes *g = &b.all
    for i in range(b.n):
        is_open = (b.col[0][i] < rules.n_cols) | (b.col[1][i] < rules.n_cols)
        if c.n > 0 and is_open and n < i:
            move_carried(c, i, n)
        g.path[n] = g.path[i]
        g.x[n] = g.x[i]
        g.jump[n] = g.jump[i]
        b.premium[n] = b.premium[i]
        b.rate[n] = b.rate[i]
        b.accrued[n] = b.accrued[i]
        for side in range(2):
            b.paid[side][n] = b.paid[side][i]
            b.row[side][n] = b.row[side][i]
            b.col[side][n] = b.col[side][i]
            b.level[side][n] = b.level[side][i]
            b.paid_then[side][n] = b.paid_then[side][i]
            b.per_ratio[side][n] = b.per_ratio[side][i]
            b.stop[side][n] = b.stop[side][i]
        n += is_open
    b.n_closed = 0
    return n


cdef inline int take_jumping(Block *b) noexcept nogil:
    # The lanes of a block that jump before the interval's end.
    cdef Lanes *a = &b.all
    cdef Lanes *g = &b.few
    cdef int i, n
    for n in range(b.n_jumping):
        i = b.jumping[n]
        g.lane[n] = i
        g.path[n] = a.path[i]
        g.index[n] = 0
        g.x[n] = a.x[i]
        g.t[n] = a.t[i]
        g.jump[n] = a.jump[i]
        g.near[0][n] = a.near[0][i]
        g.near[1][n] = a.near[1][i]
    return b.n_jumping


cdef inline int keep_jumping(Block *b, int m, double end) noexcept nogil:
    # Those that jump again; the others go back to their block.
    cdef Lanes *a = &b.all
    cdef Lanes *g = &b.few
    cdef int i, n, left = list_before(m, g.jump, end, g.hit, g.any_hit)
    for i in range(m - left):
        n = g.any_hit[i]
        a.x[g.lane[n]] = g.x[n]
        a.t[g.lane[n]] = g.t[n]
        a.jump[g.lane[n]] = g.jump[n]
        a.index[g.lane[n]] = g.index[n]
    for n in range(left):
        i = g.hit[n]
        if i > n:
            g.lane[n] = g.lane[i]
            g.path[n] = g.path[i]
            g.index[n] = g.index[i]
            g.x[n] = g.x[i]
            g.t[n] = g.t[i]
            g.jump[n] = g.jump[i]
            g.near[0][n] = g.near[0][i]
            g.near[1][n] = g.near[1][i]
    return left


cdef inline void copy_near(Block *b, Lanes *g, int side, int n_hit) noexcept nogil:
    # What is nearest now to the lanes hit.
    cdef int i
    for i in range(n_hit):
        g.near[side][g.hit[i]] = b.all.near[side][g.lane[g.hit[i]]]
