// One client: reads requests, writes answers, notices when it is gone.
//
// A connection always reads, also while it answers: the end of its input is how a
// client that went away is noticed at once, and requests that were sent ahead
// (pipelining) wait in the buffer, at most kReadAhead bytes of them.
//
// Threads: everything runs on the connection's strand; the public functions may be
// called from any thread. Nothing here waits. A handler that throws (memory is short, in
// practice) costs this client its connection, and nobody else anything.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>

#include "chat/chat_model.h"
#include "server/metrics.h"
#include "server/router.h"
#include "server/server_options.h"

namespace hadal {

struct ConnectionContext {  // what all connections share; outlives them
  ChatModel& model;
  const ServerOptions& options;
  const Router& router;
  ServerMetrics& metrics;
};

class Connection {
 public:
  virtual ~Connection() = default;
  virtual void start() = 0;
  virtual void start_refused() = 0;  // says 503 and closes: there are too many clients
  virtual void drain() = 0;          // closes when the answer under way, if any, is out
  virtual void cancel_answer() = 0;  // cancels the generation under way; the client is told
  virtual void close() = 0;          // at once
};

// on_closed is called once, on the connection's strand.
std::shared_ptr<Connection> make_connection(boost::asio::ip::tcp::socket socket, const ConnectionContext& context,
                                            std::function<void()> on_closed);

}  // namespace hadal
