// `hadal serve`: HTTP/1.1 in front of one ChatModel, and the web chat.
//
// The life of a request:
//   1. a socket is accepted and becomes a Connection (connection.h)
//   2. its bytes become an HttpRequest, and router.h decides: a reply, or a generation
//   3. a generation goes to ChatModel::submit(); the engine thread leaves text in a
//      Mailbox (mailbox.h) and wakes the connection, never waiting for it
//   4. the connection writes JSON or server-sent events (chat_response.h) as fast as
//      the client reads; a client that goes away or lets too much pile up is dropped,
//      and its sequence cancelled
//
// Threads: run_server() uses the calling thread and io_threads - 1 more, and returns
// when all of them are done. The ChatModel's callbacks come from its engine thread.
#pragma once

#include <stop_token>

#include "base/result.h"
#include "chat/chat_model.h"
#include "server/server_options.h"

namespace hadal {

// The errors of setting up that run_server() would give now, before a model has been read for nothing.
Status check_can_serve(const ServerOptions& options);

// Serves until `stop` is requested or (with handle_signals) SIGINT or SIGTERM comes: then nothing new is accepted,
// running answers may finish for options.grace, and what is left is cancelled. An error is one of setting up: a host
// that is no address, a port that is taken, a host beyond this machine without an API key.
Status run_server(ChatModel& model, const ServerOptions& options, std::stop_token stop = {});

}  // namespace hadal
