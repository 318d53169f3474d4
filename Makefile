# image2ipfs: build, try, test, release. "make help" lists the targets.

GO       ?= go
BIN      := bin/image2ipfs
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)
BUILD    := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'
PREFIX   ?= /usr/local
ADDR     ?= 127.0.0.1:5000
PUSH     ?= 127.0.0.1:5001
FUZZTIME ?= 10m
KILLS    ?= 300
IMAGE_ARCHS := $(or $(GOARCH),amd64 arm64)
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.PHONY: help build run test test-all wine unit bench bench-p2p bench-lazy lint fuzz docs image packages release install clean load crash attack

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/image2ipfs
	$(BUILD) -o $(BIN) ./cmd/image2ipfs

run: build ## publish IMAGE (default: a small image made here), serve it on ADDR, take pushes on PUSH
	@IMAGE='$(IMAGE)' ADDR='$(ADDR)' PUSH='$(PUSH)' BIN='$(BIN)' hack/run.sh

test: ## lint, unit tests, crashes, and real engines end to end where this machine can run them
	hack/test.sh

test-all: ## what make test runs, and what takes long or needs much: fuzzing, crashes and load for long, Wine
	hack/test-all.sh

unit: ## the tests that need nothing but Go
	$(GO) test -race ./...

bench: ## measure beside skopeo, docker-registry, Kubo and nginx; results in docs/benchmarks.md
	test/bench/bench.sh

bench-p2p: ## measure how images spread between machines (namespaces); results in docs/benchmarks.md
	test/p2p/p2p.sh

bench-lazy: ## measure lazy pulls beside whole ones (engines, namespaces); results in docs/benchmarks.md and README.md
	test/bench/bench.sh lazy

lint: ## gofmt, go vet, golangci-lint and govulncheck, also for the platforms that are released
	hack/lint.sh

fuzz: ## every fuzz target for long: FUZZTIME=10m each, FUZZ=REGEXP for some of them
	FUZZ='$(FUZZ)' hack/fuzz.sh $(FUZZTIME)

docs: build ## regenerate the command reference
	$(GO) run ./hack/gendocs docs/reference

image: ## dist/image2ipfs-image.tar, an OCI image of the server for amd64 and arm64, or for GOARCH
	for arch in $(IMAGE_ARCHS); do GOOS=linux GOARCH=$$arch $(BUILD) -o dist/image/image2ipfs-$$arch ./cmd/image2ipfs || exit; done
	env -u GOOS -u GOARCH $(GO) run ./hack/mkimage $(foreach arch,$(IMAGE_ARCHS),-binary $(arch)=dist/image/image2ipfs-$(arch)) -name image2ipfs:$(VERSION) -o dist/image2ipfs-image.tar
	@echo dist/image2ipfs-image.tar

packages: ## deb and rpm for amd64 and arm64 in dist/, signed with SIGNING_KEY=FILE
	GO='$(GO)' VERSION='$(VERSION)' LDFLAGS='$(LDFLAGS)' hack/packages.sh

release: ## binaries for PLATFORMS, deb, rpm, OCI image, SBOM and checksums in dist/, signed with SIGNING_KEY=FILE
	GO='$(GO)' VERSION='$(VERSION)' LDFLAGS='$(LDFLAGS)' PLATFORMS='$(PLATFORMS)' hack/release.sh

wine: ## run the Windows binary, and tests that can be, under Wine (root on Debian)
	hack/wine.sh

load: build ## 200 clients pull 50 images for minutes while gateways are killed
	$(GO) run ./test/load -binary $(BIN) -clients 200 -images 50 -for 5m

crash: build ## kill publish, serve, gc and rm KILLS times at random, lose nothing
	$(GO) run ./test/crash -binary $(BIN) -kills $(KILLS)

attack: build ## do to a server what strangers can, and print what came of it
	$(GO) run ./test/attack -binary $(BIN)

install: ## install the binary that make build made below PREFIX (builds nothing: it may be run as root)
	@[ -x '$(BIN)' ] || { echo "$(BIN) is not there: run make build first, as yourself" >&2; exit 1; }
	install -D -m 0755 $(BIN) '$(DESTDIR)$(PREFIX)/bin/image2ipfs'

clean: ## remove what was built
	rm -rf bin dist
