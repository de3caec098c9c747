# The binary and nothing else. What is copied is made by `make dist`, so building this
# needs no network:
#
#   make dist && docker build -t zato-connect .
#   docker run --rm -v ./pipeline.yaml:/etc/zato-connect/config.yaml:ro -p 4195:4195 zato-connect
#
# A journal and a cache of keys need a volume, or they end with the container:
#
#   -v zato-connect:/var/lib/zato-connect
FROM scratch

# BuildKit sets it to the platform that is built for.
ARG TARGETARCH=amd64

COPY dist/image/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY dist/linux_${TARGETARCH}/zato-connect /zato-connect
COPY --chown=10001:10001 dist/image/state /var/lib/zato-connect

# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/zato-connect
EXPOSE 4195

ENTRYPOINT ["/zato-connect"]
CMD ["run", "/etc/zato-connect/config.yaml"]
