# What a block of paths is: constants, the law and the rules as plain numbers, and the lanes.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    LANES = 256
    LINES = 64           # affine pieces of the maintenance requirement, at most
    TIERS = 256          # its tiers, at most
    SETS = 8             # requirements that take turns, and as many that are looked at on occasion, at most
    TILTS = 16           # laws besides the model's own that paths may be drawn from, at most
    BUFFER = 64          # records that wait to be booked; they and their values fit in L1
    KINDS = 6
    LIQUIDATED = 0       # ends of a position, as booked; see tally.pxd
    DRAINED = 1          # liquidated, and the fees are more than what is left
    BANKRUPT = 2         # liquidated with nothing left
    STOPPED = 3
    OVERDRAWN = 4        # stopped, and the loss is more than the margin it is limited to
    SURVIVED = 5
    FIELDS = 12          # count; paid, time, gain; squares of the three and paid times gain; their high parts
    NO_JUMPS = 0
    NORMAL_JUMPS = 1
    EXPONENTIAL_JUMPS = 2
    ON_ENTRY = 0
    ON_MARK = 1
    ON_INDEX = 2
    SELL = 0             # everything is sold at the market
    TAKE_OVER = 1        # or taken over, nothing is returned
    CUT = 2              # cut in rounds until the requirement is met
    CUT_TIERS = 3        # cut to the cap of a lower tier
    CALL = 4             # margin is called for; unpaid, everything is sold
    NEVER = 0            # a requirement that nobody looks at
    CONVEX = 1           # the maximum of straight lines in the value ratio
    ONE_RATE = 2         # a single tier, maybe with a rate that grows with size
    STEPS = 3            # anything else: looked up tier by tier

cdef struct Law:
    double log_drift, sigma, mean_gap
    int jump_law
    double jump_mean, jump_std
    double p_up, mean_up, mean_down
    double visit_share           # of the events that a path stops at: no jump, but a look of the venue's own choosing
    double premium_start, premium_mean, reversion, premium_vol, correlation
    double lean                  # what the Brownian motion drifts by under the law that paths are drawn from, per year

cdef struct Tiers:
    # Requirement per entry value of a share q at value ratio w; liqsim.venues.margin.Requirement in numbers.
    int form, n, on_mark, size_moves, per_margin
    double cap[TIERS]
    double rate[TIERS]
    double deduction[TIERS]
    double slope, fee
    double coin, haircut         # 1 where margin is posted in coin, and the share of its value that does not count
    # Of the whole position, where the form is CONVEX: with the margin of row r and what has been paid, line k is met at
    # value ratio at + per * paid, both at [k * (n_rows + 1) + r]; `up` and `down` are the largest and least d * per.
    int n_lines
    double up, down
    const double *at
    const double *per

cdef struct Procedure:
    # What the engine does with a position that it does not simply close; liqsim.venues.liquidation in numbers.
    int kind
    int tiers_per_step, steps_from_tier
    double step                  # share of the entry position closed in a round
    double threshold             # value, over that at entry, up to which a position is closed whole
    double cooldown              # years after a cut in which the next order is for all that is left
    double backstop              # share of the requirement below which everything is taken over
    double fee                   # share of the value closed, kept by the venue
    double initial_ratio         # what a margin call restores, over the requirement
    double top_up                # what the trader will add in all, per entry notional
    double fund                  # what the venue's fund covers of a loss beyond the margin, per entry notional
    const int32_t *due           # [n_intervals] interval at whose end a call made at the end of this one falls due

cdef struct Rules:
    int inverse, n_rows, n_cols, n_horizons, n_intervals, liquidation_first, paid_on
    int returns_rest             # what is left after a liquidation goes back to the trader
    int client_pays              # the trader owes a loss beyond the margin
    int defers                   # funding accrues and is paid at settlements
    double coin                  # 1 where margin is posted in the coin itself, whose value follows the ratio, or 0
    int carries                  # positions live on after the venue has acted on them: see carried.pxd
    int has_side[2]
    int occasion                 # from here on: the requirements by which margin is tested at calls and visits, one for each
    Procedure procedure
    Tiers tiers[SETS][2]
    double entry_fee, exit_fee, exit_money    # exit: share of the value then, and money whatever the price
    double scale, interest, clamp, cap, smoothing, change_cap, first_rate
    const double *margin          # [n_rows + 1] per unit of entry notional, rising; the last is out of reach
    const double *stop[2]         # [n_cols + 1] log level, receding from 0; the last cannot be reached
    const double *stop_ratio[2]   # [n_cols + 1] the same as value ratios
    const double *instant         # [n_intervals + 1] years
    const double *pays            # [n_intervals] funding paid at the interval's end: its length over the usual one, or 0
    const double *charge[2]       # [n_intervals + 1] what a side pays besides, at entry and at each interval's end
    const uint8_t *settles        # [n_intervals] accrued funding is paid at the interval's end
    const uint8_t *set_of         # [n_intervals] requirement in force
    const uint8_t *watches        # [n_intervals] the venue watches the price throughout the interval
    const uint8_t *retests        # [n_intervals] margin or requirement changed at the interval's start: look again
    const uint8_t *checks         # [n_intervals] the venue looks at the interval's end
    const uint8_t *calls          # [n_intervals] 1: margin is tested at the interval's end; 2: a call falls due there
    const int32_t *horizon        # [n_intervals] horizon that ends here, or -1
    const int32_t *time_bin       # [n_intervals] bin of times to which passages within the interval belong, or NULL
    int n_times                   # such bins
    int books_pnl, books_shortfall
    int n_tilts                   # ends are weighted: see weights.pxd
    double tilt[TILTS]            # per log price
    double exponent[TILTS]        # per year
    uint32_t key[2]

cdef struct Lanes:
    # Lanes that advance together: all of a block to an interval's end, or the few that jump before, packed.
    int32_t lane[LANES]              # of the block
    uint64_t path[LANES]
    uint64_t index[LANES]            # jumps so far in the interval
    double x[LANES]
    double t[LANES]
    double jump[LANES]               # time of the next one
    double near[2][LANES]            # log level that has to be reached before anything can happen
    # a Brownian segment from (t, x) to (t + dt, y)
    uint64_t w0[LANES]
    uint64_t w1[LANES]
    uint64_t w2[LANES]
    uint64_t w3[LANES]
    double r2[LANES]                 # two normals, sqrt(r2) c1 and sqrt(r2) c2
    double c1[LANES]
    double c2[LANES]
    double bridge[LANES]             # exponential that draws the segment's extremes
    double dt[LANES]
    double y[LANES]
    double size[LANES]
    int64_t code[LANES]
    int32_t any_hit[LANES]           # those that may have reached a level
    int32_t hit[LANES]               # of one side
    double hit_x[LANES]
    double hit_y[LANES]
    double hit_ratio[LANES]          # value ratio that they have reached

cdef struct Block

cdef struct Trace:
    # What paths are followed with: see trace.pxd. An ordinary run has none.
    const Law *law
    const Rules *rules
    void *carried
    uint64_t first               # path number that rows count from
    int follows                  # one path, event by event, up to the last horizon; otherwise only how each one ends
    int width, lacks_memory
    int64_t n, room
    double *rows
    void (*event)(Block *, const Lanes *, int, int) noexcept nogil
    void (*record)(Block *, int64_t *, int) noexcept nogil
    void (*act)(Block *, int, double, double) noexcept nogil
    void (*end)(Block *, int, int, int, int, double, double, const double *) noexcept nogil

cdef struct Block:
    int n, n_closed, n_jumping, n_records, bad, set_in_force, time_bin
    int64_t *passages                # tallies of what is booked besides, or NULL; see binned.pxd
    int64_t *pnl
    int64_t *shortfall
    Trace *trace                     # NULL in an ordinary run
    int32_t jumping[LANES]           # lanes that jump before the coming interval's end
    Lanes all
    Lanes few
    double premium[LANES]
    double rate[LANES]
    double accrued[LANES]            # funding that a long owes until the next settlement
    double paid[2][LANES]            # by a whole position of either side, per entry notional
    double premium_shift[LANES]      # mean of the premium's innovation given the price's increments
    double premium_known[LANES]      # and the variance that they explain
    int32_t row[2][LANES]
    int32_t col[2][LANES]
    double liquidation[2][LANES]     # value ratio of the current row's level; see levels.sharpen
    double level[2][LANES]           # its log price when what had been paid was this; see levels.anchor
    double paid_then[2][LANES]
    double per_ratio[2][LANES]
    double stop[2][LANES]            # log level of the current column
    int32_t mark[LANES]
    double u[LANES]                  # for use within a stage
    double v[LANES]
    double w[LANES]
    # records
    int32_t r_kind[BUFFER]
    int64_t r_cell[BUFFER]
    int64_t r_flip[BUFFER]           # 0, or -1 for a record taken back
    uint64_t r_path[BUFFER]
    double r_side[BUFFER]
    double r_margin[BUFFER]
    double r_paid[BUFFER]
    double r_ratio[BUFFER]
    double r_x[BUFFER]               # the segment
    double r_y[BUFFER]
    double r_t[BUFFER]
    double r_dt[BUFFER]
    int64_t q[8 * BUFFER]            # what is added to a cell, record by record
    int64_t high[4 * BUFFER]
    int64_t is_large[BUFFER]
