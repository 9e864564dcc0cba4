"""The compiled loop behind `exact.products`: blocks of states that stay in the nearest cache, every
row evaluated, none interpolated.

All inner loops run over the states of a block and are plain arithmetic, so the compiler turns them
into vector instructions; the exponential is written out for that reason.
"""

from math import pi

import numba
import numpy as np

BUMPS, MODES = 0, 1
BLOCK = 64  # states whose rows and sums are worked on together: 30 kB for 2 x 10 rows
TASK = 4096  # states per unit of work: threads share these out
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93145751953125e-1, 1.42860682030941723212e-6
SHIFT = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to the nearest integer and leaves that integer in the low bits
INVERSE_FACTORIALS = tuple(float(v) for v in 1 / np.cumprod(np.arange(1.0, 18.0)))
COS = tuple((-1) ** (j + 1) * INVERSE_FACTORIALS[2 * j + 1] for j in range(7))  # of z = r^2: -1/2!, 1/4!, ..
SIN = tuple((-1) ** (j + 1) * INVERSE_FACTORIALS[2 * j + 2] for j in range(7))  # -1/3!, 1/5!, ..


@numba.njit(cache=True, inline="always", fastmath={"contract"})
def exponential(x, height, scratch, bits, out):  # type: ignore[no-untyped-def]
    """out = height exp(x), within two units in the last place, for x clipped to -708..708."""
    for i in range(BLOCK):
        clipped = min(max(x[i], -708.0), 708.0)
        shifted = clipped * LOG2_E + SHIFT
        scratch[i] = shifted
        k = shifted - SHIFT
        r = clipped - k * LN2_HIGH - k * LN2_LOW
        value = INVERSE_FACTORIALS[12]
        for c in range(11, -1, -1):
            value = value * r + INVERSE_FACTORIALS[c]
        out[i] = height * (value * r + 1.0)
    for i in range(BLOCK):
        bits[i] = (bits[i] + 1023) << 52  # `bits` are those of `scratch`: now 2^k
    for i in range(BLOCK):
        out[i] *= scratch[i]


@numba.njit(cache=True, inline="always", fastmath={"contract"})
def climb(rows, start, stop, stride, sharp, d, work, bits):  # type: ignore[no-untyped-def]
    """Fill rows from `start` towards `stop`: the ratio of neighbours is exp(sharp (2 d stride -
    1)), smaller by exp(-2 sharp) each time."""
    ratio, shrink = work[2], np.exp(-2 * sharp)
    for i in range(BLOCK):
        work[1, i] = sharp * (2 * stride * d[i] - 1)
    exponential(work[1], 1.0, work[0], bits, ratio)
    for m in range(start, stop, stride):
        for i in range(BLOCK):
            rows[m + stride, i] = rows[m, i] * ratio[i]
            ratio[i] *= shrink


@numba.njit(cache=True, inline="always", fastmath={"contract"})
def bumps(u, count, numbers, work, bits, rows):  # type: ignore[no-untyped-def]
    """rows[m, i] = height exp(-sharp (v_i - m)^2), v = (u - origin) / spacing.

    Centres are taken in runs of 2 reach + 1 around an anchor. Beyond `far` of it the whole run is
    below e^-190 of its height, so clipping the distance there keeps the ratios finite and changes
    nothing that float64 could add to a sum.
    """
    sharp, d = numbers[2], work[3]
    reach, far = int(np.sqrt(130.0 / sharp)), np.sqrt(650.0 / sharp)
    for first in range(0, count, 2 * reach + 1):
        anchor, last = min(first + reach, count - 1), min(first + 2 * reach, count - 1)
        for i in range(BLOCK):
            d[i] = min(max((u[i] - numbers[0]) * numbers[1] - anchor, -far), far)
            work[1, i] = -sharp * d[i] * d[i]
        exponential(work[1], numbers[3], work[0], bits, rows[anchor])
        if last > anchor:
            climb(rows, anchor, last, 1, sharp, d, work, bits)
        if anchor > first:
            climb(rows, anchor, first, -1, sharp, d, work, bits)


@numba.njit(cache=True, inline="always", fastmath={"contract"})
def cosine_sine(turns, cos, sin):  # type: ignore[no-untyped-def]
    """cos and sin of 2 pi turns: the remainder after quarter turns lies within pi / 4, where a few
    powers are enough."""
    for i in range(BLOCK):
        k = np.rint(4 * turns[i])
        r = (4 * turns[i] - k) * (0.5 * pi)
        z = r * r
        c, s = COS[6], SIN[6]
        for j in range(5, -1, -1):
            c, s = c * z + COS[j], s * z + SIN[j]
        c, s = 1.0 + z * c, r + r * z * s
        odd = k - 2 * np.floor(0.5 * k)
        half = np.floor(0.5 * k)
        sign = 1.0 - 2.0 * (half - 2 * np.floor(0.5 * half))
        cos[i] = sign * ((1 - odd) * c - odd * s)
        sin[i] = sign * ((1 - odd) * s + odd * c)


@numba.njit(cache=True, inline="always", fastmath={"contract"})
def modes(u, count, numbers, work, rows):  # type: ignore[no-untyped-def]
    """rows = 1, cos(k w u), sin(k w u), each harmonic one turn further than the one before."""
    sines = (count - 1) // 2
    cosines = count - 1 - sines
    sine = work[2]
    for i in range(BLOCK):
        work[3, i] = u[i] * numbers[1]
        rows[0, i], sine[i] = 1.0, 0.0
    cosine_sine(work[3], work[0], work[1])
    for k in range(1, cosines + 1):
        for i in range(BLOCK):
            re, im = rows[k - 1, i], sine[i]
            rows[k, i] = re * work[0, i] - im * work[1, i]
            sine[i] = im * work[0, i] + re * work[1, i]
        if k <= sines:
            rows[cosines + k] = sine


@numba.njit(cache=True, inline="always", fastmath={"contract"})
def horner(z, coefficients, out):  # type: ignore[no-untyped-def]
    """out = sum_j coefficients[j] z^j; their number is a multiple of 4."""
    out[:] = 0.0
    for j in range(len(coefficients) - 4, -1, -4):
        c0, c1, c2, c3 = coefficients[j], coefficients[j + 1], coefficients[j + 2], coefficients[j + 3]
        for i in range(BLOCK):
            v = z[i]
            out[i] = (((out[i] * v + c3) * v + c2) * v + c1) * v + c0


@numba.njit(cache=True, inline="always", fastmath={"contract"})
def prepare_bumps(column, sharp, upward, downward):  # type: ignore[no-untyped-def]
    """Polynomials of `sum_bumps`, one per run of 2 reach + 1 bumps: column (count,) times
    exp(-sharp j^2), j steps from the anchor."""
    reach, count = int(np.sqrt(130.0 / sharp)), len(column)
    upward[:], downward[:] = 0.0, 0.0
    for run in range(len(upward)):
        anchor = min(run * (2 * reach + 1) + reach, count - 1)
        for m in range(run * (2 * reach + 1), min((run + 1) * (2 * reach + 1), count)):
            j = abs(m - anchor)
            c = column[m] * np.exp(-sharp * j * j)
            if m >= anchor:
                upward[run, j] = c
            else:
                downward[run, j - 1] = c


@numba.njit(cache=True, inline="always", fastmath={"contract"})
def sum_bumps(u, count, numbers, upward, downward, work, bits, out):  # type: ignore[no-untyped-def]
    """out = sum_m column[m] height exp(-sharp (v - m)^2) without a row: `bumps` and `dot_last` in one.

    With d the distance from an anchor, exp(-sharp (d - j)^2) = exp(-sharp d^2) z^j exp(-sharp j^2)
    for z = exp(2 sharp d): one polynomial in z for the anchor and the bumps above it, 1 / z times
    one in 1 / z for those below. The clipping of `bumps` keeps all powers finite.
    """
    (origin, inverse, sharp, height), d, value = numbers, work[3], work[2]
    reach, far = int(np.sqrt(130.0 / sharp)), np.sqrt(650.0 / sharp)
    out[:] = 0.0
    for run in range(len(upward)):
        anchor = min(run * (2 * reach + 1) + reach, count - 1)
        for i in range(BLOCK):
            d[i] = min(max((u[i] - origin) * inverse - anchor, -far), far)
            work[1, i] = 2 * sharp * d[i]
        exponential(work[1], 1.0, work[0], bits, work[4])
        for i in range(BLOCK):
            work[5, i] = 1.0 / work[4, i]
            work[1, i] = -sharp * d[i] * d[i]
        exponential(work[1], height, work[0], bits, d)
        horner(work[4], upward[run], value)
        horner(work[5], downward[run], work[1])
        for i in range(BLOCK):
            out[i] += d[i] * (value[i] + work[5, i] * work[1, i])


@numba.njit(cache=True, inline="always", fastmath={"contract"})
def sum_leading(rows, kinds, table, factor, total):  # type: ignore[no-untyped-def]
    """total[j, i] = sum over the indices of all coordinates but the last; table (leading, last * E)."""
    total[:] = 0.0
    for r in range(len(table)):
        rest = r
        factor[:] = 1.0
        for a in range(len(kinds) - 2, -1, -1):
            row = rows[a, rest % kinds[a, 1]]
            for i in range(BLOCK):
                factor[i] *= row[i]
            rest //= kinds[a, 1]
        for j in range(len(total)):
            c = table[r, j]
            for i in range(BLOCK):
                total[j, i] += factor[i] * c


@numba.njit(cache=True, inline="always", fastmath={"contract"})
def dot_last(row, count, total, out):  # type: ignore[no-untyped-def]
    """out[e, i] = sum_m row[m, i] total[m E + e, i]."""
    out[:] = 0.0
    for m in range(count):
        for e in range(len(out)):
            for i in range(BLOCK):
                out[e, i] += row[m, i] * total[m * len(out) + e, i]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def contract(x, table, kinds, numbers, out, begin, end):  # type: ignore[no-untyped-def]
    """Tasks begin..end of out (K, n, E) from x (K, n, D), table (K, leading, last * E), and per
    coordinate (kind, count) and numbers.

    BUMPS: (origin, 1 / spacing, 1 / (2 s^2), height), s the width in spacings; MODES: (unused, 1 /
    period, unused, unused).
    """
    _, n, D = x.shape
    tasks = (n + TASK - 1) // TASK
    work = np.zeros((4, BLOCK))
    bits = work[0].view(np.int64)
    u, factor, value = np.zeros((D, BLOCK)), np.empty(BLOCK), np.empty((out.shape[2], BLOCK))
    rows = np.empty((D, kinds[:, 1].max(), BLOCK))
    total = np.empty((table.shape[2], BLOCK))
    for task in range(begin, end):
        k, first = task // tasks, (task % tasks) * TASK
        for start in range(first, min(first + TASK, n), BLOCK):
            held = min(BLOCK, n - start)  # a last, shorter block repeats old states in its tail and does not store them
            for a in range(D):
                for i in range(held):
                    u[a, i] = x[k, start + i, a]
                if kinds[a, 0] == BUMPS:
                    bumps(u[a], kinds[a, 1], numbers[a], work, bits, rows[a])
                else:
                    modes(u[a], kinds[a, 1], numbers[a], work, rows[a])
            if D > 1:
                sum_leading(rows, kinds, table[k], factor, total)
            else:
                for j in range(len(total)):
                    total[j] = table[k, 0, j]
            dot_last(rows[D - 1], kinds[D - 1, 1], total, value)
            for i in range(held):
                for e in range(len(value)):
                    out[k, start + i, e] = value[e, i]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def contract_line(x, table, numbers, out, begin, end):  # type: ignore[no-untyped-def]
    """Tasks begin..end of out (K, n) from x (K, n) and table (K, count): one coordinate of BUMPS,
    one output, no row stored."""
    n, count, sharp = x.shape[1], table.shape[1], numbers[2]
    tasks = (n + TASK - 1) // TASK
    reach = int(np.sqrt(130.0 / sharp))
    longest = max(min(reach + 1, count - reach), min(reach, count - 1))
    polynomials = np.empty((2, (count + 2 * reach) // (2 * reach + 1), (longest + 3) // 4 * 4))
    work, u, value = np.zeros((6, BLOCK)), np.zeros(BLOCK), np.empty(BLOCK)
    bits = work[0].view(np.int64)
    for task in range(begin, end):
        k, first = task // tasks, (task % tasks) * TASK
        prepare_bumps(table[k], sharp, polynomials[0], polynomials[1])
        for start in range(first, min(first + TASK, n), BLOCK):
            held = min(BLOCK, n - start)
            u[:held] = x[k, start : start + held]
            sum_bumps(u, count, numbers, polynomials[0], polynomials[1], work, bits, value)
            out[k, start : start + held] = value[:held]
