# From the dictionaries of a plan to the kernel's numbers; liqsim.engine.plan checks them.

from liqsim._core.block cimport Law, Procedure, Rules, Tiers


cdef inline void set_law(Law *to, object numbers):
    to.log_drift = numbers["log_drift"]
    to.sigma = numbers["sigma"]
    to.mean_gap = numbers["mean_gap"]
    to.jump_law = numbers["jump_law"]
    to.jump_mean = numbers["jump_mean"]
    to.jump_std = numbers["jump_std"]
    to.p_up = numbers["p_up"]
    to.mean_up = numbers["mean_up"]
    to.mean_down = numbers["mean_down"]
    to.visit_share = numbers["visit_share"]
    to.premium_start = numbers["premium_start"]
    to.premium_mean = numbers["premium_mean"]
    to.reversion = numbers["reversion"]
    to.premium_vol = numbers["premium_vol"]
    to.correlation = numbers["correlation"]
    to.lean = numbers.get("lean", 0.0)


cdef inline void set_rules(Rules *to, object numbers):
    # All but what the timeline and the grid say.
    cdef int k
    to.inverse = numbers["inverse"]
    to.liquidation_first = numbers["liquidation_first"]
    to.paid_on = numbers["paid_on"]
    to.returns_rest = numbers["returns_rest"]
    to.client_pays = numbers["client_pays"]
    to.defers = numbers["defers"]
    to.carries = numbers["carries"]
    to.coin = numbers.get("coin", 0.0)
    to.occasion = numbers["occasion"]
    to.entry_fee = numbers["entry_fee"]
    to.exit_fee = numbers["exit_fee"]
    to.exit_money = numbers["exit_money"]
    to.scale = numbers["scale"]
    to.interest = numbers["interest"]
    to.clamp = numbers["clamp"]
    to.cap = numbers["cap"]
    to.smoothing = numbers["smoothing"]
    to.change_cap = numbers["change_cap"]
    to.first_rate = numbers["first_rate"]
    to.key[0] = numbers["key"][0]
    to.key[1] = numbers["key"][1]
    tilts = numbers.get("tilts", ())
    to.n_tilts = len(tilts)
    for k in range(to.n_tilts):
        to.tilt[k], to.exponent[k] = tilts[k]


cdef inline void set_procedure(Procedure *to, object numbers):
    to.kind = numbers["kind"]
    to.tiers_per_step = numbers["tiers_per_step"]
    to.steps_from_tier = numbers["steps_from_tier"]
    to.step = numbers["step"]
    to.threshold = numbers["threshold"]
    to.cooldown = numbers["cooldown"]
    to.backstop = numbers["backstop"]
    to.fee = numbers["fee"]
    to.initial_ratio = numbers["initial_ratio"]
    to.top_up = numbers["top_up"]
    to.fund = numbers["fund"]


cdef inline void set_tiers(Tiers *to, object numbers):
    cdef int k
    to.form = numbers["form"]
    to.on_mark = numbers["on_mark"]
    to.size_moves = numbers["size_moves"]
    to.per_margin = numbers["per_margin"]
    to.slope = numbers["slope"]
    to.fee = numbers["fee"]
    to.coin = numbers.get("coin", 0.0)
    to.haircut = numbers.get("haircut", 0.0)
    to.n = len(numbers["caps"])
    for k in range(to.n):
        to.cap[k] = numbers["caps"][k]
        to.rate[k] = numbers["rates"][k]
        to.deduction[k] = numbers["deductions"][k]
