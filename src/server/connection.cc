#include "server/connection.h"

#include <algorithm>
#include <array>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <new>
#include <optional>
#include <string>

#include "base/log.h"
#include "server/chat_response.h"
#include "server/mailbox.h"

namespace hadal {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;

constexpr std::size_t kReadSize = 16 << 10;          // bytes asked for at a time
constexpr std::size_t kReadAhead = 64 << 10;         // bytes kept of requests that were sent before the answer was out
constexpr std::size_t kHeaderLimit = 16 << 10;       // bytes of a request's head, of a chunk's size line, of trailers
constexpr std::size_t kKernelSendBytes = 128 << 10;  // small, so that a client that stopped reading is seen early
constexpr std::chrono::milliseconds kLinger{2'000};  // for the client to read an error before the socket is gone
constexpr std::size_t kLingerBytes = 64u << 20;      // of a refused body that are read and thrown away

class HttpConnection final : public Connection, public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(asio::ip::tcp::socket socket, const ConnectionContext& context, std::function<void()> on_closed)
      : socket_(std::move(socket)),
        timer_(socket_.get_executor()),
        context_(context),
        on_closed_(std::move(on_closed)) {}

  ~HttpConnection() override { abandon_generation(ServerMetrics::End::client_gone); }

  void start() override {
    on_strand([](HttpConnection& self) { self.open(); });
  }
  void start_refused() override {
    on_strand([](HttpConnection& self) {
      self.open();
      self.busy_ = true;
      self.reply_error_and_close({.status = 503,
                                  .message = "too many clients; try again in a moment",
                                  .type = "server_error",
                                  .code = "overloaded"});
    });
  }
  void drain() override {
    on_strand([](HttpConnection& self) {
      self.keep_alive_ = false;
      self.draining_ = true;
      if (!self.busy_) self.close_now();
    });
  }
  void cancel_answer() override {
    on_strand([](HttpConnection& self) {
      if (self.sequence_) self.context_.model.cancel(*self.sequence_);
    });
  }
  void close() override {
    on_strand([](HttpConnection& self) { self.close_now(); });
  }

 private:
  using Parser = http::request_parser<http::string_body>;

  template <class Function>
  void on_strand(Function function) {
    asio::post(socket_.get_executor(),
               [self = shared_from_this(), function] { self->guarded([&] { function(*self); }); });
  }

  // Around every handler: one that throws leaves an answer that is neither out nor under way, or a clock that nobody
  // looks at again, and the client would wait for ever.
  template <class Body>
  void guarded(Body body) {
    try {
      body();
    } catch (const std::exception& error) {
      close_now(ServerMetrics::End::failed);
      log(LogLevel::error, std::string("server: a connection failed: ") + error.what());
    }
  }

  void open() {
    error_code ignored;
    socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    socket_.set_option(asio::socket_base::send_buffer_size(kKernelSendBytes), ignored);
    quiet_since_ = Clock::now();
    tick();
    read_more();
  }

  // --- Reading -----------------------------------------------------------------------------------------------------

  void read_more() {
    if (closed_ || reading_ || input_over_ || (busy_ && !lingering_ && input_.size() >= kReadAhead)) return;
    reading_ = true;
    socket_.async_read_some(asio::buffer(arriving_), [self = shared_from_this()](error_code error, std::size_t bytes) {
      self->guarded([&] { self->on_read(error, bytes); });
    });
  }

  void on_read(error_code error, std::size_t bytes) {
    reading_ = false;
    if (closed_) return;
    if (error) return input_ended(error);
    if (lingering_) {
      thrown_away_ += bytes;
      if (thrown_away_ > kLingerBytes) return close_now();
    } else {
      input_.append(arriving_.data(), bytes);
      parse();
    }
    read_more();
  }

  // The client is gone, or has said all it will say. A generation ends with that; an answer that is complete may be
  // read by a client that only closed its sending side.
  void input_ended(error_code error) {
    if (error != asio::error::eof || !answer_complete_ || lingering_) return close_now();
    keep_alive_ = false;
    input_over_ = true;
  }

  void parse() {
    while (!busy_ && !closed_ && something_waits()) {
      if (!parser_) start_parser();
      error_code error;
      const std::size_t taken = parser_->put(asio::buffer(input_), error);
      input_.erase(0, taken);
      const bool hungry = error == http::error::need_more;
      if (hungry) error = outgrown_limit(taken);
      if (error) return refuse_request(error);
      if (parser_->is_done())
        handle_or_say_why_not();
      else
        answer_expectation();
      if (hungry) return;
    }
  }

  // Empty lines before a request are no part of it (RFC 9112, 2.2): some clients send one behind a body.
  bool something_waits() {
    if (parser_) return !input_.empty();
    std::size_t empty_lines = 0;
    while (input_.compare(empty_lines, 2, "\r\n") == 0) empty_lines += 2;
    input_.erase(0, empty_lines);
    return !input_.empty() && input_ != "\r";
  }

  void start_parser() {
    parser_.emplace();
    head_bytes_ = 0;
    parser_->eager(true);
    parser_->header_limit(kHeaderLimit);
    parser_->body_limit(context_.options.max_body_bytes);
    request_began_ = Clock::now();
  }

  // Beast's limits are for a head that comes in one piece and for what is in chunks. It takes a head line by line for
  // as long as lines come, and waits for the end of a chunk's size line and of trailers however much of them has come.
  error_code outgrown_limit(std::size_t taken) {
    if (parser_->is_header_done())
      return input_.size() > kHeaderLimit ? error_code(http::error::buffer_overflow) : error_code();
    head_bytes_ += taken;
    return head_bytes_ + input_.size() > kHeaderLimit ? error_code(http::error::header_limit) : error_code();
  }

  // curl asks before it sends a large body. One that is too large was refused already, by its Content-Length.
  void answer_expectation() {
    if (!parser_->is_header_done() || expectation_answered_) return;
    expectation_answered_ = true;
    if (boost::beast::iequals(parser_->get()[http::field::expect], "100-continue"))
      send("HTTP/1.1 100 Continue\r\n\r\n");
  }

  void refuse_request(error_code error) {
    busy_ = true;
    if (error == http::error::body_limit)
      return reply_error_and_close({.status = 413,
                                    .message = "request body: expected at most " +
                                               std::to_string(context_.options.max_body_bytes) + " bytes, found more",
                                    .code = "body_too_large"});
    if (error == http::error::header_limit)
      return reply_error_and_close(
          {.status = 431,
           .message = "request head: expected at most " + std::to_string(kHeaderLimit) + " bytes, found more",
           .code = "head_too_large"});
    if (error == http::error::buffer_overflow)
      return reply_error_and_close({.message = "request body: expected at most " + std::to_string(kHeaderLimit) +
                                               " bytes of a chunk's size line or of trailers, found more",
                                    .code = "invalid_http"});
    reply_error_and_close({.message = "request: expected HTTP/1.1, found something else (" + error.message() + ")",
                           .code = "invalid_http"});
  }

  // --- One request -------------------------------------------------------------------------------------------------

  void handle_or_say_why_not() {
    try {
      handle();
    } catch (const std::bad_alloc&) {
      abandon_generation(ServerMetrics::End::failed);
      reply_error_and_close({.status = 503,
                             .message = "request: expected memory for it, found none left",
                             .type = "server_error",
                             .code = "out_of_memory"});
    }
  }

  void handle() {
    const Parser::value_type request = parser_->release();
    parser_.reset();
    expectation_answered_ = false;
    busy_ = true;
    began_ = Clock::now();
    keep_alive_ = request.keep_alive() && !draining_;
    framing_ = request.version() >= 11 ? Framing::chunked : Framing::until_close;
    if (framing_ == Framing::until_close) keep_alive_ = false;
    body_ = request.method() == http::verb::head ? Body::leave_out : Body::send;

    const auto field = [&](http::field name) {
      const auto value = request[name];
      return std::string_view(value.data(), value.size());
    };
    const auto view = [](auto text) { return std::string_view(text.data(), text.size()); };
    const HttpRequest text{.method = view(request.method_string()),
                           .target = view(request.target()),
                           .host = field(http::field::host),
                           .origin = field(http::field::origin),
                           .authorization = field(http::field::authorization),
                           .content_type = field(http::field::content_type),
                           .if_none_match = field(http::field::if_none_match),
                           .body = request.body()};
    if (std::string question = ambiguity_of(request); !question.empty())
      return reply_error_and_close({.message = std::move(question), .code = "invalid_http"});
    route_label_ = Router::route_label(text.target);
    auto decision = context_.router.route(text);
    if (auto* ready = std::get_if<HttpReply>(&decision)) return reply(*ready);
    generate(std::get<ChatRequest>(std::move(decision)));
  }

  // A proxy in front and this server must read the same request: which Host was checked (RFC 9112, 3.2) and where the
  // request ends (6.3) must not be a question. Beast refuses a length beside chunks, but takes any other coding for
  // none.
  static std::string ambiguity_of(const Parser::value_type& request) {
    if (request.count(http::field::host) > 1) return "request: expected one Host, found several";
    const std::size_t codings = request.count(http::field::transfer_encoding);
    const bool chunked = boost::beast::iequals(request[http::field::transfer_encoding], "chunked");
    if (codings > 1 || (codings == 1 && !chunked))
      return "Transfer-Encoding: expected \"chunked\" and no other, found another";
    return {};
  }

  void generate(ChatRequest request) {
    // The engine thread holds the mailbox only: it never keeps a connection alive, nor touches one.
    auto wake = [weak = weak_from_this(), executor = socket_.get_executor()] {
      asio::post(executor, [weak] {
        if (const auto self = weak.lock()) self->guarded([&] { self->take_text(); });
      });
    };
    mailbox_ = std::make_shared<Mailbox>(std::move(wake));
    streaming_ = request.stream;
    answer_id_ = new_answer_id(context_.model.name());
    writer_.emplace(answer_id_, request.include_usage ? UsageChunk::yes : UsageChunk::no);
    if (streaming_) request.generation.on_delta = [box = mailbox_](const Delta& delta) { box->push(delta); };
    request.generation.on_done = [box = mailbox_](const Completion& completion) { box->finish(completion); };

    const Result<SequenceId> id = context_.model.submit(std::move(request.generation));
    if (!id) {
      drop_generation();
      return reply(error_reply(from_model_error(id.error())));
    }
    sequence_ = *id;
    if (!streaming_) return;
    std::string beginning = stream_head("text/event-stream; charset=utf-8", framing_, after());
    beginning += framed(writer_->start(), framing_);
    count_response(200);
    send(std::move(beginning));
  }

  void take_text() {
    if (closed_ || !mailbox_) return;
    const Mailbox::Contents contents = mailbox_->take();
    if (streaming_) {
      const std::string events = writer_->delta(contents.delta);
      if (!events.empty() && !first_text_out_) {
        first_text_out_ = true;
        context_.metrics.add_first_token(Clock::now() - began_);
      }
      send(framed(events, framing_));
    }
    if (!closed_ && contents.completion) end_answer(*contents.completion);
  }

  // The text is made while the generation still counts: should that fail, the answer has failed.
  void end_answer(const Completion& completion) {
    std::string text = streaming_ ? framed(writer_->finish(completion), framing_) + std::string(stream_end(framing_))
                                  : text_of(is_answer(completion) ? json_reply(completion_json(answer_id_, completion))
                                                                  : error_reply(error_of(completion)));
    context_.metrics.count_end(is_answer(completion) ? ServerMetrics::End::finished : ServerMetrics::End::failed);
    context_.metrics.add_answer(Clock::now() - began_);
    drop_generation();
    finish_with(std::move(text));
  }

  void drop_generation() {
    if (mailbox_) mailbox_->close();
    mailbox_.reset();
    writer_.reset();
    sequence_.reset();
  }

  void abandon_generation(ServerMetrics::End why) {
    const std::optional<SequenceId> unfinished = sequence_;
    drop_generation();  // first, for it cannot fail
    if (!unfinished) return;
    context_.model.cancel(*unfinished);
    context_.metrics.count_end(why);
  }

  // --- Writing -----------------------------------------------------------------------------------------------------

  AfterReply after() const { return keep_alive_ ? AfterReply::keep_alive : AfterReply::close; }

  void count_response(int status) { context_.metrics.count_response(route_label_, status); }

  void reply(const HttpReply& ready) { finish_with(text_of(ready)); }

  std::string text_of(const HttpReply& ready) {
    std::string text = reply_text(ready, after(), body_);
    count_response(ready.status);
    return text;
  }

  void reply_error_and_close(const ApiError& error) {
    keep_alive_ = false;
    began_ = Clock::now();
    route_label_ = "other";
    body_ = Body::send;
    reply(error_reply(error));
  }

  void finish_with(std::string text) {
    answer_complete_ = true;
    send(std::move(text));
  }

  void send(std::string text) {
    if (closed_) return;
    unsent_ += text;
    // Text of a whole answer comes once and is bounded by the model; a stream goes on as long as the model does.
    if (streaming_ && sequence_ && unsent_.size() > context_.options.max_unsent_bytes)
      return close_now(ServerMetrics::End::too_slow);
    write_more();
  }

  void write_more() {
    if (writing_ || closed_) return;
    if (unsent_.empty()) {
      if (answer_complete_) answer_is_out();
      return;
    }
    in_flight_.swap(unsent_);
    unsent_.clear();
    writing_ = true;
    write_began_ = Clock::now();
    asio::async_write(socket_, asio::buffer(in_flight_), [self = shared_from_this()](error_code error, std::size_t) {
      self->guarded([&] { self->on_written(error); });
    });
  }

  void on_written(error_code error) {
    writing_ = false;
    in_flight_.clear();
    quiet_since_ = Clock::now();
    if (closed_) return;
    if (error) return close_now();
    write_more();
  }

  void answer_is_out() {
    answer_complete_ = streaming_ = first_text_out_ = false;
    if (!keep_alive_) return linger();
    busy_ = false;
    quiet_since_ = Clock::now();
    parse();  // what came in the meantime
    read_more();
  }

  // A socket that is closed with unread input resets the connection, and the client may lose the answer. So only the
  // sending side is closed, and what still comes is thrown away for a while.
  void linger() {
    if (input_over_ || draining_) return close_now();
    lingering_ = true;
    error_code ignored;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    lingering_since_ = Clock::now();
    input_.clear();
    read_more();
  }

  void close_now(ServerMetrics::End why = ServerMetrics::End::client_gone) {
    if (closed_) return;
    closed_ = true;
    error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
    on_closed_();
    abandon_generation(why);
  }

  // --- Time --------------------------------------------------------------------------------------------------------

  // One look at the clock now and then serves all the timeouts; none of them needs to be exact.
  void tick() {
    const ServerOptions& options = context_.options;
    const auto shortest = std::min(
        {options.request_timeout, options.idle_timeout, options.write_timeout, options.keep_alive_interval, kLinger});
    timer_.expires_after(std::clamp<std::chrono::milliseconds>(shortest / 4, std::chrono::milliseconds(10),
                                                               std::chrono::milliseconds(1'000)));
    timer_.async_wait([self = shared_from_this()](error_code error) {
      if (error || self->closed_) return;
      self->guarded([&] {
        self->check_time(Clock::now());
        if (!self->closed_) self->tick();
      });
    });
  }

  void check_time(Clock::time_point now) {
    const ServerOptions& options = context_.options;
    if (lingering_) {
      if (now - lingering_since_ > kLinger) close_now();
    } else if (writing_) {
      if (now - write_began_ > options.write_timeout) close_now(ServerMetrics::End::too_slow);
    } else if (busy_) {
      if (streaming_ && now - quiet_since_ > options.keep_alive_interval) send(framed(kSseComment, framing_));
    } else if (parser_) {
      if (now - request_began_ > options.request_timeout) {
        busy_ = true;
        reply_error_and_close({.status = 408, .message = "request: its end did not come in time", .code = "timeout"});
      }
    } else if (now - quiet_since_ > options.idle_timeout) {
      close_now();
    }
  }

  asio::ip::tcp::socket socket_;
  asio::steady_timer timer_;
  const ConnectionContext& context_;
  std::function<void()> on_closed_;

  // The next request may arrive before the handler that ends this answer has run, so what is being read into is not
  // what is being parsed.
  std::array<char, kReadSize> arriving_;
  std::string input_;
  std::optional<Parser> parser_;  // while a request is half read
  std::size_t head_bytes_ = 0;    // of its head, so far as it was taken in pieces
  std::string unsent_, in_flight_;

  // Where it stands. busy_: from a whole request until its answer is out; requests are answered one after the other.
  bool busy_ = false, reading_ = false, writing_ = false, answer_complete_ = false;
  bool input_over_ = false, lingering_ = false, draining_ = false, closed_ = false;
  std::size_t thrown_away_ = 0;
  Clock::time_point quiet_since_, request_began_, write_began_, lingering_since_, began_;

  // Of the request under way.
  bool keep_alive_ = true, expectation_answered_ = false, streaming_ = false, first_text_out_ = false;
  Framing framing_ = Framing::chunked;
  Body body_ = Body::send;
  std::string route_label_;
  AnswerId answer_id_;
  std::shared_ptr<Mailbox> mailbox_;
  std::optional<ChunkWriter> writer_;
  std::optional<SequenceId> sequence_;
};

}  // namespace

std::shared_ptr<Connection> make_connection(asio::ip::tcp::socket socket, const ConnectionContext& context,
                                            std::function<void()> on_closed) {
  return std::make_shared<HttpConnection>(std::move(socket), context, std::move(on_closed));
}

}  // namespace hadal
