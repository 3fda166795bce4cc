import org.codelibs.opensearch.runner.OpenSearchRunner;

/** One node on loopback: Node DIR PORT. */
public final class Node {
    public static void main(String[] args) throws Exception {
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.onBuild((number, settings) -> {
            settings.put("network.host", "127.0.0.1");
            settings.put("discovery.type", "single-node");
            settings.putList("node.roles", "cluster_manager", "data", "ingest");
            // This machine's disk may be fuller than a cluster likes.
            settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
        });
        // It adds the number of the node to the port, and takes none that is higher than it was told.
        int port = Integer.parseInt(args[1]);
        runner.setMaxHttpPort(port);
        runner.build(OpenSearchRunner.newConfigs().basePath(args[0]).numOfNode(1).baseHttpPort(port - 1).clusterName("peers"));
        Thread.currentThread().join();
    }
}
