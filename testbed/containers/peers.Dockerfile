# What the pod meets outside: `store` (Elasticsearch's _bulk) and `backend` (a member of the external cluster).
FROM scratch
COPY peers /peers
ENTRYPOINT ["/peers"]
