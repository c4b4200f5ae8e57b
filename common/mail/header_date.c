/*
 * mail/header_date.c - dates of RFC 5322 3.3 with the obsolete forms of 4.3. The calendar is reckoned here: timegm(3) has no limits we know.
 */
#include <time.h>

#include "base/num.h"
#include "mail/header.h"

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char weekdays[] = "ThuFriSatSunMonTueWed";               /* 1 January 1970 was a Thursday */

#define DAY_S 86400

static bool is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in(int64_t year, int month)
{
	static const char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month] + (month == 1 && is_leap(year));
}

/* Days from 1 January 1970 to the first day of the year; year >= 1. */
static int64_t days_before_year(int64_t year)
{
	int64_t y = year - 1;

	return y * 365 + y / 4 - y / 100 + y / 400 - 719162;
}

/* Blanks, line ends and comments; comments nest, and one without end takes the rest. */
static void skip_cfws(struct slice *s)
{
	size_t at = 0, depth = 0;

	for (; at < s->n; at++) {
		char c = s->p[at];

		if (c == '(')
			depth++;
		else if (depth > 0 && c == ')')
			depth--;
		else if (depth > 0 && c == '\\')
			at++;
		else if (depth == 0 && !ascii_is_blank(c) && c != '\r' && c != '\n')
			break;
	}
	*s = slice_from(*s, at);
}

static struct slice take_while(struct slice *s, bool (*is)(char c))
{
	struct slice word;
	size_t n = 0;

	skip_cfws(s);
	while (n < s->n && is(s->p[n]))
		n++;
	word = slice_head(*s, n);
	*s = slice_from(*s, n);
	return word;
}

static bool take_char(struct slice *s, char c)
{
	skip_cfws(s);
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = slice_from(*s, 1);
	return true;
}

static int take_number(struct slice *s, size_t min_digits, size_t max_digits, uint32_t max, int *out)
{
	struct slice digits = take_while(s, ascii_is_digit);
	uint32_t v;

	if (digits.n < min_digits || digits.n > max_digits || num_u32(digits, max, &v) < 0)
		return -1;
	*out = (int)v;
	return 0;
}

static int take_month(struct slice *s, int *out)
{
	struct slice word = take_while(s, ascii_is_alpha);

	for (int i = 0; i < 12; i++)
		if (slice_ieq(slice_head(word, 3), slice_mem(months + 3 * i, 3))) {
			*out = i;
			return 0;
		}
	return -1;
}

static int take_year(struct slice *s, int *out)
{
	size_t before;
	int year;

	skip_cfws(s);
	before = s->n;
	if (take_number(s, 2, 4, 9999, &year) < 0)
		return -1;
	if (before - s->n == 2)
		year += year < 50 ? 2000 : 1900;
	else if (before - s->n == 3)
		year += 1900;
	*out = year;
	return year >= 1 ? 0 : -1;
}

static int take_time(struct slice *s, int64_t *out)
{
	int hour, minute, second = 0;

	if (take_number(s, 1, 2, 23, &hour) < 0 || !take_char(s, ':') || take_number(s, 1, 2, 59, &minute) < 0)
		return -1;
	if (take_char(s, ':') && take_number(s, 1, 2, 60, &second) < 0)
		return -1;
	*out = hour * 3600 + minute * 60 + second;
	return 0;
}

/* RFC 5322 4.3: names other than these (and the letters of the military) mean nothing certain. Minutes east of UTC. */
static int zone_of_name(struct slice name)
{
	static const struct { const char *name; int hours; } zones[] = {
		{ "EST", -5 }, { "EDT", -4 }, { "CST", -6 }, { "CDT", -5 }, { "MST", -7 }, { "MDT", -6 }, { "PST", -8 }, { "PDT", -7 },
	};

	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
		if (slice_ieqs(name, zones[i].name))
			return zones[i].hours * 60;
	return 0;
}

static int take_zone(struct slice *s, int *out)
{
	bool west;
	int v;

	skip_cfws(s);
	if (s->n == 0 || ascii_is_alpha(s->p[0])) {
		*out = zone_of_name(take_while(s, ascii_is_alpha));
		return 0;
	}
	west = take_char(s, '-');
	if (!west && !take_char(s, '+'))
		return -1;
	if (take_number(s, 4, 4, 9959, &v) < 0 || v % 100 > 59)
		return -1;
	v = v / 100 * 60 + v % 100;
	*out = west ? -v : v;
	return 0;
}

int date_parse(struct slice value, int64_t *when_out, int *zone_min_out)
{
	int day, month, year, zone;
	int64_t seconds, days;

	if (take_while(&value, ascii_is_alpha).n > 0)
		take_char(&value, ',');                               /* the day of the week is not worth a refusal */
	if (take_number(&value, 1, 2, 31, &day) < 0 || take_month(&value, &month) < 0 || take_year(&value, &year) < 0)
		return -1;
	if (take_time(&value, &seconds) < 0 || take_zone(&value, &zone) < 0)
		return -1;
	skip_cfws(&value);
	if (value.n > 0 || day < 1 || day > days_in(year, month))
		return -1;
	days = days_before_year(year) + day - 1;
	while (--month >= 0)
		days += days_in(year, month);
	*when_out = days * DAY_S + seconds - zone * 60;
	if (zone_min_out != NULL)
		*zone_min_out = zone;
	return 0;
}

void date_put(int64_t when, int zone_min, struct buf *out)
{
	int64_t local = when + zone_min * 60, days = local / DAY_S - (local % DAY_S < 0), year;
	int64_t second = local - days * DAY_S, day;
	int month = 0, weekday = (int)((days % 7 + 7) % 7), zone = zone_min < 0 ? -zone_min : zone_min;

	year = 1970 + days / 366;                                     /* never too late; the loop makes up the rest */
	while (days_before_year(year + 1) <= days)
		year++;
	while (days_before_year(year) > days)
		year--;
	day = days - days_before_year(year);
	for (; day >= days_in(year, month); month++)
		day -= days_in(year, month);
	buf_putf(out, "%.3s, %02d %.3s %04d %02d:%02d:%02d %c%02d%02d", weekdays + 3 * weekday, (int)day + 1, months + 3 * month, (int)year,
	    (int)(second / 3600), (int)(second / 60 % 60), (int)(second % 60), zone_min < 0 ? '-' : '+', zone / 60, zone % 60);
}

int date_local_zone(int64_t when)
{
	time_t t = (time_t)when;
	struct tm tm;

	return localtime_r(&t, &tm) == NULL ? 0 : (int)(tm.tm_gmtoff / 60);
}
