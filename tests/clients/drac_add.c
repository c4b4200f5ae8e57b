/*
 * tests/clients/drac_add.c - an RPC client that is not our library: libtirpc finds dracd through rpcbind and calls ADD, as the DRAC clients of
 * the field do.
 *
 *	drac_add HOST v1 192.0.2.7      drac_add HOST v2 2001:db8::7
 *
 * Prints the addstat; exit status 2 where no call went through.
 */
#include <arpa/inet.h>
#include <rpc/rpc.h>
#include <stdio.h>
#include <string.h>

enum { PROGRAM = 900101, ADD = 1 };

static bool_t put_v1(XDR *x, void *address)
{
	unsigned int ip4 = ntohl(((struct in_addr *)address)->s_addr);

	return xdr_u_int(x, &ip4);
}

static bool_t put_v2(XDR *x, void *address)
{
	char *octets = address;

	for (int i = 0; i < 16; i++)
		if (!xdr_char(x, &octets[i]))
			return FALSE;
	return TRUE;
}

static bool_t get_status(XDR *x, void *status)
{
	return xdr_enum(x, (enum_t *)status);
}

int main(int argc, char **argv)
{
	struct timeval limit = { 10, 0 };
	struct in_addr ip4;
	struct in6_addr ip6;
	enum_t status = -1;
	enum clnt_stat said;
	CLIENT *c;
	int v2;

	if (argc != 4)
		return 2;
	v2 = strcmp(argv[2], "v2") == 0;
	if ((v2 ? inet_pton(AF_INET6, argv[3], &ip6) : inet_pton(AF_INET, argv[3], &ip4)) != 1)
		return 2;
	c = clnt_create(argv[1], PROGRAM, v2 ? 2 : 1, "udp");
	if (c == NULL) {
		clnt_pcreateerror(argv[0]);
		return 2;
	}
	said = clnt_call(c, ADD, v2 ? (xdrproc_t)put_v2 : (xdrproc_t)put_v1, v2 ? (caddr_t)&ip6 : (caddr_t)&ip4, (xdrproc_t)get_status,
	    (caddr_t)&status, limit);
	if (said != RPC_SUCCESS)
		clnt_perror(c, argv[0]);
	else
		printf("%d\n", (int)status);
	clnt_destroy(c);
	return said == RPC_SUCCESS ? 0 : 2;
}
