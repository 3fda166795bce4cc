<%--
  What the application exposes to Prometheus: figures of this JVM and this Tomcat, from its own MBeans.
--%><%@ page session="false" trimDirectiveWhitespaces="true" contentType="text/plain; version=0.0.4; charset=utf-8"
%><%@ page import="java.lang.management.*, javax.management.*"
%><%!
  private static final MBeanServer BEANS = ManagementFactory.getPlatformMBeanServer();

  private static void family(StringBuilder to, String name, String type, String help) {
    to.append("# HELP ").append(name).append(' ').append(help).append('\n');
    to.append("# TYPE ").append(name).append(' ').append(type).append('\n');
  }

  private static void connectors(StringBuilder to, String name, String attribute, double unit) throws Exception {
    for (ObjectName bean : BEANS.queryNames(new ObjectName("Catalina:type=GlobalRequestProcessor,*"), null)) {
      double value = ((Number) BEANS.getAttribute(bean, attribute)).doubleValue() * unit;
      // The bean's name arrives in quotes, just as a label value has to be written.
      to.append(name).append("{connector=").append(bean.getKeyProperty("name")).append("} ").append(value).append('\n');
    }
  }
%><%
  StringBuilder text = new StringBuilder();
  MemoryMXBean memory = ManagementFactory.getMemoryMXBean();

  family(text, "jvm_memory_used_bytes", "gauge", "Memory in use.");
  text.append("jvm_memory_used_bytes{area=\"heap\"} ").append(memory.getHeapMemoryUsage().getUsed()).append('\n');
  text.append("jvm_memory_used_bytes{area=\"nonheap\"} ").append(memory.getNonHeapMemoryUsage().getUsed()).append('\n');
  family(text, "jvm_threads_current", "gauge", "Live threads.");
  text.append("jvm_threads_current ").append(ManagementFactory.getThreadMXBean().getThreadCount()).append('\n');
  family(text, "jvm_gc_collection_seconds", "summary", "Time spent in garbage collection.");
  for (GarbageCollectorMXBean gc : ManagementFactory.getGarbageCollectorMXBeans()) {
    text.append("jvm_gc_collection_seconds_count{gc=\"").append(gc.getName()).append("\"} ").append(gc.getCollectionCount()).append('\n');
    text.append("jvm_gc_collection_seconds_sum{gc=\"").append(gc.getName()).append("\"} ").append(gc.getCollectionTime() / 1000.0).append('\n');
  }
  family(text, "process_start_time_seconds", "gauge", "Start of the process, in seconds since the epoch.");
  text.append("process_start_time_seconds ").append(ManagementFactory.getRuntimeMXBean().getStartTime() / 1000.0).append('\n');
  family(text, "tomcat_requests_total", "counter", "Requests answered.");
  connectors(text, "tomcat_requests_total", "requestCount", 1);
  family(text, "tomcat_request_errors_total", "counter", "Requests answered with an error.");
  connectors(text, "tomcat_request_errors_total", "errorCount", 1);
  family(text, "tomcat_request_seconds_total", "counter", "Time spent answering.");
  connectors(text, "tomcat_request_seconds_total", "processingTime", 0.001);
  out.print(text);
%>
