<%--
  What the application says about itself, in the form of Spring Boot's actuator: 503 as soon as one component is DOWN.
--%><%@ page session="false" trimDirectiveWhitespaces="true" contentType="application/json"
%><%@ page import="java.io.File, java.net.URI, java.net.http.*, java.time.Duration"
%><%!
  private static final long FREE_BYTES_WANTED = 10L << 20;
  private static final HttpClient CLIENT =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(1)).build();

  private static boolean ordersAnswer() {
    try {
      URI orders = URI.create(System.getenv().getOrDefault("ORDERS_URL", "http://127.0.0.1:9200/"));
      HttpRequest request = HttpRequest.newBuilder(orders).timeout(Duration.ofSeconds(2)).build();
      return CLIENT.send(request, HttpResponse.BodyHandlers.discarding()).statusCode() == 200;
    } catch (Exception e) {
      return false;
    }
  }

  private static String status(boolean up) {
    return "{\"status\":\"" + (up ? "UP" : "DOWN") + "\"";
  }
%><%
  long free = new File(System.getProperty("catalina.base")).getUsableSpace();
  boolean disk = free >= FREE_BYTES_WANTED;
  boolean orders = ordersAnswer();
  response.setStatus(disk && orders ? 200 : 503);
  out.print(status(disk && orders) + ",\"components\":{"
      + "\"diskSpace\":" + status(disk) + ",\"details\":{\"free\":" + free + "}},"
      + "\"orders\":" + status(orders) + "}}}");
%>
