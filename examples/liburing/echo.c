/* SPDX-License-Identifier: MIT */
/*
 * echo [CLIENTS [MESSAGES]], over liburing: a server and its clients on one ring.
 *
 * An ordinary liburing program: there is nothing of tidewheel in it. Built as it is, it runs on the
 * real kernel; with `-include tidewheel/liburing.h`, on the simulated one (Makefile).
 *
 * The server has one multishot accept; each connection receives into provided buffers, sends back
 * what came, and gives the buffer back when that is sent. The clients send messages and check their
 * echoes, then shut their side down; the server closes when it reads the end.
 */
#include <liburing.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ENTRIES = 256, BUFFERS = 64, BUFFER_BYTES = 512, MESSAGE_BYTES = 300, GROUP = 1 };

enum kind { ACCEPT, SERVE_RECV, SERVE_SEND, GIVE_BACK, CONNECT, ASK, ANSWER };

/* What an entry is for, packed into its user_data. */
static __u64 tag(enum kind kind, int fd, int buffer)
{
    return (__u64)kind << 56 | (__u64)(unsigned)buffer << 32 | (unsigned)fd;
}

struct client {
    int fd, left, at; /* messages to go; bytes of the present one that have come or gone */
    char out[MESSAGE_BYTES], in[MESSAGE_BYTES];
};

static struct io_uring ring;
static char buffers[BUFFERS][BUFFER_BYTES];
static struct client *clients;
static int clients_count = 4, messages = 25, finished, closed;
static unsigned long long echoed, checked;

static struct io_uring_sqe *entry(__u64 data)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    if (!sqe) { /* the queue is full: hand it over */
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    sqe->user_data = data;
    return sqe;
}

#define QUEUE(verb, data, ...)                                                                     \
    do {                                                                                           \
        struct io_uring_sqe *sqe_ = entry(0);                                                      \
        io_uring_prep_##verb(sqe_, __VA_ARGS__);                                                   \
        sqe_->user_data = (data);                                                                  \
    } while (0)

static void die(const char *what, int error)
{
    fprintf(stderr, "echo: %s: %s\n", what, strerror(-error));
    exit(1);
}

/* ── The server ────────────────────────────────────────────────────────────────────────────── */

static void serve_receive(int fd)
{
    struct io_uring_sqe *sqe = entry(0);

    io_uring_prep_recv(sqe, fd, NULL, BUFFER_BYTES, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    sqe->user_data = tag(SERVE_RECV, fd, 0);
}

static void served(int fd, const struct io_uring_cqe *cqe)
{
    if (cqe->res == -ENOBUFS) {
        serve_receive(fd); /* all are on their way out: try again */
    } else if (cqe->res < 0) {
        die("receive", cqe->res);
    } else if (cqe->res == 0) {
        close(fd);
        closed++;
    } else {
        const int buffer = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);

        echoed += (unsigned)cqe->res;
        QUEUE(send, tag(SERVE_SEND, fd, buffer), fd, buffers[buffer], (size_t)cqe->res,
              MSG_WAITALL | MSG_NOSIGNAL);
    }
}

static void sent_back(int fd, int buffer)
{
    QUEUE(provide_buffers, tag(GIVE_BACK, -1, 0), buffers[buffer], BUFFER_BYTES, 1, GROUP, buffer);
    serve_receive(fd);
}

/* ── The clients ───────────────────────────────────────────────────────────────────────────── */

static struct client *client_of(int fd)
{
    for (int i = 0; i < clients_count; i++)
        if (clients[i].fd == fd)
            return &clients[i];
    return NULL;
}

static void ask(struct client *client)
{
    if (client->left-- == 0) {
        shutdown(client->fd, SHUT_WR);
        finished++;
        return;
    }
    client->at = 0;
    memset(client->out, 'a' + client->left % 26, MESSAGE_BYTES);
    QUEUE(send, tag(ASK, client->fd, 0), client->fd, client->out, MESSAGE_BYTES,
          MSG_WAITALL | MSG_NOSIGNAL);
}

static void hear(struct client *client)
{
    QUEUE(recv, tag(ANSWER, client->fd, 0), client->fd, client->in + client->at,
          (size_t)(MESSAGE_BYTES - client->at), 0);
}

static void heard(struct client *client, int res)
{
    client->at += res;
    if (client->at < MESSAGE_BYTES) {
        hear(client);
        return;
    }
    if (memcmp(client->in, client->out, MESSAGE_BYTES) != 0)
        die("an echo is not what was sent", -EBADMSG);
    checked += MESSAGE_BYTES;
    ask(client);
}

/* ── The loop ──────────────────────────────────────────────────────────────────────────────── */

static void handle(const struct io_uring_cqe *cqe)
{
    const enum kind kind = (enum kind)(cqe->user_data >> 56);
    const int fd = (int)(unsigned)cqe->user_data, buffer = (int)(cqe->user_data >> 32 & 0xffff);

    if (cqe->res < 0 && kind != SERVE_RECV)
        die("an operation", cqe->res);
    switch (kind) {
    case ACCEPT:
        serve_receive(cqe->res);
        break;
    case SERVE_RECV:
        served(fd, cqe);
        break;
    case SERVE_SEND:
        sent_back(fd, buffer);
        break;
    case GIVE_BACK:
        break;
    case CONNECT:
        ask(client_of(fd));
        break;
    case ASK:
        hear(client_of(fd));
        break;
    case ANSWER:
        if (cqe->res == 0)
            die("the server closed", -ECONNRESET);
        heard(client_of(fd), cqe->res);
        break;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    int error = io_uring_queue_init(ENTRIES, &ring, 0);

    if (error < 0)
        die("io_uring", error);
    clients_count = argc > 1 ? atoi(argv[1]) : clients_count;
    messages = argc > 2 ? atoi(argv[2]) : messages;
    clients = calloc((size_t)clients_count, sizeof *clients);
    if (bind(listener, (struct sockaddr *)&address, bytes) < 0 || listen(listener, 64) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &bytes) < 0)
        die("listen", -errno);

    QUEUE(provide_buffers, tag(GIVE_BACK, -1, 0), buffers, BUFFER_BYTES, BUFFERS, GROUP, 0);
    QUEUE(multishot_accept, tag(ACCEPT, listener, 0), listener, NULL, NULL, 0);
    for (int i = 0; i < clients_count; i++) {
        clients[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        clients[i].left = messages;
        QUEUE(connect, tag(CONNECT, clients[i].fd, 0), clients[i].fd, (struct sockaddr *)&address,
              sizeof address);
    }
    while (finished < clients_count || closed < clients_count) {
        struct io_uring_cqe *cqe;
        unsigned head, seen = 0;

        error = io_uring_submit_and_wait(&ring, 1);
        if (error < 0)
            die("submit", error);
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            handle(cqe);
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
    }
    printf("%d clients, %llu bytes echoed, %llu checked\n", clients_count, echoed, checked);
    for (int i = 0; i < clients_count; i++)
        close(clients[i].fd);
    io_uring_queue_exit(&ring);
    close(listener);
    free(clients);
    return 0;
}
