/*
 * base/clock.h - the two clocks. Nothing else in the tree asks the system for the time: time is a parameter.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_MS_PER_S 1000
#define CLOCK_US_PER_S 1000000

int64_t clock_wall_us(void);                                          /* microseconds since 1970, may jump */
int64_t clock_wall_s(void);
int64_t clock_boot_s(void);                                           /* when the machine started, by its clock now; 0: not known */
int64_t clock_mono_ms(void);                                          /* never goes back; for deadlines */

#endif
