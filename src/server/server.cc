#include "server/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "base/log.h"
#include "server/connection.h"
#include "server/file_limit.h"

namespace hadal {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::milliseconds kCancelTime{2'000};  // for cancelled answers to say so and be read
constexpr std::chrono::milliseconds kAcceptPause{100};   // when the machine is out of sockets

// The addresses that a host name means; at least one.
Result<std::vector<tcp::endpoint>> resolve(asio::io_context& io, const ServerOptions& options) {
  if (options.port < 0 || options.port > 65535)
    return Error{ErrorKind::invalid, fmt::format("port: expected 0 to 65535, found {}", options.port)};
  error_code error;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(options.host, std::to_string(options.port), tcp::resolver::passive, error);
  std::vector<tcp::endpoint> endpoints;
  if (!error)
    for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  if (endpoints.empty())
    return Error{ErrorKind::invalid,
                 fmt::format("host: expected a name or an address of this machine, found \"{}\" ({})", options.host,
                             error ? error.message() : "no address")};
  return endpoints;
}

Status check_exposure(const std::vector<tcp::endpoint>& endpoints, const ServerOptions& options) {
  for (const std::string& key : options.api_keys)
    if (key.empty()) return Error{ErrorKind::invalid, "API key: expected some text, found an empty one"};
  const bool local =
      std::all_of(endpoints.begin(), endpoints.end(), [](const auto& at) { return at.address().is_loopback(); });
  if (local || !options.api_keys.empty()) return Done{};
  return Error{ErrorKind::invalid,
               fmt::format("host {}: others could reach the model from there; expected an API key to protect it, found "
                           "none (127.0.0.1 needs no key)",
                           options.host)};
}

Status listen(tcp::acceptor& acceptor, const tcp::endpoint& endpoint, const ServerOptions& options) {
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (!error) return Done{};
  if (error == asio::error::address_in_use)
    return Error{ErrorKind::io, fmt::format("port {} of {}: expected a free port, found one that another program uses",
                                            options.port, options.host)};
  return Error{ErrorKind::io,
               fmt::format("port {} of {}: cannot listen: {}", options.port, options.host, error.message())};
}

ServerAddress address_of(const tcp::acceptor& acceptor, const ServerOptions& options) {
  error_code ignored;
  const int port = acceptor.local_endpoint(ignored).port();
  const bool v6 = options.host.find(':') != std::string::npos;
  const bool any = options.host == "0.0.0.0" || options.host == "::";  // no address to open in a browser
  const std::string host = any ? "localhost" : v6 ? fmt::format("[{}]", options.host) : options.host;
  return {.host = options.host, .port = port, .url = fmt::format("http://{}:{}/", host, port)};
}

// Accepts, keeps the list of connections, and ends in three steps. All of it runs on one strand.
class Server {
 public:
  Server(asio::io_context& io, tcp::acceptor acceptor, ChatModel& model, const ServerOptions& options)
      : io_(io),
        strand_(asio::make_strand(io)),
        acceptor_(std::move(acceptor)),
        signals_(io),
        timer_(io),
        options_(options),
        router_(model, options, metrics_),
        context_{model, options, router_, metrics_} {}

  void start() {
    if (options_.handle_signals) {  // before anybody is told that the server is there
      error_code ignored;
      signals_.add(SIGINT, ignored);
      signals_.add(SIGTERM, ignored);
    }
    asio::post(strand_, [this] {
      if (options_.handle_signals) wait_for_signal();
      accept_next();
    });
  }

  // May be called from any thread, and more than once: each call goes a step further.
  void shut_down() {
    asio::post(strand_, [this] { next_step(); });
  }

 private:
  enum class Step { serving, draining, cancelling, closing };

  void wait_for_signal() {
    signals_.async_wait(asio::bind_executor(strand_, [this](error_code error, int) {
      if (error) return;
      next_step();
      if (step_ != Step::closing) wait_for_signal();
    }));
  }

  void accept_next() {
    acceptor_.async_accept(asio::make_strand(io_), asio::bind_executor(strand_, [this](error_code error, auto socket) {
                             if (step_ != Step::serving) return;
                             if (error) return pause_accepting();
                             or_pause([&] {
                               admit(std::move(socket));
                               accept_next();
                             });
                           }));
  }

  // Too little memory is no more the end of accepting than too few sockets.
  template <class Body>
  void or_pause(Body body) {
    try {
      body();
    } catch (const std::exception& error) {
      pause_accepting();
      log(LogLevel::error, std::string("server: accepting failed: ") + error.what());
    }
  }

  void pause_accepting() {
    timer_.expires_after(kAcceptPause);
    timer_.async_wait(asio::bind_executor(strand_, [this](error_code error) {
      if (!error && step_ == Step::serving) or_pause([this] { accept_next(); });
    }));
  }

  void admit(tcp::socket socket) {
    const auto key = ++last_key_;
    const auto connection = make_connection(std::move(socket), context_,
                                            [this, key] { asio::post(strand_, [this, key] { forget(key); }); });
    const bool room = connections_.size() < static_cast<std::size_t>(options_.max_clients);
    try {
      connections_.emplace(key, connection);
      count_clients();
      room ? connection->start() : connection->start_refused();
    } catch (...) {  // what has not started never closes
      forget(key);
      throw;
    }
  }

  void count_clients() { metrics_.set_clients(static_cast<int>(connections_.size())); }

  void forget(std::uint64_t key) {
    connections_.erase(key);
    count_clients();
    if (step_ != Step::serving && connections_.empty()) finish();
  }

  void next_step() {
    error_code ignored;
    switch (step_) {
      case Step::serving:
        step_ = Step::draining;
        router_.set_draining();
        acceptor_.close(ignored);
        for (auto& [key, connection] : connections_) connection->drain();
        return next_step_after(options_.grace);
      case Step::draining:
        step_ = Step::cancelling;
        for (auto& [key, connection] : connections_) connection->cancel_answer();
        return next_step_after(kCancelTime);
      case Step::cancelling:
        step_ = Step::closing;
        for (auto& [key, connection] : connections_) connection->close();
        return next_step_after(kCancelTime);
      case Step::closing:
        return;
    }
  }

  void next_step_after(std::chrono::milliseconds time) {
    if (connections_.empty()) return finish();
    timer_.expires_after(time);
    timer_.async_wait(asio::bind_executor(strand_, [this](error_code error) {
      if (!error) next_step();
    }));
  }

  void finish() {  // nothing is waited for any more: the threads come home
    step_ = Step::closing;
    timer_.cancel();
    error_code ignored;
    signals_.cancel(ignored);
  }

  asio::io_context& io_;
  asio::strand<asio::io_context::executor_type> strand_;
  tcp::acceptor acceptor_;
  asio::signal_set signals_;
  asio::steady_timer timer_;
  const ServerOptions& options_;
  ServerMetrics metrics_;
  Router router_;
  ConnectionContext context_;
  std::map<std::uint64_t, std::shared_ptr<Connection>> connections_;
  std::uint64_t last_key_ = 0;
  Step step_ = Step::serving;
};

// The last resort: connections and the accepting of them look after what their own handlers throw.
void run_io(asio::io_context& io) {
  for (;;) {
    try {
      io.run();
      return;
    } catch (const std::exception& error) {
      log(LogLevel::error, std::string("server: a handler failed: ") + error.what());
    }
  }
}

}  // namespace

Status check_can_serve(const ServerOptions& options) {
  asio::io_context io;
  HADAL_ASSIGN(const std::vector<tcp::endpoint> endpoints, resolve(io, options));
  HADAL_RETURN_IF_ERROR(check_exposure(endpoints, options));
  tcp::acceptor acceptor(io);
  return listen(acceptor, endpoints.front(), options);
}

Status run_server(ChatModel& model, const ServerOptions& asked, std::stop_token stop) {
  ServerOptions options = asked;
  options.max_clients = clients_that_fit(asked.max_clients);
  if (options.max_clients < asked.max_clients)
    log(LogLevel::warning, fmt::format("server: the limit of open files has room for {} of {} connections",
                                       options.max_clients, asked.max_clients));
  asio::io_context io;
  HADAL_ASSIGN(const std::vector<tcp::endpoint> endpoints, resolve(io, options));
  HADAL_RETURN_IF_ERROR(check_exposure(endpoints, options));
  tcp::acceptor acceptor(io);
  HADAL_RETURN_IF_ERROR(listen(acceptor, endpoints.front(), options));
  const ServerAddress address = address_of(acceptor, options);

  Server server(io, std::move(acceptor), model, options);
  server.start();
  const std::stop_callback on_stop(stop, [&server] { server.shut_down(); });
  if (options.on_listening) options.on_listening(address);
  {
    std::vector<std::jthread> threads;
    try {
      for (int i = 1; i < options.io_threads; ++i) threads.emplace_back([&io] { run_io(io); });
    } catch (const std::system_error& error) {  // the system's limit of threads: fewer of them serve as well
      log(LogLevel::warning,
          fmt::format("server: {} of {} threads: {}", threads.size() + 1, options.io_threads, error.what()));
    }
    run_io(io);
  }
  return Done{};
}

}  // namespace hadal
