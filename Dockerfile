# The image contains the binary, the certificates and an empty state directory. `make dist`
# makes them, so building the image needs no network:
#
#   make dist && docker build -t zato-connect .
#   docker run --rm --stop-timeout 30 -v ./pipeline.yaml:/etc/zato-connect/config.yaml:ro -p 4195:4195 zato-connect
#
# Without --stop-timeout, Docker kills the process after 10 seconds, which are fewer than
# shutdown_timeout (20 seconds by default). In a Compose file, set stop_grace_period: 30s.
#
# Mount a volume for a journal or a cache of keys, or they are lost with the container:
#
#   -v zato-connect:/var/lib/zato-connect
FROM scratch

# BuildKit sets this to the target platform.
ARG TARGETARCH=amd64

COPY dist/image/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY dist/linux_${TARGETARCH}/zato-connect /zato-connect
COPY dist/linux_${TARGETARCH}/LICENSE dist/linux_${TARGETARCH}/NOTICE dist/linux_${TARGETARCH}/sbom.cdx.json /licenses/
COPY dist/linux_${TARGETARCH}/licenses /licenses/
COPY --chown=10001:10001 dist/image/state /var/lib/zato-connect

# A numeric id lets Kubernetes verify that the user is not root.
USER 10001:10001
WORKDIR /var/lib/zato-connect
EXPOSE 4195

STOPSIGNAL SIGTERM
ENTRYPOINT ["/zato-connect"]
CMD ["run", "/etc/zato-connect/config.yaml"]
