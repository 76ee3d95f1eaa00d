# Which lanes something holds for, as lists of their numbers.

from libc.stdint cimport int32_t, int64_t

cdef extern from "lists.h" nogil:
    int list_coded(int n, const int64_t *code, int64_t least, int32_t *list) noexcept
    int list_before(int n, const double *time, double end, int32_t *before, int32_t *others) noexcept
