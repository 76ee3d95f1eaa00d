# Importance sampling: ends of positions weighted by how likely they are under the model's law, over how likely under all
# the laws that paths are drawn from.
#
# Paths are drawn from the model's law and, as many each, from Esscher transforms of it, of density exp(tilt x - exponent t)
# at any stopping time: at the very end that is booked. The balance heuristic (Veach, Guibas 1995, Optimally combining
# sampling techniques for Monte Carlo rendering, SIGGRAPH) weighs an end at (t, x) by
#     1 / (1 + sum over tilts of exp(tilt x - exponent t)),
# whichever law it was drawn from. Then sums over the paths of all laws, over the number of paths of one, are unbiased.
#
# The weight needs the time of a crossing itself, not its mean. One draw serves all levels that a segment crosses.

from libc.math cimport fabs, sqrt
from libc.stdint cimport int64_t, uint64_t

from liqsim._core.block cimport FIELDS, Block, Law, Rules
from liqsim._core.philox cimport PASSAGE, Words, philox, uniform29, uniform32
from liqsim._core.vmath cimport bits_of, nearest_whole, octant_cos, vexp, vlog, whole


cdef inline double passage(const Words *words, double sigma, double before, double behind, double dt) noexcept nogil:
    # How long after its start a Brownian segment that crosses a level first reaches it, which starts `before` and ends
    # `behind` away from it: in the clock u = s/(1 - s/dt) an inverse Gaussian of mean `before` dt / `behind` and shape
    # (before/sigma)^2. Drawn after Michael, Schucany, Haas (1976), Generating random variates using transformations with
    # multiple roots, The American Statistician 30.
    cdef double square, mean, ratio, u    # square: of a standard normal
    square = octant_cos(uniform29(words.w3 & 0x1fffffff) * 0.78539816339744830962)
    square = square * square
    square = -2.0 * vlog(uniform32(words.w0)) * (square if words.w3 & 0x20000000 else 1.0 - square)
    if behind < 1e-12 * before:
        u = before * before / (sigma * sigma * (square if square > 1e-300 else 1e-300))
    else:
        mean = before * dt / behind
        ratio = 0.5 * square * mean * sigma * sigma / (before * before)
        u = mean / (1.0 + ratio + sqrt(2.0 * ratio + ratio * ratio))
        if uniform32(words.w1) * (mean + u) > mean:
            u = mean * mean / u
    return dt * u / (dt + u)


cdef inline double weight_of(const Rules *rules, double x, double t) noexcept nogil:
    cdef double total = 1.0
    cdef int k
    for k in range(rules.n_tilts):
        total += vexp(rules.tilt[k] * x - rules.exponent[k] * t)
    return 1.0 / total


cdef inline void split(double v, int64_t *high, int64_t *low, int64_t flip) noexcept nogil:
    # Adds v in units of 2**-32, and the rest in units of 2**-76.
    cdef double first = nearest_whole(v * 4294967296.0)
    high[0] += (whole(first) ^ flip) - flip
    low[0] += (whole((v * 4294967296.0 - first) * 17592186044416.0) ^ flip) - flip


cdef inline void weigh(Block *b, const Law *law, const Rules *rules, int64_t *tally) noexcept nogil:
    # Add the ends whose cell, payment (u), time (v) and price gain (w) are known to their cells: the weight, the weight
    # times each of the three, their low parts, and the weight's square with its low part.
    cdef double turn = -1.0 if rules.inverse else 1.0
    cdef double sigma = law.sigma if law.sigma > 1e-9 else 1e-9
    cdef double ratio, x, a, t, weight
    cdef Words words
    cdef uint64_t when, purpose = PASSAGE
    cdef int64_t flip
    cdef int64_t *cell
    cdef int n
    for n in range(b.n_records):
        ratio = b.r_ratio[n] if b.r_ratio[n] > 1e-300 else 1e-300
        x = turn * vlog(ratio)
        a = b.r_side[n] * (b.r_x[n] - x)
        t = b.r_t[n]
        if a > 0.0:
            when = bits_of(t)    # no two segments of a path begin at the same time
            words = philox(when & 0xffffffffULL, ((when >> 32) & 0x0fffffff) | (purpose << 28),
                           b.r_path[n] & 0xffffffffULL, b.r_path[n] >> 32, rules.key[0], rules.key[1])
            t += passage(&words, sigma, a, fabs(b.r_y[n] - x), b.r_dt[n])
        weight = weight_of(rules, x, t)
        if not (weight * fabs(b.u[n]) < 16384.0 and weight * fabs(b.w[n]) < 16384.0 and t < 16384.0):
            b.bad = 1
            return
        flip = b.r_flip[n]
        cell = tally + b.r_cell[n] * FIELDS
        split(weight, &cell[0], &cell[4], flip)
        split(weight * b.u[n], &cell[1], &cell[5], flip)
        split(weight * t, &cell[2], &cell[6], flip)
        split(weight * b.w[n], &cell[3], &cell[7], flip)
        split(weight * weight, &cell[8], &cell[9], flip)
