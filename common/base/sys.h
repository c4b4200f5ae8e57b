/*
 * base/sys.h - what depends on the processor or the system. The one place outside common/io where #if may stand.
 */
#ifndef BASE_SYS_H
#define BASE_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"

#if defined(__x86_64__)
#include <nmmintrin.h>

static inline bool sys_has_crc32c(void)
{
	return __builtin_cpu_supports("sse4.2") != 0;
}

/* Raw CRC-32C steps (no inversion at either end). Only where sys_has_crc32c(). */
TARGET_SSE42 static inline uint32_t sys_crc32c(uint32_t crc, const unsigned char *p, size_t n)
{
	uint64_t wide = crc, word;

	for (; n >= sizeof(word); p += sizeof(word), n -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		wide = _mm_crc32_u64(wide, word);
	}
	crc = (uint32_t)wide;
	for (; n > 0; p++, n--)
		crc = _mm_crc32_u8(crc, *p);
	return crc;
}

#else

static inline bool sys_has_crc32c(void)
{
	return false;
}

static inline uint32_t sys_crc32c(uint32_t crc, const unsigned char *p UNUSED, size_t n UNUSED)
{
	return crc;
}

#endif

#endif
