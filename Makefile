# Kinetel. `make demo` shows it work, `make test` proves it, `make deploy-test` what
# deploys it; they do all their own set-up on a machine with Go 1.26 (for the tests
# also Node 20, curl, jq, strace and zstd, for those of deploying Node 20 and Python 3.11).

GO      ?= go
NODE    ?= node
NPM     ?= npm
MVN     ?= mvn
TOOL    := $(GO) tool -modfile=tools/go.mod
MODULE  := github.com/kinetel/kinetel

# The extension speaks HTTP/1.1 only: without HTTP/2 it is half a megabyte
# smaller and starts faster. Nothing is compiled with inlining but what every byte
# of telemetry or every allocation goes through: half a megabyte less, and no slower
# (docs/adr/0012). Functions begin at 16 bytes, not at Go's 32 for amd64: 86 kB less.
# Static and without paths of the machine that built it.
INLINED := runtime internal/runtime/... internal/poll sync bytes strconv bufio unicode/utf8 \
	encoding/base64 encoding/binary encoding/hex hash/... crypto/internal/constanttime crypto/internal/fips140deps/... \
	$(addprefix crypto/internal/fips140/,aes/... alias bigmod hmac sha256 sha512 subtle) \
	$(addprefix $(MODULE)/internal/,jsontext event telemetry annotate redact deflate kinesis format pack pipeline)
RELEASE := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags nethttpomithttp2 -ldflags '-s -w -funcalign=16' \
	-gcflags std=-l -gcflags github.com/aws/...=-l -gcflags $(MODULE)/...=-l $(INLINED:%=-gcflags %=)
# The extension has Go's former garbage collector: with a heap of 2 MB it takes 6 % less
# processor time an invocation, and 3 % less memory (docs/adr/0016).
COLLECTOR := GOEXPERIMENT=nogreenteagc
# $(call release,PACKAGE,ENVIRONMENT) builds the target; the whole command is long.
release = @mkdir -p $(@D) && echo 'go build -o $@ $(1)' && $(2) $(RELEASE) -o $@ $(1)

.DEFAULT_GOAL := build
.PHONY: build demo test lint bench fuzz clean

build: bin/kinesis-telemetry-extension bin/kinetel ## build the extension and the command kinetel, in bin

bin/kinesis-telemetry-extension: FORCE
	$(call release,./cmd/kinesis-telemetry-extension,$(COLLECTOR))

bin/kinetel: FORCE
	$(call release,./cmd/kinetel)

bin/sample-function: FORCE
	$(call release,./examples/function)

bin/bare-extension: FORCE
	$(call release,./examples/bare-extension)

FORCE:

bin/layer/%: FORCE
	$(call release,./cmd/kinesis-telemetry-extension,GOOS=linux GOARCH=$* GOAMD64=v1 GOARM64=v8.0 GOFLAGS= $(COLLECTOR))

package: bin/layer/amd64 bin/layer/arm64 ## make the layers, with their licences, SBOMs and checksums, in dist
	@rm -rf dist
	$(GO) -C deploy run ./package --dist "$(CURDIR)/dist" --source "$(CURDIR)" amd64="$(CURDIR)/bin/layer/amd64" arm64="$(CURDIR)/bin/layer/arm64"
.PHONY: package

# What was packaged is published, so that it is what was tested.
publish: ## publish the layers of dist: REGIONS="eu-west-1 us-east-1"; DRY_RUN=1 prints the calls; PUBLISH_FLAGS="--organization o-…"
	@mkdir -p bin
	$(GO) -C deploy build -o "$(CURDIR)/bin/publish" ./publish
	./bin/publish --dist dist --regions "$(REGIONS)" $(if $(DRY_RUN),--dry-run) $(PUBLISH_FLAGS)
.PHONY: publish

# What needs Python or the CDK, neither of which the extension or its tests do. In
# the modules under deploy, what is packaged goes as it is, and the rest into moto.
deploy-test: node python build bin/sample-function package sample .tools/deploy/.installed ## test the layers, the stack in an AWS emulator, and the CDK
	.tools/deploy/bin/cfn-lint deploy/cloudformation/kinetel.yaml examples/deploy/sam/template.yaml
	$(MAKE) lint-deploy
	KINETEL_DIST="$(CURDIR)/dist" KINETEL_MOTO="$(CURDIR)/.tools/deploy/bin/moto_server" $(GO) -C deploy test -race -count=1 ./...
	$(JSII) $(GO) -C deploy/cdk test -count=1 ./... # without -race: jsii's own Close has races
	$(MAKE) synth
.PHONY: deploy-test

# jsii prints a banner for versions of Node that are no longer looked after.
JSII := JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=20

# As the CDK's command line does it, which reads cdk.json.
synth: ## make the CDK's templates in deploy/cdk/cdk.out, after make package sample
	cd deploy/cdk && $(JSII) CDK_OUTDIR=cdk.out CDK_CONTEXT_JSON="$$($(NODE) -p 'JSON.stringify(require("./cdk.json").context)')" $(GO) run .
	@ls deploy/cdk/cdk.out/*.template.json
.PHONY: synth

sample: bin/sample/amd64/bootstrap bin/sample/arm64/bootstrap ## build the sample function for Lambda
.PHONY: sample

bin/sample/%/bootstrap: FORCE
	$(call release,./examples/function,GOOS=linux GOARCH=$* GOFLAGS=)

lint-deploy:
	@for module in deploy deploy/cdk; do \
		$(GO) -C $$module vet ./... && (cd $$module && $(GO) tool -modfile="$(CURDIR)/tools/go.mod" staticcheck ./...) || exit 1; done
.PHONY: lint-deploy

python:
	@python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "make deploy-test, make test-docs, make test-sql, make test-deep and make integration need Python 3.11 or later with venv: cfn-lint, moto, the AWS CLI and databases run on it (Debian: apt-get install python3 python3-venv)" >&2; exit 1; }
.PHONY: python

java:
	@command -v java >/dev/null && command -v $(MVN) >/dev/null || { \
		echo "make test-deep, make test-sql and make integration need Java 17 or later and Maven: Spark and the AWS SDK for Java run on it (Debian: apt-get install default-jdk-headless maven)" >&2; exit 1; }
.PHONY: java

.tools/java/.installed: test/kinesisclients/java/pom.xml
	rm -rf $(@D)
	$(MVN) --quiet --batch-mode --file $< org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DoutputDirectory="$(CURDIR)/$(@D)/lib"
	@touch $@

.tools/deploy/.installed: deploy/cloudformation/requirements.txt
.tools/docs/.installed: test/docs/requirements.txt
.tools/auditsql/.installed: test/auditsql/requirements.txt
.tools/runtimes/.installed: examples/python/requirements.txt
.tools/%/.installed:
	rm -rf $(@D)
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# The tag, the version in the code and the changelog are one. The time of the SBOMs is
# that of the commit, so that the same tag gives the same files.
release: ## make the files of the release TAG=v1.2.3 in dist
	@version=$$($(GO) run ./cmd/kinetel version) && \
	{ [ "$(TAG)" = "v$$version" ] || { echo "TAG is \"$(TAG)\", and internal/version has $$version: make them one (TAG=v$$version)" >&2; exit 1; }; } && \
	{ grep -q "^## \[$$version\] - [0-9]" CHANGELOG.md || { echo "CHANGELOG.md has no section [$$version] with a date: give it one" >&2; exit 1; }; }
	SOURCE_DATE_EPOCH="$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)}" $(MAKE) package
.PHONY: release

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1	\2/p' $(MAKEFILE_LIST) | expand -t 16
.PHONY: help

demo: build bin/sample-function ## run the extension in a local Lambda and compare what arrives with what was emitted
	./bin/kinetel demo

test: node programs lint node_modules ## lint, and run all tests under the race detector, some in a short form
	$(NODE_PACKAGES) $(GO) test -race -short -count=1 -p 3 ./...

# Packages below cmd and test do the same with more data then. They ran under the race
# detector in make test, and so did NothingIsLostSilently, whose schedules take five
# times as long there.
test-deep: node programs python java compilers node_modules examples/nodejs/node_modules/.package-lock.json .tools/docs/.installed .tools/java/.installed .tools/runtimes/.installed ## run in full the tests that make test runs in a short form
	$(GO) test -race -count=1 -skip NothingIsLostSilently $(call deep,internal kinesissim lambdasim record)
	$(NODE_PACKAGES) $(GO) test -count=1 $(filter-out ./test/e2e,$(call deep,examples test))
	$(NODE_PACKAGES) $(CLIENTS) $(RUNTIMES) $(GO) test -count=1 ./test/kinesisclients ./test/lambdaclients ./test/localrun
	$(GO) test -count=1 -run '^($(call short,./test/e2e))$$' ./test/e2e
	$(GO) test -count=1 -run '^($(call short,./cmd/kinetel))$$' ./cmd/kinetel
	$(GO) test -count=1 -run NothingIsLostSilently ./internal/pipeline -rapid.checks 250
.PHONY: test-deep

# The commands of the documents, with moto as AWS. What they build goes into bin and dist.
# Then the demo of bin runs, and validators of other languages validate its events.
test-docs: node python compilers node_modules .tools/docs/.installed ## run the commands of the documents, with moto in place of AWS
	KINETEL_DOCS_PYTHON="$(CURDIR)/.tools/docs/bin" $(GO) test -count=1 -timeout 20m -run Commands ./test/docs
	$(NODE_PACKAGES) KINETEL_DOCS_PYTHON="$(CURDIR)/.tools/docs/bin" $(GO) test -count=1 -run Validators ./test/schema
.PHONY: test-docs

# The statements of kinetel audit --sql, on engines from PyPI.
test-sql: python java .tools/auditsql/.installed ## run the statements of kinetel audit --sql on DuckDB, ClickHouse and Spark
	KINETEL_SQL_PYTHON="$(CURDIR)/.tools/auditsql/bin" $(GO) test -count=1 ./test/auditsql
.PHONY: test-sql

# Two tests at the same time would slow each other's frames down.
test-browser: node build bin/sample-function test/browser/node_modules/.package-lock.json ## test the page of kinetel view in Chromium
	$(NODE) --test --test-concurrency=1 --test-reporter=spec test/browser/*.test.mjs
.PHONY: test-browser

# The packages below these folders that have a test with a short form. Rapid has one
# itself: with -short it makes a fifth of the checks.
deep = $(sort $(patsubst %/,./%,$(dir $(shell grep -rlE 'pgregory.net/rapid|testing\.Short|testkit\.Checks' --include='*_test.go' --exclude-dir=node_modules $(1)))))

# The tests of a package that have a short form themselves.
short = $(shell awk '/^func Test/ {name = $$2; sub(/[^A-Za-z0-9_].*/, "", name)} /testing\.Short|testkit\.Checks|rapid\.Check/ {names = names sep name; sep = "|"} END {print names}' $(1)/*_test.go)

# Where the tests find the Kinesis, the reader and the validator that run on Node.
NODE_PACKAGES := KINETEL_KINESIS_LOCAL="$(CURDIR)/test/kinesislocal/node_modules/kinesis-local" \
	KINETEL_KINESIS_AGG="$(CURDIR)/test/formats/node_modules/aws-kinesis-agg" \
	KINETEL_AJV="$(CURDIR)/test/schema/node_modules" \
	KINETEL_KINESIS_CLIENTS="$(CURDIR)/test/kinesisclients/node_modules"

# Where they find the clients of Python and Java that are tried against the embedded Kinesis.
CLIENTS := KINETEL_DOCS_PYTHON="$(CURDIR)/.tools/docs/bin" KINETEL_KINESIS_JAVA="$(CURDIR)/.tools/java/lib"

# Where they find the runtime clients of Node.js and Python, and an extension of others.
RUNTIMES := KINETEL_RUNTIME_NODEJS="$(CURDIR)/examples/nodejs/node_modules" KINETEL_RUNTIME_PYTHON="$(CURDIR)/.tools/runtimes/bin/python" \
	KINETEL_SENTRY="$(CURDIR)/test/localrun/node_modules/@sentry/aws-serverless"

node: # checked first, before the long build
	@command -v $(NODE) >/dev/null && command -v $(NPM) >/dev/null || { \
		echo "the tests need Node 20 or later with npm: kinesis-local, the Kinesis of the integration tests, and the CDK run on it" >&2; exit 1; }
.PHONY: node

programs:
	@missing=; for program in "$$($(GO) env CC)" curl jq strace zcat zstd; do command -v $${program%% *} >/dev/null || missing="$$missing $$program"; done; [ -z "$$missing" ] || { \
		echo "make test needs$$missing: the race detector needs a C compiler, and the tests read what Kinetel writes with other programs, and trace its start (Debian: apt-get install gcc libc6-dev curl jq gzip strace zstd)" >&2; exit 1; }
.PHONY: programs

compilers:
	@missing=; for program in cmake autoconf automake libtoolize make g++; do command -v $$program >/dev/null || missing="$$missing $$program"; done; [ -z "$$missing" ] || { \
		echo "make test-deep, make test-docs and make integration need$$missing: aws-lambda-ric, the runtime client of Node.js, is compiled (Debian: apt-get install cmake autoconf automake libtool make g++)" >&2; exit 1; }
.PHONY: compilers

test-faults: ## run the whole fault matrix; writes docs/evidence/faults.md
	$(GO) test -count=1 -parallel 8 -timeout 20m ./test/faults -faults.all -faults.table "$(CURDIR)/docs/evidence/faults.md"
.PHONY: test-faults

integration: node programs python java compilers node_modules examples/nodejs/node_modules/.package-lock.json .tools/docs/.installed .tools/java/.installed .tools/runtimes/.installed ## run only the tests with other programs: kinesis-local, readers of the formats, clients of Kinesis and Lambda, runtimes
	$(NODE_PACKAGES) $(CLIENTS) $(RUNTIMES) $(GO) test -race -count=1 ./test/kinesislocal ./test/formats ./test/kinesisclients ./test/lambdaclients ./test/localrun
.PHONY: integration

node_modules: $(addsuffix /node_modules/.package-lock.json,test/kinesislocal test/formats test/schema test/kinesisclients test/localrun)
.PHONY: node_modules

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	cd $* && $(NPM) ci --no-audit --no-fund
	@touch $@

lint: ## run gofumpt, go vet and staticcheck
	@files=$$($(TOOL) gofumpt -l .); [ -z "$$files" ] || { echo "not formatted (run make fmt):" >&2; echo "$$files" >&2; exit 1; }
	$(GO) vet ./...
	for os in darwin windows; do GOOS=$$os $(GO) vet ./lambdasim ./kinesissim ./record || exit 1; done
	GOOS=darwin $(GO) vet ./cmd/kinetel
	$(TOOL) staticcheck ./...

fmt: ## format the code
	$(TOOL) gofumpt -w .
.PHONY: fmt

# It needs the vulnerability database of Go, which is in the internet.
vulncheck: ## look for known vulnerabilities in what each module calls
	@for module in . deploy deploy/cdk; do \
		(cd $$module && $(GO) tool -modfile="$(CURDIR)/tools/go.mod" govulncheck ./...) || exit 1; done
.PHONY: vulncheck

bench: build bin/sample-function bin/bare-extension ## measure, beside an extension that does nothing; FLAGS="-only volume,burst" measures parts
	$(GO) run ./test/bench -json bin/bench $(FLAGS)

bench-document: build bin/sample-function bin/bare-extension package ## measure, and write docs/performance.md with its picture and raw values
	$(GO) run ./test/bench -json bin/bench -document docs/performance.md $(FLAGS)
.PHONY: bench-document

bench-compare: build bin/sample-function ## measure beside another revision, in pairs: BASE=main
	@[ -n "$(BASE)" ] || { echo "bench-compare needs BASE, a revision: make bench-compare BASE=main" >&2; exit 1; }
	$(GO) run ./test/bench -json bin/bench -base "$(BASE)" $(FLAGS)
.PHONY: bench-compare

flush-plot: ## simulate the flush policy; writes docs/evidence/flush.md and its picture
	$(GO) test -count=1 ./test/flushsim -update
	$(GO) run ./test/flushsim -png docs/evidence/flush.png
.PHONY: flush-plot

fleet-plot: ## simulate a fleet in an outage; writes docs/evidence/fleet.md and its picture
	$(GO) test -count=1 -run Document ./test/fleetsim -update
	$(GO) run ./test/fleetsim -png docs/evidence/fleet.png
.PHONY: fleet-plot

screenshots: ## draw docs/kinetel.svg and the pictures of docs/view.md
	$(GO) test -count=1 -run Screenshots ./cmd/kinetel -update
	KINETEL_SCREENSHOTS="$(CURDIR)/docs" $(MAKE) test-browser
.PHONY: screenshots

FUZZTIME ?= 30s
fuzz: ## fuzz each target for FUZZTIME
	@GO="$(GO)" test/fuzz/fuzz.sh $(FUZZTIME)

clean: ## remove what the other targets made
	rm -rf bin dist .tools deploy/cdk/cdk.out test/*/node_modules examples/*/node_modules examples/*/.venv
