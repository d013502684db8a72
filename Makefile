# What developers run. `make help` lists it.

# The version is pinned so that a finding is the change's and not the linter's.
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME      ?= 30s
ROUNDS        ?= 5

.PHONY: help run images test race screenshots compose-test lint fmt generate bench rivals readers fuzz chaos

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: ## start API and web page on this machine
	go run ./apps/taskrunner

images: ## make the images that the tests of containers run
	.ci/images

test: ## all tests; those of the sandbox need Linux and root
	go test ./...

race: ## what CI runs: no test may be skipped
	TASKRUNNER_REQUIRE_SERVICES=1 go test -race ./...

screenshots: ## draw README's pictures anew into docs/images; needs Chromium
	TASKRUNNER_REQUIRE_SERVICES=1 TASKRUNNER_SCREENSHOTS=$(CURDIR)/docs/images go test -count 1 -run '^TestThePicturesOfTheREADMEAreDrawn$$' ./apps/internal/ui

compose-test: ## bring compose.yaml up under a name of its own, and try everything on it
	go test -tags compose -count 1 -v -timeout 30m -run '^TestCompose$$' ./testing/compose

lint: ## the linters of .golangci.yml
	go run $(GOLANGCI_LINT) run
	cd testing/bench && go run $(GOLANGCI_LINT) run
	cd testing/deploy && go run $(GOLANGCI_LINT) run

fmt: ## format everything
	gofmt -w .

generate: ## rebuild the embedded runner and the table of system calls
	go generate ./...

bench: ## all benchmarks, no tests
	go test -run '^$$' -bench . -benchmem ./...

rivals: ## ours beside others that do the same, see docs/performance.md; needs redis-server
	cd testing/bench && go run .

readers: ## 10,000 readers of streams on one backend, see docs/performance.md; needs Linux, redis-server, and Docker with the images that make images makes
	cd testing/bench && go run . readers

fuzz: ## every fuzz test for FUZZTIME each
	@go list -f '{{.Dir}}' ./... | while read -r dir; do \
		grep -hos '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go | cut -d' ' -f2 | while read -r name; do \
			(cd "$$dir" && go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) . </dev/null) || exit 1; \
		done || exit 1; \
	done

chaos: ## the crash suite, ROUNDS times (some two minutes each), and what it all came to
	go test -count $(ROUNDS) -v -timeout 2h ./internal/chaos
