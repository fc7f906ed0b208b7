// linux/io_uring.h, and what headers of before Linux 6.1 lack of it. Whether the running kernel
// knows a flag is asked of that kernel; here only the names and the layouts are settled.
#pragma once

#include <linux/io_uring.h>

#ifndef IORING_SETUP_SINGLE_ISSUER  // Linux 6.0
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN  // Linux 6.1
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

static_assert(sizeof(io_uring_params) == 120);
static_assert(sizeof(io_uring_sqe) == 64);
static_assert(sizeof(io_uring_cqe) == 16);
static_assert(sizeof(io_uring_getevents_arg) == 24);
