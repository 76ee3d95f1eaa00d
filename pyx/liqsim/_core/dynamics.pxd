# The model's law on a block: random numbers, Brownian segments, jumps, the premium.

from libc.math cimport sqrt
from libc.stdint cimport int64_t, uint64_t

from liqsim._core.block cimport NORMAL_JUMPS, Block, Lanes, Law, Rules
from liqsim._core.lists cimport list_coded
from liqsim._core.philox cimport philox_many, uniform29, uniform32
from liqsim._core.vmath cimport bits_of, double_of, octant_cos, octant_sin, vexp, vlog


cdef inline void draw(Lanes *g, int m, const Rules *rules, uint64_t interval, uint64_t purpose) noexcept nogil:
    philox_many(m, g.index, interval | (purpose << 28), g.path, rules.key[0], rules.key[1], g.w0, g.w1, g.w2, g.w3)


cdef inline double two_exponentials(const Lanes *g, int n) noexcept nogil:
    # The sum of two independent standard exponentials, -ln(U0 U1), of which a share U2 is the first: one log for two.
    return -vlog(uniform32(g.w0[n]) * uniform32(g.w1[n]))


cdef inline void variates(Lanes *g, int n) noexcept nogil:
    # Box-Muller by octants: two independent normals sqrt(r2) c1 and sqrt(r2) c2, and the exponential of the Brownian
    # bridge, from the words drawn.
    cdef double total = two_exponentials(g, n)
    cdef double first = total * uniform32(g.w2[n])
    cdef uint64_t flips = g.w3[n]
    cdef double theta = uniform29(flips & 0x1fffffff) * 0.78539816339744830962
    cdef double c = octant_cos(theta)
    cdef double s = octant_sin(theta)
    cdef double z1 = c if flips & 0x20000000 else s
    cdef double z2 = s if flips & 0x20000000 else c
    g.r2[n] = first + first
    g.bridge[n] = total - first
    g.c1[n] = double_of(bits_of(z1) ^ ((flips & 0x40000000) << 33))
    g.c2[n] = double_of(bits_of(z2) ^ ((flips & 0x80000000ULL) << 32))


cdef inline void advance(Lanes *g, int m, const Law *law, double end, double then, bint jumps) noexcept nogil:
    # One Brownian segment of every lane: to the interval's end, or (`jumps`) to its next jump, and none if that is later.
    # `code` says who may have reached a low (2) or a high (4) level, and (1) who jumps at its end or, at the interval's,
    # before `then`.
    # A level at h is crossed when (x - h)(y - h) <= sigma^2 dt E / 2, E the bridge's exponential, which asks for no square
    # root; the bound is a little wider here, and the rules look at the extreme itself.
    cdef int n
    cdef double stop, reach, low, high
    cdef double drift = law.log_drift, sigma = law.sigma
    cdef double scale = 0.5 * (1.0 + 1e-9) * sigma * sigma
    for n in range(m):
        variates(g, n)
        stop = (g.jump[n] if g.jump[n] < end else g.t[n]) if jumps else end
        g.dt[n] = stop - g.t[n]
        g.y[n] = g.x[n] + (drift * g.dt[n] + sigma * sqrt(g.r2[n] * g.dt[n]) * g.c1[n])
        reach = scale * g.dt[n] * g.bridge[n] + 1e-18
        low = (g.x[n] - g.near[0][n]) * (g.y[n] - g.near[0][n])
        high = (g.x[n] - g.near[1][n]) * (g.y[n] - g.near[1][n])
        g.code[n] = (1 if g.jump[n] < then else 0) | (2 if low <= reach else 0) | (4 if high <= reach else 0)


cdef inline int flagged(Lanes *g, int m, int64_t least) noexcept nogil:
    # Lists the lanes with a code of at least this.
    return list_coded(m, g.code, least, g.any_hit)


cdef inline void jumping(Block *b, int n_any) noexcept nogil:
    # Lists the flagged lanes that jump before the coming interval's end.
    cdef int i, n = 0
    for i in range(n_any):
        b.jumping[n] = b.all.any_hit[i]
        n += b.all.code[b.all.any_hit[i]] & 1
    b.n_jumping = n


cdef inline void list_jumping(Block *b, double end) noexcept nogil:
    cdef int n
    for n in range(b.n):
        b.all.code[n] = 1 if b.all.jump[n] < end else 0
    jumping(b, flagged(&b.all, b.n, 1))


cdef inline int of_side(Lanes *g, int n_any, int side) noexcept nogil:
    # Those of them that may have reached a level of this side.
    cdef int i, n_hit = 0
    cdef int64_t flag = 2 << side
    for i in range(n_any):
        g.hit[n_hit] = g.any_hit[i]
        n_hit += (g.code[g.any_hit[i]] & flag) != 0
    return n_hit


cdef inline void extremes(Lanes *g, int n_hit, const Law *law, const Rules *rules, int side) noexcept nogil:
    # How far the segments listed went: minimum and maximum are (x + y -+ half) / 2, each in its own law.
    cdef int n, i
    cdef double spread, half, twice = 2.0 * law.sigma * law.sigma
    cdef double e = 1.0 - 2.0 * side
    cdef double turn = -1.0 if rules.inverse else 1.0
    for i in range(n_hit):
        n = g.hit[i]
        g.hit_x[i] = g.x[n]
        g.hit_y[i] = g.y[n]
        g.hit_ratio[i] = g.dt[n] * g.bridge[n]
    for i in range(n_hit):
        spread = g.hit_y[i] - g.hit_x[i]
        half = sqrt(spread * spread + twice * g.hit_ratio[i])
        g.hit_ratio[i] = vexp(turn * (0.5 * (g.hit_x[i] + g.hit_y[i] - e * half)))


cdef inline void standing(Lanes *g, int n_hit, const Rules *rules) noexcept nogil:
    # The value ratio at which the lanes listed stand.
    cdef int i
    cdef double turn = -1.0 if rules.inverse else 1.0
    for i in range(n_hit):
        g.hit_x[i] = g.x[g.hit[i]]
    for i in range(n_hit):
        g.hit_ratio[i] = vexp(turn * g.hit_x[i])


cdef inline int64_t flag_standing(Lanes *g, int m) noexcept nogil:
    # Flags the lanes that stand beyond a level; 0 if there are none.
    cdef int n
    cdef int64_t code, any_of_them = 0
    for n in range(m):
        code = (2 if g.x[n] <= g.near[0][n] else 0) | (4 if g.x[n] >= g.near[1][n] else 0)
        g.code[n] = code
        any_of_them |= code
    return any_of_them


cdef inline void inform_premium(Block *b, Lanes *g, int m, const Law *law, double end) noexcept nogil:
    # What a segment's price increment says about the premium's innovation over the interval: for the segment (t, t+dt)
    # Cov(int exp(-k(end - s)) dB, dW) = correlation (exp(-k(end - t - dt)) - exp(-k(end - t)))/k.
    cdef int n
    cdef double xi = law.premium_vol * sqrt(2.0 * law.reversion)
    cdef double covariance, dt
    for n in range(m):
        covariance = law.correlation * xi / law.reversion * (
            vexp(law.reversion * (g.t[n] + g.dt[n] - end)) - vexp(law.reversion * (g.t[n] - end)))
        dt = g.dt[n] if g.dt[n] > 1e-30 else 1e-30
        b.u[n] = covariance * (sqrt(g.r2[n]) * g.c1[n]) / sqrt(dt) + covariance * law.lean
        b.v[n] = covariance * covariance / dt
    for n in range(m):
        b.premium_shift[g.lane[n]] += b.u[n]
        b.premium_known[g.lane[n]] += b.v[n]


cdef inline int jump(Lanes *g, int m, const Law *law, double end) noexcept nogil:
    # Where the lanes that jump land, and when they jump next; the others stay. `code` then says who stands beyond a level,
    # and (1) whose jump is none, but a look of the venue's own choosing. Returns how many jump again before `end`.
    cdef int n
    cdef int64_t goes, visits, again = 0
    cdef double total, wait, t
    cdef double visit_share = law.visit_share
    cdef double p_up = visit_share + (1.0 - visit_share) * law.p_up
    cdef double mean_up = law.mean_up, mean_down = law.mean_down
    cdef double mean = law.jump_mean, std = law.jump_std
    cdef double gap = law.mean_gap
    cdef bint is_normal = law.jump_law == NORMAL_JUMPS
    for n in range(m):
        goes = g.code[n] & 1
        total = two_exponentials(g, n)
        wait = total * uniform32(g.w2[n])
        g.size[n] = (total - wait) * (mean_up if uniform32(g.w3[n]) < p_up else -mean_down)
        t = g.jump[n]
        g.t[n] = t if goes else g.t[n]
        g.jump[n] = t + (wait * gap if goes else 0.0)
        g.index[n] += goes
    if is_normal:
        for n in range(m):
            g.size[n] = mean + std * (sqrt(g.r2[n]) * g.c2[n])
    for n in range(m):
        goes = g.code[n] & 1
        visits = goes if uniform32(g.w3[n]) < visit_share else 0
        g.x[n] = g.y[n] + (g.size[n] if goes > visits else 0.0)
        g.code[n] = visits | (2 if g.x[n] <= g.near[0][n] else 0) | (4 if g.x[n] >= g.near[1][n] else 0)
        again += 1 if g.jump[n] < end else 0
    return <int> again


cdef inline void move_premium(Block *b, const Law *law, double years) noexcept nogil:
    cdef int i
    cdef double mean = law.premium_mean
    cdef double decay = vexp(-law.reversion * years)
    cdef double variance = law.premium_vol * law.premium_vol * (1.0 - decay * decay)
    cdef double rest, std = sqrt(variance)
    if law.correlation == 0.0:
        for i in range(b.n):
            b.premium[i] = mean + (b.premium[i] - mean) * decay + std * (sqrt(b.all.r2[i]) * b.all.c2[i])
        return
    for i in range(b.n):
        rest = variance - b.premium_known[i]
        rest = rest if rest > 0.0 else 0.0
        b.premium[i] = mean + (b.premium[i] - mean) * decay + (
            b.premium_shift[i] + sqrt(rest) * (sqrt(b.all.r2[i]) * b.all.c2[i]))
