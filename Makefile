# Commands for developers and for continuous integration.

GOLANGCI_LINT := .bin/golangci-lint
GOLANGCI_LINT_VERSION := v2.12.2
PACKAGES := ./...

# A recipe fails if any part of a pipe fails.
SHELL := bash
.SHELLFLAGS := -o pipefail -c

# The linter's cache stores paths, so two checkouts must not share one.
export GOLANGCI_LINT_CACHE := $(CURDIR)/.bin/cache

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: build
build: ## build the binary
	CGO_ENABLED=0 go build -trimpath -o zato-connect .

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## format the code
	$(GOLANGCI_LINT) fmt

.PHONY: fmt-check
fmt-check: $(GOLANGCI_LINT) ## fail if the code is not formatted
	$(GOLANGCI_LINT) fmt --diff

.PHONY: lint
lint: $(GOLANGCI_LINT) ## find faults without running the code
	$(GOLANGCI_LINT) run
	cd test/kubernetes && $(CURDIR)/$(GOLANGCI_LINT) run

.PHONY: prose
prose: ## find phrases that make a sentence hard to read
	.ci/prose

.PHONY: vet
vet: ## run go vet
	go vet $(PACKAGES)

.PHONY: tidy-check
tidy-check: ## fail if go.mod is not tidy
	go mod tidy -diff

.PHONY: test
test: ## run the tests
	go test $(PACKAGES)

.PHONY: race
race: ## run the tests in random order with the race detector
	go test -race -shuffle=on -timeout 15m $(PACKAGES)

.PHONY: timing
timing: ## run the tests of timing and memory, without the race detector, which distorts both
	go test -count=1 -run '(FewAllocations|AllocatesLittle|Throughput|Quickly)$$' $(PACKAGES)

.PHONY: bench
bench: ## run the benchmark, about ten minutes; BENCH sets its flags, as in BENCH=-quick
	go run ./bench $(BENCH)

.PHONY: memory
memory: ## print the memory that a backlog of a million messages uses
	ZATO_TEST_BACKLOG=1000000 go test -count=1 -v -run 'Backlog' ./test/e2e

# A count, not a time, limits each target to about 15 seconds. With a time limit, Go before
# 1.27 sometimes reports the end of the time as a failure (https://go.dev/issue/75804).
.PHONY: fuzz
fuzz: ## search for frames and files that cause a failure, about 15 seconds for each target
	go test -run '^$$' -fuzz FuzzDecode -fuzztime 400000x ./wsx/internal/wire
	go test -run '^$$' -fuzz FuzzMessages -fuzztime 400000x ./wsx/internal/wire
	go test -run '^$$' -fuzz FuzzFrames -fuzztime 6000x -fuzzminimizetime 5x ./wsx
	go test -run '^$$' -fuzz FuzzStore -fuzztime 12000x -fuzzminimizetime 5x ./internal/journal
	go test -run '^$$' -fuzz FuzzReader -fuzztime 30000x -fuzzminimizetime 5x ./files
	go test -run '^$$' -fuzz FuzzWAL -fuzztime 4000x -fuzzminimizetime 5x ./internal/journal

.PHONY: chaos
chaos: ## run 300 pipelines through random faults, with each gateway, and count lost and repeated messages
	go test -count=1 -v -run 'Chaos' ./test/chaos | grep -v '^ *\(=== \|--- PASS: .*/\)'

SOAK_MESSAGES ?= 1000000
SOAK_FOR ?= 20m
SOAK_SEED ?= 1
SOAK_GATEWAY ?= connect

.PHONY: soak
soak: ## run one through faults for 20 minutes, with a million messages; set SOAK_FOR, SOAK_MESSAGES, SOAK_SEED, SOAK_GATEWAY
	go test -count=1 -v -timeout 2h -run 'Soak' ./test/chaos \
		-soak.messages $(SOAK_MESSAGES) -soak.for $(SOAK_FOR) -soak.seed $(SOAK_SEED) \
		-soak.gateway $(SOAK_GATEWAY)

.PHONY: cover
cover: ## print the test coverage
	go test -coverpkg=./wsx/...,./connection,./config,./input,./output,./processor,./simulator,./internal/tracing,./tracer,./wsxtest \
		-coverprofile=coverage.out ./wsx/... ./connection ./config ./input ./output ./processor ./simulator ./internal/tracing ./tracer ./wsxtest/...
	go tool cover -func=coverage.out | tail -1

.PHONY: examples
examples: build ## lint every example and run the self-contained ones
	./zato-connect lint --deprecated $(filter-out %_benthos_test.yaml,$(wildcard examples/*.yaml examples/zato-4/*.yaml))
	./zato-connect test ./examples/...
	timeout 120 ./zato-connect run examples/quickstart.yaml | grep -c '^{' | grep -qx 312
	timeout 120 ./zato-connect run examples/answer-requests.yaml | grep -c '^{' | grep -qx 5

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# The date of the commit, so that building again makes identical files.
DATE := $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || date -u +%Y-%m-%dT%H:%M:%SZ)
PLATFORMS := linux_amd64 linux_arm64 darwin_amd64 darwin_arm64 windows_amd64 windows_arm64
AUTHORITIES := $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))
# Two builds of one commit make equal archives, wherever and by whom they are made.
TAR := LC_ALL=C tar --format=ustar --sort=name --mtime='$(DATE)' --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX
CYCLONEDX := .bin/cyclonedx-gomod
CYCLONEDX_VERSION := v1.10.0

.PHONY: dist
dist: $(PLATFORMS:%=dist-%) dist-image ## build the archives of all platforms in dist/
	cd dist && sha256sum *.tar.gz > SHA256SUMS

# Windows has tar too. The time zones are built in because the image has none. Whether the
# build is from a clone, a worktree or a tarball must not matter, hence -buildvcs=false.
dist-%: export GOOS = $(word 1,$(subst _, ,$*))
dist-%: export GOARCH = $(word 2,$(subst _, ,$*))
dist-%: $(CYCLONEDX)
	rm -rf dist/$* && mkdir -p dist/$*
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags timetzdata \
		-ldflags '-s -w -X main.version=$(VERSION) -X main.dateBuilt=$(DATE)' -o dist/$*/ .
	.ci/collect-licenses dist/$*/licenses
	$(CYCLONEDX) bin -json -std -noserial -notimestamp -version $(VERSION) -output dist/$*/sbom.cdx.json \
		$$(ls dist/$*/zato-connect*)
	git ls-files -z LICENSE NOTICE README.md CHANGELOG.md docs examples packaging zato | xargs -0 cp --parents -t dist/$*
	$(TAR) -C dist/$* -cf - . | gzip -n > dist/zato-connect_$*.tar.gz

.PHONY: dist-check
dist-check: ## compare the archives with what is linked into the binaries, and build one again elsewhere
	.ci/check-dist

# The files that the Dockerfile needs besides the binaries.
.PHONY: dist-image
dist-image:
	mkdir -p dist/image/state
	cp $(AUTHORITIES) dist/image/ca-certificates.crt

.PHONY: docs
docs: build ## generate the component reference, the schema and the configurations in packaging/
	rm -f docs/components/*.md
	go run ./internal/docgen docs/components
	./zato-connect schema > docs/schema.json
	for bridge in kafka-to-zato zato-to-kafka; do \
		sed -e '/^# yaml-language-server/,/^$$/d' -e 's|secret_env: .*|secret_file: /run/secrets/zato/secret|' \
			examples/$$bridge.yaml > packaging/kubernetes/$$bridge/config.yaml; \
	done
	sed '/^http:/,/^$$/d' packaging/kubernetes/kafka-to-zato/config.yaml > packaging/helm/kafka-to-zato.yaml

.PHONY: docs-check
docs-check: docs ## fail if the reference, the schema or a configuration in packaging/ is out of date
	test -z "$$(git status --porcelain docs/components docs/schema.json packaging)"

.PHONY: test-kubernetes
test-kubernetes: ## test the manifests with the types of Kubernetes' API
	cd test/kubernetes && go mod tidy -diff && go vet ./... && go test -count=1 ./...

.PHONY: kafka-jars
kafka-jars: test/kafka/target/jars ## fetch the Kafka broker for the bridge tests, with Maven; KAFKA_VERSION and -B set another

test/kafka/target/jars: test/kafka/pom.xml
	rm -rf $@
	mvn -q -B -f test/kafka/pom.xml package $(if $(KAFKA_VERSION),-Dkafka.version=$(KAFKA_VERSION))
	touch $@

KAFKA_ONCE_RECORDS ?= 50000
KAFKA_ONCE_KILLS ?= 25

.PHONY: test-kafka
test-kafka: kafka-jars ## send 100,000 records from Kafka to Zato and back, restarting both, 6,000 through four bridges, and 50,000 through one that is killed
	KAFKATEST=apache KAFKA_RECORDS=100000 KAFKA_RESTARTS=3 KAFKA_GROUP_SIZE=4 KAFKA_GROUP_RECORDS=6000 \
		go test -count=1 -timeout 30m -v -run 'RecordsComeBackThroughZato|GroupOfBridges' ./test/e2e
	KAFKATEST=apache go test -count=1 -timeout 30m -v -run 'SimulatorGetsEachRecordOnce' ./test/zato \
		-zato.records $(KAFKA_ONCE_RECORDS) -zato.kills $(KAFKA_ONCE_KILLS)

CLIENTS := $(CURDIR)/.bin/clients
ZATO_JS_CLIENT ?= github:zatosource/zato-js-client

# npm's registry does not have the official JavaScript client.
.PHONY: test-clients
test-clients: ## run Zato's own clients, which npm and pip fetch, against the simulator
	npm install --silent --no-save --install-links --prefix $(CLIENTS) ws@8 $(ZATO_JS_CLIENT)
	test -x $(CLIENTS)/python/bin/python || python3 -m venv $(CLIENTS)/python
	$(CLIENTS)/python/bin/pip install --quiet --disable-pip-version-check zato-websocket-client==1.6.1
	go test -count=1 -v ./test/clients -clients.modules $(CLIENTS) -clients.python $(CLIENTS)/python/bin/python \
		$(CLIENTS_FLAGS)

PROXY_REPEATS ?= 10
PROXY_IDLE ?= 5m

.PHONY: test-zato-services
test-zato-services: ## run the tests of the services for Zato, which need Python 3 and no Zato
	PYTHONDONTWRITEBYTECODE=1 python3 -m unittest discover zato/tests
	PYTHONDONTWRITEBYTECODE=1 python3 -m unittest discover zato/zato4/tests

ZATO_MESSAGES ?= 300
ZATO_FAULTS ?= 3

.PHONY: test-zato
test-zato: ## run the binary through faults in front of the Zato server that ZATO_WSX_ADDRESS_CONNECT and _STOCK name
	go test -count=1 -timeout 12h -v -run 'ServerNamedByTheEnvironment' ./test/zato \
		-zato.messages $(ZATO_MESSAGES) -zato.faults $(ZATO_FAULTS) $(ZATO_FLAGS) | grep -v '^=== \|--- SKIP\|not among -zato.only'

.PHONY: test-proxies
test-proxies: ## run the tests behind nginx, HAProxy, Apache and Caddy, as far as they are installed, six minutes
	ZATO_TEST_PROXY_REPEATS=$(PROXY_REPEATS) ZATO_TEST_PROXY_IDLE=$(PROXY_IDLE) \
		go test -count=1 -timeout 30m -v ./test/proxies | grep -v '^=== '

$(GOLANGCI_LINT):
	GOBIN=$(CURDIR)/.bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

# -trimpath because the bill of materials has the checksum of this program.
$(CYCLONEDX):
	GOOS= GOARCH= GOBIN=$(CURDIR)/.bin go install -trimpath \
		github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION)
