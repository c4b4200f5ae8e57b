/*
 * base/attr.h - the compiler attributes we use, by name.
 */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#define PRINTF_LIKE(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))
#define WARN_UNUSED __attribute__((warn_unused_result))
#define NORETURN __attribute__((noreturn))
#define WEAK __attribute__((weak))                                     /* NULL where nothing linked has it */
#define UNUSED __attribute__((unused))
#define PURE __attribute__((pure))
#define AT_START __attribute__((constructor))                          /* runs before main, for what must be drawn once */
#define TARGET_SSE42 __attribute__((target("sse4.2")))                /* x86-64 only: see base/sys.h */

#endif
