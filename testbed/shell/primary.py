"""Says for one PostgreSQL server whether it is the primary, as Patroni does: GET /primary is answered with 200 or 503.

usage: primary.py ADDRESS PORT SOCKET-DIRECTORY POSTGRES-PORT
"""

import http.server
import subprocess
import sys

address, port, folder, server = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
ask = ["psql", "--host", folder, "--port", server, "--username", "app", "--dbname", "postgres", "--no-align", "--tuples-only"]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = subprocess.run(ask + ["--command", "select pg_is_in_recovery()"], capture_output=True, text=True, check=False)
        self.send_response(200 if said.stdout.strip() == "f" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer((address, port), Handler).serve_forever()
