/* pop3d/capa.c - the capabilities (RFC 2449), and the little that a login hands to its session. */
#include "pop3d/pop3d.h"

void pop3_put_capa(const struct pop3_offer *offer, struct buf *out)
{
	buf_puts(out, "+OK These I can do\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8\r\n");
	if (offer->user)
		buf_puts(out, "USER\r\n");
	if (offer->mechanisms != NULL && offer->mechanisms[0] != '\0')
		buf_putf(out, "SASL %s\r\n", offer->mechanisms);
	if (offer->stls)
		buf_puts(out, "STLS\r\n");
	buf_puts(out, "IMPLEMENTATION Posthouse\r\n.\r\n");
}

void pop3_state_put(const struct pop3_state *st, struct buf *out)
{
	buf_putc(out, st->utf8 ? '8' : '-');
	buf_put(out, st->folder);
}

struct pop3_state pop3_state_get(struct slice octets)
{
	struct pop3_state st = { .utf8 = octets.n > 0 && octets.p[0] == '8', .folder = slice_from(octets, 1) };

	return st;
}
