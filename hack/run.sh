#!/bin/sh
# Publishes an image archive on the embedded node, prints how to pull it and
# serves it until Ctrl-C: the work of "make run".
#   IMAGE  archive to publish (default: a small image of the binary itself)
#   ADDR   address to serve on
#   BIN    the built binary
set -eu

case $ADDR in
:* | 0.0.0.0:*) host=localhost:${ADDR##*:} ;;
*) host=$ADDR ;;
esac
if [ -z "$IMAGE" ]; then
	IMAGE=bin/demo.tar
	${GO:-go} run ./hack/mkimage -binary "$BIN" -name demo:1 -o "$IMAGE"
fi

names=$("$BIN" publish -r "$host" "$IMAGE")
for name in $names; do
	cat <<-END

	$name

	  docker  docker pull $name
	  ctr     ctr images pull --plain-http $(case $name in */*/*:*|*@*) echo "$name" ;; *) echo "$name:latest" ;; esac)
	  nerdctl nerdctl pull --insecure-registry $name
	  podman  podman pull --tls-verify=false $name

	END
done
exec "$BIN" serve --addr "$ADDR"
