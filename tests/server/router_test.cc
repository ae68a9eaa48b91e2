#include "server/router.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "base/json.h"
#include "server/fake_model.h"
#include "server/web_assets.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;

class RouterTest : public ::testing::Test {
 protected:
  HttpReply reply_to(HttpRequest request) {
    if (request.host.empty()) request.host = "localhost:8080";
    if (request.method.empty()) request.method = "GET";
    auto decision = router.route(request);
    if (auto* reply = std::get_if<HttpReply>(&decision)) return *reply;
    return {.status = -1};  // a generation
  }

  FakeModel model;
  ServerOptions options;
  ServerMetrics metrics;
  Router router{model, options, metrics};
};

TEST_F(RouterTest, ForeignPagesAreRefused) {
  EXPECT_EQ(reply_to({.target = "/v1/models", .host = "evil.example:8080"}).status, 403);
  EXPECT_EQ(reply_to({.target = "/v1/models", .origin = "http://evil.example"}).status, 403);
  EXPECT_EQ(reply_to({.target = "/v1/models", .origin = "null"}).status, 403);
  EXPECT_EQ(reply_to({.target = "/v1/models", .origin = "http://localhost:8080"}).status, 200);
  EXPECT_EQ(reply_to({.target = "/", .host = "rebound.example"}).status, 403) << "not even the page";
}

TEST_F(RouterTest, NoReplyInvitesOtherOrigins) {
  for (const char* target : {"/", "/health", "/metrics", "/v1/models", "/nothing"})
    for (const auto& [name, value] : reply_to({.target = target}).headers)
      EXPECT_EQ(name.find("Access-Control"), std::string::npos) << target;
}

TEST_F(RouterTest, QueriesAndDeepSeekPathsAreUnderstood) {
  EXPECT_EQ(reply_to({.target = "/health?x=1"}).status, 200);
  EXPECT_EQ(reply_to({.target = "/models"}).status, 200);
  EXPECT_EQ(reply_to({.target = "/v1/models/fake"}).status, 200);
  HttpRequest chat{.method = "POST", .target = "/chat/completions", .host = "localhost"};
  chat.body = R"({"messages":[{"role":"user","content":"hi"}]})";
  EXPECT_EQ(reply_to(chat).status, -1);
}

TEST_F(RouterTest, AbsoluteTargetIsItsPathWhereItNamesTheHost) {
  EXPECT_EQ(reply_to({.target = "http://localhost:8080/health"}).status, 200);
  EXPECT_EQ(reply_to({.target = "HTTPS://LocalHost:8080/v1/models/fake?x=1"}).status, 200);
  EXPECT_THAT(reply_to({.target = "http://localhost:8080"}).body, HasSubstr("<title>hadal</title>"));
  EXPECT_EQ(reply_to({.target = "ftp://localhost:8080/health"}).status, 404);
  EXPECT_EQ(Router::route_label("http://localhost:8080/v1/models"), "/v1/models");
}

TEST_F(RouterTest, AbsoluteTargetHidesNoForeignName) {
  EXPECT_EQ(reply_to({.target = "http://evil.example:8080/health", .host = "evil.example:8080"}).status, 403);
  for (const std::vector<std::string>& keys : {std::vector<std::string>(), {"key"}}) {
    options.api_keys = keys;
    for (const char* target : {"http://evil.example:8080/health", "http://localhost/health", "http:///health",
                               "http://localhost:8080@evil.example/health", "http://me@localhost:8080/health"})
      EXPECT_EQ(reply_to({.target = target}).status, 400) << target;
    EXPECT_EQ(reply_to({.target = "http://localhost:8080/health", .host = "evil.example:8080"}).status, 400);
  }
}

TEST_F(RouterTest, NameOfAModelMayBeEscaped) {
  const Json list = Json::parse(reply_to({.target = "/v1/models"}).body);
  EXPECT_EQ(Json::parse(reply_to({.target = "/v1/models/f%61k%65"}).body), list["data"][0]);
  for (const char* other : {"/v1/models/fake%", "/v1/models/fak%6", "/v1/models/fak%-5", "/v1/models/f%2561ke"})
    EXPECT_EQ(reply_to({.target = other}).status, 404) << other;
}

TEST_F(RouterTest, OnlyJsonIsRead) {
  HttpRequest chat{.method = "POST", .target = "/v1/chat/completions"};
  chat.body = R"({"messages":[{"role":"user","content":"hi"}]})";
  for (const char* type : {"", "application/json", "Application/JSON; charset=utf-8", "application/json ;x=y"}) {
    chat.content_type = type;
    EXPECT_EQ(reply_to(chat).status, -1) << type;
  }
  for (const char* type : {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
                           "application/jsonp", "json"}) {
    chat.content_type = type;
    EXPECT_EQ(reply_to(chat).status, 415) << type;
  }
}

TEST_F(RouterTest, WrongMethodNamesTheRightOne) {
  const HttpReply reply = reply_to({.method = "PUT", .target = "/v1/chat/completions"});
  EXPECT_EQ(reply.status, 405);
  EXPECT_THAT(reply.headers, ::testing::Contains(std::pair<std::string, std::string>("Allow", "POST")));
  EXPECT_THAT(reply.body, HasSubstr("expected POST, found PUT"));
}

TEST_F(RouterTest, HealthTellsSequencesAndPages) {
  const Json json = Json::parse(reply_to({.target = "/health"}).body);
  EXPECT_EQ(json["status"], "ok");
  EXPECT_EQ(json["model"], "fake");
  for (const char* field : {"active_sequences", "waiting_sequences", "pages_held"}) EXPECT_EQ(json[field], 0) << field;
  EXPECT_EQ(json["pages_total"], json["pages_free"]);
  router.set_draining();
  EXPECT_EQ(Json::parse(reply_to({.target = "/health"}).body)["status"], "draining");
}

TEST_F(RouterTest, StrangePathsAreShownSafely) {
  const HttpReply reply = reply_to({.target = "/\xff\"<script>" + std::string(5000, 'x')});
  EXPECT_EQ(reply.status, 404);
  EXPECT_LT(reply.body.size(), 400u);
  EXPECT_FALSE(Json::parse(reply.body, nullptr, false).is_discarded());
}

TEST_F(RouterTest, LabelsAreFew) {
  EXPECT_EQ(Router::route_label("/v1/chat/completions?x"), "/v1/chat/completions");
  EXPECT_EQ(Router::route_label("/v1/models/anything"), "/v1/models");
  EXPECT_EQ(Router::route_label("/"), "page");
  EXPECT_EQ(Router::route_label("/random/123"), "other");
}

TEST(WebAssets, PageIsEmbeddedAndLoadsNothingFromElsewhere) {
  const WebAsset* index = find_web_asset("/");
  ASSERT_NE(index, nullptr);
  bool script = false, style = false;
  for (const WebAsset& asset : web_assets()) {
    script |= content_type_of(asset.path).starts_with("text/javascript") && !asset.content.empty();
    style |= content_type_of(asset.path) == "text/css; charset=utf-8" && !asset.content.empty();
    EXPECT_NE(content_type_of(asset.path), "application/octet-stream") << asset.path;
  }
  EXPECT_TRUE(script && style);
  EXPECT_EQ(index->content.find("//"), std::string_view::npos) << "an address of another machine";
  EXPECT_EQ(index->content.find("<style"), std::string_view::npos) << "the policy forbids inline styles";
}

}  // namespace
}  // namespace hadal
