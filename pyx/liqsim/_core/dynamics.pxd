# The model's law on a block: random numbers, Brownian segments, jumps, the premium.

from libc.math cimport sqrt
from libc.stdint cimport uint32_t, uint64_t

from liqsim._core.block cimport NORMAL_JUMPS, Block, Law, Rules
from liqsim._core.philox cimport Words, philox, uniform29, uniform32
from liqsim._core.vmath cimport bits_of, double_of, octant_cos, octant_sin, vexp, vlog


cdef inline void draw(Block *b, const Rules *rules, int m, const uint64_t *path, uint64_t interval, uint64_t purpose,
                      uint64_t index) noexcept nogil:
    cdef int n
    cdef Words words
    cdef uint64_t where = interval | (purpose << 28)
    cdef uint32_t key0 = rules.key[0], key1 = rules.key[1]
    for n in range(m):
        words = philox(index, where, path[n] & 0xffffffffULL, path[n] >> 32, key0, key1)
        b.w0[n] = words.w0
        b.w1[n] = words.w1
        b.w2[n] = words.w2
        b.w3[n] = words.w3


cdef inline double two_exponentials(Block *b, int n) noexcept nogil:
    # The sum of two independent standard exponentials, -ln(U0 U1), of which a share U2 is the first: one log for two.
    return -vlog(uniform32(b.w0[n]) * uniform32(b.w1[n]))


cdef inline void normals(Block *b, int m) noexcept nogil:
    # Box-Muller by octants: two independent normals sqrt(r2) c1 and sqrt(r2) c2 a lane, and the exponential of the
    # Brownian bridge, from the words drawn.
    cdef int n
    cdef double theta, s, c, z1, z2, total, first
    cdef uint64_t flips
    for n in range(m):
        total = two_exponentials(b, n)
        first = total * uniform32(b.w2[n])
        b.r2[n] = first + first
        b.bridge[n] = total - first
        flips = b.w3[n]
        theta = uniform29(flips & 0x1fffffff) * 0.78539816339744830962
        c = octant_cos(theta)
        s = octant_sin(theta)
        z1 = c if flips & 0x20000000 else s
        z2 = s if flips & 0x20000000 else c
        b.c1[n] = double_of(bits_of(z1) ^ ((flips & 0x40000000) << 33))
        b.c2[n] = double_of(bits_of(z2) ^ ((flips & 0x80000000ULL) << 32))


cdef inline double bridge_half(Block *b, const Law *law, int n) noexcept nogil:
    # The segment's minimum and maximum are (x + y -+ this) / 2, each in its own law.
    cdef double spread = b.y[n] - b.p_x[n]
    return sqrt(spread * spread + (2.0 * law.sigma * law.sigma) * b.dt[n] * b.bridge[n])


cdef inline void advance(Block *b, const Law *law, int m, double end, bint bridge) noexcept nogil:
    # One Brownian segment of every lane under way: to the interval's end or to the lane's next jump.
    # A level at l is crossed when (x - l)(y - l) <= sigma^2 dt E / 2, E the bridge's exponential, which asks for no square root; the bound is
    # a little wider here, and cross() looks at the extreme itself.
    cdef int n
    cdef double stop, reach, low, high
    cdef double drift = law.log_drift, sigma = law.sigma
    cdef double scale = 0.5 * (1.0 + 1e-9) * sigma * sigma
    normals(b, m)
    for n in range(m):
        stop = b.p_jump[n] if b.p_jump[n] < end else end
        b.dt[n] = stop - b.p_t[n]
        b.p_r2[n] = b.r2[n] if b.p_t[n] < end else b.p_r2[n]
        b.p_c2[n] = b.c2[n] if b.p_t[n] < end else b.p_c2[n]
        b.y[n] = b.p_x[n] + (drift * b.dt[n] + sigma * sqrt(b.r2[n] * b.dt[n]) * b.c1[n])
    if not bridge:
        for n in range(m):
            b.code[n] = 1 if b.p_jump[n] < end else 0
        return
    for n in range(m):
        reach = scale * b.dt[n] * b.bridge[n] + 1e-18
        low = (b.p_x[n] - b.p_low[n]) * (b.y[n] - b.p_low[n])
        high = (b.p_x[n] - b.p_high[n]) * (b.y[n] - b.p_high[n])
        b.code[n] = (1 if b.p_jump[n] < end else 0) | (2 if low <= reach else 0) | (4 if high <= reach else 0)


cdef inline void inform_premium(Block *b, const Law *law, int m, double end) noexcept nogil:
    # What a segment's price increment says about the premium's innovation over the interval: for the segment (t, t+dt)
    # Cov(int exp(-k(end - s)) dB, dW) = correlation (exp(-k(end - t - dt)) - exp(-k(end - t)))/k.
    cdef int n
    cdef double xi = law.premium_vol * sqrt(2.0 * law.reversion)
    cdef double covariance, dt
    for n in range(m):
        covariance = law.correlation * xi / law.reversion * (
            vexp(law.reversion * (b.p_t[n] + b.dt[n] - end)) - vexp(law.reversion * (b.p_t[n] - end)))
        dt = b.dt[n] if b.dt[n] > 1e-30 else 1e-30
        b.w[n] = covariance * (sqrt(b.r2[n]) * b.c1[n]) / sqrt(dt)
        b.stop[n] = covariance * covariance / dt
    for n in range(m):
        b.premium_shift[b.lane[n]] += b.w[n]
        b.premium_known[b.lane[n]] += b.stop[n]


cdef inline void jump(Block *b, const Law *law, int m, double end) noexcept nogil:
    # Where the lanes that have jumped land, and when they jump next. The others wait at the interval's end, where a
    # segment of no length leaves them. `code` then says who has landed past a level.
    cdef int n
    cdef double total, wait, size, t
    cdef double p_up = law.visit_share + (1.0 - law.visit_share) * law.p_up
    cdef double mean_up = law.mean_up, mean_down = law.mean_down
    cdef double mean = law.jump_mean, std = law.jump_std
    cdef double gap = law.mean_gap
    for n in range(m):
        total = two_exponentials(b, n)
        wait = total * uniform32(b.w2[n])
        b.w[n] = total - wait
        t = b.p_jump[n]
        b.p_t[n] = t if b.code[n] & 1 else end
        b.p_jump[n] = t + (wait * gap if b.code[n] & 1 else 0.0)
    if law.jump_law == NORMAL_JUMPS:
        for n in range(m):
            size = mean + std * (sqrt(b.p_r2[n]) * b.p_c2[n])
            b.p_x[n] = b.y[n] + (size if b.code[n] & 1 else 0.0)
    else:
        for n in range(m):
            size = b.w[n] * (mean_up if uniform32(b.w3[n]) < p_up else -mean_down)
            b.p_x[n] = b.y[n] + (size if b.code[n] & 1 else 0.0)
    if law.visit_share > 0.0:
        for n in range(m):
            if b.code[n] & 1 and uniform32(b.w3[n]) < law.visit_share:
                b.p_x[n] = b.y[n]
                b.code[n] |= 8
    for n in range(m):
        b.code[n] = (b.code[n] & 8) | (
            b.code[n] & ((1 if b.p_x[n] <= b.p_low[n] else 0) | (1 if b.p_x[n] >= b.p_high[n] else 0)))


cdef inline void move_premium(Block *b, const Law *law, double years) noexcept nogil:
    cdef int i
    cdef double mean = law.premium_mean
    cdef double decay = vexp(-law.reversion * years)
    cdef double variance = law.premium_vol * law.premium_vol * (1.0 - decay * decay)
    cdef double rest
    for i in range(b.n):
        rest = variance - b.premium_known[i]
        rest = rest if rest > 0.0 else 0.0
        b.premium[i] = mean + (b.premium[i] - mean) * decay + (b.premium_shift[i] + sqrt(rest) * (sqrt(b.last_r2[i]) * b.last_c2[i]))
