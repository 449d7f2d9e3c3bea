# Tools are built from the Go module proxy at these versions, outside of the checkout.
BUF_VERSION              := v1.75.0
PROTOC_GEN_GO_VERSION    := v1.36.12
PROTOC_GEN_GRPC_VERSION  := v1.6.2
GOLANGCI_LINT_VERSION    := v2.12.0

CACHE   := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/nave
TOOLS   := $(CACHE)/tools
# golangci-lint keeps findings with the path of the file: two checkouts that shared a cache would see each other's.
LINT_CACHE := $(CACHE)/lint/$(shell pwd | cksum | cut -d' ' -f1)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# grpcnotrace leaves grpc's tracing pages out, whose reflection keeps the linker from dropping methods that nobody calls:
# some 4 MiB of each binary, and 3 MiB of the spoke's memory.
TAGS    := grpcnotrace
LDFLAGS := -s -w -X github.com/navefleet/nave/shared/version.Version=$(VERSION)
GO      := go

.DEFAULT_GOAL := help
.PHONY: help build test unit race e2e controlplane lint generate docs generate-check tidy-check bench demo images

help: ## list these verbs
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

build: ## build nave, nave-hub and nave-spoke into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/ ./hub/cmd/nave ./hub/cmd/nave-hub ./spoke/cmd/nave-spoke

test: controlplane ## run everything: unit tests and, on real Kubernetes, the end-to-end stories
	$(GO) test -timeout 40m ./...

unit: ## run the tests that need no Kubernetes
	$(GO) test -short ./...

race: ## run the unit tests with the race detector
	$(GO) test -short -race ./hub/... ./spoke/... ./shared/...

e2e: controlplane ## run the end-to-end stories (E2E_PROVIDER=kind: on kind clusters)
	$(GO) test -timeout 40m ./e2e/...

controlplane: ## build the Kubernetes that the tests run on; the first time takes some ten minutes
	@[ "$(E2E_PROVIDER)" = kind ] || $(GO) run ./e2e/kubetest/prepare

lint: $(TOOLS)/buf-$(BUF_VERSION) $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION) ## golangci-lint (gofmt, vet, staticcheck and more: .golangci.yml), buf
	GOLANGCI_LINT_CACHE=$(LINT_CACHE) $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION) run --allow-serial-runners ./...
	$(TOOLS)/buf-$(BUF_VERSION) lint
	@if git rev-parse -q --verify origin/main >/dev/null 2>&1; then $(TOOLS)/buf-$(BUF_VERSION) breaking --against '.git#ref=origin/main'; fi

generate: $(TOOLS)/buf-$(BUF_VERSION) $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-go-grpc ## generate the Go code of proto/
	PATH="$(TOOLS):$$PATH" $(TOOLS)/buf-$(BUF_VERSION) generate

docs: ## write docs/cli from the commands, and the reasons of kinds in docs/troubleshooting.md
	$(GO) test ./hub/cmd/nave ./hub/cmd/nave-hub ./spoke/cmd/nave-spoke -run TestReference -count=1 -update
	$(GO) test ./e2e/reference -run TestReasonsOfKinds -count=1 -update

generate-check: ## fail if generated code is not what make generate gives
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && cp -R proto "$$tmp" && $(MAKE) --no-print-directory generate && \
	  diff -r proto "$$tmp/proto" || { echo "generated code was out of date: it is now generated anew, commit it"; exit 1; }

tidy-check: ## fail if go.mod or go.sum is not tidy
	$(GO) mod tidy -diff
	cd e2e/controlplane && $(GO) mod tidy -diff
	cd e2e/kubetest/kubectl && $(GO) mod tidy -diff
	cd e2e/fluxtest/tools && $(GO) mod tidy -diff
	cd e2e/helmtest/tools && $(GO) mod tidy -diff
	cd e2e/helmtest/oracle && $(GO) mod tidy -diff
	cd e2e/monitoring && $(GO) mod tidy -diff

bench: controlplane bin/nave-bench ## measure: name value unit lines, and bench.json (BENCH=name: only what starts so; SPOKES=10000)
	bin/nave-bench $(if $(BENCH),-only $(BENCH)) $(if $(SPOKES),-spokes $(SPOKES)) -json bench.json

.PHONY: bin/nave-bench
bin/nave-bench: ## build the benchmarks, which size a hub (docs/operations.md)
	$(GO) build -trimpath -tags $(TAGS) -o $@ ./e2e/bench

demo: controlplane ## a hub, two real clusters, a git server; stays until Ctrl-C (ONCE=1: play the story and exit)
	$(GO) build -o bin/demo ./e2e/demo
	@bin/demo $(if $(ONCE),-once)

images: ## build the container images with docker
	docker build -f deploy/hub/Dockerfile --build-arg VERSION=$(VERSION) -t ghcr.io/navefleet/nave-hub:$(VERSION) .
	docker build -f deploy/spoke/Dockerfile --build-arg VERSION=$(VERSION) -t ghcr.io/navefleet/nave-spoke:$(VERSION) .

$(TOOLS)/buf-$(BUF_VERSION):
	$(call install,github.com/bufbuild/buf/cmd/buf@$(BUF_VERSION),buf)
$(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION):
	$(call install,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION),golangci-lint)
$(TOOLS)/protoc-gen-go: $(TOOLS)/protoc-gen-go-$(PROTOC_GEN_GO_VERSION)
	ln -sf $< $@
$(TOOLS)/protoc-gen-go-grpc: $(TOOLS)/protoc-gen-go-grpc-$(PROTOC_GEN_GRPC_VERSION)
	ln -sf $< $@
$(TOOLS)/protoc-gen-go-$(PROTOC_GEN_GO_VERSION):
	$(call install,google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO_VERSION),protoc-gen-go)
$(TOOLS)/protoc-gen-go-grpc-$(PROTOC_GEN_GRPC_VERSION):
	$(call install,google.golang.org/grpc/cmd/protoc-gen-go-grpc@$(PROTOC_GEN_GRPC_VERSION),protoc-gen-go-grpc)

# install puts the program $(2) of the module $(1) at the target's path.
define install
@mkdir -p $(TOOLS)
@echo "building $(1)"
@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && GOBIN="$$tmp" GOFLAGS=-mod=mod $(GO) install $(1) && mv "$$tmp/$(2)" $@
endef
