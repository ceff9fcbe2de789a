# One command for each thing that is done often. "make" alone lists them.
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
# sudo often has a path without Go, and ordinary users one without nft.
export PATH := $(PATH):/usr/local/go/bin:/usr/local/sbin:/usr/sbin:/sbin

GO      ?= go
BIN     := bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -X github.com/sluice-net/sluice/cmd/sluice/app.version=$(VERSION)
IMAGE   ?= sluice.invalid/sluice:dev
ARCHIVE ?= $(BIN)/sluice-image.tar
# Architectures that the image is for; packages of others than this machine's are
# downloaded. And those that a release is for.
ARCHES   ?= $(shell $(GO) env GOARCH)
RELEASES := amd64 arm64
# What explains and verifies runs there, and the plugin is published for them.
PLATFORMS := linux/amd64 linux/arm64 darwin/arm64 windows/amd64
# Where what goes into the image is built.
BUILT    ?= $(dir $(ARCHIVE))image
FOREIGN   = $(filter-out $(shell $(GO) env GOHOSTARCH),$(ARCHES))
ROOT     := $(filter 0,$(shell id -u))
FUZZTIME ?= 20s
FLOWS    ?= 1000000
KERNEL_FLOWS ?= 20000
CHANGES  ?= 1000
ROUNDS   ?= 16
RACE     ?= ./policy/... ./compiler/... ./enforcer/...
# What CI runs of that: the enforcer's rooms, which have what runs at one time, but for
# comparisons with nft's bytes, which are made one after another; and of policy and
# compiler, which start nothing (conformance/imports_test.go), the agreement on few flows.
# The agent itself takes many minutes under the detector: make race has it.
RACE_SKIP  := ^Test(Lane|EveryRule|GuardRules)
RACE_FLOWS ?= 600
PODS     ?= 500
# Of the lab: names separated by commas, or all. Empty: bridge and ptp whole, the
# others briefly.
TOPOLOGIES ?=
DURATION ?= 1h
SEED     ?= 0

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@echo "Sluice: Kubernetes NetworkPolicy, enforced with nftables"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: need-kernel build ## show it work on this machine: a small cluster in network namespaces (root)
	@$(BIN)/sluice demo

.PHONY: build
build: ## build bin/sluice
	@$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/sluice ./cmd/sluice

.PHONY: image
image: ## build bin/sluice-image.tar, the container image, without Docker or a registry: ARCHES='amd64 arm64'
	@.tools/need nft=nftables
	@for arch in $(ARCHES); do \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -trimpath -buildvcs=false -tags nolab -ldflags '-s -w $(LDFLAGS)' -o $(BUILT)/sluice-$$arch ./cmd/sluice; \
	done
	@for arch in $(FOREIGN); do deploy/image/fetch-packages $$arch $(BUILT)/packages-$$arch; done
	@$(GO) run ./deploy/image $(foreach arch,$(ARCHES),-sluice $(BUILT)/sluice-$(arch)) \
	  $(foreach arch,$(FOREIGN),-packages $(arch)=$(BUILT)/packages-$(arch)) \
	  -name $(IMAGE) -version $(VERSION) -out $(ARCHIVE) -sbom $(basename $(ARCHIVE))-
	@echo "$(ARCHIVE) is $(IMAGE)"

# What a release publishes, and nothing is published by it: see deploy/README.md.
RELEASE    := $(BIN)/release
REPOSITORY ?= https://github.com/sluice-net/sluice
DOWNLOADS  ?= $(REPOSITORY)/releases/download/$(VERSION)
BUILDER    ?= urn:sluice:make-release
INVOCATION ?=

.PHONY: release
release: ## everything that a release publishes, into bin/release: VERSION=v1.2.3 IMAGE=registry.example/sluice
	@git diff --quiet HEAD || { echo "the tree is not what is committed, and the provenance would say that it is" >&2; exit 1; }
	@rm -rf $(RELEASE) && mkdir -p $(RELEASE)
	@$(MAKE) --no-print-directory image ARCHES='$(RELEASES)' IMAGE='$(IMAGE):$(VERSION)' ARCHIVE=$(RELEASE)/sluice-image.tar BUILT=$(BIN)/image
	@for p in $(PLATFORMS); do \
	  CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -trimpath -buildvcs=false -ldflags '-s -w $(LDFLAGS)' -o $(BIN)/plugin/$$p ./cmd/sluice; \
	done
	@$(GO) run ./deploy/release -version '$(VERSION)' -image '$(IMAGE)' -archive $(RELEASE)/sluice-image.tar -dir $(RELEASE) \
	  $(foreach p,$(PLATFORMS),-sluice $(p)=$(BIN)/plugin/$(p)) \
	  -downloads '$(DOWNLOADS)' -repository '$(REPOSITORY)' -revision "$$(git rev-parse HEAD)" -builder '$(BUILDER)' -invocation '$(INVOCATION)'
	@ls -l $(RELEASE)

.PHONY: test
test: $(if $(ROOT),test-all,test-without-root) ## all tests; fails if a kernel test did not run (root). Without root those that need none

.PHONY: test-all
test-all: need-tests
	@$(GO) test -json -count=1 -timeout=30m ./... | $(GO) run ./conformance/testreport -require conformance/kernel-tests.txt
	@$(GO) test -C conformance/cluster . ./beyond/probe
	@$(GO) test -C conformance/cluster/sctp -count=1 .
	@$(GO) test -C deploy/interop -count=1 .

# CI must not come here: what it leaves out is what matters most.
.PHONY: test-without-root
test-without-root:
	@if [[ -n "$${CI:-}" ]]; then echo "CI runs all tests, and this is not root" >&2; exit 1; fi
	@$(GO) test -json -count=1 -timeout=30m ./... | $(GO) run ./conformance/testreport -left-out conformance/kernel-tests.txt

.PHONY: race
race: $(if $(ROOT),need-tests) need-cgo ## the race detector over RACE='./policy/... ./compiler/... ./enforcer/...', with the kernel tests (root) or without
	@$(GO) test -race -count=1 -timeout=60m $(RACE)

.PHONY: race-brief
race-brief: $(if $(ROOT),need-tests) need-cgo ## the same as CI runs it: the enforcer's rooms, and little of what has no goroutines
	@$(GO) test -race -vet=off -count=1 -timeout=30m -skip '$(RACE_SKIP)' $$($(GO) list ./enforcer/... | grep -v /enforcer$$)
	@$(GO) test -race -vet=off -count=1 -timeout=30m -run 'Agree' ./policy ./compiler -args -flows=$(RACE_FLOWS)

# Compiles what race-brief links.
.PHONY: race-build
race-build: need-cgo
	@$(GO) list -race -export -deps -test ./policy ./compiler $$($(GO) list ./enforcer/... | grep -v /enforcer$$) >/dev/null

.PHONY: lint
lint: $(BIN)/golangci-lint ## static checks, import rules among them
	@$(BIN)/golangci-lint run ./...
	@cd conformance/cluster && ../../$(BIN)/golangci-lint run ./...
	@cd conformance/cluster/sctp && ../../../$(BIN)/golangci-lint run ./...
	@cd deploy/interop && ../../$(BIN)/golangci-lint run ./...
	@cd conformance/page && ../../$(BIN)/golangci-lint run ./...

# What is foreign is built and its tests are type-checked; this machine's own is the
# tests' business.
.PHONY: cross
cross: ## what needs no kernel builds for linux, darwin and windows, its tests too
	@for p in $(filter-out $(shell $(GO) env GOHOSTOS)/$(shell $(GO) env GOHOSTARCH),$(PLATFORMS)); do \
	  echo "== $$p"; \
	  CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -o /dev/null ./cmd/sluice; \
	  CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) vet ./cmd/... ./policy/...; \
	done

.PHONY: bench
bench: need-tests ## benchmarks, with allocations (root)
	@$(GO) test -run '^$$' -bench . -benchmem -timeout=60m ./...

.PHONY: bench-report
bench-report: need-tests ## measure everything in one go, and write conformance/bench/report (root): PARTS=packet,watching,control,memory,analysis, with the others as they were KEEP=1; QUICK=1
	@.tools/need ipset=ipset
	@$(GO) build -trimpath -o $(BIN)/bench ./conformance/bench
	@$(BIN)/bench -revision '$(VERSION)' $(if $(PARTS),-parts '$(PARTS)') $(if $(KEEP),-keep) $(if $(QUICK),-quick) $(if $(REPORT),-dir '$(REPORT)')

.PHONY: agreement
agreement: need-tests ## naive evaluator = index = ruleset over FLOWS=1000000 random flows, = packets over KERNEL_FLOWS=20000, TOPOLOGIES=all (root)
	@$(GO) test -count=1 -timeout=120m -run 'Agree' ./policy ./compiler -args -flows=$(FLOWS)
	@$(GO) test -count=1 -timeout=60m -v -run 'Agree' ./conformance/agreement -args -sluice.kernel-flows=$(KERNEL_FLOWS) -sluice.topologies='$(TOPOLOGIES)' | grep -v '^=== '

.PHONY: attack
attack: need-tests ## every attack, in TOPOLOGIES=all or some by name (root)
	@$(GO) test -count=1 -timeout=60m ./conformance/attack -args -sluice.topologies='$(TOPOLOGIES)'

.PHONY: start
start: need-tests ## first packets of Pods, and a race of PODS=500 that start among neighbours that forge, in TOPOLOGIES=all (root)
	@$(GO) test -count=1 -timeout=120m -v ./conformance/start -args -sluice.pods=$(PODS) -sluice.topologies='$(TOPOLOGIES)' | grep -v '^=== '
	@$(GO) test -run '^$$' -bench RemoteEnd -benchtime 200x ./conformance/start

.PHONY: live
live: need-tests ## live connections through CHANGES=1000 policy changes, and ROUNDS=16 at full rate (root)
	@$(GO) test -count=1 -timeout=60m -v ./conformance/live -args -sluice.changes=$(CHANGES) -sluice.rounds=$(ROUNDS) | grep -v '^=== '
	@$(GO) test -run '^$$' -bench Switch -benchtime 50x ./conformance/live

.PHONY: chaos
chaos: need-tests ## everything happens to a node at once, for DURATION=1h: SEED= replays (root)
	@$(GO) test -count=1 -timeout=0 -v ./conformance/chaos -args -sluice.duration=$(DURATION) -sluice.seed=$(SEED) -sluice.long | grep -v '^=== '

# Kernels of Debian's, each a package, or package/suite.
KERNELS ?= linux-image-cloud-amd64 linux-image-cloud-amd64/$(shell . /etc/os-release && echo $$VERSION_CODENAME)-backports
ONLY    ?=

.PHONY: kernel-matrix
kernel-matrix: ## the kernel tests on KERNELS='package package/suite' in qemu, into conformance/kernels.md: ONLY=expression
	@.tools/need qemu-system-x86_64=qemu-system-x86 depmod=kmod ipvsadm=ipvsadm nft=nftables ip=iproute2 iptables-legacy=iptables sysctl=procps unshare=util-linux
	@$(GO) run ./conformance/kernels -kernels '$(KERNELS)' -revision '$(VERSION)' $(if $(ONLY),-run '$(ONLY)')

.PHONY: page
page: ## build the program of the HTML page from cmd/sluice/app/page/web, with npm
	@.tools/need npm=npm
	@cd cmd/sluice/app/page/web && npm ci --ignore-scripts --no-audit --no-fund && npm run --silent build

.PHONY: page-test
page-test: page ## use the HTML page in headless Chromium, as a reader does: SCREENSHOTS=dir writes pictures
	@.tools/need chromium=chromium
	@git diff --exit-code --stat -- cmd/sluice/app/page/assets || { echo "assets/page.js is not what its sources give: commit what make page wrote" >&2; exit 1; }
	@$(GO) test -C conformance/page -count=1 -v . $(if $(SCREENSHOTS),-args -screenshots '$(abspath $(SCREENSHOTS))') | grep -v '^=== '

.PHONY: golden
golden: ## write the golden files anew
	@$(GO) test -count=1 -run 'Golden' ./compiler ./enforcer/rounds ./cmd/sluice/app ./cmd/sluice/app/page ./conformance/bench/document -args -update

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME=20s
	@for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
	    echo "== $$(dirname $$file) $$target"; \
	    $(GO) test -C $$(dirname $$file) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) .; \
	  done; \
	done

# A real cluster on this machine; see conformance/cluster/README.md. KUBECONFIG=
# runs the suite against any other.
CLUSTER := $(BIN)/sluice-cluster
NODES   ?= 2
CNI     ?= bridge
PROXY   ?= nftables
IP      ?= ipv4
FLANNEL ?= vxlan
PROCS   ?= 4
FOCUS   ?= Netpol
SKIPS   ?= conformance/cluster/skips.txt
RUN     ?= .
RESULTS ?= bin/conformance
# The first one thrice: a test that fails now and then fails here.
COMBINATIONS ?= bridge-nftables-ipv4 bridge-nftables-ipv4 bridge-nftables-ipv4 bridge-iptables-ipv4 \
  ptp-nftables-ipv4 ptp-iptables-ipv4 bridge-nftables-ipv6 bridge-nftables-dual ptp-nftables-dual \
  flannel-nftables-dual-vxlan flannel-iptables-ipv4-host-gw

.PHONY: cluster-up
cluster-up: need-cluster $(CLUSTER) ## Kubernetes on this machine (root): NODES=2 CNI=bridge|ptp|flannel PROXY=nftables|iptables IP=ipv4|ipv6|dual FLANNEL=vxlan|host-gw
	@$(CLUSTER) up -nodes '$(NODES)' -cni '$(CNI)' -proxy '$(PROXY)' -ip '$(IP)' -flannel '$(FLANNEL)'

.PHONY: cluster-build
cluster-build: $(CLUSTER) ## build what a local cluster and upstream's tests are made of, and start nothing: CNI= FLANNEL=
	@$(CLUSTER) build -cni '$(CNI)' -proxy '$(PROXY)' -ip '$(IP)' -flannel '$(FLANNEL)'

.PHONY: cluster-status
cluster-status: $(CLUSTER) ## what of the local cluster is up
	@$(CLUSTER) status

.PHONY: cluster-sluice
cluster-sluice: image $(CLUSTER) ## put Sluice on the local cluster, as it is in this tree
	@$(CLUSTER) load $(BIN)/sluice-image.tar
	@# The image is called the same whatever is in it, so nodes that have one are told.
	@applied=$$($(CLUSTER) kubectl apply -f deploy/sluice.yaml); echo "$$applied"; \
	  if grep -q 'daemonset.apps/sluice unchanged' <<<"$$applied"; then \
	    $(CLUSTER) kubectl rollout restart daemonset/sluice -n sluice-system; \
	  fi
	@$(CLUSTER) kubectl rollout status daemonset/sluice -n sluice-system --timeout=2m

.PHONY: cluster-dry-run
cluster-dry-run: $(CLUSTER) $(BIN)/helm ## have the local cluster's API server judge the chart and the kustomization, after cluster-sluice
	@deploy/interop/judged $(CLUSTER) $(BIN)/helm

.PHONY: cluster-down
cluster-down: $(CLUSTER) ## remove the local cluster
	@$(CLUSTER) down

.PHONY: conformance
conformance: $(CLUSTER) ## upstream's Netpol tests, on the local cluster or KUBECONFIG=; PROCS=4 FOCUS=Netpol
	@$(CLUSTER) conformance -procs '$(PROCS)' -focus '$(FOCUS)' -skips '$(SKIPS)' -results '$(RESULTS)' -cni '$(CNI)' -proxy '$(PROXY)' -ip '$(IP)' -flannel '$(FLANNEL)'

.PHONY: beyond
beyond: $(CLUSTER) ## what upstream does not test, on the local cluster with Sluice or KUBECONFIG= AGNHOST=; RUN=. ARGS=-update writes docs/tour.md
	@BEYOND_ARGS='$(ARGS)' conformance/cluster/beyond/run -run '$(RUN)'

.PHONY: combination
combination: need-cluster $(CLUSTER) ## both on a new local cluster, from the first to the last step: CNI= PROXY= IP= FLANNEL=
	@conformance/cluster/combination '$(RESULTS)' '$(CNI)-$(PROXY)-$(IP)$(if $(filter flannel,$(CNI)),-$(FLANNEL))'

.PHONY: combinations
combinations: need-cluster $(CLUSTER) ## the same for each of COMBINATIONS; writes conformance/results.md
	@conformance/cluster/every-combination $(COMBINATIONS)

.PHONY: need-cluster
need-cluster:
	@.tools/need --root nft=nftables ip=iproute2 iptables-restore=iptables runc=runc /usr/lib/cni/bridge=containernetworking-plugins

$(CLUSTER): $(wildcard conformance/cluster/*.go conformance/cluster/go.mod)
	@$(GO) build -C conformance/cluster -trimpath -buildvcs=false -o ../../$@ .

$(BIN)/helm: deploy/interop/go.mod deploy/interop/go.sum
	@echo "building helm $$(sed -n 's/.*helm.sh\/helm\/v4 \(v[^ ]*\).*/\1/p' deploy/interop/go.mod), once: this takes some minutes"
	@$(GO) build -C deploy/interop -trimpath -o ../../$@ helm.sh/helm/v4/cmd/helm
	@touch $@

.PHONY: clean
clean: ## remove what was built
	@rm -rf $(BIN)

# What the commands run, and what the tests run besides.
.PHONY: need-kernel need-tests need-cgo
need-kernel:
	@.tools/need --root nft=nftables
need-cgo:
	@.tools/need cc=build-essential
need-tests:
	@.tools/need --root nft=nftables ip=iproute2 iptables-restore=iptables

$(BIN)/golangci-lint: .tools/go.mod .tools/go.sum
	@echo "building golangci-lint $$(sed -n 's/.*golangci-lint\/v2 \(v[^ ]*\).*/\1/p' .tools/go.mod), once: this takes some minutes"
	@$(GO) build -C .tools -o ../$(BIN)/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@
