# What a person or a machine asks of this project. "make help" lists it.

.PHONY: help demo test bench lint packages
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ': ## ' '/^[a-z]+: ## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## as root: a home for a minute in the laboratory, and what the provider saw of it
	@tests/tools/setup build lab
	@tests/tools/with-rust tests/lab/demo

test: ## units, integration, layers, packages, pages, then the laboratory (as root)
	@tests/tools/setup build lab luci
	@tests/tools/run

bench: ## delay against the paper's arrangement, instructions, memory, size on each architecture
	@tests/tools/setup build lab bench cross
	@tests/tools/with-rust tests/lab/run flat-line sparse adversary
	@tests/tools/with-rust tests/tools/bench
	@cross/packages

packages: ## for OpenWrt (ipk, apk, feeds) and Debian, all architectures, in target/packages; KEYS=FOLDER signs
	@tests/tools/setup build cross
	@cross/packages $(if $(KEYS),--keys $(KEYS))

lint: ## format, lints, documentation, shell, licences
	@tests/tools/setup build lint luci
	@tests/tools/lint
