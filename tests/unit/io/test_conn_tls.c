/*
 * Connections that turn to TLS, with certificates of their own.
 */
#include "tests/unit/io/conn_test.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

struct pair { char cert[64], key[64]; };

static void make_pair(struct pair *p, const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	FILE *f;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, subject);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	snprintf(p->cert, sizeof(p->cert), "/tmp/ph-%d-%s.pem", (int)getpid(), name);
	snprintf(p->key, sizeof(p->key), "/tmp/ph-%d-%s.key", (int)getpid(), name);
	assert_non_null(f = fopen(p->cert, "w"));
	PEM_write_X509(f, x);
	fclose(f);
	assert_non_null(f = fopen(p->key, "w"));
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

static struct pair pair, other;
static struct tls_ctx *server, *client;

static int make_contexts(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	make_pair(&pair, "mail.test");
	make_pair(&other, "other.test");
	if (tls_server_ctx(&server, pair.cert, pair.key, "smtp", &e) < 0 || tls_client_ctx(&client, false, NULL, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return -1;
	}
	return 0;
}

static int drop_contexts(void **state)
{
	(void)state;
	tls_ctx_unref(&server);
	tls_ctx_unref(&client);
	unlink(pair.cert), unlink(pair.key), unlink(other.cert), unlink(other.key);
	return 0;
}

static void start_tls(struct side *a, struct side *b, struct tls_ctx *s, struct tls_ctx *c, const char *name)
{
	start_two(a, b, &wide);
	conn_start_tls(a->c, s, NULL, NULL);
	conn_start_tls(b->c, c, name, NULL);
	b->stop_on_tls = true;
	loop_run(a->l);
	run_for(a->l, 2);
}

static void test_tls_both_ways(void **state)
{
	struct side a, b;
	struct buf x, y;

	(void)state;
	start_tls(&a, &b, server, client, "mail.test");
	assert_int_equal(a.tls, 1);
	assert_int_equal(b.tls, 1);
	assert_string_equal(tls_describe(conn_ssl(a.c)).version, "TLSv1.3");
	assert_true(tls_describe(conn_ssl(a.c)).bits >= 128);
	buf_init(&x, 1000);
	buf_init(&y, 1000);
	assert_int_equal(tls_channel_binding(conn_ssl(a.c), "tls-exporter", &x), 0);
	assert_int_equal(tls_channel_binding(conn_ssl(b.c), "tls-exporter", &y), 0);
	assert_int_equal(x.len, 32);
	assert_true(slice_eq(buf_view(&x), buf_view(&y)));
	assert_int_equal(tls_channel_binding(conn_ssl(a.c), "tls-server-end-point", &x), 0);
	assert_int_equal(tls_channel_binding(conn_ssl(b.c), "tls-server-end-point", &y), 0);
	assert_int_equal(x.len, 64);
	assert_true(slice_eq(buf_view(&x), buf_view(&y)));
	assert_int_equal(tls_channel_binding(conn_ssl(a.c), "tls-unique", &x), -1);
	assert_int_equal(tls_channel_binding(conn_ssl(a.c), "nonsense", &x), -1);
	buf_done(&x), buf_done(&y);
	a.stop_at = 5;
	conn_write(b.c, SLICE("hello"));
	loop_run(a.l);
	assert_string_equal(buf_str(&a.got), "hello");
	conn_close(b.c);
	loop_run(a.l);
	run_for(a.l, 5);
	assert_int_equal(a.why, CONN_EOF);
	assert_int_equal(b.why, CONN_CLOSED);
	finish_two(&a, &b);
}

static void test_tls12_unique(void **state)
{
	struct side a, b;
	struct buf x, y;
	struct tls_ctx *old;

	(void)state;
	assert_int_equal(tls_client_ctx(&old, false, NULL, NULL), 0);
	start_two(&a, &b, &wide);
	conn_start_tls(a.c, server, NULL, NULL);
	conn_start_tls(b.c, old, NULL, NULL);
	/* The conn makes its SSL on the first turn; an old client is a context with a ceiling, which only this test needs. */
	tls_ctx_cap_version(old, TLS1_2_VERSION);
	b.stop_on_tls = true;
	loop_run(a.l);
	run_for(a.l, 2);
	assert_string_equal(tls_describe(conn_ssl(a.c)).version, "TLSv1.2");
	buf_init(&x, 1000);
	buf_init(&y, 1000);
	assert_int_equal(tls_channel_binding(conn_ssl(a.c), "tls-unique", &x), 0);
	assert_int_equal(tls_channel_binding(conn_ssl(b.c), "tls-unique", &y), 0);
	assert_int_equal(x.len, 12);
	assert_true(slice_eq(buf_view(&x), buf_view(&y)));
	assert_int_equal(tls_channel_binding(conn_ssl(a.c), "tls-exporter", &x), -1);
	buf_done(&x), buf_done(&y);
	tls_ctx_unref(&old);
	finish_two(&a, &b);
}

static void test_large_data_over_tls(void **state)
{
	static const struct conn_limits lim = { 70000, 8u << 20, 100000 };
	static char big[2000000];
	struct side a, b;

	(void)state;
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 31 >> 3);
	start_tls(&a, &b, server, client, NULL);
	conn_set_in_max(a.c, lim.in_max);
	a.stop_at = sizeof(big);
	conn_write(b.c, slice_mem(big, sizeof(big)));
	loop_run(a.l);
	assert_int_equal(a.got.len, sizeof(big));
	assert_memory_equal(a.got.p, big, sizeof(big));
	finish_two(&a, &b);
}

/* 16 kB records against a buffer of 1000: what OpenSSL has read and we have not must wake us without the socket's help. */
static void test_small_buffer_over_tls(void **state)
{
	static char big[100000];
	struct side a, b;

	(void)state;
	start_tls(&a, &b, server, client, NULL);
	conn_set_in_max(a.c, 1000);
	a.stop_at = sizeof(big);
	conn_write(b.c, slice_mem(big, sizeof(big)));
	loop_run(a.l);
	assert_int_equal(a.got.len, sizeof(big));
	assert_true(a.inputs >= 100);
	finish_two(&a, &b);
}

static void test_send_file_over_tls(void **state)
{
	struct side a, b;

	(void)state;
	start_tls(&a, &b, server, client, NULL);
	a.drains = 0;
	send_file_reply(&a, &b, 3000000);
	finish_two(&a, &b);
}

/* CVE-2011-0411: commands sent in the packet of STARTTLS must not be run inside TLS. */
static void test_starttls_injection_is_dropped(void **state)
{
	struct side a, b;

	(void)state;
	start_two(&a, &b, &wide);
	a.tls_on_starttls = server;
	conn_write(b.c, SLICE("STARTTLS\r\nRSET\r\nMAIL FROM:<evil@x>\r\n"));
	b.stop_at = 8;
	loop_run(a.l);
	assert_string_equal(buf_str(&b.got), "220 go\r\n");           /* in plain */
	assert_int_equal(a.dropped, 26);
	conn_start_tls(b.c, client, NULL, NULL);
	b.stop_on_tls = true;
	loop_run(a.l);
	conn_write(b.c, SLICE("EHLO x\r\n"));
	a.stop_at = 8;
	loop_run(a.l);
	assert_string_equal(buf_str(&a.got), "EHLO x\r\n");
	finish_two(&a, &b);
}

static void test_plain_text_after_starttls_fails_the_handshake(void **state)
{
	struct side a;
	int fd = start_one(&a, &wide, &ops);

	(void)state;
	a.tls_on_starttls = server;
	put(fd, "STARTTLS\r\n");
	run_for(a.l, 10);
	put(fd, "MAIL FROM:<evil@x>\r\n");
	loop_run(a.l);
	assert_int_equal(a.why, CONN_TLS_FAILED);
	assert_int_equal(a.inputs, 1);
	assert_non_null(strstr(a.err.text, "TLS handshake"));
	finish(&a, fd);
}

static void try_alpn(const unsigned char *offer, unsigned len, bool ok)
{
	struct side a;
	int fd = start_one(&a, &wide, &ops);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	int rc = -1;

	a.stop_on_tls = true;
	SSL_set_fd(ssl, fd);
	SSL_set_alpn_protos(ssl, offer, len);
	conn_start_tls(a.c, server, NULL, NULL);
	for (int i = 0; i < 20 && rc != 1 && a.closes == 0; i++) {
		rc = SSL_connect(ssl);
		run_for(a.l, 2);
	}
	assert_int_equal(a.tls, ok);
	assert_int_equal(a.closes, !ok);
	if (!ok)
		assert_int_equal(a.why, CONN_TLS_FAILED);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	finish(&a, fd);
}

/* ALPACA, CVE-2021-3618: a browser that was led here must not get an answer. */
static void test_alpn(void **state)
{
	(void)state;
	try_alpn((const unsigned char *)"\x08http/1.1", 9, false);
	try_alpn((const unsigned char *)"\x02h2\x08http/1.1", 12, false);
	try_alpn((const unsigned char *)"\x04smtq", 5, false);
	try_alpn((const unsigned char *)"\x08http/1.1\x04smtp", 14, true);
	try_alpn(NULL, 0, true);
}

static void test_client_checks_the_name(void **state)
{
	struct tls_ctx *strict, *stranger;
	struct side a, b;

	(void)state;
	assert_int_equal(tls_client_ctx(&strict, true, pair.cert, NULL), 0);
	start_tls(&a, &b, server, strict, "mail.test");
	assert_int_equal(b.tls, 1);
	finish_two(&a, &b);
	start_tls(&a, &b, server, strict, "evil.test");
	assert_int_equal(b.tls, 0);
	assert_int_equal(b.why, CONN_TLS_FAILED);
	assert_non_null(strstr(b.err.text, "certificate"));
	finish_two(&a, &b);
	assert_int_equal(tls_client_ctx(&stranger, true, other.cert, NULL), 0);
	start_tls(&a, &b, server, stranger, "mail.test");
	assert_int_equal(b.tls, 0);
	finish_two(&a, &b);
	tls_ctx_unref(&strict);
	tls_ctx_unref(&stranger);
}

static void test_context_errors_say_what_is_wrong(void **state)
{
	struct tls_ctx *x = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(tls_server_ctx(&x, pair.cert, other.key, "smtp", &e), -1);
	assert_non_null(strstr(e.text, "key"));
	assert_int_equal(tls_server_ctx(&x, "/nonexistent.pem", pair.key, "smtp", &e), -1);
	assert_non_null(strstr(e.text, "/nonexistent.pem"));
	assert_int_equal(tls_client_ctx(&x, true, "/nonexistent.pem", &e), -1);
	assert_null(x);
}

static void test_handshake_deadline(void **state)
{
	struct side a;
	int fd = start_one(&a, &wide, &polite_ops);

	(void)state;
	conn_start_tls(a.c, server, NULL, NULL);
	conn_deadline_ms(a.c, 20);
	loop_run(a.l);
	assert_int_equal(a.why, CONN_DEADLINE);
	assert_int_equal(a.timeouts, 0);                              /* nothing may be said in plain */
	finish(&a, fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tls_both_ways), cmocka_unit_test(test_tls12_unique), cmocka_unit_test(test_large_data_over_tls),
		cmocka_unit_test(test_small_buffer_over_tls), cmocka_unit_test(test_send_file_over_tls),
		cmocka_unit_test(test_starttls_injection_is_dropped), cmocka_unit_test(test_plain_text_after_starttls_fails_the_handshake),
		cmocka_unit_test(test_alpn), cmocka_unit_test(test_client_checks_the_name), cmocka_unit_test(test_context_errors_say_what_is_wrong),
		cmocka_unit_test(test_handshake_deadline),
	};

	return cmocka_run_group_tests(tests, make_contexts, drop_contexts);
}
