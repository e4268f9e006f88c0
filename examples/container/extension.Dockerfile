# An image with nothing but the extension, for functions that are
# container images to copy from. After `make package`, from the root of the
# repository, for both architectures at once:
#
#	docker buildx build --platform linux/amd64,linux/arm64 \
#	  -f examples/container/extension.Dockerfile -t REGISTRY/kinetel:0.1.0 --push .
FROM scratch
# buildx says amd64 or arm64.
ARG TARGETARCH
COPY --chmod=0755 bin/layer/${TARGETARCH} /opt/extensions/kinesis-telemetry-extension
COPY --chmod=0644 dist/kinesis-telemetry-extension-${TARGETARCH}.NOTICES.txt /opt/share/doc/kinesis-telemetry-extension/NOTICES.txt
