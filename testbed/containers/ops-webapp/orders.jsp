<%--
  The business of the application: it asks an external cluster, of which it knows one address on localhost.
--%><%@ page session="false" trimDirectiveWhitespaces="true" contentType="text/plain; charset=utf-8"
%><%@ page import="java.net.URI, java.net.http.*, java.time.Duration"
%><%!
  private static final HttpClient CLIENT =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(2)).build();
%><%
  URI orders = URI.create(System.getenv().getOrDefault("ORDERS_URL", "http://127.0.0.1:9200/"));
  HttpRequest order = HttpRequest.newBuilder(orders).timeout(Duration.ofSeconds(10)).build();
  try {
    HttpResponse<String> answer = CLIENT.send(order, HttpResponse.BodyHandlers.ofString());
    response.setStatus(answer.statusCode());
    out.print(answer.body());
  } catch (java.io.IOException e) {
    response.setStatus(502);
    out.println(e);
  }
%>
