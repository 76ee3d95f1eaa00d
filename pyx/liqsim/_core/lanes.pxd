# Lanes that have nothing left to do make room for the others.

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from liqsim._core.block cimport Block, Rules
from liqsim._core.carried cimport Carried, move_carried


cdef inline int pack_open(Block *b, Carried *c, const Rules *rules) noexcept nogil:
    # Drop the lanes in which no cell is open any more.
    cdef int i, side, n = 0
    cdef bint is_open
    for i in range(b.n):
        is_open = (b.col[0][i] < rules.n_cols) | (b.col[1][i] < rules.n_cols)
        b.path[n] = b.path[i]
        b.x[n] = b.x[i]
        b.next_jump[n] = b.next_jump[i]
        b.premium[n] = b.premium[i]
        b.rate[n] = b.rate[i]
        b.accrued[n] = b.accrued[i]
        for side in range(2):
            b.paid[side][n] = b.paid[side][i]
            b.row[side][n] = b.row[side][i]
            b.col[side][n] = b.col[side][i]
        if c.n > 0 and is_open and n < i:
            move_carried(c, i, n)
        n += is_open
    b.n_closed = 0
    return n


cdef inline void put_back(Block *b, int m, bint packed) noexcept nogil:
    # What the m lanes under way have come to.
    cdef inline int n, i
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


cdef inline void pack_jumped(Block *b, int n_jumped) noexcept nogil:
    # Keep only the lanes that have jumped under way: the others have reached the interval's end.
    cdef inline int n, i
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
