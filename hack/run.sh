#!/bin/sh
# Publishes an image archive on the embedded node, prints how to pull it and
# serves it until Ctrl-C: the work of "make run".
#   IMAGE  archive to publish (default: a small image of the binary itself)
#   ADDR   address to serve on
#   PUSH   address to take pushes on; empty for none
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
if [ -z "$PUSH" ]; then
	exec "$BIN" serve --addr "$ADDR"
fi
cat <<END
Push, pull by name, pull by CID:

  docker tag alpine $PUSH/team/app:1
  docker push $PUSH/team/app:1      # the log below and Image2ipfs-Name tell its CID
  docker pull $PUSH/team/app:1      # what it was last pushed as, on this address alone
  docker pull $host/\$($BIN ref -f ciq team/app:1)/team/app   # the same for ever, from any server that has it

END
exec "$BIN" serve --addr "$ADDR" --push "$PUSH"
